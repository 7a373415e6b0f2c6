// What a model is asked: one prompt a line of a .txt file, or records with a "prompt".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/records.h"

namespace finetune {

struct Prompts {
  std::vector<std::string> texts;   ///< at least one
  std::vector<std::string> places;  ///< of each: "FILE:LINE"
  std::uint64_t repeated_keys = 0;  ///< records that had a key twice
};

/// Of `file`, "-": standard input. Throws base::Error for what is no prompt.
Prompts read_prompts(const std::string& file, const base::TextOptions& text);

}  // namespace finetune
