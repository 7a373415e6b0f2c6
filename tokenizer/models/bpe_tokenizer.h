// What runs a BpeSpec: BPE, byte-level (GPT-2, Llama 3, Qwen 2, SmolLM) and in plain characters with "▁" (Llama 2's
// tokenizer.json, SentencePiece vocabularies inside a GGUF), and Unigram.
#pragma once

#include <memory>
#include <mutex>

#include "tokenizer/models/added_tokens.h"
#include "tokenizer/models/bpe_model.h"
#include "tokenizer/models/cuts.h"
#include "tokenizer/models/decoder.h"
#include "tokenizer/models/unigram_model.h"
#include "tokenizer/models/word_cache.h"
#include "tokenizer/read/token_ids.h"
#include "tokenizer/spec/tokenizer.h"
#include "tokenizer/split/normalizer.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace tokenizer {

/// Bytes that are not valid UTF-8 are kept: byte-level vocabularies give them back in decode.
class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeSpec spec);

  std::vector<std::int32_t> encode(std::string_view text, bool parse_special = false) const override;
  Encoding encode_with_offsets(std::string_view text, DataRanges data) const override;
  std::string decode(const std::vector<std::int32_t>& ids, bool skip_special = false) const override;
  bool decodes_forward() const override { return !decoder_ || decoder_->goes_forward(); }
  std::int32_t size() const override { return static_cast<std::int32_t>(spec_.tokens.size()); }
  std::optional<std::int32_t> id_of(std::string_view token) const override;
  std::string token(std::int32_t id) const override;
  bool is_special(std::int32_t id) const override;
  /// encode with parse_special, behind what `ids` holds.
  void append(std::string_view text, std::vector<std::int32_t>& ids) const { encode_text(text, {}, ids, nullptr); }

 private:
  // What one thread needs while it encodes; kept for the next call.
  struct Scratch {
    WordCache cache;
    BpeModel::Workspace workspace;
    UnigramModel::Workspace lattice;
  };
  struct Borrowed;

  class PieceSink;

  // `offsets` is null where only ids are wanted; then data are all of the text or none of it.
  std::size_t encode_text(std::string_view text, DataRanges data, std::vector<std::int32_t>& ids,
                          std::vector<ByteRange>* offsets) const;
  std::size_t encode_section(std::string_view text, ByteRange section, DataRanges data, PieceSink& sink) const;
  std::string decode_by_steps(const std::vector<std::int32_t>& ids, bool skip_special) const;

  // What is not needed to encode is made when it is first asked for.
  struct Decoding {
    explicit Decoding(const BpeTokenizer& owner);
    std::vector<std::string> texts;     // what decode gives
    std::vector<std::uint32_t> widths;  // bytes of a piece that a token stands for; 0: not always the same
  };
  const Decoding& decoding() const;
  const TokenIds& ids() const;

  BpeSpec spec_;  // without its merges
  BpeModel model_;
  std::optional<UnigramModel> unigram_;  // instead of it
  std::optional<Decoder> decoder_;       // instead of Decoding's texts
  Cuts cuts_;
  Normalizer normalizer_;
  AddedTokenFinder raw_added_, normalized_added_;
  PreTokenizer pre_tokenizer_;
  std::vector<bool> special_;
  bool only_specials_;  // raw_added_ has no others

  mutable std::once_flag decoding_once_, ids_once_;
  mutable std::unique_ptr<const Decoding> decoding_;
  mutable std::unique_ptr<const TokenIds> ids_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> idle_;
};

}  // namespace tokenizer
