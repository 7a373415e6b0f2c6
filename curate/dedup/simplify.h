// datatrove's text normalisation for near-duplicates.
#pragma once

#include <string>
#include <string_view>

namespace curate {

/// datatrove.utils.text.simplify_text of versions 0.4.0 to 0.10.1, with its default options: lower case, every number
/// (with one decimal separator) "0", punctuation and control characters blank, white space one blank, then NFD without
/// nonspacing marks.
std::string simplify_text(std::string_view text);

}  // namespace curate
