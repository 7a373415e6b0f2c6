// Modules told in groups: by layer, by kind, or each alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lora {

/// What a table's rows are: "layer", "kind" or "module".
std::vector<std::string> grouping_choices();
/// The row in which a module is told: "layer 3", "q_proj" or its name; of what is in no layer its last word.
std::string group_of(const std::string& module, std::string_view grouping);

}  // namespace lora
