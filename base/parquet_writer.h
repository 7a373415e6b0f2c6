// Inside base/parquet*.cc: writing.
#pragma once

#include "base/parquet.h"

namespace base {

/// What parquet_types and open_parquet_writer give.
std::unique_ptr<ParquetTypes> read_parquet_types(const std::vector<std::string>& paths, const std::string& text_field);
std::unique_ptr<ParquetWriter> make_parquet_writer(const std::string& path, const ColumnType& type,
                                                   const ParquetTypes& like, int level);

}  // namespace base
