// Specs and what follows from them. Tested by tests/lora/model/spec_test.cc.
#include "lora/model/spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "base/text.h"
#include "lora/model/family.h"
#include "lora/model/module_names.h"
#include "lora/model/wrapper.h"

namespace lora {
namespace {

constexpr std::int64_t kMostLayers = 10'000, kMostExperts = 100'000;  // experts of all layers

void add_norm(std::vector<TensorSpec>& tensors, const NormSpec& norm, std::int64_t size) {
  if (norm.kind == NormKind::kNone) return;
  const float added{norm.kind == NormKind::kRmsPlusOne ? 1.0F : 0.0F};
  tensors.push_back({norm.name + ".weight", norm.gguf + ".weight", {size}, 0, 0, 0, added});
  if (norm.kind == NormKind::kLayer) tensors.push_back({norm.name + ".bias", norm.gguf + ".bias", {size}});
}

std::int64_t normed_size(const AttentionSpec& attention, std::int64_t heads) {
  return attention.qk_norms_join_heads ? heads * attention.head_dim : attention.head_dim;
}

TensorSpec weight_of(const LinearSpec& linear, const AttentionSpec& attention) {
  const bool is_grouped{linear.rows == Rows::kQkvPerKeyHead && attention.kv_heads > 1};
  TensorSpec weight{linear.name + ".weight", linear.gguf + ".weight", {linear.out, linear.in}};
  weight.interleaved_heads = linear.interleaved_heads;
  weight.key_heads = is_grouped ? attention.kv_heads : 0;
  weight.head_rows = is_grouped ? attention.head_dim : 0;
  return weight;
}

void add_linears(std::vector<TensorSpec>& tensors, const BlockSpec& block, bool attention) {
  std::vector<const LinearSpec*> linears;
  for (const LinearSpec& linear : block.linears)
    if (belongs_to_attention(linear.role) == attention) linears.push_back(&linear);
  std::ranges::stable_sort(linears, {}, [](const LinearSpec* linear) {
    return linear->expert == kAllTokens ? -1 : static_cast<int>(linear->role);
  });
  for (const LinearSpec* linear : linears) {
    TensorSpec weight = weight_of(*linear, block.attention), bias = weight;
    weight.gguf_shape = linear->gguf_shape;
    weight.gguf_part = std::max<std::int64_t>(0, linear->expert);
    weight.gguf_float = linear->role == Role::kRouter || linear->role == Role::kSharedGate;
    weight.stack = linear->stack;
    bias.name = linear->name + ".bias", bias.gguf = linear->gguf + ".bias", bias.shape = {linear->out};
    tensors.push_back(std::move(weight));
    if (linear->bias) tensors.push_back(std::move(bias));
  }
}

// Of roles that read the same, one.
Role first_of(Role role) {
  if (role == Role::kKey || role == Role::kValue) return Role::kQuery;
  return role == Role::kUp ? Role::kGate : role;
}

void check_rope(const RopeSpec& rope, const std::string& file) {
  const auto fail = [&](const std::string& what, const std::string& value, const std::string& expected) {
    throw base::Error({what, file, value, expected, ""});
  };
  if (!(rope.theta > 0) || !std::isfinite(rope.theta))
    fail("impossible rope_theta", fmt::format("{}", rope.theta), "above 0");
  if (!(rope.factor > 0) || !(rope.low_freq_factor > 0) || !(rope.high_freq_factor > rope.low_freq_factor) ||
      rope.original_context < 1)
    fail("impossible rope scaling", fmt::format("factor {}", rope.factor), "positive factors, low below high");
  for (const std::vector<float>* factors : {&rope.factors, &rope.long_factors})
    for (const float factor : *factors)
      if (!(factor > 0) || !std::isfinite(factor)) fail("impossible rope factor", fmt::format("{}", factor), "above 0");
}

void check_experts(const ModelConfig& config, const std::string& file) {
  if (config.experts == 0) return;
  const auto within = [](std::int64_t value, std::int64_t least, std::int64_t most) {
    return value >= least && value <= most;
  };
  if (!within(config.experts, 1, kMostExperts / config.layers) || !within(config.chosen_experts, 1, config.experts))
    throw base::Error({"impossible number of experts", file,
                       fmt::format("{} of {} in {} layers", config.chosen_experts, config.experts, config.layers),
                       fmt::format("1 to all of them, at most {} in the model", kMostExperts), ""});
  if (!within(config.expert_size, 1, kMostSize) || !within(config.shared_expert_size, 0, kMostSize))
    throw base::Error({"impossible size of an expert", file,
                       fmt::format("{} and {}", config.expert_size, config.shared_expert_size), "1 to 2^31", ""});
  if (!std::isfinite(config.router_loss_weight))
    throw base::Error({"impossible weight of the routers' loss", file, "", "a number", ""});
}

}  // namespace

std::vector<std::span<const LinearSpec>> products_of(const BlockSpec& block) {
  std::vector<std::span<const LinearSpec>> products;
  const std::span<const LinearSpec> linears(block.linears);
  for (std::size_t first = 0, end = 0; first < linears.size(); first = end) {
    const auto reads_the_same = [&](const LinearSpec& linear) {
      return first_of(linear.role) == first_of(linears[first].role) && linear.expert == linears[first].expert;
    };
    while (end < linears.size() && reads_the_same(linears[end])) ++end;
    products.push_back(linears.subspan(first, end - first));
  }
  return products;
}

std::vector<TensorSpec> tensors_of(const ModelSpec& spec) {
  const std::int64_t hidden{spec.config.hidden_size}, vocabulary{spec.config.vocab_size};
  std::vector<TensorSpec> tensors;
  tensors.push_back({spec.embedding + ".weight", spec.embedding_gguf + ".weight", {vocabulary, hidden}});
  for (const BlockSpec& block : spec.blocks) {
    add_norm(tensors, block.attention_norm, hidden);
    add_linears(tensors, block, true);
    add_norm(tensors, block.attention.q_norm, normed_size(block.attention, block.attention.heads));
    add_norm(tensors, block.attention.k_norm, normed_size(block.attention, block.attention.kv_heads));
    add_norm(tensors, block.attention_post_norm, hidden);
    add_norm(tensors, block.mlp_norm, hidden);
    add_linears(tensors, block, false);
    add_norm(tensors, block.mlp_post_norm, hidden);
  }
  add_norm(tensors, spec.norm, hidden);
  if (!spec.config.tied_embeddings)
    tensors.push_back({spec.head + ".weight", spec.head_gguf + ".weight", {vocabulary, hidden}});
  if (spec.head_bias) tensors.push_back({spec.head + ".bias", spec.head_gguf + ".bias", {vocabulary}});
  return tensors;
}

std::int64_t parameters_of(const ModelSpec& spec) {
  std::int64_t parameters = 0;
  for (const TensorSpec& tensor : tensors_of(spec))
    parameters += std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1}, std::multiplies<>());
  return parameters;
}

