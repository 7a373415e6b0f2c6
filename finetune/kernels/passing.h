// Memory for large tensors that soon go again. Tested by tests/finetune/recompute_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

namespace finetune {

/// at::empty for a tensor that lives shortly between others that stay: in CPU memory apart from theirs, which is used
/// again for the next. In malloc's heap such tensors leave holes between those that the backward pass keeps: a third
/// more memory, measured. Small ones, and those of other devices, are at::empty's.
at::Tensor passing_tensor(at::IntArrayRef sizes, const at::TensorOptions& options);

/// Gives the memory back that waits for the next one: behind the loading of a model, whose sizes do not come again.
void release_passing_memory();

}  // namespace finetune
