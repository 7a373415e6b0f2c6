// Variants of training texts, so that the textbook model judges neither their length nor where their lines break, and
// tells sentences from the same words in any order.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"

namespace curate {

/// The text with the lines of each paragraph joined: a line of at least 40 bytes is joined to the next one when that
/// begins with an ASCII letter and has the same indent.
std::string reflowed(std::string_view text);

/// A piece of 300 to 2,000 bytes from somewhere in the text (all of a shorter one), where possible from the start of a
/// line; reflowed half of the time. Not cut inside a UTF-8 character.
std::string excerpt(std::string_view text, base::Random& random);

/// Nonsense made of the text: its words (what white space separates) in random order, between the white space as it
/// was; half of the time the letters within each word are shuffled too, by bytes, ASCII letters only.
std::string scrambled(std::string_view text, base::Random& random);

}  // namespace curate
