// SentencePiece's precompiled map of characters: a double array of what is replaced, and the texts that come instead.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include "tokenizer/split/character_map.h"

#include <fmt/format.h>
#include <unicode/brkiter.h>
#include <unicode/utext.h>

#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/unicode.h"
#include "tokenizer/split/characters.h"

namespace tokenizer {
namespace {

// A unit of the double array (Darts-clone's layout).
bool has_value(std::uint32_t unit) { return (unit >> 8) & 1; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFF; }
std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000FF; }
std::size_t offset_of(std::uint32_t unit) { return static_cast<std::size_t>(unit >> 10) << ((unit & 0x200) >> 6); }

[[noreturn]] void broken(const std::string& what, const std::string& expected) {
  throw base::Error({"the normalizer Precompiled is broken", "", what, expected, "get the file again from its source"});
}

std::uint32_t number_at(std::string_view bytes, std::size_t position) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[position + i]);
  return value;
}

using Iterator = std::unique_ptr<icu::BreakIterator>;

Iterator clusters_of(UText& text) {
  UErrorCode status = U_ZERO_ERROR;
  Iterator clusters(icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
  if (U_SUCCESS(status)) clusters->setText(&text, status);
  if (U_FAILURE(status)) throw base::Error({"cannot find the characters of a text", "", u_errorName(status), "", ""});
  return clusters;
}

}  // namespace

CharacterMap::CharacterMap(std::string_view bytes) {
  if (bytes.size() < 8) broken(fmt::format("a map of {} bytes", bytes.size()), "8 bytes or more");
  const std::size_t size = number_at(bytes, 0);
  if (size % 4 != 0 || size == 0 || size > bytes.size() - 4)
    broken(fmt::format("a tree of {} bytes", size), fmt::format("a multiple of 4 up to {}", bytes.size() - 4));
  for (std::size_t i = 0; i < size; i += 4) units_.push_back(number_at(bytes, 4 + i));
  texts_ = bytes.substr(4 + size);
  if (const std::size_t bad = base::find_invalid_utf8(texts_); bad != std::string::npos)
    broken(fmt::format("its texts are no UTF-8 at byte {}", bad), "UTF-8");
}

std::optional<std::string_view> CharacterMap::find(std::string_view text) const {
  std::size_t node = offset_of(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || label_of(units_[node]) != byte) return std::nullopt;
    const std::uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (!has_value(unit)) continue;
    const std::size_t begin = node < units_.size() ? value_of(units_[node]) : texts_.size() + 1;
    if (begin > texts_.size())
      broken(fmt::format("a text that begins at byte {}", begin), fmt::format("0 to {}", texts_.size()));
    return std::string_view(texts_).substr(begin, texts_.find('\0', begin) - begin);
  }
  return std::nullopt;
}

void CharacterMap::add_changes(std::string_view text, ByteRange cluster, std::vector<Change>& changes) const {
  constexpr std::size_t kLongest = 5;  // of a cluster that is looked up as one
  const auto add = [&](ByteRange range) {
    const auto instead = find(text.substr(range.begin, range.end - range.begin));
    if (instead) changes.push_back({range, *instead});
    return instead.has_value();
  };
  if (cluster.end - cluster.begin <= kLongest && add(cluster)) return;
  for (std::size_t i = cluster.begin; i < cluster.end;) {
    const std::size_t size = character_at(text, i).size;
    add({i, i + size});
    i += size;
  }
}

std::vector<CharacterMap::Change> CharacterMap::changes(std::string_view text) const {
  std::vector<Change> changes;
  if (base::find_invalid_utf8(text) != std::string_view::npos) return changes;
  UErrorCode status = U_ZERO_ERROR;
  UText opened = UTEXT_INITIALIZER;
  utext_openUTF8(&opened, text.data(), static_cast<std::int64_t>(text.size()), &status);
  const std::unique_ptr<UText, decltype(&utext_close)> closer(&opened, &utext_close);
  const Iterator clusters = clusters_of(opened);
  for (std::int32_t begin = clusters->first(), end = clusters->next(); end != icu::BreakIterator::DONE;
       begin = end, end = clusters->next())
    add_changes(text, {static_cast<std::size_t>(begin), static_cast<std::size_t>(end)}, changes);
  return changes;
}

}  // namespace tokenizer
