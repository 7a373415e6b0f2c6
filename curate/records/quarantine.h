// What a record that could not be read leaves in the quarantine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/records.h"

namespace curate {

/// Appends one JSON line (docs/curate.md, "quarantine") to `out`: where the bytes stood, their whole `size`, the error,
/// and the first 64 kB of them. File name, bytes and error may be any bytes.
void append_quarantine(std::string& out, std::string_view file, const base::Place& place, std::string_view bytes,
                       std::uint64_t size, std::string_view error);

}  // namespace curate
