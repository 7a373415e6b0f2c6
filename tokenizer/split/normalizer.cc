// The normalisers of tokenizer.json, with the way back from the new bytes to the old ones. Tested by
// tests/tokenizer/pattern_test.cc.
#include "tokenizer/split/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/edits.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include <algorithm>

#include "base/error.h"
#include "base/unicode.h"
#include "tokenizer/split/characters.h"
#include "tokenizer/split/unicode_sets.h"

namespace tokenizer {
namespace {

using Origins = std::vector<ByteRange>;

ByteRange joined(const Origins& origins, std::size_t begin, std::size_t end) {
  return {origins[begin].begin, origins[end - 1].end};
}

void check(UErrorCode status) {
  if (U_FAILURE(status)) throw base::Error({"cannot normalise the text", "", u_errorName(status), "", ""});
}

const icu::Normalizer2& newest_form(NormalizerStep::Kind kind) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = kind == NormalizerStep::kNfc    ? icu::Normalizer2::getNFCInstance(status)
                                 : kind == NormalizerStep::kNfd  ? icu::Normalizer2::getNFDInstance(status)
                                 : kind == NormalizerStep::kNfkc ? icu::Normalizer2::getNFKCInstance(status)
                                                                 : icu::Normalizer2::getNFKDInstance(status);
  check(status);
  return *form;
}

// What Unicode 9 does not know stays as it is, in the tokenizers package.
const icu::Normalizer2& form_of(const NormalizerStep& step) {
  if (!step.unicode_9) return newest_form(step.kind);
  static const icu::UnicodeSet known = [] {
    UErrorCode status = U_ZERO_ERROR;
    icu::UnicodeSet set(icu::UnicodeString("[:age=9.0:]"), status);
    check(status);
    return set;
  }();
  using enum NormalizerStep::Kind;
  static const icu::FilteredNormalizer2 nfc(newest_form(kNfc), known), nfd(newest_form(kNfd), known),
      nfkc(newest_form(kNfkc), known), nfkd(newest_form(kNfkd), known);
  return step.kind == kNfc ? nfc : step.kind == kNfd ? nfd : step.kind == kNfkc ? nfkc : nfkd;
}

// `from`, whose origins begin at `origins`, became `to`: its first character stands for all that has no other, those
// behind it for the last ones, a character each.
void add_origins(std::string_view from, std::string_view to, Origins::const_iterator origins, Origins& moved) {
  std::size_t from_end = from.size(), to_end = to.size();
  std::vector<std::pair<std::size_t, ByteRange>> last;  // bytes, and what they come from
  const std::size_t first = character_at(to, 0).size, from_first = character_at(from, 0).size;
  while (to_end > first && from_end > from_first) {
    const std::size_t to_begin = character_before(to, to_end), from_begin = character_before(from, from_end);
    last.emplace_back(to_end - to_begin, ByteRange{origins[static_cast<std::ptrdiff_t>(from_begin)].begin,
                                                   origins[static_cast<std::ptrdiff_t>(from_end) - 1].end});
    to_end = to_begin;
    from_end = from_begin;
  }
  moved.insert(moved.end(), to_end, {origins->begin, origins[static_cast<std::ptrdiff_t>(from_end) - 1].end});
  for (auto at = last.rbegin(); at != last.rend(); ++at) moved.insert(moved.end(), at->first, at->second);
}

void to_form(const icu::Normalizer2& form, std::string& text, Origins* origins) {
  // Text that is not UTF-8 has no normal form.
  if (base::find_invalid_utf8(text) != std::string_view::npos) return;
  UErrorCode status = U_ZERO_ERROR;
  icu::Edits edits;
  std::string composed;
  icu::StringByteSink<std::string> sink(&composed);
  form.normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink,
                     origins ? &edits : nullptr, status);
  check(status);
  if (!origins) {
    text = std::move(composed);
    return;
  }
  Origins moved;
  moved.reserve(composed.size());
  auto changes = edits.getFineIterator();
  std::size_t old = 0;
  while (changes.next(status)) {
    const auto before = static_cast<std::size_t>(changes.oldLength());
    if (changes.hasChange() && changes.newLength() > 0 && before > 0) {
      const std::string_view from = std::string_view(text).substr(old, before);
      const auto to = std::string_view(composed).substr(moved.size(), static_cast<std::size_t>(changes.newLength()));
      add_origins(from, to, origins->begin() + static_cast<std::ptrdiff_t>(old), moved);
      old += before;
      continue;
    }
    if (!changes.hasChange())
      moved.insert(moved.end(), origins->begin() + static_cast<std::ptrdiff_t>(old),
                   origins->begin() + static_cast<std::ptrdiff_t>(old + before));
    old += before;
  }
  text = std::move(composed);
  *origins = std::move(moved);
}

