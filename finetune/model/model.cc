// A decoder as its spec says. Tested by tests/finetune/model_test.cc, spec_test.cc and parity_test.cc.
#include "finetune/model/model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "finetune/adapt/parts.h"
#include "finetune/adapt/recompute.h"
#include "finetune/kernels/blocked_attention.h"
#include "finetune/kernels/passing.h"
#include "finetune/kernels/products.h"
#include "finetune/model/state.h"

namespace finetune {
namespace {

constexpr std::int64_t kHeadRows = 256;  // of a chunk of logits
constexpr std::int64_t kNoise = -7;      // among the numbers of modules, which pick their random numbers by them

// U(-1, 1) alpha / sqrt(tokens of the document * hidden).
at::Tensor noise_for(const at::Tensor& x, const std::vector<std::int64_t>& lengths, double alpha, const Draws& draws) {
  std::vector<at::Tensor> bounds;
  for (const std::int64_t length : lengths)
    bounds.push_back(at::full({length, 1}, alpha / std::sqrt(static_cast<double>(length * x.size(1))), at::kFloat));
  const at::Tensor uniform = uniform_numbers(draws, kNoise, x.size(1), x.options());  // [0, 1)
  return ((2 * uniform - 1) * at::cat(bounds).to(x.device())).to(x.scalar_type());
}

// The places of a row's tokens: each document's, one behind the other.
Draws draws_of(const PackedRow& row, std::uint64_t seed) {
  if (seed == 0) return {};
  if (row.places.empty()) return {seed, at::arange(row.ids.size(0), at::kLong)};
  std::vector<at::Tensor> places;
  for (std::size_t i = 0; i < row.lengths.size(); ++i)
    places.push_back(at::arange(row.places[i], row.places[i] + row.lengths[i], at::kLong));
  return {seed, at::cat(places)};
}

}  // namespace

Transformer::State::State(const lora::ModelFiles& files, at::ScalarType weights, at::Device place,
                          Quantization quantization)
    : spec(files.spec()), dtype(weights), device(place) {
  if (dtype != at::kFloat && dtype != at::kBFloat16)
    throw base::Error({"unknown weight type", "", at::toString(dtype), "float32 or bfloat16", ""});
  check_quantization(files, quantization);
  // Quantised as they are loaded are linear layers of blocks alone, as in bitsandbytes.
  const Quantization ends{quantization == Quantization::kKeep ? quantization : Quantization::kNone};
  settings.base_model = std::filesystem::absolute(files.path()).string();
  embedding.matrix = load_matrix(files, {spec.embedding + ".weight"}, options(), ends);
  own_head.matrix =
      spec.config.tied_embeddings ? embedding.matrix : load_matrix(files, {spec.head + ".weight"}, options(), ends);
  head.matrix = own_head.matrix;
  if (spec.head_bias) head.bias = load_tensor(files, spec.head + ".bias", options());
  head.softcap = spec.logit_softcap;
  norm = load_norm(files, spec.norm, options());
  std::int64_t index = 0;
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    blocks.emplace_back(files, spec.blocks[i], options(), quantization, index);
    add_rotation(i);
  }
  release_passing_memory();  // of weights on their way from the file
  const std::int64_t vocabulary{spec.config.vocab_size}, hidden{spec.config.hidden_size};
  own_head.linear.name = spec.head, own_head.linear.index = index;
  embedding.linear.name = spec.embedding, embedding.linear.index = index + 1;
  for (Linear* linear : {&own_head.linear, &embedding.linear}) linear->in = hidden, linear->out = vocabulary;
}

void Transformer::State::add_rotation(std::size_t block) {
  const lora::AttentionSpec& attention = spec.blocks[block].attention;
  for (std::size_t before = 0; before < block; ++before) {
    const lora::AttentionSpec& other = spec.blocks[before].attention;
    if (other.rotary_dim != attention.rotary_dim || other.rope != attention.rope) continue;
    return rotation.push_back(rotation[before]);
  }
  rotation.push_back(ropes.size());
  ropes.push_back({attention, {}});
  if (!lora::depends_on_length(attention.rope)) ropes.back().frequencies = inverse_frequencies(attention).to(device);
}

