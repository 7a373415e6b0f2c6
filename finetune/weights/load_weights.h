// Tensors of a model file in the form in which they are kept and computed with. Tested by
// tests/finetune/weights_test.cc and quantized_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "base/options.h"
#include "finetune/weights/frozen_matrix.h"
#include "lora/model/model_files.h"

namespace finetune {

/// How matrices are kept. kNone: in the type that is computed with, or beside float32 on a CPU in the 16 bits of the
/// file. kNf4, kInt8: linear layers quantised as they are loaded; embedding, head and what chooses experts stay as they
/// are computed with. kKeep: as the file has them quantised.
enum class Quantization { kNone, kNf4, kInt8, kKeep };

/// The option `--quantization` and its words, `more` among them.
void visit_quantization(base::OptionVisitor& v, std::string& name, const char* help,
                        std::vector<std::string> more = {});
/// Throws base::UsageError for other names.
Quantization quantization_named(const std::string& name);
/// Throws base::UsageError where `files` cannot be kept so: nothing of it is quantised, or it is already.
void check_quantization(const lora::ModelFiles& files, Quantization quantization);

/// Whether a GGUF has matrices of blocks, which one token after the other is best computed on as they are: they are
/// fewer bytes to read.
bool has_blocks(const lora::ModelFiles& files);

/// The tensor `name`; `options`: type and device.
at::Tensor load_tensor(const lora::ModelFiles& files, const std::string& name, const at::TensorOptions& options);
/// The matrices `names`, which have the same number of columns, one below the other: one matrix.
std::shared_ptr<FrozenMatrix> load_matrix(const lora::ModelFiles& files, const std::vector<std::string>& names,
                                          const at::TensorOptions& options,
                                          Quantization quantization = Quantization::kNone);

}  // namespace finetune