// `next(from)` is the first range at or after `from` that is to become `instead`, which may depend on it. With
// `last_only` the new bytes stand for the last character of the range.
template <class Next, class Instead>
void replace_each(std::string& text, Origins* origins, Next next, Instead instead, bool last_only = false) {
  std::string replaced;
  Origins moved;
  replaced.reserve(text.size() + text.size() / 2);
  const auto keep = [&](std::size_t begin, std::size_t end) {
    replaced.append(text, begin, end - begin);
    if (origins)
      moved.insert(moved.end(), origins->begin() + static_cast<std::ptrdiff_t>(begin),
                   origins->begin() + static_cast<std::ptrdiff_t>(end));
  };
  std::size_t done = 0;
  while (const std::optional<ByteRange> range = next(done)) {
    keep(done, range->begin);
    const std::string_view with = instead(*range);
    replaced.append(with);
    const std::size_t first = last_only ? character_before(text, range->end) : range->begin;
    if (origins) moved.insert(moved.end(), with.size(), joined(*origins, first, range->end));
    done = range->end;
  }
  keep(done, text.size());
  text = std::move(replaced);
  if (origins) *origins = std::move(moved);
}

void replace(const NormalizerStep& step, std::string& text, Origins* origins, bool last_only) {
  replace_each(
      text, origins,
      [&](std::size_t from) -> std::optional<ByteRange> {
        const std::size_t at = text.find(step.from, from);
        return at == std::string::npos ? std::nullopt : std::optional(ByteRange{at, at + step.from.size()});
      },
      [&](ByteRange) { return std::string_view(step.text); }, last_only);
}

void replace_pattern(const Pattern& pattern, const std::string& with, std::string& text, Origins* origins,
                     bool last_only) {
  Pattern::Workspace workspace;
  replace_each(
      text, origins,
      [&](std::size_t from) -> std::optional<ByteRange> {
        for (;;) {
          const auto match = pattern.find(text, from, workspace);
          if (!match || match->begin < match->end) return match;
          if (match->begin == text.size()) return std::nullopt;
          from = match->begin + character_at(text, match->begin).size;
        }
      },
      [&](ByteRange) { return std::string_view(with); }, last_only);
}

// As Rust's char::to_lowercase: each character for itself, by Unicode 16.
std::string lower_case(char32_t code) {
  std::string lower;
  if (code == 0x130) return "i\u0307";
  char32_t to = static_cast<char32_t>(u_tolower(static_cast<UChar32>(code)));
  if (code == 0x1C89 || code == 0xA7CC || code == 0xA7DA) to = code + 1;
  if (code == 0xA7CB) to = 0x264;
  if (code == 0xA7DC) to = 0x19B;
  if (code >= 0x10D50 && code <= 0x10D65) to = code + 0x20;
  base::append_utf8(lower, to);
  return lower;
}

// `change(character, instead)` is true where a character becomes `instead`.
template <class Change>
void replace_characters(std::string& text, Origins* origins, Change change) {
  std::string instead;
  replace_each(
      text, origins,
      [&](std::size_t from) -> std::optional<ByteRange> {
        for (std::size_t i = from; i < text.size();) {
          const Character c = character_at(text, i);
          instead.clear();
          if (c.code != kInvalid && change(c.code, instead) && text.compare(i, c.size, instead) != 0)
            return ByteRange{i, i + c.size};
          i += c.size;
        }
        return std::nullopt;
      },
      [&](ByteRange) { return std::string_view(instead); });
}

void lower(std::string& text, Origins* origins) {
  replace_characters(text, origins, [](char32_t code, std::string& instead) {
    if (code <= 0x7F && (code < 'A' || code > 'Z')) return false;
    instead = lower_case(code);
    return true;
  });
}

// Where `goes` holds the character goes, where `is_blank` holds it becomes a blank.
void clean(std::string& text, Origins* origins, bool (*goes)(char32_t), bool (*is_blank)(char32_t)) {
  replace_characters(text, origins, [&](char32_t code, std::string& instead) {
    if (goes(code)) return true;
    if (!is_blank(code)) return false;
    instead = ' ';
    return true;
  });
}

bool is_never(char32_t) { return false; }
bool is_space(char32_t code) { return class_of(code) == CharacterClass::kSpace; }

// The blanks stand for no byte; for the peer they begin where their character begins.
void isolate_ideographs(std::string& text, Origins* origins, bool as_peer) {
  std::string spaced;
  Origins moved;
  for (std::size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    const bool alone = is_ideograph_of_bert(c.code);
    const auto blank = [&](std::size_t at) {
      spaced += ' ';
      if (origins) moved.push_back({at, at});
    };
    if (alone) blank(origins ? (*origins)[i].begin : 0);
    spaced.append(text, i, c.size);
    if (origins)
      moved.insert(moved.end(), origins->begin() + static_cast<std::ptrdiff_t>(i),
                   origins->begin() + static_cast<std::ptrdiff_t>(i + c.size));
    i += c.size;
    if (alone) blank(!origins ? 0 : as_peer ? (*origins)[i - c.size].begin : (*origins)[i - 1].end);
  }
  text = std::move(spaced);
  if (origins) *origins = std::move(moved);
}

