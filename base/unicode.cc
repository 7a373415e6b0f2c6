// UTF-8 and Unicode properties (ICU). "Equal to Python 3.11" means code points assigned in Unicode 14; all others have
// no property here. Tested by tests/base/unicode_test.cc.
#include "base/unicode.h"

#include <simdjson.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/utypes.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "base/error.h"

namespace base {
namespace {

constexpr char32_t kCodePoints = 0x110000;

// Python 3.11 carries Unicode 14; Debian's ICU is newer.
bool is_in_unicode_14(char32_t c) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] > 0 && age[0] <= 14;
}

std::uint8_t properties_of(char32_t c, UCharCategory category) {
  const auto code = static_cast<UChar32>(c);
  const std::uint32_t mask = U_MASK(category);
  std::uint8_t bits = 0;
  if (mask & U_GC_L_MASK) bits |= kAlpha | kWordCharacter;
  if (mask & U_GC_N_MASK) bits |= kNumber | kWordCharacter;
  if (mask & U_GC_ND_MASK) bits |= kDecimalDigit;
  if (mask & U_GC_MN_MASK) bits |= kNonspacingMark;
  if (mask & U_GC_LU_MASK) bits |= kUppercase;
  if (mask & U_GC_P_MASK) bits |= kPunctuation;
  if (c == '_') bits |= kWordCharacter;
  if (mask & (U_GC_ZS_MASK | U_GC_ZL_MASK | U_GC_ZP_MASK | U_GC_CC_MASK)) {
    UCharDirection direction = u_charDirection(code);
    if ((mask & U_GC_ZS_MASK) || direction == U_WHITE_SPACE_NEUTRAL || direction == U_BLOCK_SEPARATOR ||
        direction == U_SEGMENT_SEPARATOR)
      bits |= kSpace;
  }
  return bits;
}

using Table = std::array<std::uint8_t, kCodePoints>;

// ICU calls this once for each range of code points of one category.
UBool add_range(const void* context, UChar32 start, UChar32 limit, UCharCategory category) {
  Table& table = *const_cast<Table*>(static_cast<const Table*>(context));
  if (U_MASK(category) & (U_GC_CN_MASK | U_GC_CO_MASK | U_GC_CS_MASK)) return true;
  for (auto c = static_cast<char32_t>(start); c < static_cast<char32_t>(limit); ++c)
    if (is_in_unicode_14(c)) table[c] = properties_of(c, category);
  return true;
}

// End of the run of ASCII that begins at `begin`.
std::size_t ascii_end(std::string_view text, std::size_t begin) {
  while (begin + 8 <= text.size()) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + begin, 8);
    if (word & 0x8080808080808080ull) break;
    begin += 8;
  }
  while (begin < text.size() && static_cast<unsigned char>(text[begin]) < 0x80) ++begin;
  return begin;
}

// Simple lower case of what UTF-8 writes in two bytes: Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic.
const std::array<char16_t, 0x800>& two_byte_lower() {
  static const std::array<char16_t, 0x800> kTable = [] {
    std::array<char16_t, 0x800> table{};
    for (UChar32 c = 0; c < 0x800; ++c) table[static_cast<std::size_t>(c)] = static_cast<char16_t>(u_tolower(c));
    return table;
  }();
  return kTable;
}

// Unicode's Final_Sigma: a cased letter before and none after, ignoring what is case-ignorable on both sides.
// `text[begin, end)` is the sigma.
bool is_final_sigma(std::string_view text, std::size_t begin, std::size_t end) {
  auto has = [](char32_t c, UProperty property) { return u_hasBinaryProperty(static_cast<UChar32>(c), property) != 0; };
  bool cased_before = false;
  while (begin > 0) {
    do --begin;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80);
    std::size_t position = begin;
    char32_t c = next_code_point(text, position);
    if (has(c, UCHAR_CASE_IGNORABLE)) continue;
    cased_before = has(c, UCHAR_CASED);
    break;
  }
  if (!cased_before) return false;
  while (end < text.size()) {
    char32_t c = next_code_point(text, end);
    if (!has(c, UCHAR_CASE_IGNORABLE)) return !has(c, UCHAR_CASED);
  }
  return true;
}

enum class Form { kNfc, kNfd };

// Fetched once, by a static local: a thread that finds it also has what the one that fetched it wrote. Throws Error
// when ICU's data are missing.
const icu::Normalizer2& normalizer(Form form) {
  static const auto fetch = [](const icu::Normalizer2* (*instance)(UErrorCode&)) {
    UErrorCode status = U_ZERO_ERROR;
    const icu::Normalizer2* found = instance(status);
    if (U_FAILURE(status)) throw Error(std::string("cannot normalise text: ") + u_errorName(status));
    return found;
  };
  static const icu::Normalizer2* const nfc = fetch(icu::Normalizer2::getNFCInstance);
  static const icu::Normalizer2* const nfd = fetch(icu::Normalizer2::getNFDInstance);
  return form == Form::kNfc ? *nfc : *nfd;
}

