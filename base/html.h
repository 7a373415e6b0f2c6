// Text in HTML pages.
#pragma once

#include <string>
#include <string_view>

namespace base {

/// `text` as it may stand between tags or in quotes; control characters but tab and line end are left out.
std::string html_escaped(std::string_view text);

}  // namespace base
