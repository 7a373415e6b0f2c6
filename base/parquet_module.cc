// What libhornbook_parquet.so offers, inside base/parquet*.cc. Tested by tests/base/parquet_test.cc.
#include "base/parquet_module.h"

#include "base/parquet_reader.h"
#include "base/parquet_writer.h"

const base::ParquetModule hornbook_parquet = {base::open_parquet_file, base::read_parquet_types,
                                              base::make_parquet_writer};
