// SentencePiece's precompiled map of characters: a double array of what is replaced, and the texts that come instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/spec/encoding.h"

namespace tokenizer {

/// Immutable once made; any thread. Applied as the tokenizers package does, which is not what SentencePiece does: of a
/// grapheme cluster below six bytes, or else of each character, the shortest beginning that the map knows decides, and
/// all of it is replaced.
class CharacterMap {
 public:
  /// From the bytes of `precompiled_charsmap`. Throws Error for what is no such map.
  explicit CharacterMap(std::string_view bytes);
  /// What comes instead of the shortest beginning of `text` that the map knows.
  std::optional<std::string_view> find(std::string_view text) const;
  struct Change {
    ByteRange range;
    std::string_view instead;
  };
  /// All changes of `text`, in order. Text that is not UTF-8 has none.
  std::vector<Change> changes(std::string_view text) const;

 private:
  void add_changes(std::string_view text, ByteRange cluster, std::vector<Change>& changes) const;

  std::vector<std::uint32_t> units_;
  std::string texts_;  // each ends with a zero byte
};

}  // namespace tokenizer
