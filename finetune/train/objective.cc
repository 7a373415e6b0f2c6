// What a training minimises. Tested by tests/finetune/objective_test.cc.
#include "finetune/train/objective.h"

#include <ATen/ATen.h>

namespace finetune {

at::Tensor AnswerObjective::totals(const Transformer& /*model*/, const PackedRow& batch,
                                   std::uint64_t /*dropout_seed*/) const {
  return at::full({1}, static_cast<double>(batch.trained), at::kDouble);
}

at::Tensor AnswerObjective::loss(const Transformer& model, const PackedRow& batch, std::uint64_t dropout_seed,
                                 const at::Tensor& totals, at::Tensor* /*figures*/) const {
  return model.loss_sum(batch, dropout_seed) / totals[0].item<double>();
}

}  // namespace finetune
