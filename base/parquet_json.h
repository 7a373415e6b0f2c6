// Inside base/parquet*.cc: rows of Arrow batches as JSON.
#pragma once

#include <arrow/api.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/records.h"

namespace base {

/// Why the columns cannot become members of a JSON object; "" when they can.
std::string unfit_for_json(const arrow::Schema& schema);

/// Writes rows of one schema.
class RowWriter {
 public:
  /// For one batch. What is binary at options.text_field (a column, or "column.member" as find_field has it) is text. A
  /// row that grows beyond `limit` bytes is given up early.
  RowWriter(const arrow::Schema& schema, const RecordOptions& options, std::size_t limit);
  /// Appends a JSON object, no newline. Strings that are not valid UTF-8 stay so.
  void append(const arrow::RecordBatch& batch, std::int64_t row, std::string& out);

 private:
  // `text_path`: what is left of text_path_ from here on, null beside it.
  void append_value(const arrow::Array& array, std::int64_t i, std::string& out, const int* text_path);
  bool append_text(const arrow::Array& array, std::int64_t i, std::string& out, const int* text_path);
  bool append_nested(const arrow::Array& array, std::int64_t i, std::string& out, const int* text_path);
  void append_list(const arrow::Array& values, std::int64_t begin, std::int64_t length, std::string& out);
  void append_struct(const arrow::StructArray& structs, std::int64_t i, std::string& out, const int* text_path);
  // Whether all of a binary column of the batch, or of what a column holds, is UTF-8.
  bool is_text(const arrow::Array& bytes);
  std::vector<std::string> keys_;  // "\"name\":" of each column, with the comma before it
  std::vector<int> text_path_;     // the text field's column, and members inside; then -1
  bool bytes_are_text_;
  std::map<const arrow::Array*, bool> are_text_;  // is_text of each that was asked for
  std::size_t limit_;
  std::size_t most_ = 0;  // size of `out` from which on the row is too long
};

/// Appends a double so that it reads as one and has the same value: NaN, Infinity and -Infinity too, as Python does.
void append_double(std::string& out, double value);
/// Appends "2024-05-01" for a number of days since 1970.
void append_date(std::string& out, std::int64_t days);
/// Appends "12:30:00.250" for a number of units since midnight; the unit says how many digits the fraction has.
void append_time(std::string& out, std::int64_t units, arrow::TimeUnit::type unit);
/// Appends "2024-05-01T12:30:00.250".
void append_timestamp(std::string& out, std::int64_t units, arrow::TimeUnit::type unit);
std::int64_t units_per_second(arrow::TimeUnit::type unit);

}  // namespace base
