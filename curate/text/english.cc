// The English tokenizer rules of spaCy as tables: classes of code points, special cases, units. Tested by
// tests/curate/text/words_test.cc.
#include "curate/text/english.h"

#include "base/unicode.h"

namespace curate {
using namespace character;
namespace {

struct Range {
  std::uint32_t first, last, classes;
};
struct SpecialRow {
  std::string_view text, words, sequence;
};
#include "curate/text/english_tables.inc"

}  // namespace

const English& English::get() {
  static const English english;
  return english;
}

English::English() {
  pages_.emplace_back();  // page 0: code points of no class
  pages_.back().fill(0);
  for (const Range& range : kRanges) {
    for (std::uint32_t c = range.first; c <= range.last; ++c) {
      std::uint16_t& page = page_of_[c >> 8];
      if (page == 0) {
        page = static_cast<std::uint16_t>(pages_.size());
        pages_.emplace_back();
        pages_.back().fill(0);
      }
      pages_[page][c & 255] = range.classes;
    }
  }
  for (char32_t c = 0; c < 128; ++c) ascii_[c] = classes(c);

  states_.emplace_back();
  ends_.push_back(false);
  for (const SpecialRow& row : kSpecials) {
    SpecialCase special{row.text, {}};
    std::uint32_t offset = 0;
    for (char length : row.words) {
      Word word = measured(row.text.substr(offset, static_cast<std::size_t>(length)));
      word.offset = offset;
      offset += word.bytes;
      special.words.push_back(word);
    }
    std::uint64_t hash = hash_word(row.text);
    special_by_hash_.emplace(hash, static_cast<std::uint32_t>(specials_.size()));
    special_filter_[hash >> 54] |= std::uint64_t{1} << ((hash >> 48) & 63);
    shape_filter_[shape(row.text) >> 6] |= std::uint64_t{1} << (shape(row.text) & 63);
    longest_special_ = std::max(longest_special_, row.text.size());
    specials_.push_back(std::move(special));
    if (row.sequence.size() > 1) add_sequence(row.text, row.sequence);  // one token: cut into itself, nothing to do
  }
  auto add_unit = [&](std::string_view unit) {
    units_.emplace(unit, true);
    std::size_t length = 0;
    for (char byte : unit) length += (byte & 0xC0) != 0x80;
    longest_unit_ = std::max(longest_unit_, length);
  };
  for (std::string_view unit : kUnits) add_unit(unit);
  for (std::string_view currency : kLongCurrencies) add_unit(currency);
}

Word English::measured(std::string_view text) const {
  Word word;
  word.hash = hash_word(text);
  word.bytes = static_cast<std::uint32_t>(text.size());
  word.flags = Word::kAllPunctuation;
  std::uint32_t any = 0;
  for (std::size_t position = 0; position < text.size(); ++word.code_points) {
    std::uint32_t bits = classes(base::next_code_point(text, position));
    any |= bits;
    if (!(bits & kSymbol)) word.flags |= Word::kHasNonSymbol;
    if (!(bits & kPunctuation)) word.flags &= ~std::uint32_t{Word::kAllPunctuation};
  }
  if (any & kAlpha) word.flags |= Word::kHasAlpha;
  if ((any & kSentenceEnd) && word.code_points == 1) word.flags |= Word::kEndsSentence;
  return word;
}

void English::add_sequence(std::string_view text, std::string_view lengths) {
  std::int32_t state = 0;
  std::size_t offset = 0;
  std::vector<std::uint64_t> hashes;
  for (char length : lengths) {
    std::uint64_t hash = hash_word(text.substr(offset, static_cast<std::size_t>(length)));
    offset += static_cast<std::size_t>(length);
    hashes.push_back(hash);
    auto [entry, added] =
        states_[static_cast<std::size_t>(state)].emplace(hash, static_cast<std::int32_t>(states_.size()));
    state = entry->second;  // before the vector grows
    if (added) {
      states_.emplace_back();
      ends_.push_back(false);
    }
  }
  ends_[static_cast<std::size_t>(state)] = true;
  std::uint64_t key = pair_key(hashes[0], hashes[1]);
  pair_filter_[key >> 6] |= std::uint64_t{1} << (key & 63);
}

std::int32_t English::next_state(std::int32_t state, std::uint64_t token_hash) const {
  const auto& edges = states_[static_cast<std::size_t>(state)];
  auto edge = edges.find(token_hash);
  return edge == edges.end() ? -1 : edge->second;
}

const SpecialCase* English::find_special(std::string_view text, std::uint64_t hash) const {
  auto entry = special_by_hash_.find(hash);
  if (entry == special_by_hash_.end()) return nullptr;
  const SpecialCase& special = specials_[entry->second];
  return special.text == text ? &special : nullptr;
}

bool English::is_unit(std::string_view text) const { return units_.contains(text); }

}  // namespace curate
