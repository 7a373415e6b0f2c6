// The processes that train one adapter together. Tested by tests/finetune/objective_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

namespace finetune {

class Group {
 public:
  virtual ~Group() = default;
  virtual int rank() const = 0;  ///< of this process, 0 to size - 1
  virtual int size() const = 0;
  /// `tensor` becomes, in place, its sum over the processes.
  virtual void all_reduce(const at::Tensor& tensor) const = 0;
};

class OneProcess final : public Group {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce(const at::Tensor&) const override {}
};

}  // namespace finetune
