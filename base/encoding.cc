// Text in other encodings than UTF-8, as streams of UTF-8. Tested by tests/base/record_formats_test.cc.
#include "base/encoding.h"

#include <unicode/ucnv.h>
#include <unicode/ucnv_cb.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/suggestions.h"
#include "base/text.h"
#include "base/unicode.h"

namespace base {
namespace {

using namespace std::string_view_literals;
using Converter = std::unique_ptr<UConverter, decltype(&ucnv_close)>;

Converter open_converter(const std::string& name) {
  UErrorCode error = U_ZERO_ERROR;
  Converter converter(name.empty() ? nullptr : ucnv_open(name.c_str(), &error), ucnv_close);
  return U_SUCCESS(error) ? std::move(converter) : Converter(nullptr, ucnv_close);
}

// What ICU calls encodings, for suggestions.
std::vector<std::string> known_encodings() {
  std::vector<std::string> names = {"auto"};
  for (std::int32_t i = 0; i < ucnv_countAvailable(); ++i) {
    UErrorCode error = U_ZERO_ERROR;
    const char* const converter = ucnv_getAvailableName(i);
    const std::uint16_t count = ucnv_countAliases(converter, &error);
    for (std::uint16_t j = 0; j < count; ++j) {
      error = U_ZERO_ERROR;
      names.push_back(ascii_lower(ucnv_getAlias(converter, j, &error)));
    }
  }
  return names;
}

// The unit of `size` bytes at `at`.
std::uint32_t unit(std::string_view bytes, std::size_t at, std::size_t size, bool big) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[big ? at + i : at + size - 1 - i]);
  return value;
}

bool is_ascii_text(std::uint32_t c) { return (c >= 32 && c < 127) || (c >= 9 && c <= 13); }

// Is every byte of the unit ASCII text by itself?
bool is_ascii_bytes(std::uint32_t unit, std::size_t size) {
  for (; size > 0; --size, unit >>= 8)
    if (!is_ascii_text(unit & 0xFF)) return false;
  return true;
}

bool is_private(std::uint32_t c) { return (c >= 0xE000 && c < 0xF900) || c >= 0xF0000; }

// Whether `head` reads as UTF-16 or UTF-32 (units of `size` bytes): hardly a unit that no text has, ASCII among them
// (the first one in a short text) more than a zero byte here and there would make, and most others no letters of a
// text of bytes.
bool reads_as(std::string_view head, std::size_t size, bool big) {
  std::size_t ascii = 0, other_order = 0, odd = 0, bytes = 0;
  bool high = false;
  const bool is_short{head.size() < 64};
  for (std::size_t at = 0; at + size <= head.size(); at += size) {
    const std::uint32_t c = unit(head, at, size, big);
    const bool low = c >= 0xDC00 && c < 0xE000;
    odd += c == 0 || c > 0x10FFFF || high != low || (size == 4 && c >= 0xD800 && c < 0xE000) || is_private(c);
    bytes += is_ascii_bytes(c, size);
    high = c >= 0xD800 && c < 0xDC00;
    ascii += is_ascii_text(c);
    other_order += is_ascii_text(unit(head, at, size, !big));
    if (at == 0 && ascii == 0 && is_short) return false;
  }
  const std::size_t units = head.size() / size, most = units * (is_short ? 2 : 3) / 4;
  return ascii > 4 * other_order && ascii * 64 >= units && bytes <= most && odd * 16 <= units;
}

// Whether `head` is a poor UTF-8 text: not valid, or an eighth of it are control characters.
bool is_hardly_utf8(std::string_view head) {
  const auto controls = std::count_if(head.begin(), head.end(), [](char c) {
    return c >= 0 && c < 32 && !is_ascii_text(static_cast<unsigned char>(c));
  });
  if (static_cast<std::size_t>(controls) * 8 >= head.size()) return true;
  const std::size_t invalid = find_invalid_utf8(head);  // a character may be cut at the end
  return controls > 0 && invalid != head.npos && invalid + 4 < head.size();
}

struct Mark {
  std::string_view bytes;
  const char* encoding;
};
constexpr Mark kMarks[] = {{"\xEF\xBB\xBF"sv, ""},         {"\xFF\xFE\0\0"sv, "utf-32le"},  // before utf-16le
                           {"\0\0\xFE\xFF"sv, "utf-32be"}, {"\xFF\xFE"sv, "utf-16le"},
                           {"\xFE\xFF"sv, "utf-16be"},     {"\x84\x31\x95\x33"sv, "gb18030"}};

// UTF-16 or UTF-32 without a mark; "" when it is neither.
std::string wide_encoding(std::string_view head) {
  if (head.size() < 4 || !is_hardly_utf8(head)) return "";
  if (reads_as(head, 4, false)) return "utf-32le";
  if (reads_as(head, 4, true)) return "utf-32be";
  if (reads_as(head, 2, false)) return "utf-16le";
  if (reads_as(head, 2, true)) return "utf-16be";
  return "";
}

class DecodedReader final : public ByteReader {
 public:
  DecodedReader(std::string begin, std::unique_ptr<ByteReader> rest, const FoundEncoding& encoding)
      : rest_(std::move(rest)),
        converter_(open_converter(encoding.name)),
        encoding_(encoding.name + (encoding.assumed ? ", assumed from its zero bytes: --encoding says otherwise" : "")),
        bytes_(begin.begin(), begin.end()),
        units_(kUnits) {
    UErrorCode error = U_ZERO_ERROR;
    ucnv_setToUCallBack(converter_.get(), mark_broken, this, nullptr, nullptr, &error);
    decode(bytes_.size(), false);
    bytes_.resize(kUnits);
  }