void check_config(const ModelConfig& config, const std::string& file) {
  auto fail = [&](const std::string& what, const std::string& value, const std::string& expected) {
    throw base::Error({what, file, value, expected, ""});
  };
  for (std::int64_t size : {config.vocab_size, config.hidden_size, config.intermediate_size, config.layers,
                            config.heads, config.kv_heads, config.head_dim, config.context_length})
    if (size < 1 || size > kMostSize) fail("impossible size in the model's config", std::to_string(size), "1 to 2^31");
  if (config.layers > kMostLayers) fail("too many layers", std::to_string(config.layers), "at most 10000");
  if (config.heads % config.kv_heads != 0)
    fail("attention heads do not share key heads evenly",
         fmt::format("{} heads, {} key heads", config.heads, config.kv_heads), "a multiple");
  if (config.head_dim % 2 != 0) fail("odd head size", std::to_string(config.head_dim), "an even size");
  if (config.heads > kMostSize / config.head_dim) fail("impossible number of heads", std::to_string(config.heads), "");
  if (!(config.rms_norm_eps >= 0) || !std::isfinite(config.rms_norm_eps))
    fail("impossible rms_norm_eps", fmt::format("{}", config.rms_norm_eps), "0 or more");
  if (config.sliding_window < 0 || config.turned_dim() > config.head_dim || config.turned_dim() % 2 != 0)
    fail("impossible window or rotation",
         fmt::format("{} tokens, {} of {} dimensions", config.sliding_window, config.turned_dim(), config.head_dim),
         "");
  check_experts(config, file);
  check_rope(config.rope, file);
  if (config.local_rope) check_rope(*config.local_rope, file);
}

ModelSpec spec_of(const ModelConfig& config) {
  ModelSpec spec = family_of(config).spec(config);
  if (const Wrapper* wrapper = wrapper_of_type(config.wrapper)) wrap(spec, *wrapper);
  return spec;
}

std::vector<std::string> expand_targets(const ModelSpec& spec, const std::vector<std::string>& targets) {
  if (targets.empty()) throw base::UsageError({"no module to train", "--lora.targets", "", "all-linear", ""});
  std::vector<std::string> suffixes;
  for (const BlockSpec& block : spec.blocks)
    for (const LinearSpec& linear : block.linears)
      if (std::string suffix = suffix_of(linear.name);
          std::find(suffixes.begin(), suffixes.end(), suffix) == suffixes.end())
        suffixes.push_back(std::move(suffix));
  const std::size_t linears{suffixes.size()};
  for (const std::string& outside : {spec.embedding, spec.head})
    suffixes.push_back(outside.substr(outside.rfind('.') + 1));
  std::vector<bool> chosen(suffixes.size());
  for (const std::string& target : targets) {
    const auto found = std::find(suffixes.begin(), suffixes.end(), target);
    if (target == "all-linear") {
      std::fill_n(chosen.begin(), linears, true);
    } else if (found != suffixes.end()) {
      chosen[static_cast<std::size_t>(found - suffixes.begin())] = true;
    } else {
      const std::string near = base::nearest(target, suffixes);
      throw base::UsageError({"unknown module", "--lora.targets", target, "all-linear, " + base::join(suffixes, ", "),
                              near.empty() ? "" : "did you mean '" + near + "'?"});
    }
  }
  std::vector<std::string> result;
  for (std::size_t i = 0; i < suffixes.size(); ++i)
    if (chosen[i]) result.push_back(suffixes[i]);
  return result;
}

}  // namespace lora
