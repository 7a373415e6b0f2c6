// A base model on disk, whatever its format, as tensors under Hugging Face names.
// Tested by tests/lora/model/model_files_test.cc.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/gguf.h"
#include "base/safetensors.h"
#include "lora/model/packed_matrix.h"
#include "lora/model/spec.h"
#include "tokenizer/spec/bpe_spec.h"

namespace lora {

/// The blocks of a tensor as they stand in the file.
struct StoredBlocks {
  base::DType type;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;  ///< as long as the file is open; every row is whole blocks
  /// Heads whose rows are interleaved here (permute_rope_rows puts them back), 0: rows in Hugging Face's order.
  std::int64_t interleaved_heads = 0;
  std::int64_t key_heads = 0, head_rows = 0;  ///< likewise, of rows that stand as q | k | v here (regrouped_head)
};

/// Opens what find_model finds: a Hugging Face folder or a .gguf file. Throws base::Error naming the download command
/// when it is not there. Checks that exactly the expected tensors with the expected shapes are present.
class ModelFiles {
 public:
  explicit ModelFiles(const std::string& model);
  /// A folder of safetensors whose spec is told instead of read.
  ModelFiles(const std::filesystem::path& folder, ModelSpec spec);
  /// Unties the head of a model that ties it to its embedding: a tensor of its own now, with the same values.
  void give_own_head();
  /// What the rows of new tokens begin with: the mean of the rows before them (transformers' resize_token_embeddings
  /// draws them about it), or 0, where an adapter brings them.
  enum class NewRows { kMean, kZero };
  /// Gives the vocabulary `tokens`, by id, and at least `rows` rows: embedding, head and the head's bias (whose new
  /// numbers are the mean in either case). With kMean, `tokens` begin so in rows of padding too, which the file has.
  /// The files stay as they are. Throws base::Error for a packed matrix.
  void grow(std::vector<tokenizer::AddedToken> tokens, std::int64_t rows, NewRows begin);
  /// The tokens that the model's files do not have.
  const std::vector<tokenizer::AddedToken>& new_tokens() const { return new_tokens_; }
  /// Rows of a tensor, the last ones, that are not as in the file.
  std::int64_t new_rows(const std::string& name) const;
  const ModelSpec& spec() const { return spec_; }
  const ModelConfig& config() const { return spec_.config; }
  /// Where the model really lies: the folder or the .gguf file; give it to tokenizer::load.
  const std::filesystem::path& path() const { return path_; }
  bool is_gguf() const { return gguf_ != nullptr; }
  /// What a user should know of how it was read, a sentence each.
  std::vector<std::string> notes() const;
  const base::GgufReader* gguf() const { return gguf_.get(); }
  /// HF names in a fixed order: embed_tokens, layers in forward order, norm, lm_head (absent when tied).
  const std::vector<std::string>& names() const { return names_; }
  /// A tensor by its Hugging Face name, null when the model has none such.
  const TensorSpec* find(const std::string& name) const;
  /// The same; throws when there is none.
  const TensorSpec& tensor(const std::string& name) const;
  std::vector<std::int64_t> shape(const std::string& name) const;
  base::DType type(const std::string& name) const;
  /// The whole tensor in float32, HF layout (GGUF's q and k rows un-permuted). `out.size()` = number of elements.
  void read(const std::string& name, std::span<float> out) const;
  /// Rows [first, first + count) of a matrix, likewise; of matrices whose rows stand otherwise in a GGUF only whole
  /// heads.
  void read_rows(const std::string& name, std::int64_t first, std::int64_t count, std::span<float> out) const;
  /// The tensor as it lies in the file: its bytes, and in a GGUF its row order. Of a packed one shape and type are
  /// those of what it gives.
  const base::TensorView& view(const std::string& name) const;
  /// Several numbers a byte, with tensors beside it that say how (bitsandbytes).
  bool is_packed(const std::string& name) const { return packed(name) != nullptr; }
  /// The same, null for a plain tensor.
  const PackedMatrix* packed(const std::string& name) const { return stored(name).packed.get(); }
  /// "BF16", "Q8_0", "NF4": how it is kept.
  std::string_view type_name(const std::string& name) const;
  /// Tensors of a wrapper that are not the text model's, as they lie in the file.
  const std::vector<base::TensorView>& carried() const { return carried_; }
  /// The name under which a folder keeps it: of a wrapper's text model as in the file, else its Hugging Face name.
  const std::string& name_on_disk(const std::string& name) const;
  /// Blocks for who keeps them as they are: what must be known to use them. Without new rows. Throws for packed
  /// tensors.
  StoredBlocks blocks(const std::string& name) const;
  /// The same bytes with the rows in Hugging Face's order. `out.size()` = that of the tensor's bytes.
  void read_blocks(const std::string& name, std::span<std::byte> out) const;

 private:
  struct Stored {
    TensorSpec spec;
    base::TensorView view;
    std::shared_ptr<const PackedMatrix> packed;  // null: `view` is the tensor
    std::vector<float> grown{};                  // behind what is in the file
  };
  const Stored& stored(const std::string& name) const;
  void find_tensors(TensorsByName tensors);
  Stored take(TensorsByName& tensors, TensorSpec tensor, base::DType packed_type) const;
  void untie_another_head(const TensorsByName& tensors);
  bool is_carried(const std::string& name) const;
  void refuse_tensor(const std::string& name, const base::TensorView& view) const;

  std::filesystem::path path_;
  ModelSpec spec_;
  std::unique_ptr<base::GgufReader> gguf_;
  std::unique_ptr<base::SafetensorsReader> safetensors_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Stored> tensors_;  // by the Hugging Face name
  std::vector<base::TensorView> carried_;
  std::vector<tokenizer::AddedToken> new_tokens_;
  std::size_t passed_over_ = 0;  // tensors that follow from the config
};

/// GGUF's "llama" architecture stores q and k rows for interleaved RoPE: new[h*hd+2j+p] = old[h*hd+p*hd/2+j].
/// Rows of `matrix` [rows, columns] with `heads` heads; `to_gguf` false is the inverse.
void permute_rope_rows(std::span<float> matrix, std::int64_t rows, std::int64_t columns, std::int64_t heads,
                       bool to_gguf);
/// The same for rows of blocks of any type.
void permute_rope_rows(std::span<std::byte> blocks, std::int64_t rows, std::int64_t heads, bool to_gguf);

/// The place among q | k | v of a head among the groups q .. q k v of `key_heads` key heads, of `heads` in all.
std::int64_t regrouped_head(std::int64_t head, std::int64_t key_heads, std::int64_t heads);
/// Rows of heads of `head_rows` rows from those groups into the order q | k | v.
void regroup_rows(std::span<float> matrix, std::int64_t rows, std::int64_t key_heads, std::int64_t head_rows);

}  // namespace lora