  std::size_t read(char* data, std::size_t size) override {
    while (given_ == text_.size()) {
      if (!error_.empty()) throw Error(error_);
      if (at_end_) return 0;
      text_.clear();
      given_ = 0;
      const std::size_t count = rest_->read(bytes_.data(), bytes_.size());
      at_end_ = count == 0;
      decode(count, at_end_);
    }
    const std::size_t count = std::min(size, text_.size() - given_);
    std::memcpy(data, text_.data() + given_, count);
    given_ += count;
    return count;
  }
  std::uint64_t consumed() const override { return rest_->consumed(); }
  std::uint64_t total() const override { return rest_->total(); }

 private:
  static constexpr std::size_t kUnits = 1 << 16;
  static constexpr UChar kBroken = 0xDC00;  // half a pair of its own: no text has one

  // ICU calls this for bytes that are no character.
  static void mark_broken(const void* reader, UConverterToUnicodeArgs* arguments, const char*, std::int32_t,
                          UConverterCallbackReason reason, UErrorCode* error) {
    if (reason > UCNV_IRREGULAR) return;  // the converter begins anew: no bytes
    static_cast<DecodedReader*>(const_cast<void*>(reader))->broken_ = true;
    *error = U_ZERO_ERROR;
    ucnv_cbToUWriteUChars(arguments, &kBroken, 1, 0, error);
  }

  // Adds the first `count` of bytes_ to text_; `last`: what is half a character will not become a whole one.
  void decode(std::size_t count, bool last) {
    const char* from = bytes_.data();
    broken_ = false;
    for (bool again = true; again;) {
      UErrorCode error = U_ZERO_ERROR;
      UChar* to = units_.data();
      ucnv_toUnicode(converter_.get(), &to, to + units_.size(), &from, bytes_.data() + count, nullptr, last, &error);
      again = error == U_BUFFER_OVERFLOW_ERROR;
      append({units_.data(), static_cast<std::size_t>(to - units_.data())});
      if (U_FAILURE(error) && !again) error_ = "the text cannot be decoded (" + encoding_ + "): " + u_errorName(error);
    }
    if (last && broken_) error_ = "the text ends inside a character (" + encoding_ + ")";
  }

  void append(std::u16string_view units) {
    for (const char16_t c : units) {
      if (c < 0x80) {
        text_.push_back(static_cast<char>(c));
      } else if (c == kBroken && high_ == 0) {
        text_ += '\xFF';
      } else if (c >= 0xD800 && c < 0xDC00) {
        high_ = c;
      } else if (high_ != 0) {
        append_utf8(text_, 0x10000 + ((high_ - 0xD800u) << 10) + (c - 0xDC00u));
        high_ = 0;
      } else {
        append_utf8(text_, c);
      }
    }
  }

  std::unique_ptr<ByteReader> rest_;
  Converter converter_;
  std::string encoding_;
  std::vector<char> bytes_;
  std::vector<UChar> units_;
  std::string text_;  // decoded, of which given_ bytes were read
  std::size_t given_ = 0;
  char16_t high_ = 0;  // the first half of a pair
  bool at_end_ = false, broken_ = false;
  std::string error_;
};

}  // namespace

void check_encoding(const std::string& name) {
  if (name == "auto" || open_converter(name)) return;
  throw UsageError({"not an encoding", "encoding", name,
                    "auto, utf-8, or another name such as utf-16le, windows-1252, "
                    "iso-8859-1, gb18030, shift_jis",
                    suggest_word(name, known_encodings())});
}

FoundEncoding find_encoding(std::string_view head, const std::string& wanted) {
  for (const Mark& mark : kMarks)
    if (head.starts_with(mark.bytes)) return {mark.encoding, mark.bytes.size()};
  if (wanted == "auto") return {wide_encoding(head), 0, true};
  const Converter converter = open_converter(wanted);
  if (!converter) check_encoding(wanted);
  switch (ucnv_getType(converter.get())) {
    case UCNV_UTF8:
      return {};
    case UCNV_UTF16:  // of either order; without a mark, mostly the little end first
    case UCNV_UTF32: {
      const bool wide = ucnv_getType(converter.get()) == UCNV_UTF32;
      const std::string found = wide_encoding(head);
      return {!found.empty() ? found : wide ? "utf-32le" : "utf-16le", 0};
    }
    default:
      return {wanted, 0};
  }
}

std::unique_ptr<ByteReader> decoded_reader(std::string begin, std::unique_ptr<ByteReader> rest,
                                           const FoundEncoding& encoding) {
  return std::make_unique<DecodedReader>(std::move(begin), std::move(rest), encoding);
}

std::string read_text(const std::string& path, const std::string& encoding) {
  check_encoding(encoding);
  std::unique_ptr<ByteReader> reader = open_reader(path);
  std::string text;
  std::vector<char> buffer(1 << 20);
  const auto read_to = [&](std::size_t enough) {
    for (std::size_t count = 1; count > 0 && text.size() < enough;)
      text.append(buffer.data(), count = reader->read(buffer.data(), buffer.size()));
  };
  read_to(kEncodingBytes);
  const FoundEncoding found = find_encoding(std::string_view(text).substr(0, kEncodingBytes), encoding);
  text.erase(0, found.mark);
  if (!found.name.empty()) {
    reader = decoded_reader(std::exchange(text, {}), std::move(reader), found);
  }
  read_to(std::string::npos);
  return text;
}

}  // namespace base