at::Tensor Transformer::State::embed(const at::Tensor& ids) const {
  at::Tensor x = embedding.rows(ids.to(device), options());
  return spec.embedding_scale == 1 ? x : x * at::scalar_tensor(spec.embedding_scale, options());
}

std::vector<Rotation> Transformer::State::rotations_at(const std::vector<Positions>& texts) const {
  std::vector<at::Tensor> positions;
  for (const auto& [first, last] : texts) positions.push_back(at::arange(first, last));
  const at::Tensor joined = at::cat(positions).to(device);
  std::vector<Rotation> rotations;
  for (const auto& [attention, frequencies] : ropes) {
    const double scale{lora::rotation_scale(attention.rope)};
    if (frequencies.defined()) {
      rotations.push_back(rotation_at(joined, frequencies, scale));
      continue;
    }
    std::vector<at::Tensor> cosines, sines;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const at::Tensor own = inverse_frequencies(attention, texts[i].last).to(device);
      const Rotation part = rotation_at(positions[i].to(device), own, scale);
      cosines.push_back(part.cosines);
      sines.push_back(part.sines);
    }
    rotations.push_back({at::cat(cosines), at::cat(sines)});
  }
  return rotations;
}

bool Transformer::State::turns_alike(std::int64_t length, std::int64_t other) const {
  return std::ranges::all_of(ropes, [&](const Rope& rope) {
    return rope.frequencies.defined() ||
           at::equal(inverse_frequencies(rope.attention, length), inverse_frequencies(rope.attention, other));
  });
}

Transformer::Transformer(const lora::ModelFiles& files, at::ScalarType dtype, at::Device device,
                         Quantization quantization)
    : state_(std::make_unique<State>(files, dtype, device, quantization)) {}
Transformer::~Transformer() = default;
Transformer::Transformer(Transformer&&) noexcept = default;
Transformer& Transformer::operator=(Transformer&&) noexcept = default;

const lora::ModelConfig& Transformer::config() const { return state_->spec.config; }
at::Device Transformer::device() const { return state_->device; }

at::Tensor Transformer::State::hidden(const PackedRow& row, const Draws& draws, std::vector<at::Tensor>* states,
                                      RouterShares* shares) const {
  std::vector<Positions> texts;
  for (std::int64_t length : row.lengths) texts.push_back({0, length});
  const std::vector<Rotation> rotations = rotations_at(texts);
  const auto lengths = std::make_shared<const std::vector<std::int64_t>>(row.lengths);
  at::Tensor x = embed(row.ids);
  if (noise > 0 && draws.is_on()) x = x + noise_for(x, row.lengths, noise, draws);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (states) states->push_back(x);
    const auto forward = [&block = blocks[i], turn = rotations[rotation[i]], lengths, draws,
                          shares](const at::Tensor& read) {
      const auto attend = [&](const at::Tensor& qkv) { return packed_attention(qkv, block.shape(), turn, *lengths); };
      return block.forward(read, draws, attend, shares);
    };
    x = i < recomputed_blocks ? recomputed(forward, x, blocks[i].leaves()) : forward(x);
  }
  return norm(x);
}

at::Tensor Transformer::hidden(const PackedRow& row, std::uint64_t dropout_seed,
                               std::vector<at::Tensor>* states) const {
  return state_->hidden(row, draws_of(row, dropout_seed), states, nullptr);
}

at::Tensor Transformer::logits(const at::Tensor& hidden) const { return state_->head.logits(hidden).to(at::kFloat); }

at::Tensor Transformer::loss_sum(const PackedRow& row, std::uint64_t dropout_seed) const {
  RouterShares shares;
  const bool evens{config().router_loss && at::GradMode::is_enabled()};
  const Draws draws = draws_of(row, dropout_seed);
  const at::Tensor hidden = state_->hidden(row, draws, nullptr, evens ? &shares : nullptr);
  const at::Tensor loss = head_loss_sum(hidden, state_->head, row.targets.to(state_->device), kHeadRows, draws);
  if (shares.rows == 0) return loss;
  return loss + shares.loss() * (config().router_loss_weight * static_cast<double>(row.trained));
}

void Transformer::recompute_blocks(std::size_t blocks) {
  if (blocks > 0 && config().router_loss)
    throw base::UsageError({"blocks whose routers have a loss of their own cannot be computed again",
                            "--gradient-checkpointing", "blocks", "none", "or set router_aux_loss_coef to 0"});
  state_->recomputed_blocks = blocks;
}

