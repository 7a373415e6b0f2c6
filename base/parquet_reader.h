// Inside base/parquet*.cc: reading.
#pragma once

#include "base/parquet.h"

namespace arrow {
class Schema;
}

namespace base {

/// The columns of a file; null when it cannot be read.
std::shared_ptr<arrow::Schema> parquet_schema(const std::string& path);

/// What open_parquet gives.
std::unique_ptr<BlockSource> open_parquet_file(const std::string& path, std::uint32_t file,
                                               const RecordOptions& options);

}  // namespace base
