// What the textbook model knows of a text: pairs of style tokens, and a page of statistics. Tested by
// tests/curate/scorer/textbook_model_test.cc.
#include "curate/scorer/textbook_features.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/text.h"

namespace curate {
namespace {

constexpr std::string_view kSuffixes[] = {"ing",  "ed",  "ly",  "tion", "ions", "ment", "ness", "ity",
                                          "able", "ive", "ous", "ful",  "al",   "er",   "es",   "s"};

// Codes of tokens that are not general words; those come from kFirstWord on, two each.
constexpr std::uint32_t kUpperWord = 40, kUpperLetter = 41, kCamelWord = 42, kNumberCode = 44, kMixedCode = 48,
                        kMarkCode = 64, kBreakCode = kMarkCode + 3 * 128, kFirstWord = 512;

bool ends_with(std::string_view word, std::string_view lower_suffix) {
  if (word.size() < lower_suffix.size()) return false;
  word.remove_prefix(word.size() - lower_suffix.size());
  for (std::size_t i = 0; i < word.size(); ++i) {
    if ((word[i] | 0x20) != lower_suffix[i]) return false;
  }
  return true;
}

std::uint32_t shape(const StyleToken& token, std::string_view word) {
  const std::uint32_t capital = token.first_capital ? 20 : 0;
  if (token.first_capital && token.count == 1) return kUpperLetter;
  if (token.capitals >= token.count) return kUpperWord;
  if (token.capitals > (token.first_capital ? 1 : 0)) return kCamelWord;
  switch (word.back() | 0x20) {  // the last letters of kSuffixes
    case 'g':
    case 'd':
    case 'y':
    case 'n':
    case 's':
    case 't':
    case 'e':
    case 'l':
    case 'r':
      for (std::uint32_t i = 0; i < std::size(kSuffixes); ++i) {
        if (word.size() > kSuffixes[i].size() + 2 && ends_with(word, kSuffixes[i])) return capital + i;
      }
  }
  return capital + 16 + (token.count <= 2 ? 0 : token.count <= 4 ? 1 : token.count <= 7 ? 2 : 3);
}

std::uint32_t mix32(std::uint32_t x) {  // lowbias32 of Chris Wellons' hash prospector
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}
std::uint32_t pair_code(std::uint32_t first, std::uint32_t second) { return first * 0x9E3779B1u + second + 1; }

}  // namespace

StyleVocabulary::StyleVocabulary(std::vector<std::string> words) : words_(std::move(words)) {
  const std::size_t size = std::bit_ceil(2 * (256 + words_.size()));  // all word groups together are below 256 words
  shift_ = 64 - std::countr_zero(size);
  mask_ = size - 1;
  slots_.resize(size);
  auto place = [&](std::string_view word) -> StyleWord& {
    const std::uint64_t hash = style_hash(word);
    StyleWord& slot = slots_[static_cast<std::size_t>(&find(hash) - slots_.data())];
    slot.hash = hash;
    return slot;
  };
  const std::span<const std::string_view> groups = style_word_groups();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const std::string& word : base::split(groups[g], ' ')) place(word).groups |= 1u << g;
  }
  for (std::size_t i = 0; i < words_.size(); ++i) {
    StyleWord& word = place(words_[i]);
    if (word.rank < 0) word.rank = static_cast<std::int32_t>(i);
  }
}

std::uint32_t style_code(const StyleToken& token, const StyleWord& word, std::string_view text) {
  switch (token.kind) {
    case StyleKind::kWord:
      if (word.rank >= 0) return kFirstWord + 2 * static_cast<std::uint32_t>(word.rank) + (token.first_capital ? 1 : 0);
      return shape(token, token.text(text));
    case StyleKind::kNumber: {
      const std::uint32_t size = token.count;
      return kNumberCode + (size == 1 ? 0 : size < 4 ? 1 : size == 4 ? 2 : 3);
    }
    case StyleKind::kMixed:
      return kMixedCode + (token.underscore ? 1 : 0);
    case StyleKind::kMark:
      return kMarkCode + 3u * token.mark + (token.count == 1 ? 0 : token.count < 4 ? 1 : 2);
    case StyleKind::kBreak:
      break;
  }
  const std::uint32_t indent = token.indent == 0 ? 0 : token.tab ? 1 : token.indent < 3 ? 2 : token.indent <= 4 ? 3 : 4;
  return kBreakCode + (token.count > 1 ? 5 : 0) + indent;
}

std::uint32_t style_bucket(std::uint32_t code) { return mix32(code) >> (32 - StyleFeatures::kBits); }
std::uint32_t style_bucket(std::uint32_t first, std::uint32_t second) {
  return mix32(pair_code(first, second)) >> (32 - StyleFeatures::kBits);
}

StyleFeatures::StyleFeatures() : counts_(std::size_t{1} << kBits) {}

std::pair<std::string_view, std::string_view> StyleFeatures::sample(std::string_view text) {
  if (text.size() <= kMostBytes) return {text, {}};
  // Cut at line starts where there are any near by, else between characters.
  auto cut = [&](std::size_t at) {
    const std::size_t line = text.find('\n', at);
    if (line != std::string_view::npos && line < at + 512) return line + 1;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
    return at;
  };
  const std::size_t half = kMostBytes / 2;
  const std::size_t first_end = cut(half - 512);
  const std::size_t second = std::max(first_end, cut(text.size() / 2 - half / 2));
  const std::size_t second_end = std::max(second, cut(std::min(text.size(), second + half - 512)));
  return {text.substr(0, first_end), text.substr(second, second_end - second)};
}

void StyleFeatures::read(std::string_view text, const StyleVocabulary& vocabulary) {
  grams_.clear();
  totals_.clear();
  tokens_ = 0;
  static_assert(2 * kMostBytes < 65536);  // two grams a token, at least a byte each
  auto add = [&](std::uint32_t bucket) {
    if (counts_[bucket]++ == 0) grams_.push_back({bucket, 0});
  };
  const auto [first, second] = sample(text);
  std::uint64_t high_bytes = 0;
  for (std::string_view piece : {first, second}) {
    std::uint32_t before = kBreakCode;
    for_each_style_token(piece, [&](const StyleToken& token) {
      static constexpr StyleWord kNone;
      const StyleWord& word = token.kind == StyleKind::kWord ? vocabulary.find(token.hash) : kNone;
      const std::uint32_t code = style_code(token, word, piece);
      add(style_bucket(code));
      add(style_bucket(before, code));
      before = code;
      ++tokens_;
      totals_.add(token, word, code);
    });
    totals_.end_piece();
    for (char c : piece) high_bytes += static_cast<unsigned char>(c) >> 7;
  }
  for (Gram& gram : grams_) gram.count = std::exchange(counts_[gram.bucket], std::uint16_t{0});
  totals_.finish(first.size() + second.size(), high_bytes, statistics_);
}

}  // namespace curate
