// LoRA on a Transformer: fresh or out of an adapter, and back. Tested by tests/finetune/model_test.cc.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <ranges>

#include "base/error.h"
#include "finetune/adapt/parts.h"
#include "finetune/model/state.h"
#include "lora/adapter/fresh.h"

namespace finetune {
namespace {

constexpr const char* kOtherBase = "give the base model that the adapter was trained on";

at::Tensor tensor_of(const std::vector<float>& values, at::IntArrayRef shape, at::Device device) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  if (static_cast<std::size_t>(tensor.numel()) != values.size()) throw base::Error("adapter matrix of a wrong size");
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<float>());
  return tensor.to(device);
}

std::vector<float> values_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kCPU).contiguous();
  const float* data = flat.const_data_ptr<float>();
  return {data, data + flat.numel()};
}

// [0] where the model has no such tensor.
std::vector<std::int64_t> shape_of_tensor(const lora::ModelSpec& spec, const std::string& name) {
  for (const lora::TensorSpec& tensor : lora::tensors_of(spec))
    if (tensor.name == name) return tensor.shape;
  if (name == spec.head + ".weight") return {spec.config.vocab_size, spec.config.hidden_size};  // of a tied model
  return {0};
}

}  // namespace

void Transformer::attach(const std::vector<std::string>& targets, std::int64_t rank, double alpha, double dropout,
                         bool rslora, std::uint64_t seed) {
  lora::FreshOptions options;
  options.targets = targets;
  options.rank = rank, options.alpha = alpha, options.dropout = dropout, options.rslora = rslora;
  lora::Adapter adapter = lora::fresh_adapter(state_->spec, options, seed);
  adapter.base_model = state_->settings.base_model;
  attach(adapter);
}

// A and B; the last `frozen` of the rank stay as they are.
void Transformer::State::attach_module(Linear& linear, const lora::AdapterModule& module,
                                       const lora::Adapter& adapter) {
  if (module.in != linear.in || module.out != linear.out)
    throw base::Error({"the adapter does not fit the model", linear.name,
                       std::to_string(module.in) + " -> " + std::to_string(module.out),
                       std::to_string(linear.in) + " -> " + std::to_string(linear.out), kOtherBase});
  const at::Tensor a = tensor_of(module.a, {module.rank, module.in}, device),
                   b = tensor_of(module.b, {module.out, module.rank}, device);
  const std::int64_t trained{module.rank - module.frozen};
  linear.lora_a = a.narrow(0, 0, trained).clone().requires_grad_();
  linear.lora_b = b.narrow(1, 0, trained).clone(at::MemoryFormat::Contiguous).requires_grad_();
  if (module.frozen > 0) {
    linear.frozen_a = a.narrow(0, trained, module.frozen).clone();
    linear.frozen_b = b.narrow(1, trained, module.frozen).clone(at::MemoryFormat::Contiguous);
  }
  linear.scale = module.scale;
  linear.dropout = module.dropout.value_or(adapter.dropout);
  if (!module.magnitude.empty())
    linear.magnitude = tensor_of(module.magnitude, {length_of_magnitude(module)}, device).requires_grad_();
  undo.push_back([&linear] {
    linear.lora_a = linear.lora_b = linear.frozen_a = linear.frozen_b = linear.magnitude = at::Tensor();
  });
}

at::Tensor* Transformer::State::place_of(const std::string& name) {
  at::Tensor* place = nullptr;
  const auto offer = [&](const std::string& module, at::Tensor& weight, at::Tensor& bias, bool has_bias) {
    if (name == module + ".weight") place = &weight;
    if (name == module + ".bias" && has_bias) place = &bias;
  };
  for (Block& block : blocks) {
    for (JoinedLinear& product : block.products())
      for (Linear& part : product.parts) offer(part.name, part.weight, part.bias, part.has_bias);
    block.for_each_norm([&](Norm& norm) { offer(norm.name, norm.weight, norm.bias, norm.bias.defined()); });
  }
  offer(norm.name, norm.weight, norm.bias, norm.bias.defined());
  offer(spec.embedding, embedding.linear.weight, head.bias, false);
  offer(spec.head, own_head.linear.weight, head.bias, head.bias.defined());
  return place;
}

