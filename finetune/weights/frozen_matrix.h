// A matrix of the base model, which training reads and never changes: all that LoRA, the embedding and the head know
// of it. Tested by tests/finetune/weights_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

namespace finetune {

/// W [out, in] in whatever form it is kept. No autograd: the gradient of x is apply_transposed.
class FrozenMatrix {
 public:
  virtual ~FrozenMatrix() = default;
  /// x W^T + `added`: [T, in] -> [T, out]. `added` is [out] or [T, out]; undefined: nothing.
  virtual at::Tensor apply(const at::Tensor& x, const at::Tensor& added = {}) const = 0;
  /// dy W: [T, out] -> [T, in].
  virtual at::Tensor apply_transposed(const at::Tensor& dy) const = 0;
  /// The same of the rows [first, first + out) of W alone, into y [T, out], of which rows may lie apart; and of
  /// dy [T, out] into dx [T, in].
  virtual void apply_rows(at::Tensor& y, const at::Tensor& x, std::int64_t first) const = 0;
  virtual void apply_rows_transposed(at::Tensor& dx, const at::Tensor& dy, std::int64_t first) const = 0;
  /// Rows of W by their `numbers` [n] int64: [n, in].
  virtual at::Tensor rows(const at::Tensor& numbers) const = 0;
  /// The rows [first, first + count): [count, in], which may be W's own memory or be overwritten by the next call.
  virtual at::Tensor rows_from(std::int64_t first, std::int64_t count) const = 0;
  /// What apply gives goes again before what comes behind it: it is a passing_tensor from now on.
  void let_results_pass() { results_pass_ = true; }

 protected:
  // [T, out] for x, to be filled.
  at::Tensor result_for(const at::Tensor& x, std::int64_t out) const;

 private:
  bool results_pass_ = false;
};

/// Kept as it is computed with, float32 or bfloat16, or beside float32 in the 16 bits that its file has.
class DenseMatrix final : public FrozenMatrix {
 public:
  /// `weight` [out, in], computed with as `type`.
  DenseMatrix(at::Tensor weight, at::ScalarType type) : weight_(std::move(weight)), type_(type) {}
  /// As what it is.
  explicit DenseMatrix(at::Tensor weight) : DenseMatrix(weight, weight.scalar_type()) {}
  at::Tensor apply(const at::Tensor& x, const at::Tensor& added = {}) const override;
  at::Tensor apply_transposed(const at::Tensor& dy) const override;
  void apply_rows(at::Tensor& y, const at::Tensor& x, std::int64_t first) const override;
  void apply_rows_transposed(at::Tensor& dx, const at::Tensor& dy, std::int64_t first) const override;
  at::Tensor rows(const at::Tensor& numbers) const override;
  at::Tensor rows_from(std::int64_t first, std::int64_t count) const override;

 private:
  at::Tensor weight_;
  at::ScalarType type_;
};

}  // namespace finetune
