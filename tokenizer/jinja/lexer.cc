// The tokens of a template: rule for rule as jinja2.lexer has them. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/lexer.h"

#include <fmt/format.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text.h"
#include "base/unicode.h"
#include "tokenizer/jinja/unicode.h"

namespace tokenizer::jinja {
namespace {

constexpr std::array<std::string_view, 26> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

class Lexer {
 public:
  Lexer(std::string_view text, const std::string& name, std::deque<std::string>& strings)
      : text_(text), name_(name), strings_(strings) {}

  std::vector<Token> run() {
    while (position_ < text_.size()) read_data();
    tokens_.push_back({TokenKind::kEnd, "", line_});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(std::string what, std::string_view value = "", std::string advice = "") const {
    throw base::Error({std::move(what), fmt::format("{}:{}", name_, line_), base::shortened(value, 40), "",
                       advice.empty() ? "mend the template" : std::move(advice)});
  }

  char at(std::size_t offset) const { return position_ + offset < text_.size() ? text_[position_ + offset] : '\0'; }
  bool starts(std::string_view part) const { return text_.substr(position_).starts_with(part); }
  std::string_view rest() const { return text_.substr(position_); }

  // Moves over `size` bytes, counting lines.
  std::string_view take(std::size_t size) {
    const std::string_view taken = text_.substr(position_, size);
    line_ += static_cast<int>(base::count_byte(taken, '\n'));
    position_ += size;
    if (!taken.empty()) line_starting_ = taken.back() == '\n';
    return taken;
  }
  std::size_t white_space() const { return rest().size() - strip_left(rest()).size(); }

  void add(TokenKind kind, std::string_view text, int line) { tokens_.push_back({kind, text, line}); }

  // Text up to the next tag, and the tag.
  void read_data() {
    std::size_t tag = position_ - 1;
    do tag = text_.find('{', tag + 1);
    while (tag != text_.npos &&
           (tag + 1 == text_.size() || std::string_view("{%#").find(text_[tag + 1]) == text_.npos));
    if (tag == text_.npos) {
      const int line = line_;
      add(TokenKind::kData, take(text_.size() - position_), line);
      return;
    }
    const char kind = text_[tag + 1];
    const char sign =
        tag + 2 < text_.size() && (text_[tag + 2] == '-' || text_[tag + 2] == '+') ? text_[tag + 2] : '\0';
    add_data(text_.substr(position_, tag - position_), sign, kind != '{');
    const bool starting = line_starting_;
    take(tag - position_);
    line_starting_ = starting;
    const std::size_t opening = sign ? 3 : 2;
    if (kind == '#') return read_comment(opening);
    if (kind == '%' && read_raw(opening)) return;
    read_tag(opening, kind == '%');
  }

  // `data` stands before a tag with `sign`.
  void add_data(std::string_view data, char sign, bool is_block) {
    const int line = line_;
    if (sign == '-') {
      data = strip_right(data);
    } else if (sign == '\0' && is_block) {
      const std::size_t begin = data.rfind('\n') + 1;  // npos + 1 is 0
      if ((begin > 0 || line_starting_) && strip_left(data.substr(begin)).empty()) data = data.substr(0, begin);
    }
    if (!data.empty()) add(TokenKind::kData, data, line);
  }

  // What stands after "-%}", "%}" and so on: `position_` is behind the tag.
  void after_tag(bool strip, bool trims_line) {
    if (strip) {
      take(white_space());
    } else if (trims_line && at(0) == '\n') {
      take(1);
    }
  }

  void read_comment(std::size_t opening) {
    const int line = line_;
    take(opening);
    const std::size_t end = text_.find("#}", position_);
    if (end == text_.npos) {
      line_ = line;
      fail("a comment is not closed", "", "close it with #}");
    }
    // A sign belongs to the end tag, also where it touches the beginning: {#-#}.
    const char sign = end > position_ ? text_[end - 1] : '\0';
    take(end + 2 - position_);
    after_tag(sign == '-', sign != '+');
  }

  // {% raw %} ... {% endraw %}; false when the tag is another.
  bool read_raw(std::size_t opening) {
    std::size_t at = skip_space(position_ + opening);
    if (text_.substr(at, 3) != "raw") return false;
    at = skip_space(at + 3);
    const bool strip = text_.substr(at, 3) == "-%}";
    if (!strip && text_.substr(at, 2) != "%}") return false;
    const int line = line_;
    take(at + (strip ? 3 : 2) - position_);
    after_tag(strip, false);
    for (std::size_t open = text_.find("{%", position_); open != text_.npos; open = text_.find("{%", open + 1))
      if (const std::size_t end = end_of_endraw(open)) {
        const char sign = text_[open + 2] == '-' || text_[open + 2] == '+' ? text_[open + 2] : '\0';
        add_data(text_.substr(position_, open - position_), sign, true);
        take(end - position_);
        const char closing = text_[end - 3];
        after_tag(closing == '-', closing != '+');
        return true;
      }
    line_ = line;
    fail("a raw block is not closed", "", "close it with {% endraw %}");
  }
  std::size_t skip_space(std::size_t at) const {
    return text_.size() - strip_left(text_.substr(std::min(at, text_.size()))).size();
  }
  // The byte behind "{% endraw %}" at `open`, or 0 when another tag stands there.
  std::size_t end_of_endraw(std::size_t open) const {
    std::size_t at = open + 2;
    if (at < text_.size() && (text_[at] == '-' || text_[at] == '+')) ++at;
    at = skip_space(at);
    if (text_.substr(at, 6) != "endraw") return 0;
    at = skip_space(at + 6);
    if (at < text_.size() && (text_[at] == '-' || text_[at] == '+')) ++at;
    return text_.substr(at, 2) == "%}" ? at + 2 : 0;
  }

  void read_tag(std::size_t opening, bool is_block) {
    add(is_block ? TokenKind::kBlockBegin : TokenKind::kVariableBegin, text_.substr(position_, 2), line_);
    take(opening);
    while (!read_end(is_block)) {
      if (position_ >= text_.size()) {
        add(TokenKind::kEnd, "", line_);
        return;
      }
      read_token();
    }
  }

  bool read_end(bool is_block) {
    if (!open_.empty()) return false;
    const std::string_view mark = is_block ? "%}" : "}}";
    const char sign = at(0) == '-' || (is_block && at(0) == '+') ? at(0) : '\0';
    if (text_.substr(std::min(position_ + (sign ? 1 : 0), text_.size()), 2) != mark) return false;
    add(is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, mark, line_);
    take(sign ? 3 : 2);
    after_tag(sign == '-', is_block && sign != '+');
    return true;
  }

  void read_token() {
    if (const std::size_t space = white_space()) {
      take(space);
      return;
    }
    const int line = line_;
    if (const std::size_t number = float_size()) return add(TokenKind::kFloat, take(number), line);
    if (const std::size_t number = integer_size()) return add(TokenKind::kInteger, take(number), line);
    if (const std::size_t name = name_size()) return add(TokenKind::kName, take(name), line);
    if (at(0) == '\'' || at(0) == '"') return read_string();
    const auto found = std::ranges::find_if(kOperators, [&](std::string_view text) { return starts(text); });
    if (found == kOperators.end()) {
      std::size_t end = position_;
      base::next_code_point(text_, end);
      fail("an unexpected character in a tag", text_.substr(position_, end - position_));
    }
    check_brackets((*found)[0]);
    add(TokenKind::kOperator, take(found->size()), line);
  }

  void check_brackets(char c) {
    if (c == '(') open_ += ')';
    if (c == '[') open_ += ']';
    if (c == '{') open_ += '}';
    if (c != ')' && c != ']' && c != '}') return;
    if (open_.empty() || open_.back() != c) fail("a bracket that does not fit", std::string(1, c));
    open_.pop_back();
  }

  static bool digit(char c) { return c >= '0' && c <= '9'; }
  // Length of (\d+_)*\d+ at `offset`.
  std::size_t digits_size(std::size_t offset) const {
    std::size_t end = offset;
    while (digit(at(end)) || (at(end) == '_' && end > offset && digit(at(end - 1)) && digit(at(end + 1)))) ++end;
    return end - offset;
  }
  std::size_t float_size() const {
    if (position_ > 0 && text_[position_ - 1] == '.') return 0;
    const std::size_t whole = digits_size(0);
    if (whole == 0) return 0;
    std::size_t end = whole;
    if (at(end) == '.' && digits_size(end + 1) > 0) end += 1 + digits_size(end + 1);
    std::size_t exponent = end;
    if (at(exponent) == 'e' || at(exponent) == 'E') {
      ++exponent;
      if (at(exponent) == '+' || at(exponent) == '-') ++exponent;
      if (const std::size_t size = digits_size(exponent)) return exponent + size;
    }
    return end > whole ? end : 0;
  }
  std::size_t integer_size() const {
    if (!digit(at(0))) return 0;
    if (at(0) != '0') return digits_size(0);
    const std::size_t based = based_size();
    if (based > 0) return based;
    std::size_t end = 1;
    while (at(end) == '0' || (at(end) == '_' && at(end + 1) == '0')) ++end;
    return end;
  }
  // 0x1f, 0b_1, 0o17.
  std::size_t based_size() const {
    const char base = static_cast<char>(at(1) | 0x20);
    const auto fits = [&](char c) {
      if (base == 'b') return c == '0' || c == '1';
      if (base == 'o') return c >= '0' && c <= '7';
      return base == 'x' && (digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'));
    };
    std::size_t end = 2;
    while (fits(at(end)) || (at(end) == '_' && fits(at(end + 1)))) ++end;
    return end > 2 ? end : 0;
  }
  std::size_t name_size() const {
    std::size_t end = position_;
    while (end < text_.size()) {
      std::size_t next = end;
      if (!base::is_word_character(base::next_code_point(text_, next))) break;
      end = next;
    }
    return end - position_;
  }

  void read_string() {
    const char quote = at(0);
    std::size_t end = position_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail("a string is not closed", text_.substr(position_, 40));
    const int line = line_;
    const std::string_view inner = text_.substr(position_ + 1, end - position_ - 1);
    const std::string_view value = inner.find('\\') == inner.npos ? inner : strings_.emplace_back(unescaped(inner));
    take(end + 1 - position_);
    add(TokenKind::kString, value, line);
  }

  // Python's escapes; any other backslash stays.
  std::string unescaped(std::string_view text) const {
    static constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeant = "\a\b\f\n\r\t\v\\'\"";
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\') {
        result += text[i];
        continue;
      }
      const char c = text[++i];  // a backslash is never last: it would have escaped the quote
      if (const std::size_t letter = kLetters.find(c); letter != kLetters.npos)
        result += kMeant[letter];
      else if (c == 'x' || c == 'u' || c == 'U')
        i += append_hexadecimal(text.substr(i + 1), c == 'x' ? 2 : c == 'u' ? 4 : 8, result);
      else if (c >= '0' && c <= '7')
        i += append_octal(text.substr(i), result);
      else if (c == 'N')
        i += append_named(text.substr(i + 1), result);
      else if (c != '\n')
        result += {'\\', c};
    }
    return result;
  }
  std::size_t append_hexadecimal(std::string_view digits, std::size_t count, std::string& result) const {
    char32_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (i >= digits.size() || !isxdigit(static_cast<unsigned char>(digits[i])))
        fail("a string has an escape with too few digits", digits.substr(0, count));
      const char c = static_cast<char>(digits[i] | 0x20);
      value = value * 16 + static_cast<char32_t>(c >= 'a' ? c - 'a' + 10 : digits[i] - '0');
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
      fail("a string has an escape that is no character", digits.substr(0, count));
    base::append_utf8(result, value);
    return count;
  }
  static std::size_t append_octal(std::string_view digits, std::string& result) {
    char32_t value = 0;
    std::size_t size = 0;
    while (size < 3 && size < digits.size() && digits[size] >= '0' && digits[size] <= '7')
      value = value * 8 + static_cast<char32_t>(digits[size++] - '0');
    base::append_utf8(result, value);
    return size - 1;
  }
  std::size_t append_named(std::string_view text, std::string& result) const {
    const std::size_t end = text.find('}');
    if (!text.starts_with('{') || end == text.npos) fail("a string has a malformed \\N escape", text.substr(0, 20));
    UErrorCode error = U_ZERO_ERROR;
    const UChar32 c = u_charFromName(U_EXTENDED_CHAR_NAME, std::string(text.substr(1, end - 1)).c_str(), &error);
    if (U_FAILURE(error)) fail("a string names an unknown character", text.substr(1, end - 1));
    base::append_utf8(result, static_cast<char32_t>(c));
    return end + 1;
  }

  const std::string_view text_;
  const std::string& name_;
  std::deque<std::string>& strings_;
  std::vector<Token> tokens_;
  std::string open_;  // the brackets to be closed
  std::size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the last thing read ended a line
};

}  // namespace

std::string normalized(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      result += text[i];
      continue;
    }
    result += '\n';
    if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
  }
  if (result.ends_with('\n')) result.pop_back();
  return result;
}

std::vector<Token> tokens_of(std::string_view text, const std::string& name, std::deque<std::string>& strings) {
  return Lexer(text, name, strings).run();
}

std::string described(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd:
      return "the end of the template";
    case TokenKind::kData:
      return "text";
    case TokenKind::kBlockEnd:
    case TokenKind::kVariableEnd:
      return fmt::format("the end of the tag ({})", token.text);
    default:
      return "'" + base::shortened(token.text, 40) + "'";
  }
}

}  // namespace tokenizer::jinja
