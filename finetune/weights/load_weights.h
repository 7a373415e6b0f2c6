// Tensors of a model file in the form in which they are computed with. Tested by tests/finetune/weights_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "finetune/weights/frozen_matrix.h"
#include "lora/model/model_files.h"

namespace finetune {

/// The tensor `name`; `options`: type and device.
at::Tensor load_tensor(const lora::ModelFiles& files, const std::string& name, const at::TensorOptions& options);
/// The matrices `names`, which have the same number of columns, one below the other: one matrix.
std::shared_ptr<const FrozenMatrix> load_matrix(const lora::ModelFiles& files, const std::vector<std::string>& names,
                                                const at::TensorOptions& options);

}  // namespace finetune
