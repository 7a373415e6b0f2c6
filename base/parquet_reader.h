// Inside base/parquet*.cc: reading.
#pragma once

#include "base/parquet.h"

namespace base {

/// What open_parquet gives.
std::unique_ptr<BlockSource> open_parquet_file(const std::string& path, std::uint32_t file,
                                               const RecordOptions& options);

}  // namespace base
