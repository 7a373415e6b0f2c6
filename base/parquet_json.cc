// Inside base/parquet*.cc: rows of Arrow batches as JSON. Tested by tests/base/parquet_test.cc.
#include "base/parquet_json.h"

#include <arrow/util/base64.h>
#include <arrow/util/float16.h>
#include <arrow/util/utf8.h>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <iterator>
#include <set>

#include "base/text.h"

namespace base {
namespace {

// The first type inside `type` that JSON gets no values of; null when there is none.
const arrow::DataType* unfit(const arrow::DataType& type) {
  using arrow::Type;
  switch (type.id()) {
    case Type::NA:
    case Type::BOOL:
    case Type::UINT8:
    case Type::INT8:
    case Type::UINT16:
    case Type::INT16:
    case Type::UINT32:
    case Type::INT32:
    case Type::UINT64:
    case Type::INT64:
    case Type::HALF_FLOAT:
    case Type::FLOAT:
    case Type::DOUBLE:
    case Type::STRING:
    case Type::LARGE_STRING:
    case Type::STRING_VIEW:
    case Type::BINARY:
    case Type::LARGE_BINARY:
    case Type::BINARY_VIEW:
    case Type::FIXED_SIZE_BINARY:
    case Type::DATE32:
    case Type::DATE64:
    case Type::TIMESTAMP:
    case Type::TIME32:
    case Type::TIME64:
    case Type::DURATION:
    case Type::DECIMAL32:
    case Type::DECIMAL64:
    case Type::DECIMAL128:
    case Type::DECIMAL256:
      return nullptr;
    case Type::DICTIONARY:
      return unfit(*static_cast<const arrow::DictionaryType&>(type).value_type());
    case Type::EXTENSION:
      return unfit(*static_cast<const arrow::ExtensionType&>(type).storage_type());
    case Type::LIST:
    case Type::LARGE_LIST:
    case Type::FIXED_SIZE_LIST:
    case Type::MAP:
      return unfit(*type.field(0)->type());
    case Type::STRUCT: {
      std::set<std::string> names;
      for (const auto& field : type.fields()) {
        if (!names.insert(field->name()).second) return &type;
        if (const arrow::DataType* found = unfit(*field->type())) return found;
      }
      return nullptr;
    }
    default:
      return &type;
  }
}

// Adds to `path` where find_field finds `field` in objects of these members, then -1; leaves it empty when it is not
// there.
void find_path(const arrow::FieldVector& members, std::string_view field, std::vector<int>& path) {
  const auto number_of = [&](std::string_view name) {
    for (std::size_t i = 0; i < members.size(); ++i)
      if (members[i]->name() == name) return static_cast<int>(i);
    return -1;
  };
  if (const int number = number_of(field); number >= 0) {
    path = {number, -1};
    return;
  }
  for (std::size_t dot = field.rfind('.'); dot != field.npos && dot > 0; dot = field.rfind('.', dot - 1)) {
    const int number = number_of(field.substr(0, dot));
    if (number < 0) continue;
    find_path(members[static_cast<std::size_t>(number)]->type()->fields(), field.substr(dot + 1), path);
    if (path.empty()) continue;
    path.insert(path.begin(), number);
    return;
  }
}

template <class Number>
void append_integer(std::string& out, Number value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

// What is left of a path in member `number`, null beside it.
const int* below(const int* path, int number) { return path != nullptr && *path == number ? path + 1 : nullptr; }

std::int64_t floor_divide(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

}  // namespace

std::string unfit_for_json(const arrow::Schema& schema) {
  std::set<std::string> names;
  for (const auto& field : schema.fields()) {
    if (!names.insert(field->name()).second)
      return fmt::format("two columns are named \"{}\"", shortened(field->name()));
    if (const arrow::DataType* type = unfit(*field->type()))
      return fmt::format("column \"{}\" holds values that JSON has no form for: {}", shortened(field->name()),
                         shortened(type->ToString()));
  }
  return "";
}

void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
    return;
  }
  const std::size_t begin = out.size();
  fmt::format_to(std::back_inserter(out), "{}", value);
  if (out.find_first_of(".e", begin) == out.npos) out += ".0";
}

std::int64_t units_per_second(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return 1;
    case arrow::TimeUnit::MILLI:
      return 1000;
    case arrow::TimeUnit::MICRO:
      return 1000000;
    case arrow::TimeUnit::NANO:
      return 1000000000;
  }
  return 1;
}

