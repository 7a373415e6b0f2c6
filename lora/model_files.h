// A base model on disk, whatever its format, as tensors under Hugging Face names.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/gguf.h"
#include "base/safetensors.h"
#include "lora/model_config.h"

namespace lora {

/// The folder or file that a model's name means on this machine: the path itself, or the snapshot of a hub name
/// ("org/name") in the local Hugging Face cache (HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface/hub). "" when neither is
/// there.
std::filesystem::path find_model(const std::string& model);
/// True for "org/name", whether or not it exists.
bool is_hub_name(const std::string& model);

/// Opens a Hugging Face folder or a .gguf file; a hub name is looked up by find_model. Throws base::Error naming
/// the download command when it is not there. Checks that exactly the expected tensors with the expected shapes are
/// present.
class ModelFiles {
 public:
  explicit ModelFiles(const std::string& model);
  const ModelConfig& config() const { return config_; }
  /// Where the model really lies: the folder or the .gguf file; give it to tokenizer::load.
  const std::filesystem::path& path() const { return path_; }
  bool is_gguf() const { return gguf_ != nullptr; }
  const base::GgufReader* gguf() const { return gguf_.get(); }
  /// HF names in a fixed order: embed_tokens, layers in forward order, norm, lm_head (absent when tied).
  const std::vector<std::string>& names() const { return names_; }
  std::vector<std::int64_t> shape(const std::string& name) const;
  base::DType type(const std::string& name) const;
  /// The whole tensor in float32, HF layout (GGUF's q and k rows un-permuted). `out.size()` = number of elements.
  void read(const std::string& name, std::span<float> out) const;
  /// Rows [first, first + count) of a matrix, likewise; of q_proj and k_proj only whole heads.
  void read_rows(const std::string& name, std::int64_t first, std::int64_t count, std::span<float> out) const;
  /// The tensor as it lies in the file: its bytes, and in a GGUF its row order.
  const base::TensorView& view(const std::string& name) const;

 private:
  const base::TensorView* stored(const std::string& name) const;

  std::filesystem::path path_;
  ModelConfig config_;
  std::unique_ptr<base::GgufReader> gguf_;
  std::unique_ptr<base::SafetensorsReader> safetensors_;
  std::vector<std::string> names_;
};

/// Every HF tensor name with its shape that a model of this config has.
std::vector<std::pair<std::string, std::vector<std::int64_t>>> expected_tensors(const ModelConfig& config);
/// "model.layers.3.self_attn.q_proj.weight" <-> "blk.3.attn_q.weight"
std::string gguf_name(const std::string& hf_name);
/// Heads whose rows GGUF stores in another order (see permute_rope_rows): of a tensor of q_proj or k_proj, weight, bias
/// or lora_B; 0 for every other tensor.
std::int64_t rope_heads(const ModelConfig& config, std::string_view name);
/// GGUF's "llama" architecture stores q and k rows for interleaved RoPE: new[h*hd+2j+p] = old[h*hd+p*hd/2+j].
/// Rows of `matrix` [rows, columns] with `heads` heads; `to_gguf` false is the inverse.
void permute_rope_rows(std::span<float> matrix, std::int64_t rows, std::int64_t columns, std::int64_t heads,
                       bool to_gguf);

}  // namespace lora
