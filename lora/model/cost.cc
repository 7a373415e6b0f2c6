// What training a LoRA takes. Tested by tests/lora/model/cost_test.cc.
#include "lora/model/cost.h"

#include <algorithm>

namespace lora {
namespace {

constexpr std::uint64_t kProgram = 220'000'000;  // LibTorch's libraries, tokenizer, allocator: measured
constexpr std::int64_t kHeadRows = 256;          // of a chunk of logits, see head_loss_sum
constexpr std::int64_t kPassedLayers = 3;        // on their way in the backward pass, measured: in layers' activations

// Numbers that a norm keeps of each token: what it read; one with 1 + w eight bytes of each, as measured.
double kept_by(const NormSpec& norm, std::int64_t size, std::int64_t element) {
  if (norm.kind == NormKind::kNone) return 0;
  const double copies{norm.kind == NormKind::kRmsPlusOne ? 8.0 / static_cast<double>(element) : 1};
  return static_cast<double>(size) * copies;
}

// The share of the tokens that go through a linear layer.
double share_of_tokens(const MlpSpec& mlp, const LinearSpec& linear) {
  if (linear.expert == kAllTokens) return 1;
  return static_cast<double>(mlp.chosen) / static_cast<double>(mlp.experts);
}

// Numbers that a block keeps of each token for its backward pass.
double kept_by(const BlockSpec& block, std::int64_t hidden, std::int64_t rank, std::int64_t element) {
  const AttentionSpec& attention = block.attention;
  const std::int64_t query{attention.heads * attention.head_dim}, key{attention.kv_heads * attention.head_dim};
  double kept{0};
  for (const NormSpec* norm :
       {&block.attention_norm, &block.attention_post_norm, &block.mlp_norm, &block.mlp_post_norm})
    kept += kept_by(*norm, hidden, element);
  kept += kept_by(attention.q_norm, query, element) + kept_by(attention.k_norm, key, element);
  const bool shares_input{block.parallel && block.mlp_norm.kind == NormKind::kNone};
  kept += static_cast<double>(hidden * (shares_input ? 1 : 2));  // what the first matrices read
  kept += static_cast<double>(2 * query + 2 * key);              // q, k, v and what attention gives
  const int parts{!block.mlp.gated ? 2 : block.mlp.activation == Activation::kSilu ? 3 : 4};
  for (const LinearSpec& linear : block.linears) {
    const double share{share_of_tokens(block.mlp, linear)};
    kept += share * static_cast<double>(rank);
    if (linear.role == Role::kDown) kept += share * static_cast<double>(parts * linear.in);
    // Tokens are sorted by their expert, and what it gives is weighed.
    if (linear.role == Role::kDown && linear.expert != kAllTokens) kept += share * static_cast<double>(2 * hidden);
  }
  return kept;
}

}  // namespace

std::int64_t lora_parameters(const ModelSpec& spec, std::int64_t rank) {
  std::int64_t parameters = 0;
  for (const BlockSpec& block : spec.blocks)
    for (const LinearSpec& linear : block.linears) parameters += rank * (linear.in + linear.out);
  return parameters;
}

TrainingMemory training_memory(const ModelSpec& spec, std::int64_t rank, std::int64_t tokens, std::int64_t element) {
  const ModelConfig& config = spec.config;
  double kept{0}, most{0};
  for (const BlockSpec& block : spec.blocks) {
    const double of_block{kept_by(block, config.hidden_size, rank, element)};
    kept += of_block;
    most = std::max(most, of_block);
  }
  const auto bytes = [&](double numbers) {
    return static_cast<std::uint64_t>(numbers * static_cast<double>(tokens * element));
  };
  TrainingMemory memory;
  memory.weights = static_cast<std::uint64_t>(parameters_of(spec) * element);
  memory.adapter = static_cast<std::uint64_t>(16 * lora_parameters(spec, rank));
  memory.activations = bytes(kept);
  // Logits in the weights' type and in float32, twice that where the gradient is rounded.
  const std::int64_t chunk{std::min(tokens, kHeadRows) * config.vocab_size * 12};
  memory.scratch = bytes(kPassedLayers * most) + static_cast<std::uint64_t>(chunk);
  memory.program = kProgram;
  return memory;
}

}  // namespace lora
