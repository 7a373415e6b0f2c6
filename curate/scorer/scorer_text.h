// What the textbook scorer sees of a document: the same for training and for scoring.
#pragma once

#include <string>
#include <string_view>

namespace curate {

/// Writes one line of tokens: up to 2,500 code points from the middle of a long text (beginnings carry titles and
/// licences), lower-cased, digits as 0, words and single marks separated by blanks.
void scorer_text(std::string_view text, std::string& line);

}  // namespace curate