// Of an embedding or a head that PEFT saved with what trains of it. A tied pair stays one matrix.
void Transformer::State::replace_matrix(const std::string& name, const at::Tensor& values) {
  const bool is_embedding{name == spec.embedding + ".weight"};
  if (!is_embedding && name != spec.head + ".weight")
    throw base::Error({"the adapter has a tensor in the place of the base's that does not train", name, "",
                       "that of an embedding or a head", "merge it with PEFT's merge_and_unload"});
  undo.push_back([this, table = embedding.matrix, own = own_head.matrix] {
    embedding.matrix = table;
    own_head.matrix = head.matrix = own;
  });
  const auto matrix = std::make_shared<DenseMatrix>(values.to(options().dtype()));
  if (is_embedding || spec.config.tied_embeddings) embedding.matrix = matrix;
  if (!is_embedding || spec.config.tied_embeddings) own_head.matrix = head.matrix = matrix;
}

void Transformer::State::attach_saved(const lora::Adapter& adapter) {
  std::vector<const lora::SavedTensor*> sorted;
  for (const lora::SavedTensor& tensor : adapter.saved) sorted.push_back(&tensor);
  std::ranges::sort(sorted, {}, [](const lora::SavedTensor* tensor) { return tensor->name; });
  for (const lora::SavedTensor* tensor : sorted) {
    at::Tensor* place = place_of(tensor->name);
    const std::vector<std::int64_t> shape = shape_of_tensor(spec, tensor->name);
    if (!place || shape != tensor->shape)
      throw base::Error(
          {place ? "the adapter does not fit the model" : "the adapter has a tensor that the model does not have",
           tensor->name, fmt::format("[{}]", fmt::join(tensor->shape, ", ")),
           fmt::format("[{}]", fmt::join(shape, ", ")), kOtherBase});
    at::Tensor values = tensor_of(tensor->values, tensor->shape, device);
    whole.push_back({tensor->name, values, tensor->is_trained});
    if (!tensor->is_trained) {
      replace_matrix(tensor->name, values);
      continue;
    }
    undo.push_back([place, before = *place] { *place = before; });
    *place = values.requires_grad_();
  }
  // A bias trains only with its weight, as a part of its module.
  for_each_linear([&](Linear& linear) {
    if (linear.bias.defined() && !linear.weight.defined())
      throw base::Error({"a bias without its weight", linear.name, "", "both, as modules_to_save saves them", ""});
    if (linear.has_bias && linear.weight.defined() && !linear.bias.defined())
      throw base::Error({"a weight without its bias", linear.name, "", "both, as modules_to_save saves them", ""});
  });
  const auto check_norm = [](const Norm& norm) {
    if (!norm.bias.defined() || norm.weight.requires_grad() == norm.bias.requires_grad()) return;
    throw base::Error({norm.bias.requires_grad() ? "a bias without its weight" : "a weight without its bias", norm.name,
                       "", "both, as modules_to_save saves them", ""});
  };
  for (Block& block : blocks) block.for_each_norm(check_norm);
  check_norm(norm);
}

void Transformer::State::attach_tokens(const lora::Adapter& adapter) {
  for (const lora::TokenRows& rows : adapter.tokens) {
    const bool is_embedding{rows.module == spec.embedding};
    if (!is_embedding && rows.module != spec.head)
      throw base::Error({"the adapter has rows of tokens for a module that the model does not have", rows.module, "",
                         spec.embedding + " or " + spec.head, kOtherBase});
    const bool fits{std::ranges::all_of(rows.ids, [&](std::int64_t id) { return id < spec.config.vocab_size; }) &&
                    rows.width == spec.config.hidden_size};
    if (!fits)
      throw base::Error({"the adapter does not fit the model", rows.module,
                         fmt::format("rows {} of {} numbers", fmt::join(rows.ids, ", "), rows.width),
                         fmt::format("{} rows of {} numbers", spec.config.vocab_size, spec.config.hidden_size),
                         kOtherBase});
    VocabularyMatrix& table = is_embedding ? embedding : own_head;
    table.token_ids = at::tensor(rows.ids, at::kLong).to(device);
    table.token_rows =
        tensor_of(rows.values, {static_cast<std::int64_t>(rows.ids.size()), rows.width}, device).requires_grad_();
    undo.push_back([&table] { table.token_ids = table.token_rows = at::Tensor(); });
  }
}

