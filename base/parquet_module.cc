#include "base/parquet_module.h"

#include "base/parquet_reader.h"
#include "base/parquet_writer.h"

const base::ParquetModule hornbook_parquet = {base::open_parquet_file, base::read_parquet_types,
                                              base::make_parquet_writer};
