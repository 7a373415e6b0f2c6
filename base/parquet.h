// Parquet files as blocks of JSON lines. Arrow lives in a module, libhornbook_parquet.so, which is opened when the
// first Parquet file is met: a program that meets none starts without it.
#pragma once

#include <memory>
#include <string>

#include "base/records.h"

namespace base {

/// Throws Error when the module cannot be opened: it was not built, or Arrow is gone.
void require_parquet();

/// Opens a file. Every row becomes one JSON object with every column, null where it is null; its place is the number of
/// the row in the file (`line` from 1, `offset` from 0). Row groups are decoded batch by batch by whoever decodes their
/// blocks: several row groups at once, within one the batches one after another, with at most 512 MB of memory for one
/// row group, or twice max_record_bytes.
///
///   bool, integers up to 64 bits, float, double  as in JSON; a number that is not finite is null
///   string, dictionary                           a string
///   binary                                       base64, unless it is the text field: then text
///   timestamp, date, time                        ISO 8601, "2024-05-01T12:30:00.250Z"; without Z where there is no
///   zone duration                                     a whole number of its unit decimal a string, "12.50" list,
///   struct, map                            an array, an object, an array of {"key", "value"}
///
/// A file whose footer is broken, that names a column twice or has one of another type, is one piece of bad bytes; so
/// are the rows of a row group from its first broken page on. Throws Error as require_parquet does.
std::unique_ptr<BlockSource> open_parquet(const std::string& path, std::uint32_t file, const RecordOptions& options);

}  // namespace base
