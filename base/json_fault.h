// Why a text is no JSON, in words for people.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace base {

/// "unexpected end of input (column 55)" of a text that is no JSON, with the line where that is not the first; "" of
/// one that is.
std::string json_fault(std::string_view text);

/// The error of `file`, whose `text` should be one JSON object and is none.
Error no_json_object(std::string_view text, const std::string& file, const std::string& advice);

}  // namespace base
