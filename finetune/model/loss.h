// The head and the loss together, so that the logits of all positions never exist at once.
// Tested by tests/finetune/model_test.cc and spec_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "finetune/adapt/draws.h"
#include "finetune/adapt/vocabulary.h"
#include "finetune/weights/frozen_matrix.h"

namespace finetune {

/// What makes logits of hidden states.
struct Head {
  std::shared_ptr<const FrozenMatrix> matrix;  ///< [vocab, n]
  at::Tensor bias;                             ///< [vocab] or undefined
  const VocabularyMatrix* adapted = nullptr;   ///< takes the place of `matrix` where it is not null
  double softcap = 0;                          ///< logits are softcap * tanh(logit / softcap); 0: as they are
  /// [rows, n] -> [rows, vocab]: in the type of `hidden`, in float32 where they are capped.
  at::Tensor logits(const at::Tensor& hidden) const { return logits(hidden, hidden); }
  /// The same where LoRA on the head reads `dropped`.
  at::Tensor logits(const at::Tensor& hidden, const at::Tensor& dropped) const;
};

/// gradient * weight, a float32 scalar, rounded once: 1 / tokens in bfloat16 would be up to 0.2 % too large or too
/// small for all of a step.
at::Tensor weighed(const at::Tensor& gradient, const at::Tensor& weight);

/// Sum over the positions with a target of -log softmax(logits)[target], as a float32 scalar. hidden [T, n],
/// targets [T] int64 with -100 = none. Rows without a target are left out before the
/// product, the others go through in chunks of `chunk_rows`; the gradient of `hidden` is computed in the same pass
/// while a chunk's logits are there, so that the backward pass only scales it. Logits and softmax are in float32.
at::Tensor head_loss_sum(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                         std::int64_t chunk_rows = 256, const Draws& draws = {});

/// log softmax(logits)[target] of each position, [T] float32, 0 where there is no target; in the same chunks. The
/// backward pass makes the logits of a chunk again, since only then it is known what each position weighs.
/// `head` must outlive the graph.
at::Tensor head_log_probabilities(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                                  std::int64_t chunk_rows = 256, const Draws& draws = {});

}  // namespace finetune
