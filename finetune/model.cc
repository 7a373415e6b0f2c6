#include "finetune/model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "finetune/attention.h"
#include "finetune/elementwise.h"
#include "finetune/linear.h"
#include "finetune/loss.h"

namespace finetune {
namespace {

struct Block {
  at::Tensor attention_norm, mlp_norm;  // [hidden]
  JoinedLinear qkv, o, gate_up, down;
};

// The four products of a block with the modules that each one joins.
struct Group {
  JoinedLinear Block::*linear;
  const char* place;  // "self_attn" or "mlp"
  std::vector<const char*> modules;
};

const std::vector<Group>& groups() {
  static const std::vector<Group> kGroups = {{&Block::qkv, "self_attn", {"q_proj", "k_proj", "v_proj"}},
                                             {&Block::o, "self_attn", {"o_proj"}},
                                             {&Block::gate_up, "mlp", {"gate_proj", "up_proj"}},
                                             {&Block::down, "mlp", {"down_proj"}}};
  return kGroups;
}

}  // namespace

struct Llama::State {
  lora::ModelConfig config;
  at::ScalarType dtype;
  at::Device device;
  at::Tensor embedding, head, norm, frequencies;
  std::vector<Block> blocks;
  lora::Adapter settings;  // everything of the adapter but its modules

