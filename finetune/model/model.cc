#include "finetune/model/model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/random.h"
#include "finetune/adapt/linear.h"
#include "finetune/kernels/attention.h"
#include "finetune/kernels/elementwise.h"
#include "finetune/model/loss.h"
#include "finetune/weights/load_weights.h"
#include "lora/model/module_names.h"

namespace finetune {
namespace {

// The products of a block; what reads the same input is one product.
struct Block {
  at::Tensor attention_norm, mlp_norm;  // [hidden]
  JoinedLinear qkv, o, gate_up, down;
  HeadShape heads;
};

JoinedLinear& product_of(Block& block, lora::Role role) {
  switch (role) {
    case lora::Role::kQuery:
    case lora::Role::kKey:
    case lora::Role::kValue:
      return block.qkv;
    case lora::Role::kAttentionOut:
      return block.o;
    case lora::Role::kGate:
    case lora::Role::kUp:
      return block.gate_up;
    case lora::Role::kDown:
      return block.down;
  }
  throw base::Error("a linear layer without a role");
}

// A spec can say more than is computed here.
void refuse_what_is_not_computed(const lora::ModelSpec& spec) {
  auto refuse_if = [](bool wrong, const char* what) {
    if (wrong) throw base::Error({"the model cannot be computed", "", what, "", "give a model without it"});
  };
  refuse_if(spec.embedding_scale != 1, "scaled embeddings");
  refuse_if(spec.logit_softcap != 0, "capped logits");
  refuse_if(spec.head_bias, "a head with a bias");
  refuse_if(spec.norm.kind != lora::NormKind::kRms, "a last norm that is no RMS norm");
  for (const lora::BlockSpec& block : spec.blocks) {
    const lora::AttentionSpec& attention = block.attention;
    refuse_if(block.attention_norm.kind != lora::NormKind::kRms || block.mlp_norm.kind != lora::NormKind::kRms,
              "blocks without RMS norms before attention and MLP");
    refuse_if(block.attention_post_norm.kind != lora::NormKind::kNone ||
                  block.mlp_post_norm.kind != lora::NormKind::kNone || attention.qk_norm != lora::NormKind::kNone,
              "norms behind attention or MLP, or of q and k");
    refuse_if(block.parallel, "attention and MLP side by side");
    refuse_if(attention.window != 0, "sliding-window attention");
    refuse_if(attention.rotary_dim != attention.head_dim, "heads that are rotated in part");
    refuse_if(attention.rope != spec.blocks[0].attention.rope, "blocks that rotate differently");
    refuse_if(attention.scale != 0 || attention.softcap != 0 || attention.alibi, "scaled, capped or biased attention");
    refuse_if(!block.mlp.gated || block.mlp.activation != lora::Activation::kSilu || block.mlp.experts != 0,
              "an MLP that is no SwiGLU");
    for (const lora::LinearSpec& linear : block.linears)
      refuse_if(linear.rows != lora::Rows::kPlain, "fused linear layers");
  }
}

}  // namespace

struct Transformer::State {
  lora::ModelSpec spec;
  at::ScalarType dtype;
  at::Device device;
  std::shared_ptr<const FrozenMatrix> embedding, head;  // [vocab, hidden]; one and the same when tied
  at::Tensor norm;                                      // [hidden]
  at::Tensor frequencies;                               // [head_dim / 2]
  std::vector<Block> blocks;
  lora::Adapter settings;  // everything of the adapter but its modules

