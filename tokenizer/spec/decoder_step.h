// How the texts of tokens become a text, as data.
#pragma once

#include <cstdint>
#include <string>

namespace tokenizer {

/// One step of a decoder, with the meaning that it has in the tokenizers package. Steps apply in order, each to the
/// list of texts that the one before gave.
struct DecoderStep {
  enum Kind : std::uint8_t {
    kByteLevel,       ///< characters of GPT-2's byte alphabet become bytes; one text
    kByteFallback,    ///< "<0x..>" becomes the byte
    kReplace,         ///< `from` becomes `text`
    kReplacePattern,  ///< what the regular expression `from` matches becomes `text`
    kFuse,            ///< one text
    kStrip,           ///< up to `start` and `stop` times the character `from` goes at the ends of each text
    kMetaspace,       ///< `from` becomes a blank, in the first text nothing if `flag`
    kWordPiece,       ///< a blank before each text but the first, unless it begins with `from`; `flag`: tidied
    kWordEnd,         ///< `from` becomes a blank, in the last text nothing (BPEDecoder)
    kCtc              ///< repeated texts and `from` go; `flag`: tidied, and `text` becomes a blank
  };
  Kind kind;
  std::string from = {}, text = {};
  std::uint32_t start = 0, stop = 0;
  bool flag = false;
};

}  // namespace tokenizer
