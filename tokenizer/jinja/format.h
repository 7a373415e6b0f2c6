// What "%" and format() share: how a value fills its field.
#pragma once

#include <string>

#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

struct FormatSpec {
  char32_t fill = ' ';
  char align = '\0';  // '<', '>', '^' or '=', which fills between sign and digits
  char sign = '-';
  bool alternate = false;
  std::int64_t width = 0, precision = -1;
  char grouping = '\0';
  char type = '\0';
};

/// Without sign.
std::string real_digits(Engine& engine, double value, const FormatSpec& spec);
std::string integer_digits(std::int64_t value, const FormatSpec& spec);
std::string_view base_prefix(char type);
std::string ascii_repr(Engine& engine, const Value& value);
void append_padded(TextBuilder& text, const Value& content, const FormatSpec& spec, char usual_side);
void append_number(TextBuilder& text, bool negative, std::string digits, std::string_view prefix,
                   const FormatSpec& spec, const Source* source);

}  // namespace tokenizer::jinja
