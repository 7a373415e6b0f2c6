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
#include "lora/model/weight_type.h"
#include "tokenizer/spec/tokenizer.h"

namespace lora {

inline constexpr std::uint64_t kMaxShard = std::uint64_t{40} << 30;  ///< the hub asks for files below 50 GB

/// How a model is written. `progress` is told the share done, 0 to 1; may be empty.
struct WriteOptions {
  WeightType type = base::DType::kF32;  ///< of the matrices
  int threads = 0;                      ///< 0: all there are
  std::function<void(double)> progress;
  bool keep_types = false;  ///< matrices and vectors keep the type they have in the base where it is `natural`
  const tokenizer::Tokenizer* tokenizer = nullptr;  ///< whose chat template and end tokens are written; else the base's
  std::uint64_t max_shard = kMaxShard;              ///< bytes of a file of a folder, unless one tensor is larger
};

/// Bytes of the weights when written in this form, for a look at the free disk space.
std::uint64_t hf_bytes(const ModelFiles& model, WeightType type, bool keep_types = false);
std::uint64_t gguf_bytes(const ModelFiles& model, WeightType type, bool keep_types = false);

/// Throws what write_gguf or write_hf_folder would, of what can be known before the weights are read: nothing should be
/// emptied or made for a model whose tokenizer or type cannot be written.
void check_can_write(const ModelFiles& model, WeightType type, bool gguf);

/// Throws Error naming the tensor when a value of `values` is beyond what `type` holds, with the `types` to take
/// instead.
void check_range(const std::string& name, std::span<const float> values, base::DType type,
                 const char* types = "--dtype bfloat16 or --dtype float32");
/// Throws what write_gguf or write_hf_folder would of weights that are too large for their type. It computes all that
/// are written as float16 or blocks, so that nothing is emptied or made for them in vain.
void check_values(const MergedModel& model, bool gguf, const WriteOptions& options);

/// Writes model.safetensors (or several files and their index), generation_config.json, the tokenizer's files and
/// config.json into `folder`, which must exist. config.json comes last: a folder without it is not a model, so a run
/// that is cut off leaves none. `type` is F32, BF16 or F16. The tokenizer's files and unknown keys of config.json are
/// copied from a Hugging Face base; of a GGUF base they are made from its metadata. Throws Error for a number too large
/// for its type.
void write_hf_folder(const MergedModel& model, const std::filesystem::path& folder, const WriteOptions& options);

/// Writes one .gguf file, of the types of gguf_types, or of those of the base with `keep_types`.
void write_gguf(const MergedModel& model, const std::filesystem::path& file, const WriteOptions& options);

}  // namespace lora
