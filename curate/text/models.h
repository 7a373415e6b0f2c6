// Where model files are found that the program does not carry itself.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace curate {

/// The model `given` by the user, or the first `name` on the search path: $HORNBOOK_MODELS, ../share/hornbook/models
/// beside the program, the source tree (build/data, curate/models) when the program lies in its build folder, and
/// build/data and data/models below the current folder. Throws Error that names `option`, every place, and `advice`.
std::filesystem::path find_model(const std::string& given, std::string_view name, std::string_view option,
                                 std::string_view advice);

}  // namespace curate