// A long run of combining marks costs ICU the square of its length, because it inserts each in its place. Such runs are
// decomposed and sorted here first, which changes no normal form. Empty when there is none.
std::string with_ordered_marks(std::string_view text) {
  constexpr std::size_t kLongRun = 64;  // Unicode's Stream-Safe Text Format allows 30
  const icu::Normalizer2& decomposer = normalizer(Form::kNfd);
  // What begins with a mark when decomposed: the marks, and three vowel signs of Tibetan.
  auto is_mark = [&](char32_t c) {
    if (c < 0x300) return false;
    return decomposer.getCombiningClass(static_cast<UChar32>(c)) != 0 || c == 0xF73 || c == 0xF75 || c == 0xF81;
  };
  std::string result;
  std::size_t copied = 0;
  for (std::size_t position = 0; position < text.size();) {
    if (static_cast<unsigned char>(text[position]) < 0xCC) {  // below U+0300
      ++position;
      continue;
    }
    const std::size_t begin = position;
    std::size_t end = begin, marks = 0;
    for (; end < text.size(); ++marks) {
      std::size_t next = end;
      if (!is_mark(next_code_point(text, next))) break;
      end = next;
    }
    if (marks == 0) next_code_point(text, end);
    position = end;
    if (marks <= kLongRun) continue;
    std::vector<char32_t> run;
    icu::UnicodeString parts;
    for (std::size_t at = begin; at < end;) {
      const char32_t c = next_code_point(text, at);
      if (decomposer.getDecomposition(static_cast<UChar32>(c), parts)) {
        for (int32_t i = 0; i < parts.length(); i = parts.moveIndex32(i, 1))
          run.push_back(static_cast<char32_t>(parts.char32At(i)));
      } else {
        run.push_back(c);
      }
    }
    std::stable_sort(run.begin(), run.end(), [&](char32_t a, char32_t b) {
      return decomposer.getCombiningClass(static_cast<UChar32>(a)) <
             decomposer.getCombiningClass(static_cast<UChar32>(b));
    });
    result.append(text, copied, begin - copied);
    for (char32_t c : run) append_utf8(result, c);
    copied = end;
  }
  if (copied > 0) result.append(text, copied);
  return result;
}

std::string normalized(std::string_view text, Form form) {
  if (ascii_end(text, 0) == text.size()) return std::string(text);
  const std::string ordered = with_ordered_marks(text);
  if (!ordered.empty()) text = ordered;
  // ICU counts in 32 bits; a record is far below that (RecordOptions::max_record_bytes).
  if (text.size() > INT32_MAX) throw Error("a text of more than 2 GB cannot be normalised");
  std::string result;
  result.reserve(text.size() + text.size() / 8);
  icu::StringByteSink<std::string> sink(&result);
  UErrorCode status = U_ZERO_ERROR;
  normalizer(form).normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, nullptr,
                                 status);
  if (U_FAILURE(status)) throw Error(std::string("cannot normalise the text: ") + u_errorName(status));
  return result;
}

}  // namespace

const std::uint8_t* code_point_properties() {
  static const std::unique_ptr<const Table> kTable = [] {
    auto table = std::make_unique<Table>();
    u_enumCharTypes(add_range, table.get());
    return table;
  }();
  return kTable->data();
}

std::size_t find_invalid_utf8(std::string_view text) {
  if (simdjson::validate_utf8(text.data(), text.size())) return text.npos;
  for (std::size_t position = 0; position < text.size();) {
    std::size_t begin = position;
    // U+FFFD itself is valid and takes three bytes; a bad byte takes one.
    if (next_code_point(text, position) == 0xFFFD && position == begin + 1) return begin;
  }
  return text.npos;
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  for (std::size_t position = 0; position < text.size();) append_utf8(valid, next_code_point(text, position));
  return valid;
}

bool is_upper_case(char32_t c) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_UPPERCASE) && is_in_unicode_14(c);
}

bool is_lower_case(char32_t c) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_LOWERCASE) && is_in_unicode_14(c);
}

std::string to_lower(std::string_view text) {
  const auto& lower_of = two_byte_lower();
  std::string result;
  result.reserve(text.size() + text.size() / 16);
  for (std::size_t position = 0; position < text.size();) {
    if (std::size_t end = ascii_end(text, position); end > position) {
      const std::size_t begin = result.size();
      result.append(text, position, end - position);
      char* run = result.data() + begin;
      for (std::size_t i = 0; i < end - position; ++i)
        run[i] = static_cast<char>(run[i] + (run[i] >= 'A' && run[i] <= 'Z' ? 32 : 0));
      position = end;
      continue;
    }
    const std::size_t begin = position;
    const char32_t c = next_code_point(text, position);
    char32_t lower = c < 0x800 ? lower_of[c] : static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
    if (c == 0x130) {
      result += "i\xCC\x87";  // the one unconditional lower-casing that grows: SpecialCasing.txt
      continue;
    }
    if (c == 0x3A3 && is_final_sigma(text, begin, position)) lower = 0x3C2;
    if (lower == c) {
      result.append(text, begin, position - begin);
    } else {
      append_utf8(result, lower);
    }
  }
  return result;
}

std::string to_nfc(std::string_view text) { return normalized(text, Form::kNfc); }
std::string to_nfd(std::string_view text) { return normalized(text, Form::kNfd); }

}  // namespace base
