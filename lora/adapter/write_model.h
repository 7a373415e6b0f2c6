// Whole models written to disk: a Hugging Face folder or a GGUF file, streamed tensor by tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "lora/adapter/merge.h"
#include "tokenizer/spec/tokenizer.h"

namespace lora {

/// How a model is written. `progress` is told the share done, 0 to 1; may be empty.
struct WriteOptions {
  base::DType type = base::DType::kF32;  ///< of the matrices
  int threads = 0;                       ///< 0: all there are
  std::function<void(double)> progress;
  bool keep_types = false;  ///< matrices and vectors keep the type they have in the base where it is `natural`
  const tokenizer::Tokenizer* tokenizer = nullptr;  ///< whose chat template and end tokens are written; else the base's
};

/// Bytes of the weights when written in this form, for a look at the free disk space.
std::uint64_t hf_bytes(const ModelFiles& model, base::DType type, bool keep_types = false);
std::uint64_t gguf_bytes(const ModelFiles& model, base::DType type, bool keep_types = false);

/// Throws what write_gguf or write_hf_folder would, of what can be known before the weights are read: nothing should be
/// emptied or made for a model whose tokenizer or type cannot be written.
void check_can_write(const ModelFiles& model, base::DType type, bool gguf);

/// Throws Error naming the tensor when a value of `values` is beyond what `type` holds, with the `types` to take
/// instead.
void check_range(const std::string& name, std::span<const float> values, base::DType type,
                 const char* types = "--dtype bfloat16 or --dtype float32");
/// Throws what write_gguf or write_hf_folder would of weights that are too large for their type. It computes all that
/// are written as float16 or Q8_0, so that nothing is emptied or made for them in vain.
void check_values(const MergedModel& model, bool gguf, const WriteOptions& options);

/// Writes model.safetensors, generation_config.json, the tokenizer's files and config.json into `folder`, which must
/// exist. config.json comes last: a folder without it is not a model, so a run that is cut off leaves none. `type` is
/// F32, BF16 or F16. The tokenizer's files and unknown keys of config.json are copied from a Hugging Face base; of a
/// GGUF base they are made from its metadata. Throws Error for a number too large for its type.
void write_hf_folder(const MergedModel& model, const std::filesystem::path& folder, const WriteOptions& options);

/// The files beside the weights that are the tokenizer's: of a Hugging Face base those of `names`, all that is there
/// when it is empty; of a GGUF base they are made from its metadata.
void write_tokenizer(const ModelFiles& model, const std::filesystem::path& folder,
                     const std::vector<std::string>& names = {});

/// The files beside weights and config.json, of which `config` is the text: the tokenizer's, generation_config.json.
void write_companions(const ModelFiles& model, const std::string& config, const std::filesystem::path& folder);

/// Writes one .gguf file. `type` is F32, F16, BF16 or Q8_0; vectors are F32 always, and a matrix whose rows are not a
/// multiple of 32 is F16 where Q8_0 was asked for.
void write_gguf(const MergedModel& model, const std::filesystem::path& file, const WriteOptions& options);

/// "float32", "bfloat16", "float16" or "q8_0" (also "f32", "bf16", "f16") as a type. Throws UsageError.
base::DType type_from_name(const std::string& name);
/// Its name in config.json: "float32", "bfloat16", "float16". Throws UsageError for types that exist in GGUF only.
const char* hf_name(base::DType type);
/// The type that keeps what a tensor holds: its own, F32 of F64, F16 of a quantised one.
base::DType natural_type(base::DType stored);
/// The name of the matrix whose type is told as the model's: its first linear layer.
std::string first_matrix(const ModelFiles& model);
/// The natural type of that.
base::DType natural_type(const ModelFiles& model);

}  // namespace lora