// As PEFT 0.21: rows of tokens are the head's too where the model ties them; all else only with ensure_weight_tying.
void Transformer::State::use_own_head(const lora::Adapter& adapter) {
  if (spec.config.tied_embeddings) {
    const Linear own = own_head.linear;
    undo.push_back([this, own] {
      own_head.linear = own;
      own_head.linear.lora_a = own_head.linear.lora_b = own_head.linear.magnitude = own_head.linear.weight =
          at::Tensor();
      own_head.token_ids = own_head.token_rows = at::Tensor();
    });
    if (!own_head.token_rows.defined()) {
      own_head.token_ids = embedding.token_ids;
      own_head.token_rows = embedding.token_rows;
    }
    if (adapter.tied) {
      own_head.linear = embedding.linear;
      own_head.linear.name = own.name;
      own_head.linear.index = own.index;
    }
  }
  head.adapted = own_head.is_adapted() ? &own_head : nullptr;
  undo.push_back([this] { head.adapted = nullptr; });
}

void Transformer::attach(const lora::Adapter& adapter) {
  lora::check_plain(adapter);
  State& state = *state_;
  if (state.is_freed) throw base::Error("nothing can be attached to a model without its base");
  for (const auto& step : std::views::reverse(state.undo)) step();
  state.undo.clear();
  state.whole.clear();
  std::map<std::string, const lora::AdapterModule*> by_name;
  for (const lora::AdapterModule& module : adapter.modules) by_name[module.name] = &module;
  state.for_each_adapted([&](Linear& linear) {
    const auto entry = by_name.find(linear.name);
    if (entry == by_name.end()) return;
    state.attach_module(linear, *entry->second, adapter);
    by_name.erase(entry);
  });
  if (!by_name.empty())
    throw base::Error(
        {"the adapter has a module that the model does not have", by_name.begin()->first, "", "", kOtherBase});
  state.attach_saved(adapter);
  state.attach_tokens(adapter);
  if (adapter.dora) state.add_magnitudes();
  state.use_own_head(adapter);
  state.settings = adapter;
  state.settings.modules.clear();
  state.settings.saved.clear();
  state.settings.tokens.clear();
}

void Transformer::State::add_magnitudes() {
  const auto add = [](const FrozenMatrix& matrix, std::int64_t first, Linear& part) {
    if (part.lora_a.defined() && !part.magnitude.defined())
      part.magnitude = row_lengths(matrix, first, part).requires_grad_();
  };
  if (embedding.linear.lora_a.defined() && !embedding.linear.magnitude.defined())
    embedding.linear.magnitude = column_lengths(*embedding.matrix, embedding.linear).requires_grad_();
  add(*own_head.matrix, 0, own_head.linear);
  for (Block& block : blocks)
    for (JoinedLinear& product : block.products()) {
      std::int64_t row = 0;
      for (Linear& part : product.parts) {
        add(*product.weight, row, part);
        row += part.out;
      }
    }
}

