// Texts in a saved run.yaml, for those who read it without its options.
#pragma once

#include <string>

namespace YAML {
class Node;
}

namespace base {

/// The text of a scalar: of `!!binary "..."`, which run.yaml has for a path that is not UTF-8, the bytes.
std::string yaml_text(const YAML::Node& scalar);

}  // namespace base
