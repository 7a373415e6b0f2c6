// "did you mean": by spelling, and by what other tools call it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace base {

/// "did you mean 'lora.rank'?" for the option of `names` that other tools (axolotl, TRL, PEFT, LLaMA-Factory, mlx-lm,
/// llama.cpp, datatrove) call `name`, whose last part it is, or which is spelt nearly so; "" when there is none.
std::string suggest_option(std::string_view name, std::span<const std::string> names);
/// The same for a command, or for a value that is one of several words.
std::string suggest_word(std::string_view word, std::span<const std::string> words);

/// One row of the table: an option of ours, and its names elsewhere.
struct ForeignNames {
  const char* option;
  const char* names;  ///< separated by spaces
};
std::span<const ForeignNames> foreign_options();
std::span<const ForeignNames> foreign_words();

}  // namespace base
