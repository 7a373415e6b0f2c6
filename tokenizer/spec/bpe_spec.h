// A BPE or Unigram tokenizer as data, whatever file it came from: what the readers make, the encoder runs and the
// writers write.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/texts.h"
#include "tokenizer/spec/decoder_step.h"
#include "tokenizer/spec/split_step.h"

namespace tokenizer {

class TokenTable;

/// A token found in the text before any splitting (added_tokens of tokenizer.json; control and user-defined tokens of
/// GGUF). The flags mean what they mean in the tokenizers package.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;      ///< found only with parse_special; dropped by decode with skip_special
  bool normalized = false;   ///< looked for in the normalised text
  bool left_strip = false;   ///< takes the white space before it
  bool right_strip = false;  ///< takes the white space after it
  bool single_word = false;  ///< not inside a word
  bool in_model = false;     ///< also a token of the model itself, so that merging may give it
};

struct NormalizerStep {
  enum Kind {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kStripLeft,
    kStripRight,
    kPrepend,
    kReplace,
    kReplacePattern,
    kNmt,                ///< control characters go, all white space becomes a blank (Nmt)
    kStripAccents,       ///< marks go (StripAccents)
    kStripNonSpacing,    ///< non-spacing marks go (BertNormalizer)
    kCleanText,          ///< control characters go, white space becomes a blank (BertNormalizer)
    kIsolateIdeographs,  ///< a blank on either side of each Chinese character (BertNormalizer)
    kByteAlphabet,       ///< each byte becomes its character of GPT-2's byte alphabet (ByteLevel)
    kCharacterMap        ///< SentencePiece's precompiled map, as the tokenizers package applies it (Precompiled)
  };
  Kind kind = kNfc;
  std::string from;  ///< kReplace: what is replaced; kReplacePattern: its regular expression; kCharacterMap: the map
  std::string text;  ///< kPrepend: what is put before a non-empty text; kReplace..: what comes instead
  bool unicode_9 = true;  ///< forms: as the tokenizers package knows them; else by the installed Unicode
};

/// `left` and `right`, neighbours, become `result`; lower ranks first, then from left to right.
struct Merge {
  std::int32_t left, right, result;
  std::int32_t rank;
};

/// The special tokens by role, and what the peer adds with add_special_tokens=True.
struct SpecialRoles {
  std::optional<std::int32_t> bos, eos, pad, unknown;
  bool add_bos = false, add_eos = false;
  std::string chat_template;
  std::string tool_template;  ///< that for conversations with tools, where the model has one of its own
  /// The end tokens that are not EOS: eot and eom of a GGUF, the lists of generation_config.json and config.json.
  std::vector<std::int32_t> other_ends;
  void add_end(std::int32_t id);  ///< unless it is one already
  /// SentencePiece: a text after a special token gets a dummy prefix too (`legacy` of tokenizer_config.json).
  bool prefix_after_special = false;
};

struct BpeSpec {
  bool byte_level = true;  ///< tokens are written in GPT-2's byte alphabet; else in plain characters with "▁"
  /// Byte level: the tokens of the model are not written in that alphabet, they are the bytes themselves.
  bool in_bytes = false;
  base::Texts tokens;                         ///< by id, added ones included; "" for an id that has no token
  std::shared_ptr<const TokenTable> by_text;  ///< with in_bytes: the tokens of the model
  std::vector<Merge> merges;
  /// Instead of `merges`: whatever neighbours form a token of the model merge, the lowest id first. Every byte is one.
  bool merges_by_id = false;
  std::vector<AddedToken> added;
  std::vector<NormalizerStep> normalizer;
  std::vector<SplitStep> splits;
  std::optional<std::int32_t> unknown;  ///< the model's unk_token: what an unknown character becomes; else nothing
  bool fuse_unknown = false;            ///< a run of unknown characters is one token
  bool byte_fallback = false;           ///< an unknown character becomes its "<0x..>" tokens
  bool ignore_merges = false;           ///< a piece that is a token is that token
  bool strip_leading_space = false;     ///< decode drops the blank that encode put in front
  std::vector<float> scores;            ///< of SentencePiece, by id; may be empty
  std::vector<double> unigram;          ///< of a Unigram model: the score of each of its tokens; else empty
  std::optional<std::vector<DecoderStep>> decoder;  ///< where tokens are not just joined; no steps: joined with blanks
  SpecialRoles roles;
  std::string origin;  ///< what kind of file it was, for people

  /// Ids of added tokens that are not the model's own: their texts are never bytes or an alphabet.
  std::vector<bool> only_added() const;
};

}  // namespace tokenizer