void append_date(std::string& out, std::int64_t days) {
  // The civil calendar from a day number: http://howardhinnant.github.io/date_algorithms.html, civil_from_days.
  days += 719468;
  const std::int64_t era = floor_divide(days, 146097);
  const std::int64_t day_of_era = days - era * 146097;
  const std::int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted_month = (5 * day_of_year + 2) / 153;  // 0 is March
  const std::int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const std::int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const std::int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  if (year < 0 || year > 9999) {
    fmt::format_to(std::back_inserter(out), "{:+07}-{:02}-{:02}", year, month, day);  // ISO 8601, expanded
  } else {
    fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}", year, month, day);
  }
}

void append_time(std::string& out, std::int64_t units, arrow::TimeUnit::type unit) {
  const std::int64_t rate = units_per_second(unit);
  const std::int64_t seconds = floor_divide(units, rate);
  fmt::format_to(std::back_inserter(out), "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  if (rate > 1)
    fmt::format_to(std::back_inserter(out), ".{:0{}}", units - seconds * rate,
                   rate == 1000      ? 3
                   : rate == 1000000 ? 6
                                     : 9);
}

void append_timestamp(std::string& out, std::int64_t units, arrow::TimeUnit::type unit) {
  const std::int64_t per_day = 86400 * units_per_second(unit);
  const std::int64_t days = floor_divide(units, per_day);
  append_date(out, days);
  out += 'T';
  append_time(out, units - days * per_day, unit);
}

RowWriter::RowWriter(const arrow::Schema& schema, const RecordOptions& options, std::size_t limit)
    : bytes_are_text_(options.bytes_are_text), limit_(limit) {
  arrow::util::InitializeUTF8();
  for (int i = 0; i < schema.num_fields(); ++i) {
    std::string key = i == 0 ? "" : ",";
    append_json_string(key, schema.field(i)->name());
    keys_.push_back(key + ":");
  }
  find_path(schema.fields(), options.text_field, text_path_);
}

void RowWriter::append(const arrow::RecordBatch& batch, std::int64_t row, std::string& out) {
  most_ = out.size() + limit_;
  out += '{';
  for (int i = 0; i < batch.num_columns() && out.size() <= most_; ++i) {
    out += keys_[static_cast<std::size_t>(i)];
    append_value(*batch.column(i), row, out, below(text_path_.empty() ? nullptr : text_path_.data(), i));
  }
  out += '}';
}

namespace {

// Element i of an array that is known to be an `Array`.
template <class Array>
auto at(const arrow::Array& array, std::int64_t i) {
  return static_cast<const Array&>(array).Value(i);
}
template <class Array>
std::string_view view(const arrow::Array& array, std::int64_t i) {
  return static_cast<const Array&>(array).GetView(i);
}

// The next two: false when the element is of another kind.
bool append_number(const arrow::Array& array, std::int64_t i, std::string& out) {
  using arrow::Type;
  switch (array.type_id()) {
    case Type::BOOL:
      return out += at<arrow::BooleanArray>(array, i) ? "true" : "false", true;
    case Type::UINT8:
      return append_integer(out, at<arrow::UInt8Array>(array, i)), true;
    case Type::INT8:
      return append_integer(out, at<arrow::Int8Array>(array, i)), true;
    case Type::UINT16:
      return append_integer(out, at<arrow::UInt16Array>(array, i)), true;
    case Type::INT16:
      return append_integer(out, at<arrow::Int16Array>(array, i)), true;
    case Type::UINT32:
      return append_integer(out, at<arrow::UInt32Array>(array, i)), true;
    case Type::INT32:
      return append_integer(out, at<arrow::Int32Array>(array, i)), true;
    case Type::UINT64:
      return append_integer(out, at<arrow::UInt64Array>(array, i)), true;
    case Type::INT64:
      return append_integer(out, at<arrow::Int64Array>(array, i)), true;
    case Type::DURATION:
      return append_integer(out, at<arrow::DurationArray>(array, i)), true;
    case Type::HALF_FLOAT:
      return append_double(out, arrow::util::Float16::FromBits(at<arrow::HalfFloatArray>(array, i)).ToDouble()), true;
    case Type::FLOAT:
      return append_double(out, static_cast<double>(at<arrow::FloatArray>(array, i))), true;
    case Type::DOUBLE:
      return append_double(out, at<arrow::DoubleArray>(array, i)), true;
    default:
      return false;
  }
}

template <class Array>
void append_decimal(const arrow::Array& array, std::int64_t i, std::string& out) {
  out += static_cast<const Array&>(array).FormatValue(i);
}

// What JSON has no number for: moments and decimals, in quotes.
bool append_quoted(const arrow::Array& array, std::int64_t i, std::string& out) {
  using arrow::Type;
  const std::size_t begin = out.size();
  const arrow::DataType& type = *array.type();
  out += '"';
  switch (array.type_id()) {
    case Type::DATE32:
      append_date(out, at<arrow::Date32Array>(array, i));
      break;
    case Type::DATE64:
      append_date(out, floor_divide(at<arrow::Date64Array>(array, i), 86400000));
      break;
    case Type::TIMESTAMP: {
      const auto& timestamp = static_cast<const arrow::TimestampType&>(type);
      append_timestamp(out, at<arrow::TimestampArray>(array, i), timestamp.unit());
      if (!timestamp.timezone().empty()) out += 'Z';
      break;
    }
    case Type::TIME32:
      append_time(out, at<arrow::Time32Array>(array, i), static_cast<const arrow::Time32Type&>(type).unit());
      break;
    case Type::TIME64:
      append_time(out, at<arrow::Time64Array>(array, i), static_cast<const arrow::Time64Type&>(type).unit());
      break;
    case Type::DECIMAL32:
      append_decimal<arrow::Decimal32Array>(array, i, out);
      break;
    case Type::DECIMAL64:
      append_decimal<arrow::Decimal64Array>(array, i, out);
      break;
    case Type::DECIMAL128:
      append_decimal<arrow::Decimal128Array>(array, i, out);
      break;
    case Type::DECIMAL256:
      append_decimal<arrow::Decimal256Array>(array, i, out);
      break;
    default:
      out.resize(begin);
      return false;
  }
  out += '"';
  return true;
}

}  // namespace

void RowWriter::append_value(const arrow::Array& array, std::int64_t i, std::string& out, const int* text_path) {
  const bool written = !array.IsNull(i) && (append_text(array, i, out, text_path) || append_number(array, i, out) ||
                                            append_nested(array, i, out, text_path) || append_quoted(array, i, out));
  if (!written) out += "null";  // other types are refused by unfit_for_json
}

bool RowWriter::is_text(const arrow::Array& bytes) {
  const auto [found, is_new] = are_text_.emplace(&bytes, true);
  const auto all = [&](const auto& values) {
    for (std::int64_t i = 0; i < values.length(); ++i)
      if (!values.IsNull(i) && !arrow::util::ValidateUTF8(std::string_view(values.GetView(i)))) return false;
    return true;
  };
  using arrow::Type;
  if (!is_new) return found->second;
  switch (bytes.type_id()) {
    case Type::BINARY:
      return found->second = all(static_cast<const arrow::BinaryArray&>(bytes));
    case Type::LARGE_BINARY:
      return found->second = all(static_cast<const arrow::LargeBinaryArray&>(bytes));
    case Type::BINARY_VIEW:
      return found->second = all(static_cast<const arrow::BinaryViewArray&>(bytes));
    default:  // of a fixed size: a number, a hash
      return found->second = false;
  }
}

bool RowWriter::append_text(const arrow::Array& array, std::int64_t i, std::string& out, const int* text_path) {
  const auto text = [&](std::string_view value) {
    append_json_string(out, value.substr(0, limit_ + 1));
    return true;
  };
  const auto bytes = [&](std::string_view value) {
    if (text_path != nullptr && *text_path == -1) return text(value);
    if (bytes_are_text_ && is_text(array)) return text(value);
    out += bytes_are_text_ ? "{\"bytes\":\"" : "\"";
    out += arrow::util::base64_encode(value.substr(0, limit_ + 1));
    out += bytes_are_text_ ? "\"}" : "\"";
    return true;
  };
  using arrow::Type;
  switch (array.type_id()) {
    case Type::STRING:
      return text(view<arrow::StringArray>(array, i));
    case Type::LARGE_STRING:
      return text(view<arrow::LargeStringArray>(array, i));
    case Type::STRING_VIEW:
      return text(view<arrow::StringViewArray>(array, i));
    case Type::BINARY:
      return bytes(view<arrow::BinaryArray>(array, i));
    case Type::LARGE_BINARY:
      return bytes(view<arrow::LargeBinaryArray>(array, i));
    case Type::BINARY_VIEW:
      return bytes(view<arrow::BinaryViewArray>(array, i));
    case Type::FIXED_SIZE_BINARY:
      return bytes(view<arrow::FixedSizeBinaryArray>(array, i));
    default:
      return false;
  }
}

bool RowWriter::append_nested(const arrow::Array& array, std::int64_t i, std::string& out, const int* text_path) {
  const auto list = [&](const auto& lists) {
    append_list(*lists.values(), lists.value_offset(i), lists.value_length(i), out);
    return true;
  };
  using arrow::Type;
  switch (array.type_id()) {
    case Type::LIST:
    case Type::MAP:
      return list(static_cast<const arrow::ListArray&>(array));
    case Type::LARGE_LIST:
      return list(static_cast<const arrow::LargeListArray&>(array));
    case Type::FIXED_SIZE_LIST:
      return list(static_cast<const arrow::FixedSizeListArray&>(array));
    case Type::STRUCT:
      return append_struct(static_cast<const arrow::StructArray&>(array), i, out, text_path), true;
    case Type::EXTENSION:
      return append_value(*static_cast<const arrow::ExtensionArray&>(array).storage(), i, out, text_path), true;
    case Type::DICTIONARY: {
      const auto& dictionary = static_cast<const arrow::DictionaryArray&>(array);
      const std::int64_t index = dictionary.GetValueIndex(i);
      if (index < 0 || index >= dictionary.dictionary()->length()) return false;
      return append_value(*dictionary.dictionary(), index, out, text_path), true;
    }
    default:
      return false;
  }
}

void RowWriter::append_list(const arrow::Array& values, std::int64_t begin, std::int64_t length, std::string& out) {
  out += '[';
  for (std::int64_t k = 0; k < length && out.size() <= most_; ++k) {
    if (k > 0) out += ',';
    append_value(values, begin + k, out, nullptr);
  }
  out += ']';
}

void RowWriter::append_struct(const arrow::StructArray& structs, std::int64_t i, std::string& out,
                              const int* text_path) {
  out += '{';
  for (int k = 0; k < structs.num_fields() && out.size() <= most_; ++k) {
    if (k > 0) out += ',';
    append_json_string(out, structs.type()->field(k)->name());
    out += ':';
    append_value(*structs.field(k), i, out, below(text_path, k));
  }
  out += '}';
}

}  // namespace base
