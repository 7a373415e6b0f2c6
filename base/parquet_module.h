// What libhornbook_parquet.so offers, inside base/parquet*.cc. The module links Arrow; it is opened with its own
// symbols first, because libparquet.so exports a simdjson of another version than ours.
#pragma once

#include "base/parquet.h"

namespace base {

struct ParquetModule {
  decltype(&open_parquet) open;
  decltype(&parquet_types) types;
  decltype(&open_parquet_writer) open_writer;
};

}  // namespace base

extern "C" [[gnu::visibility("default")]] const base::ParquetModule hornbook_parquet;
