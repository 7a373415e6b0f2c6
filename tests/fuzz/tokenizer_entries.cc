// Fuzz entries of tokenizer.
#include <algorithm>

#include "base/error.h"
#include "tests/fuzz/entries.h"
#include "tests/fuzz/memory_file.h"
#include "tokenizer/spec/tokenizer.h"
#include "tokenizer/split/character_map.h"
#include "tokenizer/split/pattern.h"

namespace fuzz {

void vocabulary(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return;
  constexpr const char* kSuffixes[] = {".json", ".tiktoken", ".gguf", ".model"};
  const MemoryFile file(kSuffixes[data[0] & 3], data + 1, size - 1);
  try {
    const auto model = tokenizer::load(file.path());
    for (const std::string text : {"ab ab <s>", "\xFF 12 \n\n x", "e\xCC\x81"}) {
      const auto ids = model->encode(text, true);
      for (const std::int32_t id : ids) check(id >= 0 && id < model->size(), "ids lie in the vocabulary");
      model->decode(ids);
      const auto encoding = model->encode_with_offsets(text, {});
      check(encoding.ids == ids, "the same ids with offsets");
      for (const auto& range : encoding.offsets) check(range.begin <= range.end && range.end <= text.size(), "offsets");
    }
  } catch (const base::Error&) {
  }
}

void pattern(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    const tokenizer::Pattern made(text, data[0] & 1 ? tokenizer::Dialect::kRust : tokenizer::Dialect::kOniguruma);
    tokenizer::Pattern::Workspace workspace;
    for (const std::string_view where : {text, std::string_view("aB 12\xC3\xA9\n\xFF's")})
      if (const auto match = made.find(where, 0, workspace))
        check(match->begin <= match->end && match->end <= where.size(), "a match lies in the text");
  } catch (const base::Error&) {
  }
}

void character_map(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t map_size = std::min<std::size_t>(bytes.size(), data[0] * 8);
  const std::string_view text = bytes.substr(map_size);
  try {
    std::size_t done = 0;
    for (const auto& [range, instead] : tokenizer::CharacterMap(bytes.substr(0, map_size)).changes(text)) {
      check(done <= range.begin && range.begin < range.end && range.end <= text.size(), "changes stand in order");
      done = range.end;
    }
  } catch (const base::Error&) {
  }
}

}  // namespace fuzz
