// The config files that are part of the program.
#pragma once

#include <map>
#include <string>

namespace curate {

/// Name -> YAML text of configs/curate-NAME.yaml, for every one that names no input. Generated at build time.
const std::map<std::string, std::string>& presets();

}  // namespace curate
