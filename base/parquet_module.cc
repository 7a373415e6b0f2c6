#include "base/parquet_module.h"

#include "base/parquet_reader.h"

const base::ParquetModule hornbook_parquet = {base::open_parquet_file};
