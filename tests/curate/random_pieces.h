// Random texts made of given pieces.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/random.h"

/// `count` pieces, each followed by a blank with probability `blanks` (0 and 1 are certain).
inline std::string random_pieces(base::Random& random, std::span<const std::string> pieces, std::uint64_t count,
                                 double blanks) {
  std::string text;
  for (; count > 0; --count) {
    text += pieces[random.below(pieces.size())];
    if (blanks > 0 && random.uniform() < blanks) text += ' ';
  }
  return text;
}
