// A model that is made out of another one's tensors, written as a Hugging Face folder a few rows at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "lora/model/model_files.h"

namespace lora {

/// One tensor, and where its numbers come from.
struct MadeTensor {
  std::string name;  ///< Hugging Face's
  std::vector<std::int64_t> shape;
  base::DType type;  ///< F32, BF16 or F16
  /// Rows [first, first + out.size() / (elements of a row)) in Hugging Face's order; of matrices of heads whole heads.
  /// Called from several threads.
  std::function<void(std::int64_t first, std::span<float> out)> read;
};

struct MadeModel {
  ModelConfig config;
  std::vector<MadeTensor> tensors;
};

/// Rows [first, first + out.size() / (numbers of a row)) of a tensor of `model`, all of a vector; their pages are given
/// back, since a made model may be of more than fits into memory.
void read_part(const ModelFiles& model, const std::string& name, std::int64_t first, std::span<float> out);
/// `tensor` with the numbers of the tensor `from` of `base`, in the natural type of that, or in `type` unless
/// `keep_types`. `base` must outlive the result.
MadeTensor made_tensor(const ModelFiles& base, const TensorSpec& tensor, const std::string& from, base::DType type,
                       bool keep_types);
/// Every tensor of `spec`, with the numbers of the tensor of `base` that `source` names, in the natural type of that,
/// or in `type` unless `keep_types`. `base` must outlive the result.
MadeModel made_of(const ModelFiles& base, const ModelSpec& spec,
                  const std::function<std::string(const std::string& name)>& source, base::DType type, bool keep_types);

/// Bytes of the weights.
std::uint64_t bytes_of(const MadeModel& model);

/// config.json of the model: that of `base`, a Hugging Face folder, with what the two configs say differently. Throws
/// base::Error when config.json has no words for the model: what is read back must be its config.
std::string config_text(const MadeModel& model, const ModelFiles& base, base::DType type);

/// Writes model.safetensors, the base's tokenizer, generation_config.json and, last, config.json into `folder`, which
/// must exist. `progress` is told the share done and may be empty. Throws base::Error for a number that is not finite
/// or too large for its type.
void write_made_model(const MadeModel& model, const ModelFiles& base, const std::string& config,
                      const std::filesystem::path& folder, int threads, const std::function<void(double)>& progress);

}  // namespace lora
