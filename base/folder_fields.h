// Folders named KEY=VALUE, as Hive and Spark lay out tables, give their files' records a field each.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/records.h"

namespace base {

/// Of the folders of a file's path: each key, and its value as JSON, a string or null for __HIVE_DEFAULT_PARTITION__.
/// Percent signs are decoded; of folders with the same key the innermost counts.
std::vector<std::pair<std::string, std::string>> folder_fields(const std::string& file);

/// Adds the fields to the records of a decoded block that lack them. What is not a JSON object stays as it is.
void add_folder_fields(Block& block, const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace base
