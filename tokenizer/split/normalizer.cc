// The normalisers of tokenizer.json, with the way back from the new bytes to the old ones. Tested by
// tests/tokenizer/pattern_test.cc.
#include "tokenizer/split/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/edits.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include "base/error.h"
#include "base/unicode.h"
#include "tokenizer/split/characters.h"

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
    if (!changes.hasChange())
      moved.insert(moved.end(), origins->begin() + static_cast<std::ptrdiff_t>(old),
                   origins->begin() + static_cast<std::ptrdiff_t>(old + before));
    else if (before > 0)
      moved.insert(moved.end(), static_cast<std::size_t>(changes.newLength()), joined(*origins, old, old + before));
    old += before;
  }
  text = std::move(composed);
  *origins = std::move(moved);
}

// `next(from)` is the first range at or after `from` that is to become `instead`, which may depend on it.
template <class Next, class Instead>
void replace_each(std::string& text, Origins* origins, Next next, Instead instead) {
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
    if (origins) moved.insert(moved.end(), with.size(), joined(*origins, range->begin, range->end));
    done = range->end;
  }
  keep(done, text.size());
  text = std::move(replaced);
  if (origins) *origins = std::move(moved);
}

void replace(const NormalizerStep& step, std::string& text, Origins* origins) {
  replace_each(
      text, origins,
      [&](std::size_t from) -> std::optional<ByteRange> {
        const std::size_t at = text.find(step.from, from);
        return at == std::string::npos ? std::nullopt : std::optional(ByteRange{at, at + step.from.size()});
      },
      [&](ByteRange) { return std::string_view(step.text); });
}

void replace_pattern(const Pattern& pattern, const std::string& with, std::string& text, Origins* origins) {
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
      [&](ByteRange) { return std::string_view(with); });
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

void lower(std::string& text, Origins* origins) {
  std::string small;
  replace_each(
      text, origins,
      [&](std::size_t from) -> std::optional<ByteRange> {
        for (std::size_t i = from; i < text.size();) {
          const Character c = character_at(text, i);
          if (c.code != kInvalid && (c.code == 0x130 || c.code > 0x7F || (c.code >= 'A' && c.code <= 'Z')))
            if (small = lower_case(c.code); text.compare(i, c.size, small) != 0) return ByteRange{i, i + c.size};
          i += c.size;
        }
        return std::nullopt;
      },
      [&](ByteRange) { return std::string_view(small); });
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
  for (const NormalizerStep& step : steps_)
    patterns_.push_back(step.kind == NormalizerStep::kReplacePattern
                            ? std::make_unique<const Pattern>(step.from, Dialect::kOniguruma)
                            : nullptr);
}

std::string Normalizer::run(std::string text, Origins* origins) const {
  for (std::size_t i = 0; i < steps_.size() && !text.empty(); ++i) {
    const NormalizerStep& step = steps_[i];
    switch (step.kind) {
      case NormalizerStep::kNfc:
      case NormalizerStep::kNfd:
      case NormalizerStep::kNfkc:
      case NormalizerStep::kNfkd:
        to_form(form_of(step), text, origins);
        break;
      case NormalizerStep::kLowercase:
        lower(text, origins);
        break;
      case NormalizerStep::kStripLeft:
      case NormalizerStep::kStripRight:
        strip(step.kind == NormalizerStep::kStripLeft, text, origins);
        break;
      case NormalizerStep::kPrepend:
        if (origins) {
          const std::size_t begin = origins->front().begin;
          origins->insert(origins->begin(), step.text.size(), ByteRange{begin, begin});
        }
        text.insert(0, step.text);
        break;
      case NormalizerStep::kReplace:
        replace(step, text, origins);
        break;
      case NormalizerStep::kReplacePattern:
        replace_pattern(*patterns_[i], step.text, text, origins);
        break;
    }
  }
  return text;
}

}  // namespace tokenizer