bool Transformer::hides_threads() const {
  const auto is_handled = [&](std::int64_t size) { return state_->dtype == at::kFloat || size % 2 == 0; };
  bool hides = state_->device.is_cpu() && products_hide_threads(state_->dtype) && state_->whole.empty() &&
               !state_->embedding.is_adapted() && !state_->head.adapted && state_->head.softcap == 0 &&
               is_handled(config().vocab_size);
  for (const lora::BlockSpec& block : state_->spec.blocks) hides &= block.mlp.experts == 0;
  for (const Block& block : state_->blocks) hides &= blocked::handles(block.shape());
  state_->for_each_linear([&](const Linear& linear) {
    hides &= !linear.weight.defined() && is_handled(linear.out) &&
             is_handled(linear.lora_a.defined() ? linear.whole_a().size(0) : 0);
  });
  return hides;
}

bool Transformer::trains_head() const { return state_->head.adapted != nullptr; }

at::Tensor Transformer::token_log_probabilities(const PackedRow& row, std::uint64_t dropout_seed,
                                                at::Tensor* router_loss) const {
  RouterShares shares;
  const bool evens{router_loss && config().router_loss && at::GradMode::is_enabled()};
  const Draws draws = draws_of(row, dropout_seed);
  const at::Tensor hidden = state_->hidden(row, draws, nullptr, evens ? &shares : nullptr);
  if (shares.rows > 0) *router_loss = shares.loss() * config().router_loss_weight;
  return head_log_probabilities(hidden, state_->head, row.targets.to(device()), kHeadRows, draws);
}

at::Tensor Transformer::log_probabilities(const PackedRow& row, std::uint64_t dropout_seed,
                                          at::Tensor* router_loss) const {
  const at::Tensor each = token_log_probabilities(row, dropout_seed, router_loss);
  std::vector<at::Tensor> sums;
  for (const at::Tensor& document : each.split_with_sizes(row.lengths)) sums.push_back(document.sum());
  return at::stack(sums);
}

at::Tensor Transformer::next_logits(const at::Tensor& new_ids, KvCache& cache) const {
  at::NoGradGuard no_gradient;
  const KeptLengths kept(cache.lengths);
  const std::int64_t needed{cache.tokens + new_ids.size(0)};
  at::Tensor ids = new_ids;
  if (cache.tokens > 0) ids = at::cat({cache.ids.narrow(0, 0, cache.tokens), new_ids});
  cache.ids = ids;
  // What a rotation of another length gave is not the text's any more: all of it is computed again.
  if (!state_->turns_alike(cache.rotated_for, needed)) cache.tokens = 0;
  cache.rotated_for = needed;
  ids = ids.narrow(0, cache.tokens, needed - cache.tokens);
  const std::int64_t tokens{ids.size(0)};
  cache.keys.resize(state_->blocks.size());
  cache.values.resize(state_->blocks.size());
  auto enlarge = [&](at::Tensor& tensor, const AttentionShape& shape) {
    if (tensor.defined() && tensor.size(1) >= needed) return;
    const std::int64_t capacity{std::max(needed, std::min(2 * needed, config().context_length))};
    at::Tensor larger = at::empty({shape.kv_heads, capacity, shape.head_dim}, state_->options());
    if (tensor.defined()) larger.narrow(1, 0, cache.tokens).copy_(tensor.narrow(1, 0, cache.tokens));
    tensor = larger;
  };
  const std::vector<Rotation> rotations = state_->rotations_at({{cache.tokens, needed}});
  at::Tensor x = state_->embed(ids);
  for (std::size_t i = 0; i < state_->blocks.size(); ++i) {
    const Block& block = state_->blocks[i];
    enlarge(cache.keys[i], block.shape());
    enlarge(cache.values[i], block.shape());
    const auto attend = [&](const at::Tensor& qkv) {
      return cached_attention(qkv, block.shape(), rotations[state_->rotation[i]], cache.keys[i], cache.values[i],
                              cache.tokens);
    };
    x = block.forward(x, {}, attend, nullptr);
  }
  cache.tokens = needed;
  return logits(state_->norm(x.narrow(0, tokens - 1, 1))).squeeze(0);
}

}  // namespace finetune
