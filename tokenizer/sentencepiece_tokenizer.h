// SentencePiece .model files, encoded by libsentencepiece.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace tokenizer {

/// Ids equal sentencepiece's EncodeAsIds. With `parse_special`, the control pieces ("<s>") and the unknown piece are
/// cut out first and every part between them is encoded as a text of its own, dummy prefix included (what transformers'
/// legacy behaviour does). User-defined pieces are always found, by sentencepiece itself. Bytes that are not valid
/// UTF-8 become U+FFFD. decode keeps incomplete byte pieces as bytes and drops the dummy prefix's blank; the unknown
/// piece gives " ⁇ ", as in sentencepiece.
class SentencePieceTokenizer : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(const std::filesystem::path& path);
  ~SentencePieceTokenizer() override;

  std::vector<std::int32_t> encode(std::string_view text, bool parse_special = false) const override;
  std::string decode(const std::vector<std::int32_t>& ids, bool skip_special = false) const override;
  std::int32_t size() const override { return static_cast<std::int32_t>(model_.pieces.size()); }
  std::optional<std::int32_t> id_of(std::string_view token) const override;
  std::string token(std::int32_t id) const override;
  bool is_special(std::int32_t id) const override;

 private:
  const SentencePieceModel::Piece& piece(std::int32_t id) const;
  void encode_part(std::string_view text, std::vector<std::int32_t>& ids) const;

  SentencePieceModel model_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  std::unordered_map<std::string_view, std::int32_t> ids_;  // views into model_.pieces
  class SpecialFinder;
  std::unique_ptr<SpecialFinder> specials_;
};

}  // namespace tokenizer
