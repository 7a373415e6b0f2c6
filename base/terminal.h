// What the terminal, if there is one, is and wants.
#pragma once

#include <iosfwd>

namespace base {

/// Whether the standard stream `stream` goes to a terminal; no other stream does.
bool is_terminal(const std::ostream& stream);
/// Whether the terminal takes the marks that move its cursor: not with TERM=dumb.
bool has_cursor();
/// Whether colours are wanted there: not with NO_COLOR (set, and not empty: no-color.org), nor with TERM=dumb.
bool wants_colour();
/// is_terminal and wants_colour.
bool shows_colour(const std::ostream& stream);

}  // namespace base
