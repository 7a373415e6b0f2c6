// Scans the list of tokens in a tekken.json. Tested by tests/tokenizer/vocabularies_test.cc.
#include "tokenizer/read/tekken_vocab.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string>

#include "base/unicode.h"
#include "tokenizer/read/ranks.h"

namespace tokenizer {
namespace {

// Each step is true when what it names stood there, and then is behind it.
class Scanner {
 public:
  Scanner(std::string_view json, std::size_t begin) : at_(json.data() + begin), end_(json.data() + json.size()) {}

  const char* at() const { return at_; }
  bool skip(std::string_view text) {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
    if (!std::string_view(at_, end_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  bool skip_key(std::string_view quoted) { return skip(quoted) && skip(":"); }
  bool skip_number(std::size_t expected) {
    if (!skip("")) return false;
    std::size_t number = 0;
    const auto [stop, error] = std::from_chars(at_, end_, number);
    if (error != std::errc() || number != expected || (*at_ == '0' && stop != at_ + 1)) return false;
    at_ = stop;
    return true;
  }
  // A string without escapes.
  bool plain_string(std::string_view& text) {
    if (!skip("\"")) return false;
    const char* const begin = at_;
    while (at_ < end_ && *at_ != '"' && *at_ != '\\') ++at_;
    text = {begin, at_};
    return at_ < end_ && *at_++ == '"';
  }
  bool skip_string_or_null() {
    if (skip("null")) return true;
    if (!skip("\"")) return false;
    while (at_ < end_ && *at_ != '"') {
      if (static_cast<unsigned char>(*at_) < 0x20) return false;
      if (*at_ != '\\')
        ++at_;
      else if (!skip_escape())
        return false;
    }
    return at_ < end_ && *at_++ == '"';
  }

 private:
  bool skip_escape() {
    if (end_ - at_ < 2) return false;
    if (at_[1] != 'u') {
      const bool known = std::string_view("\"\\/bfnrt").find(at_[1]) != std::string_view::npos;
      at_ += 2;
      return known;
    }
    const int code = unit();
    if (code >= 0xDC00 && code <= 0xDFFF) return false;
    if (code < 0xD800 || code > 0xDFFF) return code >= 0;
    const int low = unit();
    return low >= 0xDC00 && low <= 0xDFFF;
  }
  // "\uXXXX", or -1.
  int unit() {
    int code = -1;
    if (end_ - at_ < 6 || at_[0] != '\\' || at_[1] != 'u' || !std::isxdigit(static_cast<unsigned char>(at_[2])) ||
        std::from_chars(at_ + 2, at_ + 6, code, 16).ptr != at_ + 6)
      return -1;
    at_ += 6;
    return code;
  }

  const char *at_, *end_;
};

}  // namespace

std::optional<std::size_t> vocab_begin(std::string_view json) {
  constexpr std::string_view kKey = "\"vocab\"";
  const std::size_t key = json.find(kKey);
  if (key == std::string_view::npos) return std::nullopt;
  Scanner scanner(json, key + kKey.size());
  if (!scanner.skip(":") || !scanner.skip("[")) return std::nullopt;
  return static_cast<std::size_t>(scanner.at() - json.data());
}

std::optional<TekkenVocab> scan_tekken_vocab(std::string_view json, std::size_t begin, std::size_t first,
                                             std::size_t size) {
  Scanner scanner(json, begin);
  TekkenVocab vocab;
  constexpr std::size_t kLeast = 40;  // bytes of one in the text
  const std::size_t expected = std::min(size - first, json.size() / kLeast);
  vocab.tokens.reserve(first + expected, 8 * expected);
  vocab.tokens.resize(first);
  std::string bytes;
  do {
    std::string_view text;
    if (!scanner.skip("{") || !scanner.skip_key("\"rank\"") || !scanner.skip_number(vocab.listed) ||
        !scanner.skip(",") || !scanner.skip_key("\"token_bytes\"") || !scanner.plain_string(text) ||
        !scanner.skip(",") || !scanner.skip_key("\"token_str\"") || !scanner.skip_string_or_null() ||
        !scanner.skip("}"))
      return std::nullopt;
    ++vocab.listed;
    if (vocab.tokens.size() == size) continue;
    bytes.clear();
    if (!append_base64(text, bytes) || bytes.empty()) return std::nullopt;
    vocab.tokens.push_back(bytes);
  } while (scanner.skip(","));
  if (!scanner.skip("]")) return std::nullopt;
  vocab.end = static_cast<std::size_t>(scanner.at() - json.data()) - 1;
  if (base::find_invalid_utf8(json.substr(begin, vocab.end - begin)) != std::string_view::npos) return std::nullopt;
  return vocab;
}

}  // namespace tokenizer