  State(const lora::ModelFiles& files, at::ScalarType dtype, at::Device device);
  HeadShape heads() const { return {config.heads, config.kv_heads, config.head_dim}; }
  template <class F>
  void for_each_linear(F f) {
    for (Block& block : blocks)
      for (const Group& group : groups())
        for (Linear& linear : (block.*group.linear).parts) f(linear);
  }
  // The block after its attention input has been turned into `attended` by the caller's kind of attention.
  template <class Attention>
  at::Tensor run(const Block& block, const at::Tensor& x, std::uint64_t seed, Attention attention) const {
    at::Tensor qkv = block.qkv.forward(rms_norm(x, block.attention_norm, config.rms_norm_eps), {}, seed);
    at::Tensor middle = block.o.forward(attention(qkv), x, seed);
    at::Tensor gate_up = block.gate_up.forward(rms_norm(middle, block.mlp_norm, config.rms_norm_eps), {}, seed);
    return block.down.forward(swiglu(gate_up), middle, seed);
  }
};

Llama::State::State(const lora::ModelFiles& files, at::ScalarType dtype_, at::Device device_)
    : config(files.config()), dtype(dtype_), device(device_) {
  if (dtype != at::kFloat && dtype != at::kBFloat16)
    throw base::Error({"unknown weight type", "", at::toString(dtype), "float32 or bfloat16", ""});
  settings.base_model = std::filesystem::absolute(files.path()).string();
  auto read_into = [&](const std::string& name, at::Tensor target) {
    at::Tensor raw = at::empty(target.sizes(), at::kFloat);
    files.read(name, {raw.mutable_data_ptr<float>(), static_cast<std::size_t>(raw.numel())});
    target.copy_(raw);
  };
  at::TensorOptions options = at::TensorOptions(device).dtype(dtype);
  auto read = [&](const std::string& name) {
    at::Tensor tensor = at::empty(files.shape(name), options);
    read_into(name, tensor);
    return tensor;
  };
  embedding = read("model.embed_tokens.weight");
  head = config.tied_embeddings ? embedding : read("lm_head.weight");
  norm = read("model.norm.weight");
  frequencies = inverse_frequencies(config).to(device);
  blocks.resize(static_cast<std::size_t>(config.layers));
  std::int64_t index = 0;
  for (std::int64_t i = 0; i < config.layers; ++i) {
    Block& block = blocks[static_cast<std::size_t>(i)];
    std::string layer = "model.layers." + std::to_string(i) + ".";
    block.attention_norm = read(layer + "input_layernorm.weight");
    block.mlp_norm = read(layer + "post_attention_layernorm.weight");
    for (const Group& group : groups()) {
      JoinedLinear& joined = block.*group.linear;
      std::int64_t rows = 0;
      for (const char* module : group.modules) {
        Linear linear;
        std::string local = std::string(group.place) + "." + module;
        linear.name = layer + local;
        linear.index = index++;
        std::tie(linear.out, linear.in) = lora::linear_shape(config, local);
        rows += linear.out;
        joined.parts.push_back(linear);
      }
      bool biased = std::string_view(group.place) == "mlp" ? config.mlp_bias : config.attention_bias;
      joined.weight = at::empty({rows, joined.parts[0].in}, options);
      if (biased) joined.bias = at::empty({rows}, options);
      std::int64_t row = 0;
      for (const Linear& linear : joined.parts) {
        read_into(linear.name + ".weight", joined.weight.narrow(0, row, linear.out));
        if (biased) read_into(linear.name + ".bias", joined.bias.narrow(0, row, linear.out));
        row += linear.out;
      }
    }
  }
}

Llama::Llama(const lora::ModelFiles& files, at::ScalarType dtype, at::Device device)
    : state_(std::make_unique<State>(files, dtype, device)) {}
Llama::~Llama() = default;
Llama::Llama(Llama&&) noexcept = default;
Llama& Llama::operator=(Llama&&) noexcept = default;

const lora::ModelConfig& Llama::config() const { return state_->config; }
at::Device Llama::device() const { return state_->device; }

void Llama::attach(const std::vector<std::string>& targets, std::int64_t rank, double alpha, double dropout,
                   bool rslora, std::uint64_t seed) {
  lora::Adapter adapter;
  adapter.base_model = state_->settings.base_model;
  adapter.rank = rank;
  adapter.alpha = alpha;
  adapter.dropout = dropout;
  adapter.rslora = rslora;
  adapter.targets = lora::expand_targets(targets);
  state_->for_each_linear([&](const Linear& linear) {
    std::string suffix = linear.name.substr(linear.name.rfind('.') + 1);
    if (std::find(adapter.targets.begin(), adapter.targets.end(), suffix) == adapter.targets.end()) return;
    lora::AdapterModule module{linear.name, rank, linear.in, linear.out, 0, {}, {}};
    module.scale = alpha / (rslora ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
    module.a.resize(static_cast<std::size_t>(rank * linear.in));
    module.b.resize(static_cast<std::size_t>(rank * linear.out));
    base::Random random(base::mix64(seed ^ base::mix64(static_cast<std::uint64_t>(linear.index) + 1)));
    double bound = 1 / std::sqrt(static_cast<double>(linear.in));
    for (float& value : module.a) value = static_cast<float>((2 * random.uniform() - 1) * bound);
    adapter.modules.push_back(std::move(module));
  });
  attach(adapter);
}

void Llama::attach(const lora::Adapter& adapter) {
  lora::check_plain(adapter);
  std::map<std::string, const lora::AdapterModule*> by_name;
  for (const lora::AdapterModule& module : adapter.modules) by_name[module.name] = &module;
  auto leaf = [&](const std::vector<float>& values, std::int64_t rows, std::int64_t columns) {
    at::Tensor tensor = at::empty({rows, columns}, at::kFloat);
    if (static_cast<std::size_t>(tensor.numel()) != values.size()) throw base::Error("adapter matrix of a wrong size");
    std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<float>());
    return tensor.to(state_->device).requires_grad_();
  };
  std::size_t found = 0;
  state_->for_each_linear([&](Linear& linear) {
    linear.lora_a = linear.lora_b = at::Tensor();
    auto entry = by_name.find(linear.name);
    if (entry == by_name.end()) return;
    const lora::AdapterModule& module = *entry->second;
    if (module.in != linear.in || module.out != linear.out)
      throw base::Error({"the adapter does not fit the model", linear.name,
                         std::to_string(module.in) + " -> " + std::to_string(module.out),
                         std::to_string(linear.in) + " -> " + std::to_string(linear.out),
                         "give the base model that the adapter was trained on"});
    linear.lora_a = leaf(module.a, module.rank, module.in);
    linear.lora_b = leaf(module.b, module.out, module.rank);
    linear.scale = module.scale;
    linear.dropout = adapter.dropout;
    by_name.erase(entry);
    ++found;
  });
  if (!by_name.empty())
    throw base::Error({"the adapter has a module that the model does not have", by_name.begin()->first, "", "",
                       "give the base model that the adapter was trained on"});
  state_->settings = adapter;
  state_->settings.modules.clear();
}

lora::Adapter Llama::adapter() const {
  lora::Adapter result = state_->settings;
  auto values = [](const at::Tensor& tensor) {
    at::Tensor flat = tensor.detach().to(at::kCPU).contiguous();
    const float* data = flat.const_data_ptr<float>();
    return std::vector<float>(data, data + flat.numel());
  };
  state_->for_each_linear([&](const Linear& linear) {
    if (!linear.lora_a.defined()) return;
    result.modules.push_back({linear.name, linear.lora_a.size(0), linear.in, linear.out, linear.scale,
                              values(linear.lora_a), values(linear.lora_b)});
  });
  return result;
}

std::vector<at::Tensor> Llama::parameters() const {
  std::vector<at::Tensor> result;
  state_->for_each_linear([&](const Linear& linear) {
    if (linear.lora_a.defined()) result.insert(result.end(), {linear.lora_a, linear.lora_b});
  });
  return result;
}

at::Tensor Llama::hidden(const PackedRow& row, std::uint64_t dropout_seed) const {
  std::vector<at::Tensor> positions;
  for (std::int64_t length : row.lengths) positions.push_back(at::arange(length));
  Rotation rotation = rotation_at(at::cat(positions).to(state_->device), state_->frequencies);
  at::Tensor x = state_->embedding.index_select(0, row.ids.to(state_->device));
  for (const Block& block : state_->blocks)
    x = state_->run(block, x, dropout_seed, [&](const at::Tensor& qkv) {
      return packed_attention(qkv, state_->heads(), rotation, row.lengths);
    });
  return rms_norm(x, state_->norm, state_->config.rms_norm_eps);
}

at::Tensor Llama::logits(const at::Tensor& hidden) const { return at::mm(hidden, state_->head.t()).to(at::kFloat); }

at::Tensor Llama::loss_sum(const PackedRow& row, std::uint64_t dropout_seed) const {
  return head_loss_sum(hidden(row, dropout_seed), state_->head, row.targets.to(state_->device));
}

at::Tensor Llama::next_logits(const at::Tensor& ids, KvCache& cache) const {
  at::NoGradGuard no_gradient;
  const lora::ModelConfig& config = state_->config;
  std::int64_t tokens = ids.size(0), needed = cache.tokens + tokens;
  if (cache.keys.empty()) {
    cache.keys.resize(state_->blocks.size());
    cache.values.resize(state_->blocks.size());
  }
  auto enlarge = [&](at::Tensor& tensor) {
    if (tensor.defined() && tensor.size(1) >= needed) return;
    at::Tensor larger =
        at::empty({config.kv_heads, std::max(needed, std::min(2 * needed, config.context_length)), config.head_dim},
                  at::TensorOptions(state_->device).dtype(state_->dtype));
    if (tensor.defined()) larger.narrow(1, 0, cache.tokens).copy_(tensor.narrow(1, 0, cache.tokens));
    tensor = larger;
  };
  Rotation rotation =
      rotation_at(at::arange(cache.tokens, needed, at::TensorOptions(state_->device)), state_->frequencies);
  at::Tensor x = state_->embedding.index_select(0, ids.to(state_->device));
  for (std::size_t i = 0; i < state_->blocks.size(); ++i) {
    enlarge(cache.keys[i]);
    enlarge(cache.values[i]);
    x = state_->run(state_->blocks[i], x, 0, [&](const at::Tensor& qkv) {
      return cached_attention(qkv, state_->heads(), rotation, cache.keys[i], cache.values[i], cache.tokens);
    });
  }
  cache.tokens = needed;
  at::Tensor last = x.narrow(0, tokens - 1, 1);
  return logits(rms_norm(last, state_->norm, config.rms_norm_eps)).squeeze(0);
}

}  // namespace finetune
