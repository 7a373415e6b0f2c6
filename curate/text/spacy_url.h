// What spaCy's tokenizer leaves in one piece because it is a URL.
#pragma once

#include <cstdint>
#include <span>

namespace curate {

/// spaCy's URL_MATCH, which accepts or refuses the whole of a chunk: its code points and their character::Class bits.
bool is_spacy_url(std::span<const std::uint32_t> points, std::span<const std::uint32_t> classes);

}  // namespace curate
