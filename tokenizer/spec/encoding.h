// Ids together with the bytes of the text that they stand for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tokenizer {

/// Bytes [begin, end) of a text.
struct ByteRange {
  std::size_t begin = 0, end = 0;
  bool operator==(const ByteRange&) const = default;
  bool overlaps(const ByteRange& other) const { return begin < other.end && other.begin < end; }
};

/// `offsets[i]` are the bytes of the text that gave `ids[i]`, defined byte by byte:
///   a token that begins or ends inside a character has just its own bytes, a "<0x..>" token the one byte that it is;
///   where a normaliser made other bytes of some (NFC, a replaced text), each new byte stands for all the old ones;
///   what was put in front ("▁", a blank) stands for no byte: a token of nothing else has an empty range;
///   an added token has what it was found as, with the white space that its strip flags take;
///   a byte without a token in the vocabulary is in no range.
struct Encoding {
  std::vector<std::int32_t> ids;
  std::vector<ByteRange> offsets;
  /// Special tokens that stand in the data, and were read as ordinary characters there.
  std::size_t specials_as_text = 0;
};

/// Parts of a text that are data, sorted and disjoint: in them, and across their borders, special tokens are ordinary
/// characters.
using DataRanges = std::span<const ByteRange>;

}  // namespace tokenizer
