// Four numbers with dots that look like an IPv4 address and are none.
#pragma once

#include <cstddef>
#include <string_view>

namespace curate {

/// Is text[begin, end), four numbers with dots of which none is above `largest`, told to be a version or the number of
/// a section by what stands around it? "Version 4.12.0.7", "Chrome/80.0.1.2", "pip install foo==1.2.3.4",
/// "the 4.12.0.7 release", "Section 4.12.0.7", and "4.12.0.7 Heading" at the beginning of a line.
bool is_dotted_number(std::string_view text, std::size_t begin, std::size_t end, int largest);

}  // namespace curate
