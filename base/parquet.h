// Parquet files as blocks of JSON lines, and records as Parquet files. Arrow lives in a module, libhornbook_parquet.so,
// which is opened when the first Parquet file is met: a program that meets none starts without it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/record_shape.h"
#include "base/records.h"

namespace base {

/// Throws Error when the module cannot be opened: it was not built, or Arrow is gone.
void require_parquet();

/// Opens a file. Every row becomes one JSON object with every column, null where it is null; its place is the number of
/// the row in the file (`line` from 1, `offset` from 0). Row groups are decoded batch by batch by whoever decodes their
/// blocks: several row groups at once, within one the batches one after another, with at most 512 MB of memory for one
/// row group, or twice max_record_bytes.
///
///   bool, integers up to 64 bits, float, double  as in JSON; what is not finite is NaN, Infinity or -Infinity
///   string, dictionary                           a string
///   binary                                       base64, unless it is the text field: then text; but see
///                                                RecordOptions::bytes_are_text
///   timestamp, date, time                        ISO 8601, "2024-05-01T12:30:00.250Z"; no Z without a time zone
///   duration                                     a whole number of its unit
///   decimal                                      a string, "12.50"
///   list, struct, map                            an array, an object, an array of {"key", "value"}
///
/// A file whose footer is broken, that names a column twice or has one of another type, is one piece of bad bytes; so
/// are the rows of a row group from its first broken page on. Throws Error as require_parquet does.
std::unique_ptr<BlockSource> open_parquet(const std::string& path, std::uint32_t file, const RecordOptions& options);

/// Types of columns that Parquet files have, for writing them again.
class ParquetTypes {
 public:
  virtual ~ParquetTypes() = default;
  virtual void forget(const std::string& column) = 0;
};
/// The types that all files which have a column agree on. Broken files count for nothing.
std::unique_ptr<ParquetTypes> parquet_types(const std::vector<std::string>& paths, const std::string& text_field);

/// A Parquet file being written aside (see FileWriter): zstd, page checksums. Equal rows and row groups give equal
/// bytes. Write errors throw Error.
class ParquetWriter {
 public:
  virtual ~ParquetWriter() = default;
  /// Takes the rows, as RecordSplitter gives them.
  virtual Column& row() = 0;
  /// Writes the rows since the last call as a row group. Returns columns whose values do not fit the type that `like`
  /// gave them: then nothing more can be written, and the file must be begun again after ParquetTypes::forget.
  virtual std::vector<std::string> end_row_group() = 0;
  virtual void commit() = 0;
};
/// `type` is a kStruct. A column that comes from `like`, and has JSON values as open_parquet makes them of that type,
/// is written in that type; zstd `level` 1 to 19.
std::unique_ptr<ParquetWriter> open_parquet_writer(const std::string& path, const ColumnType& type,
                                                   const ParquetTypes& like, int level);

}  // namespace base