  State(const lora::ModelFiles& files, at::ScalarType dtype, at::Device device);
  void load_linears(const lora::ModelFiles& files, const lora::BlockSpec& spec, Block& block,
                    std::int64_t& index) const;
  at::TensorOptions options() const { return at::TensorOptions(device).dtype(dtype); }
  template <class F>
  void for_each_linear(F f) {
    for (Block& block : blocks)
      for (JoinedLinear* product : {&block.qkv, &block.o, &block.gate_up, &block.down})
        for (Linear& linear : product->parts) f(linear);
  }
  // x [T, hidden] -> [T, hidden]; `attention` turns q | k | v [T, (heads + 2 kv_heads) head_dim] into [T, heads
  // head_dim].
  template <class Attention>
  at::Tensor run(const Block& block, const at::Tensor& x, std::uint64_t seed, Attention attention) const {
    const double eps{spec.config.rms_norm_eps};
    at::Tensor qkv = block.qkv.forward(rms_norm(x, block.attention_norm, eps), {}, seed);
    at::Tensor middle = block.o.forward(attention(qkv), x, seed);                                 // [T, hidden]
    at::Tensor gate_up = block.gate_up.forward(rms_norm(middle, block.mlp_norm, eps), {}, seed);  // [T, 2 inner]
    return block.down.forward(swiglu(gate_up), middle, seed);
  }
};

// Linear layers of the spec become rows of the block's products, in the spec's order.
void Transformer::State::load_linears(const lora::ModelFiles& files, const lora::BlockSpec& spec, Block& block,
                                      std::int64_t& index) const {
  for (const lora::LinearSpec& linear : spec.linears) {
    Linear part;
    part.name = linear.name;
    part.index = index++;
    part.in = linear.in;
    part.out = linear.out;
    product_of(block, linear.role).parts.push_back(std::move(part));
  }
  auto has_bias = [&](const Linear& part) { return files.find(part.name + ".bias") != nullptr; };
  for (JoinedLinear* product : {&block.qkv, &block.o, &block.gate_up, &block.down}) {
    std::vector<std::string> names;
    std::vector<at::Tensor> biases;
    for (const Linear& part : product->parts) {
      names.push_back(part.name + ".weight");
      biases.push_back(has_bias(part) ? load_tensor(files, part.name + ".bias", options())
                                      : at::zeros({part.out}, options()));
    }
    product->weight = load_matrix(files, names, options());
    if (std::any_of(product->parts.begin(), product->parts.end(), has_bias)) product->bias = at::cat(biases);
  }
}

Transformer::State::State(const lora::ModelFiles& files, at::ScalarType dtype_, at::Device device_)
    : spec(files.spec()), dtype(dtype_), device(device_) {
  if (dtype != at::kFloat && dtype != at::kBFloat16)
    throw base::Error({"unknown weight type", "", at::toString(dtype), "float32 or bfloat16", ""});
  refuse_what_is_not_computed(spec);
  settings.base_model = std::filesystem::absolute(files.path()).string();
  embedding = load_matrix(files, {spec.embedding + ".weight"}, options());
  head = spec.config.tied_embeddings ? embedding : load_matrix(files, {spec.head + ".weight"}, options());
  norm = load_tensor(files, spec.norm.name + ".weight", options());
  frequencies = inverse_frequencies(spec.blocks.at(0).attention).to(device);
  std::int64_t index = 0;
  for (const lora::BlockSpec& block_spec : spec.blocks) {
    Block& block = blocks.emplace_back();
    const lora::AttentionSpec& attention = block_spec.attention;
    block.heads = {attention.heads, attention.kv_heads, attention.head_dim};
    block.attention_norm = load_tensor(files, block_spec.attention_norm.name + ".weight", options());
    block.mlp_norm = load_tensor(files, block_spec.mlp_norm.name + ".weight", options());
    load_linears(files, block_spec, block, index);
  }
}

Transformer::Transformer(const lora::ModelFiles& files, at::ScalarType dtype, at::Device device)
    : state_(std::make_unique<State>(files, dtype, device)) {}
Transformer::~Transformer() = default;
Transformer::Transformer(Transformer&&) noexcept = default;
Transformer& Transformer::operator=(Transformer&&) noexcept = default;

const lora::ModelConfig& Transformer::config() const { return state_->spec.config; }
at::Device Transformer::device() const { return state_->device; }

void Transformer::attach(const std::vector<std::string>& targets, std::int64_t rank, double alpha, double dropout,
                         bool rslora, std::uint64_t seed) {
  lora::Adapter adapter;
  adapter.base_model = state_->settings.base_model;
  adapter.rank = rank;
  adapter.alpha = alpha;
  adapter.dropout = dropout;
  adapter.rslora = rslora;
  adapter.targets = lora::expand_targets(state_->spec, targets);
  state_->for_each_linear([&](const Linear& linear) {
    const std::string suffix = lora::suffix_of(linear.name);
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

void Transformer::attach(const lora::Adapter& adapter) {
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

lora::Adapter Transformer::adapter() const {
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

std::vector<at::Tensor> Transformer::parameters() const {
  std::vector<at::Tensor> result;
  state_->for_each_linear([&](const Linear& linear) {
    if (linear.lora_a.defined()) result.insert(result.end(), {linear.lora_a, linear.lora_b});
  });
  return result;
}

at::Tensor Transformer::hidden(const PackedRow& row, std::uint64_t dropout_seed) const {
  std::vector<at::Tensor> positions;
  for (std::int64_t length : row.lengths) positions.push_back(at::arange(length));
  Rotation rotation = rotation_at(at::cat(positions).to(state_->device), state_->frequencies);
  at::Tensor x = state_->embedding->rows(row.ids.to(state_->device));
  for (const Block& block : state_->blocks)
    x = state_->run(block, x, dropout_seed,
                    [&](const at::Tensor& qkv) { return packed_attention(qkv, block.heads, rotation, row.lengths); });
  return rms_norm(x, state_->norm, state_->spec.config.rms_norm_eps);
}

at::Tensor Transformer::logits(const at::Tensor& hidden) const { return state_->head->apply(hidden).to(at::kFloat); }

at::Tensor Transformer::loss_sum(const PackedRow& row, std::uint64_t dropout_seed) const {
  return head_loss_sum(hidden(row, dropout_seed), *state_->head, row.targets.to(state_->device));
}

at::Tensor Transformer::next_logits(const at::Tensor& ids, KvCache& cache) const {
  at::NoGradGuard no_gradient;
  const lora::ModelConfig& config = state_->spec.config;
  std::int64_t tokens = ids.size(0), needed = cache.tokens + tokens;
  if (cache.keys.empty()) {
    cache.keys.resize(state_->blocks.size());
    cache.values.resize(state_->blocks.size());
  }
  auto enlarge = [&](at::Tensor& tensor, const HeadShape& heads) {
    if (tensor.defined() && tensor.size(1) >= needed) return;
    at::Tensor larger =
        at::empty({heads.kv_heads, std::max(needed, std::min(2 * needed, config.context_length)), heads.head_dim},
                  state_->options());
    if (tensor.defined()) larger.narrow(1, 0, cache.tokens).copy_(tensor.narrow(1, 0, cache.tokens));
    tensor = larger;
  };
  Rotation rotation =
      rotation_at(at::arange(cache.tokens, needed, at::TensorOptions(state_->device)), state_->frequencies);
  at::Tensor x = state_->embedding->rows(ids.to(state_->device));
  for (std::size_t i = 0; i < state_->blocks.size(); ++i) {
    const Block& block = state_->blocks[i];
    enlarge(cache.keys[i], block.heads);
    enlarge(cache.values[i], block.heads);
    x = state_->run(block, x, 0, [&](const at::Tensor& qkv) {
      return cached_attention(qkv, block.heads, rotation, cache.keys[i], cache.values[i], cache.tokens);
    });
  }
  cache.tokens = needed;
  at::Tensor last = x.narrow(0, tokens - 1, 1);
  return logits(rms_norm(last, state_->norm, config.rms_norm_eps)).squeeze(0);
}

}  // namespace finetune
