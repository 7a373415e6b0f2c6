// The general category of each code point, as the regular expressions of the tokenizers package and tiktoken know it.
#pragma once

#include <cstdint>

namespace tokenizer {

/// In ICU's numbers (UCharCategory), by Unicode 16; `code` at most 0x10FFFF.
std::uint8_t category_of(char32_t code);

/// Calls `tell(first, last, category)` for every run of code points in which Unicode 16 differs from the installed ICU.
void newer_categories(void (*tell)(void* to, char32_t first, char32_t last, std::uint8_t category), void* to);

}  // namespace tokenizer
