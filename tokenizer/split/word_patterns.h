// The patterns of the usual tokenizers, matched by hand: each gives the end of the first piece from a position.
#pragma once

#include <cstddef>
#include <string_view>

namespace tokenizer {

// All take position < text.size(), and are linear in the piece's length, plus the white space after it.

std::size_t piece_end_gpt2(std::string_view text, std::size_t position);
/// `digits`: how many stay together. `end_first`: white space that ends the text is one piece, line ends and all.
std::size_t piece_end_llama3(std::string_view text, std::size_t position, int digits, bool end_first = false);
std::size_t piece_end_qwen35(std::string_view text, std::size_t position);
/// With `contractions` o200k's, else tekken's.
std::size_t piece_end_o200k(std::string_view text, std::size_t position, int digits, bool contractions);
/// The end of the run, from `position` on, of ASCII without digits.
std::size_t ascii_without_digits_end(std::string_view text, std::size_t position);
/// Also the end of a run of characters that no alternative takes.
std::size_t piece_end_deepseek3(std::string_view text, std::size_t position);

}  // namespace tokenizer
