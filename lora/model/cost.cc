// What training a LoRA takes. Tested by tests/lora/model/cost_test.cc.
#include "lora/model/cost.h"

#include <algorithm>
#include <set>
#include <string>

#include "lora/model/kept_type.h"

namespace lora {
namespace {

constexpr std::uint64_t kProgram = 105'000'000;  // LibTorch's libraries, tokenizer, allocator: measured
constexpr std::int64_t kHeadRows = 256;          // of a chunk of logits, see head_loss_sum
constexpr std::int64_t kExpanded = 8 << 20, kExpandedColumns = 256;  // see finetune/weights/quantized_matrix.cc
constexpr std::int64_t kPassedLayers = 3;  // on their way in the backward pass, measured: in layers' activations

// Numbers that a norm keeps of each token: what it read.
double kept_by(const NormSpec& norm, std::int64_t size) {
  return norm.kind == NormKind::kNone ? 0 : static_cast<double>(size);
}

// The share of the tokens that go through a linear layer.
double share_of_tokens(const MlpSpec& mlp, const LinearSpec& linear) {
  if (linear.expert == kAllTokens) return 1;
  return static_cast<double>(mlp.chosen) / static_cast<double>(mlp.experts);
}

// Numbers that a block keeps of each token for its backward pass.
double kept_by(const BlockSpec& block, std::int64_t hidden, std::int64_t rank) {
  const AttentionSpec& attention = block.attention;
  const std::int64_t query{attention.heads * attention.head_dim}, key{attention.kv_heads * attention.head_dim};
  double kept{0};
  for (const NormSpec* norm :
       {&block.attention_norm, &block.attention_post_norm, &block.mlp_norm, &block.mlp_post_norm})
    kept += kept_by(*norm, hidden);
  kept += kept_by(attention.q_norm, query) + kept_by(attention.k_norm, key);
  kept += static_cast<double>(2 * query + 2 * key);  // q, k, v and what attention gives
  // What products read is made again out of what norms and activations read, but for experts.
  const bool has_experts{block.mlp.experts != 0};
  if (has_experts) kept += static_cast<double>(hidden);
  const int own{block.mlp.gated ? 2 : 1};
  const int parts{has_experts ? own + 1 : own};
  for (const LinearSpec& linear : block.linears) {
    const double share{share_of_tokens(block.mlp, linear)};
    kept += share * static_cast<double>(rank);
    if (linear.role == Role::kDown) kept += share * static_cast<double>(parts * linear.in);
    // Tokens are sorted by their expert, and what it gives is weighed.
    if (linear.role == Role::kDown && linear.expert != kAllTokens) kept += share * static_cast<double>(2 * hidden);
  }
  return kept;
}

// What DoRA keeps beside that: what every product gave, and a tenth more that the allocator cannot use between them.
double kept_by_dora(const BlockSpec& block) {
  double kept{0};
  for (const LinearSpec& linear : block.linears)
    kept += share_of_tokens(block.mlp, linear) * 1.1 * static_cast<double>(linear.out);
  return kept;
}

// Bytes of a matrix of `numbers` in blocks of 64 and their scales in blocks of 256; in int8 with a scale a row.
std::int64_t nf4_bytes(std::int64_t numbers) {
  const std::int64_t blocks{(numbers + 63) / 64};
  return (numbers + 1) / 2 + blocks + (blocks + 255) / 256 * 4;
}
std::int64_t int8_bytes(const LinearSpec& linear) { return linear.out * linear.in + linear.out * 4; }

bool chooses_experts(const LinearSpec& linear) {
  return linear.role == Role::kRouter || linear.role == Role::kSharedGate;
}

// Numbers of a matrix that are expanded at once.
std::int64_t expanded(std::int64_t rows, std::int64_t columns) {
  return std::min(rows * columns, std::max(kExpanded, rows * kExpandedColumns));
}

// Of the largest product of a block.
std::int64_t expanded_by(const ModelSpec& spec) {
  std::int64_t most{0};
  for (const BlockSpec& block : spec.blocks)
    for (const std::span<const LinearSpec> product : products_of(block)) {
      std::int64_t rows{0};
      for (const LinearSpec& linear : product) rows += linear.out;
      most = std::max(most, expanded(rows, product[0].in));
    }
  return most;
}

std::uint64_t bytes_of(const PackedParts& parts) {
  const PackedScales& scales = parts.scales;
  return parts.bytes.size() + scales.numbers.size() +
         4 * (scales.plain.size() + scales.table.size() + scales.outer.size());
}

// Of "keep". bytes_each(name): of a number that is not quantised.
template <class F>
WeightMemory kept_weight_memory(const ModelFiles& files, std::int64_t element, F bytes_each) {
  WeightMemory memory;
  std::int64_t most{expanded_by(files.spec())};
  for (const std::string& name : files.names()) {
    const base::TensorView& view = files.view(name);
    const bool is_matrix{view.shape.size() == 2};
    if (const PackedMatrix* packed = files.packed(name)) {
      memory.kept += bytes_of(packed->parts());
    } else if (is_matrix && base::is_block_type(view.type)) {
      memory.kept += view.bytes.size();
      most = std::max(most, expanded(view.shape[0], view.shape[1]));
    } else {
      memory.kept += static_cast<std::uint64_t>(view.elements() * bytes_each(name));
    }
  }
  memory.expanded = static_cast<std::uint64_t>(most * element);
  return memory;
}

}  // namespace

WeightMemory weight_memory(const ModelSpec& spec, std::string_view quantization, std::int64_t element) {
  std::int64_t bytes{parameters_of(spec) * element};
  if (quantization == "none") return {static_cast<std::uint64_t>(bytes), 0};
  for (const BlockSpec& block : spec.blocks)
    for (const LinearSpec& linear : block.linears) {
      if (chooses_experts(linear)) continue;
      const std::int64_t numbers{linear.out * linear.in};
      bytes += (quantization == "nf4" ? nf4_bytes(numbers) : int8_bytes(linear)) - numbers * element;
    }
  return {static_cast<std::uint64_t>(bytes), static_cast<std::uint64_t>(expanded_by(spec) * element)};
}

WeightMemory weight_memory(const ModelFiles& files, std::string_view quantization, std::int64_t element, bool keeps) {
  const auto bytes_each = [&](const std::string& name) {
    return keeps && element > 2 && type_of_16_bits(files, name, Look::kSome) ? 2 : element;
  };
  if (quantization == "keep") return kept_weight_memory(files, element, bytes_each);
  WeightMemory memory = weight_memory(files.spec(), quantization, element);
  std::set<std::string> quantised;
  if (quantization != "none")
    for (const BlockSpec& block : files.spec().blocks)
      for (const LinearSpec& linear : block.linears)
        if (!chooses_experts(linear)) quantised.insert(linear.name + ".weight");
  for (const std::string& name : files.names())
    if (!quantised.contains(name) && bytes_each(name) != element)
      memory.kept -=
          static_cast<std::uint64_t>((element - bytes_each(name)) * files.shape(name)[0] * files.shape(name)[1]);
  return memory;
}

std::uint64_t widened_memory(const ModelSpec& spec, std::int64_t tokens) {
  std::int64_t most{0};
  for (const BlockSpec& block : spec.blocks)
    for (const std::span<const LinearSpec> product : products_of(block)) {
      std::int64_t numbers{product[0].in};
      for (const LinearSpec& linear : product) numbers += linear.out;
      most = std::max(most, numbers);
    }
  return static_cast<std::uint64_t>(4 * (3 * tokens * most + std::min(tokens, kHeadRows) * spec.config.vocab_size));
}

std::int64_t lora_parameters(const ModelSpec& spec, std::int64_t rank) {
  std::int64_t parameters = 0;
  for (const BlockSpec& block : spec.blocks)
    for (const LinearSpec& linear : block.linears) parameters += rank * (linear.in + linear.out);
  return parameters;
}

std::size_t blocks_to_recompute(const ModelSpec& spec, std::int64_t rank, std::int64_t tokens, std::int64_t element,
                                const WeightMemory& weights, std::uint64_t limit, const TrainedWays& ways) {
  for (std::size_t blocks = 0; blocks < spec.blocks.size(); ++blocks)
    if (training_memory(spec, rank, tokens, element, weights, blocks, ways).total() <= limit) return blocks;
  return spec.blocks.size();
}

TrainingMemory training_memory(const ModelSpec& spec, std::int64_t rank, std::int64_t tokens, std::int64_t element) {
  return training_memory(spec, rank, tokens, element, weight_memory(spec, "none", element));
}

TrainingMemory training_memory(const ModelSpec& spec, std::int64_t rank, std::int64_t tokens, std::int64_t element,
                               const WeightMemory& weights, std::size_t recomputed_blocks, const TrainedWays& ways) {
  const ModelConfig& config = spec.config;
  double kept{0}, most{0};
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    const BlockSpec& block = spec.blocks[i];
    const double of_block{kept_by(block, config.hidden_size, rank)};
    const double of_dora{ways.dora ? kept_by_dora(block) : 0};
    kept += i < recomputed_blocks ? static_cast<double>(config.hidden_size) : of_block + of_dora;
    most = std::max(most, of_block);
  }
  const auto bytes = [&](double numbers) {
    return static_cast<std::uint64_t>(numbers * static_cast<double>(tokens * element));
  };
  TrainingMemory memory;
  memory.weights = weights.kept;
  const std::int64_t vocabulary{config.vocab_size * config.hidden_size};
  const std::int64_t trained{ways.all ? parameters_of(spec)
                                      : lora_parameters(spec, rank) + ways.vocabularies * vocabulary};
  memory.adapter = static_cast<std::uint64_t>(16 * trained);
  memory.activations = bytes(kept);
  // Logits in the weights' type and in float32, twice that where the gradient is rounded.
  const std::int64_t chunk{std::min(tokens, kHeadRows) * config.vocab_size * 12};
  memory.scratch = bytes(kPassedLayers * most) + static_cast<std::uint64_t>(chunk) + weights.expanded;
  // A gradient of the embedding comes at once, one of the head chunk by chunk beside its sum.
  if (!ways.all) memory.scratch += static_cast<std::uint64_t>(4 * vocabulary * (ways.head ? 2 : ways.vocabularies));
  // What the backward pass gave back lies about, half of it, when a checkpoint is written: measured.
  memory.saving = static_cast<std::uint64_t>(12 * trained) + memory.activations / 2;
  memory.program = kProgram;
  return memory;
}

}  // namespace lora
