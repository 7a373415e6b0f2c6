// The tokens of a template.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace tokenizer::jinja {

enum class TokenKind {
  kData,
  kBlockBegin,
  kBlockEnd,
  kVariableBegin,
  kVariableEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind;
  std::string_view text;  ///< what is written; of data and strings, what they stand for
  int line;
  bool is(TokenKind wanted, std::string_view wanted_text) const { return kind == wanted && text == wanted_text; }
};

/// The text as Jinja2 reads it: line ends are "\n", one at the end is dropped.
std::string normalized(std::string_view text);

/// `text` (normalized) must outlive the tokens, as must `strings`, to which strings with escapes are added. White space
/// control is done: trim_blocks, lstrip_blocks, "-" and "+". Throws base::Error.
std::vector<Token> tokens_of(std::string_view text, const std::string& name, std::deque<std::string>& strings);

/// For a message: "end of template", "'endfor'" ...
std::string described(const Token& token);

}  // namespace tokenizer::jinja
