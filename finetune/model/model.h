// A decoder as its spec says, in LibTorch, with LoRA where attached. One code path for CPU and CUDA, float32 and
// bfloat16.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "finetune/weights/load_weights.h"
#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace finetune {

struct Linear;

/// One packed row: documents laid end to end that never see each other. T = total tokens.
struct PackedRow {
  at::Tensor ids;                     ///< [T] int64
  at::Tensor targets;                 ///< [T] int64: the token to predict at each position, -100 = not trained
  std::vector<std::int64_t> lengths;  ///< tokens of each document, sum T; positions restart at 0 in each
  std::int64_t trained = 0;           ///< positions with a target
  std::vector<double> references{};   ///< of pairs: ExampleView::reference of each document
  std::vector<bool> desirable{};      ///< of pairs: whether the first answer is one to learn
  /// Draws::places of each document's first token; its others follow. Empty: T tokens from 0.
  std::vector<std::int64_t> places{};
};

/// Keys and values of one sequence, for generation: per layer [heads_kv, capacity, head_dim], of which the first
/// `tokens` are filled. Starts empty; next_logits makes and enlarges it.
struct KvCache {
  std::vector<at::Tensor> keys, values;
  std::int64_t tokens = 0;
  at::Tensor ids;                                         ///< of all tokens so far, [at least tokens]
  std::int64_t rotated_for = 0;                           ///< the length of text whose rotations the keys have
  std::unordered_map<const Linear*, at::Tensor> lengths;  ///< of DoRA's weights
};

/// What an optimizer must know of a parameter to treat it as PEFT and transformers' Trainer do.
struct ParameterKind {
  bool is_b = false;              ///< B of LoRA, or a vector: LoRA+ gives it a larger rate
  bool is_of_embedding = false;   ///< A or B of the embedding, for which LoRA+ has a rate of its own
  bool decays = true;             ///< not norms and biases
  bool is_of_vocabulary = false;  ///< the whole matrix of an embedding or head, or rows of one
};

class Transformer {
 public:
  /// Loads the base: weights on `device`, computed with in float32 or bfloat16. Throws base::UsageError where its
  /// matrices cannot be kept as `quantization` says.
  Transformer(const lora::ModelFiles& files, at::ScalarType dtype, at::Device device,
              Quantization quantization = Quantization::kNone);
  ~Transformer();
  Transformer(Transformer&&) noexcept;
  Transformer& operator=(Transformer&&) noexcept;
  /// Attaches fresh LoRA (lora/adapter/fresh.h) instead of what was attached.
  void attach(const std::vector<std::string>& targets, std::int64_t rank, double alpha, double dropout, bool rslora,
              std::uint64_t seed);
  /// Attaches a saved adapter instead of what was attached. Modules of a DoRA adapter without magnitudes get the
  /// lengths of their rows. Throws base::Error when a name or shape is not one of this model's.
  void attach(const lora::Adapter& adapter);
  /// The adapter now, as data.
  lora::Adapter adapter() const;
  /// The leaf tensors that train, in the order of flat_values: of every module of the adapter A, B and, where it has
  /// them, magnitudes; then whole tensors and rows of tokens.
  std::vector<at::Tensor> parameters() const;
  std::vector<ParameterKind> parameter_kinds() const;
  /// NEFTune (Jain et al. 2023, arXiv:2310.05914): while training, what the embedding gives of a document of T tokens
  /// gets uniform noise within +-alpha / sqrt(T hidden), a function of the seed of the masks. 0: none.
  void set_noise(double alpha);
  /// Gradient checkpointing: of the first `blocks` only what they read is kept; their forward pass is computed again
  /// in the backward pass, with the same numbers. The first, since theirs is computed again when nothing is kept of the
  /// others any more. Throws base::UsageError for a config whose experts' routers train with a loss of their own.
  void recompute_blocks(std::size_t blocks);
  /// Whether what is attached trains the head.
  bool trains_head() const;
  /// Whether gradients are the same bytes with any number of threads: on the CPU where nothing trains whole and all
  /// products are those of finetune/kernels; in bfloat16 where sizes and ranks are even, too.
  bool hides_threads() const;
  /// Gives back the memory of base weights that trained ones stand for. Nothing can be attached any more.
  void free_replaced();
  /// Hidden states before the head, [T, hidden]. With autograd when parameters require it. `dropout_seed` picks the
  /// masks of a training forward (every module its own mask), together with row.places; 0 = no dropout. `states`, where
  /// given, gets what each block reads, the first one what the embedding gives.
  at::Tensor hidden(const PackedRow& row, std::uint64_t dropout_seed = 0,
                    std::vector<at::Tensor>* states = nullptr) const;
  /// Logits in float32 for rows of hidden states: [n, hidden] -> [n, vocab].
  at::Tensor logits(const at::Tensor& hidden) const;
  /// Sum (not mean) over trained positions of the negative log-likelihood, computed in chunks of rows so that the
  /// logits of all positions never exist at once. Scalar float32, differentiable. With gradients and a config that asks
  /// for it, the loss that evens out the experts of the row is added, once for each trained position.
  at::Tensor loss_sum(const PackedRow& row, std::uint64_t dropout_seed = 0) const;
  /// Log-probability of each target, [T] float32, 0 where there is none; differentiable, in the same chunks.
  /// `router_loss`, where given, gets the loss that evens out the experts of the row, times its weight: undefined
  /// without gradients, and where the config does not ask for it.
  at::Tensor token_log_probabilities(const PackedRow& row, std::uint64_t dropout_seed = 0,
                                     at::Tensor* router_loss = nullptr) const;
  /// Their sum in each document, [documents] float32.
  at::Tensor log_probabilities(const PackedRow& row, std::uint64_t dropout_seed = 0,
                               at::Tensor* router_loss = nullptr) const;
  /// Extends `cache` by `new_ids` [n] and returns the logits of the last position, [vocab] float32. No autograd.
  at::Tensor next_logits(const at::Tensor& new_ids, KvCache& cache) const;
  const lora::ModelConfig& config() const;
  at::Device device() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace finetune