lora::Adapter Transformer::adapter() const {
  State& state = *state_;
  lora::Adapter result = state.settings;
  state.for_each_adapted([&](const Linear& linear) {
    if (!linear.lora_a.defined() || state.follows_embedding(linear)) return;
    lora::AdapterModule& module = result.modules.emplace_back();
    const at::Tensor a = linear.whole_a(), b = linear.whole_b();
    module = {linear.name, a.size(0), linear.in, linear.out, linear.scale, values_of(a), values_of(b)};
    if (linear.magnitude.defined()) module.magnitude = values_of(linear.magnitude);
    if (linear.frozen_a.defined()) module.frozen = linear.frozen_a.size(0);
    if (linear.dropout != state.settings.dropout) module.dropout = linear.dropout;
  });
  for (const auto& [name, values, is_trained] : state.whole)
    result.saved.push_back({name, values.sizes().vec(), values_of(values), is_trained});
  for (const VocabularyMatrix* table : state.with_own_tokens()) {
    const at::Tensor ids = table->token_ids.cpu();
    const std::int64_t* first = ids.const_data_ptr<std::int64_t>();
    result.tokens.push_back(
        {table->linear.name, {first, first + ids.numel()}, table->linear.in, values_of(table->token_rows)});
  }
  std::ranges::sort(result.tokens, {}, &lora::TokenRows::module);
  return result;
}

std::vector<at::Tensor> Transformer::parameters() const {
  State& state = *state_;
  std::vector<at::Tensor> result;
  state.for_each_adapted([&](const Linear& linear) {
    if (!linear.lora_a.defined() || state.follows_embedding(linear)) return;
    result.insert(result.end(), {linear.lora_a, linear.lora_b});
    if (linear.magnitude.defined()) result.push_back(linear.magnitude);
  });
  for (const WholeTensor& tensor : state.whole)
    if (tensor.is_trained) result.push_back(tensor.values);
  for (const VocabularyMatrix* table : state.with_own_tokens()) result.push_back(table->token_rows);
  return result;
}

std::vector<ParameterKind> Transformer::parameter_kinds() const {
  State& state = *state_;
  std::vector<ParameterKind> kinds;
  const auto is_of_vocabulary = [&](const std::string& name) {
    return name == state.spec.embedding + ".weight" || name == state.spec.head + ".weight";
  };
  state.for_each_adapted([&](const Linear& linear) {
    if (!linear.lora_a.defined() || state.follows_embedding(linear)) return;
    const bool is_of_embedding{&linear == &state.embedding.linear};
    kinds.push_back({false, is_of_embedding, true});
    kinds.push_back({true, is_of_embedding, true});
    if (linear.magnitude.defined()) kinds.push_back({true, false, true});
  });
  for (const WholeTensor& tensor : state.whole)
    if (tensor.is_trained)
      kinds.push_back({tensor.values.dim() == 1, false, tensor.values.dim() > 1, is_of_vocabulary(tensor.name)});
  for (std::size_t i = 0; i < state.with_own_tokens().size(); ++i) kinds.push_back({false, false, true, true});
  return kinds;
}

void Transformer::set_noise(double alpha) { state_->noise = alpha; }

void Transformer::free_replaced() {
  state_->undo.clear();
  state_->is_freed = true;
  const auto is_replaced = [](const Linear& linear) { return linear.weight.defined(); };
  for (Block& block : state_->blocks)
    for (JoinedLinear& product : block.products())
      if (std::ranges::all_of(product.parts, is_replaced)) product.weight.reset();
  if (is_replaced(state_->embedding.linear)) state_->embedding.matrix.reset();
  if (is_replaced(state_->own_head.linear)) state_->own_head.matrix.reset(), state_->head.matrix.reset();
}

// The head whose LoRA is the embedding's.
bool Transformer::State::follows_embedding(const Linear& linear) const {
  return &linear == &own_head.linear && linear.lora_a.defined() && linear.lora_a.is_same(embedding.linear.lora_a);
}

// Embedding and head, by name, where they have rows of tokens that are not the other's.
std::vector<const VocabularyMatrix*> Transformer::State::with_own_tokens() const {
  std::vector<const VocabularyMatrix*> tables;
  if (embedding.token_rows.defined()) tables.push_back(&embedding);
  if (own_head.token_rows.defined() && !own_head.token_rows.is_same(embedding.token_rows)) tables.push_back(&own_head);
  std::ranges::sort(tables, {}, [](const VocabularyMatrix* table) { return table->linear.name; });
  return tables;
}

}  // namespace finetune