// With `whole_characters` each byte stands for all of its character.
void to_byte_alphabet(std::string& text, Origins* origins, bool whole_characters) {
  Origins moved;
  for (std::size_t i = 0; origins && i < text.size();) {
    const std::size_t end = i + (whole_characters ? character_at(text, i).size : 1);
    const ByteRange range = joined(*origins, i, end);
    for (; i < end; ++i)
      moved.insert(moved.end(), byte_character(static_cast<unsigned char>(text[i])) < 0x80 ? 1 : 2, range);
  }
  text = token_of_bytes(text);
  if (origins) *origins = std::move(moved);
}

// With `as_peer` what is taken away at the very beginning gives its place to what follows.
void apply_map(const CharacterMap& map, std::string& text, Origins* origins, bool as_peer) {
  const std::vector<CharacterMap::Change> changes = map.changes(text);
  if (changes.empty()) return;
  const bool begins_later = changes.front().range.begin == 0 && changes.front().instead.empty();
  const ByteRange beginning = origins ? origins->front() : ByteRange();
  auto change = changes.begin();
  replace_each(
      text, origins, [&](std::size_t) { return change == changes.end() ? std::nullopt : std::optional(change->range); },
      [&](ByteRange) { return (change++)->instead; });
  if (as_peer && begins_later && !text.empty()) std::fill_n(origins->begin(), character_at(text, 0).size, beginning);
}

void strip(bool left, std::string& text, Origins* origins) {
  std::size_t begin = 0, end = text.size();
  while (left && begin < end && character_at(text, begin).type == CharacterClass::kSpace)
    begin += character_at(text, begin).size;
  while (!left && end > 0) {
    const std::size_t before = character_before(text, end);
    if (character_at(text, before).type != CharacterClass::kSpace) break;
    end = before;
  }
  if (origins)
    *origins = Origins(origins->begin() + static_cast<std::ptrdiff_t>(begin),
                       origins->begin() + static_cast<std::ptrdiff_t>(end));
  text = text.substr(begin, end - begin);
}

}  // namespace

Normalizer::Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {
  for (const NormalizerStep& step : steps_) {
    const bool is_pattern = step.kind == NormalizerStep::kReplacePattern;
    patterns_.push_back(is_pattern ? std::make_unique<const Pattern>(step.from, Dialect::kOniguruma) : nullptr);
    const bool is_map = step.kind == NormalizerStep::kCharacterMap;
    maps_.push_back(is_map ? std::make_unique<const CharacterMap>(step.from) : nullptr);
  }
}

std::string Normalizer::run_with(std::string text, std::vector<ByteRange>* origins, bool as_peer) const {
  for (std::size_t i = 0; i < steps_.size() && !text.empty(); ++i) run_step(i, text, origins, as_peer);
  return text;
}

void Normalizer::run_step(std::size_t i, std::string& text, std::vector<ByteRange>* origins, bool as_peer) const {
  const NormalizerStep& step = steps_[i];
  switch (step.kind) {
    case NormalizerStep::kNfc:
    case NormalizerStep::kNfd:
    case NormalizerStep::kNfkc:
    case NormalizerStep::kNfkd:
      return to_form(form_of(step), text, origins);
    case NormalizerStep::kLowercase:
      return lower(text, origins);
    case NormalizerStep::kStripLeft:
    case NormalizerStep::kStripRight:
      return strip(step.kind == NormalizerStep::kStripLeft, text, origins);
    case NormalizerStep::kPrepend:
      if (origins) {
        const std::size_t begin = origins->front().begin;
        origins->insert(origins->begin(), step.text.size(), ByteRange{begin, begin});
      }
      text.insert(0, step.text);
      return;
    case NormalizerStep::kReplace:
      return replace(step, text, origins, as_peer);
    case NormalizerStep::kReplacePattern:
      return replace_pattern(*patterns_[i], step.text, text, origins, as_peer);
    case NormalizerStep::kNmt:
      return clean(text, origins, is_control_of_nmt, is_blank_of_nmt);
    case NormalizerStep::kStripAccents:
      return clean(text, origins, is_accent, is_never);
    case NormalizerStep::kStripNonSpacing:
      return clean(text, origins, is_non_spacing_mark, is_never);
    case NormalizerStep::kCleanText:
      return clean(text, origins, is_control_of_bert, is_space);
    case NormalizerStep::kIsolateIdeographs:
      return isolate_ideographs(text, origins, as_peer);
    case NormalizerStep::kByteAlphabet:
      return to_byte_alphabet(text, origins, as_peer);
    case NormalizerStep::kCharacterMap:
      return apply_map(*maps_[i], text, origins, as_peer);
  }
}

}  // namespace tokenizer
