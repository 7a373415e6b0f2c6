// The embedding and the head. Tested by tests/finetune/variants_test.cc.
#include "finetune/adapt/vocabulary.h"

#include <ATen/ATen.h>

#include "finetune/adapt/parts.h"

namespace finetune {

at::Tensor VocabularyMatrix::rows(const at::Tensor& ids, const at::TensorOptions& options) const {
  at::Tensor x = linear.weight.defined() ? at::embedding(linear.weight, ids).to(options.dtype()) : matrix->rows(ids);
  if (linear.lora_a.defined()) {
    const at::Tensor low = at::embedding(linear.whole_b(), ids).to(x.scalar_type());  // [T, rank]
    x = x + at::mm(low, linear.whole_a().to(x.scalar_type())) * linear.scale;
    if (linear.magnitude.defined()) x = x * (linear.magnitude / column_lengths(*matrix, linear)).to(x.scalar_type());
  }
  if (!token_rows.defined()) return x;
  const at::Tensor is_it = ids.unsqueeze(1) == token_ids.unsqueeze(0);  // [T, n]
  const at::Tensor own = at::embedding(token_rows, is_it.to(at::kLong).argmax(1)).to(x.scalar_type());
  return at::where(is_it.any(1).unsqueeze(1), own, x);
}

at::Tensor VocabularyMatrix::product(const at::Tensor& hidden, const at::Tensor& dropped,
                                     const at::Tensor& bias) const {
  at::Tensor y = linear.weight.defined() ? trained_product(hidden, linear.weight) : frozen_product(*matrix, hidden);
  // LoRA comes on top of a row that trains, as in PEFT.
  if (token_rows.defined()) y = y.index_copy(1, token_ids, at::mm(hidden, token_rows.to(hidden.scalar_type()).t()));
  if (linear.lora_a.defined()) y = y + adapter_product(*matrix, 0, linear, y, hidden, dropped);
  return bias.defined() ? y + bias.to(y.scalar_type()) : y;
}

std::vector<at::Tensor> VocabularyMatrix::leaves() const {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& tensor : {linear.lora_a, linear.lora_b, linear.magnitude, linear.weight, token_rows})
    if (tensor.defined() && tensor.requires_grad()) leaves.push_back(tensor);
  return leaves;
}

}  // namespace finetune
