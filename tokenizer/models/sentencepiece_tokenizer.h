// SentencePiece .model files: plain BPE models are encoded by our own BPE, all others by libsentencepiece.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "tokenizer/models/added_tokens.h"
#include "tokenizer/models/bpe_tokenizer.h"
#include "tokenizer/read/sentencepiece_model.h"
#include "tokenizer/spec/tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace tokenizer {

/// Ids equal sentencepiece's EncodeAsIds, dummy prefix included. Special tokens (the control pieces and the unknown
/// piece, where they are parsed) and the tokens that stand beside the file are cut out first; what follows one is
/// encoded without a dummy prefix, unless tokenizer_config.json says `legacy`, as in transformers. User-defined pieces
/// are always found, by sentencepiece itself. Bytes that are not valid UTF-8 become U+FFFD. decode keeps incomplete
/// byte pieces as bytes and drops the dummy prefix's blank; the unknown piece gives " ⁇ ", as in sentencepiece.
class SentencePieceTokenizer : public Tokenizer {
 public:
  /// With `in_folder`, what stands beside the file counts (`read_sentencepiece_model`), and `more` tokens.
  SentencePieceTokenizer(const std::filesystem::path& path, bool in_folder, std::span<const AddedToken> more = {});
  ~SentencePieceTokenizer() override;

  std::vector<std::int32_t> encode(std::string_view text, bool parse_special = false) const override;
  Encoding encode_with_offsets(std::string_view text, DataRanges data) const override;
  std::string decode(const std::vector<std::int32_t>& ids, bool skip_special = false) const override;
  std::int32_t size() const override { return static_cast<std::int32_t>(model_.pieces.size()); }
  std::optional<std::int32_t> id_of(std::string_view token) const override;
  std::string token(std::int32_t id) const override;
  bool is_special(std::int32_t id) const override;

 private:
  const SentencePieceModel::Piece& piece(std::int32_t id) const;
  template <class Part>
  std::size_t encode_parts(std::string_view text, DataRanges data, std::vector<std::int32_t>& ids,
                           std::vector<ByteRange>* offsets, Part part) const;
  void append_ours(std::string_view part, std::size_t begin, Encoding& encoding) const;
  void append_theirs(std::string_view part, std::size_t begin, Encoding& encoding) const;
  bool is_ours(std::string_view text) const;
  bool has_prefix(std::size_t begin) const;
  const sentencepiece::SentencePieceProcessor& processor_for(bool first) const;

  SentencePieceModel model_;
  std::string without_prefix_;  // the file, changed so that no dummy prefix is added
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  mutable std::unique_ptr<sentencepiece::SentencePieceProcessor> unprefixed_;  // made when it is first needed
  mutable std::once_flag unprefixed_once_;
  std::unique_ptr<BpeTokenizer> own_, own_unprefixed_;      // of a plain BPE model
  std::unordered_map<std::string_view, std::int32_t> ids_;  // views into model_.pieces
  std::unique_ptr<AddedTokenFinder> added_;
};

}  // namespace tokenizer
