// Inside base/parquet*.cc: writing. Tested by tests/base/parquet_test.cc.
#include "base/parquet_writer.h"

#include <arrow/api.h>
#include <arrow/compute/cast.h>
#include <arrow/io/interfaces.h>
#include <arrow/util/base64.h>
#include <parquet/arrow/writer.h>
#include <parquet/properties.h>

#include <algorithm>
#include <exception>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/parquet_reader.h"
#include "base/parquet_status.h"

namespace base {
namespace {

using Kind = ColumnType::Kind;

std::shared_ptr<arrow::DataType> arrow_type(const ColumnType& type) {
  switch (type.kind) {
    case Kind::kNull:
      return arrow::null();
    case Kind::kBoolean:
      return arrow::boolean();
    case Kind::kInteger:
      return arrow::int64();
    case Kind::kUnsigned:
      return arrow::uint64();
    case Kind::kDouble:
      return arrow::float64();
    case Kind::kString:
    case Kind::kJson:
      return arrow::utf8();
    case Kind::kList:
      return arrow::list(arrow::field("element", arrow_type(type.children[0])));
    case Kind::kStruct: {
      arrow::FieldVector fields;
      for (std::size_t i = 0; i < type.children.size(); ++i)
        fields.push_back(arrow::field(type.names[i], arrow_type(type.children[i])));
      return arrow::struct_(fields);
    }
  }
  return nullptr;
}

// Whether values of `from`, made of the JSON that values of `to` became, may be cast back.
bool comes_from(const arrow::DataType& from, const arrow::DataType& to) {
  using arrow::Type;
  const Type::type id = to.id();
  switch (from.id()) {
    case Type::NA:
      return id != Type::DICTIONARY && id != Type::EXTENSION;
    case Type::BOOL:
      return id == Type::BOOL;
    case Type::INT64:
    case Type::UINT64:
      return arrow::is_integer(id) || id == Type::DURATION;
    case Type::DOUBLE:
      return arrow::is_floating(id);
    case Type::STRING:
      return id == Type::STRING || id == Type::LARGE_STRING || id == Type::TIMESTAMP || arrow::is_date(id) ||
             arrow::is_decimal(id);
    case Type::LIST:
      return (id == Type::LIST || id == Type::LARGE_LIST || id == Type::FIXED_SIZE_LIST) &&
             comes_from(*from.field(0)->type(), *to.field(0)->type());
    case Type::STRUCT:
      if (id != Type::STRUCT || from.num_fields() != to.num_fields()) return false;
      for (int i = 0; i < from.num_fields(); ++i)
        if (from.field(i)->name() != to.field(i)->name() || !comes_from(*from.field(i)->type(), *to.field(i)->type()))
          return false;
      return true;
    default:
      return false;
  }
}

// Arrow casts no strings to these.
bool holds_base64(const arrow::DataType& from, const arrow::DataType& to) {
  using arrow::Type;
  return from.id() == Type::STRING &&
         (to.id() == Type::BINARY || to.id() == Type::LARGE_BINARY || to.id() == Type::FIXED_SIZE_BINARY);
}
bool holds_times(const arrow::DataType& from, const arrow::DataType& to) {
  return from.id() == arrow::Type::STRING && arrow::is_time(to.id());
}

bool comes_back(const arrow::DataType& from, const arrow::DataType& to) {
  return comes_from(from, to) || holds_base64(from, to) || holds_times(from, to);
}

// `array` with `change` made to every string.
template <class Builder, class Change>
arrow::Result<std::shared_ptr<arrow::Array>> changed(const arrow::StringArray& array, Change change) {
  Builder builder;
  for (std::int64_t i = 0; i < array.length(); ++i) {
    if (array.IsNull(i)) {
      ARROW_RETURN_NOT_OK(builder.AppendNull());
    } else {
      ARROW_ASSIGN_OR_RAISE(std::string value, change(array.GetView(i)));
      ARROW_RETURN_NOT_OK(builder.Append(value));
    }
  }
  return builder.Finish();
}

// Values that may come back as `to`; an error when one of them does not fit.
arrow::Result<std::shared_ptr<arrow::Array>> cast(const arrow::Array& from,
                                                  const std::shared_ptr<arrow::DataType>& to) {
  if (from.type_id() == arrow::Type::NA) return arrow::MakeArrayOfNull(to, from.length());
  if (holds_base64(*from.type(), *to)) {
    ARROW_ASSIGN_OR_RAISE(auto bytes, changed<arrow::BinaryBuilder>(
                                          static_cast<const arrow::StringArray&>(from),
                                          [](std::string_view text) { return arrow::util::base64_decode(text); }));
    return arrow::compute::Cast(*bytes, to);
  }
  if (holds_times(*from.type(), *to)) {
    ARROW_ASSIGN_OR_RAISE(auto moments, changed<arrow::StringBuilder>(
                                            static_cast<const arrow::StringArray&>(from), [](std::string_view text) {
                                              return arrow::Result<std::string>("1970-01-01T" + std::string(text));
                                            }));
    const arrow::TimeUnit::type unit = static_cast<const arrow::TimeType&>(*to).unit();
    // By way of whole numbers: there is no cast from a moment to a time either.
    ARROW_ASSIGN_OR_RAISE(moments, arrow::compute::Cast(*moments, arrow::timestamp(unit)));
    const auto number = to->id() == arrow::Type::TIME32 ? arrow::int32() : arrow::int64();
    ARROW_ASSIGN_OR_RAISE(moments, arrow::compute::Cast(*moments, arrow::int64()));
    ARROW_ASSIGN_OR_RAISE(moments, arrow::compute::Cast(*moments, number));
    return arrow::compute::Cast(*moments, to);
  }
  return arrow::compute::Cast(from, to);
}

class ArrowTypes final : public ParquetTypes {
 public:
  void forget(const std::string& column) override { by_name.erase(column); }
  std::map<std::string, std::shared_ptr<arrow::DataType>> by_name;
};

// Values into an Arrow builder of the same type.
class BuilderColumn final : public Column {
 public:
  explicit BuilderColumn(arrow::ArrayBuilder& builder) : builder_(builder) {
    if (auto* list = dynamic_cast<arrow::ListBuilder*>(&builder))
      children_.push_back(std::make_unique<BuilderColumn>(*list->value_builder()));
    if (dynamic_cast<arrow::StructBuilder*>(&builder) != nullptr)
      for (int i = 0; i < builder.num_children(); ++i)
        children_.push_back(std::make_unique<BuilderColumn>(*builder.child(i)));
  }
  void null() override { check_arrow(builder_.AppendNull()); }
  void boolean(bool value) override { append<arrow::BooleanBuilder>(value); }
  void integer(std::int64_t value) override { append<arrow::Int64Builder>(value); }
  void number(std::uint64_t value) override { append<arrow::UInt64Builder>(value); }
  void number(double value) override { append<arrow::DoubleBuilder>(value); }
  void string(std::string_view value) override { append<arrow::StringBuilder>(value); }
  void list() override { check_arrow(static_cast<arrow::ListBuilder&>(builder_).Append()); }
  void object() override { check_arrow(static_cast<arrow::StructBuilder&>(builder_).Append()); }
  Column& child(std::size_t i) override { return *children_[i]; }

 private:
  template <class Builder, class Value>
  void append(Value value) {
    check_arrow(static_cast<Builder&>(builder_).Append(value));
  }
  arrow::ArrayBuilder& builder_;
  std::vector<std::unique_ptr<BuilderColumn>> children_;
};

// A file written aside, as an Arrow stream. Arrow gets a status; the error itself waits in `failure`.
class Sink final : public arrow::io::OutputStream {
 public:
  explicit Sink(const std::string& path) : file_(path) {}
  arrow::Status Write(const void* data, std::int64_t size) override {
    try {
      file_.write(data, static_cast<std::size_t>(size));
      return arrow::Status::OK();
    } catch (const std::exception& error) {
      failure = std::current_exception();
      return arrow::Status::IOError(error.what());
    }
  }
  using arrow::io::OutputStream::Write;
  arrow::Result<std::int64_t> Tell() const override { return static_cast<std::int64_t>(file_.position()); }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  void commit() { file_.commit(); }

  std::exception_ptr failure;

 private:
  FileWriter file_;
  bool closed_ = false;
};

class Writer final : public ParquetWriter {
 public:
  Writer(const std::string& path, const ColumnType& type, const ArrowTypes& like, int level)
      : sink_(std::make_shared<Sink>(path)) {
    auto natural = arrow_type(type);
    arrow::FieldVector fields;
    for (const auto& field : natural->fields()) {
      auto wanted = like.by_name.find(field->name());
      const bool use = wanted != like.by_name.end() && comes_back(*field->type(), *wanted->second);
      fields.push_back(use ? field->WithType(wanted->second) : field);
    }
    schema_ = arrow::schema(fields);
    builder_ = checked_arrow(arrow::MakeBuilder(natural, arrow::system_memory_pool()));
    row_.emplace(*builder_);
    parquet::WriterProperties::Builder properties;
    properties.compression(parquet::Compression::ZSTD)->compression_level(level)->enable_page_checksum();
    properties.memory_pool(arrow::system_memory_pool());
    parquet::ArrowWriterProperties::Builder arrow_properties;
    arrow_properties.store_schema()->set_use_threads(false);
    guarded([&] {
      writer_ = checked_arrow(parquet::arrow::FileWriter::Open(*schema_, arrow::system_memory_pool(), sink_,
                                                               properties.build(), arrow_properties.build()));
    });
  }

  Column& row() override { return *row_; }

  std::vector<std::string> end_row_group() override {
    std::shared_ptr<arrow::Array> rows;
    check_arrow(builder_->Finish(&rows));
    const auto& natural = static_cast<const arrow::StructArray&>(*rows);
    std::vector<std::string> unfit;
    arrow::ArrayVector columns;
    for (int i = 0; i < schema_->num_fields(); ++i) {
      const auto& to = schema_->field(i)->type();
      const std::shared_ptr<arrow::Array> from = natural.field(i);
      if (from->type()->Equals(*to)) {
        columns.push_back(from);
        continue;
      }
      auto made = cast(*from, to);
      if (made.ok()) {
        columns.push_back(*made);
      } else {
        unfit.push_back(schema_->field(i)->name());
      }
    }
    if (unfit.empty() && rows->length() > 0)
      guarded([&] {
        check_arrow(writer_->WriteTable(*arrow::Table::Make(schema_, columns, rows->length()), rows->length()));
      });
    return unfit;
  }

  void commit() override {
    guarded([&] { check_arrow(writer_->Close()); });
    sink_->commit();
  }

 private:
  // The sink's own error says more than what Arrow makes of it.
  template <class F>
  void guarded(F&& f) {
    try {
      f();
    } catch (const std::exception&) {
      if (sink_->failure) std::rethrow_exception(sink_->failure);
      throw;
    }
  }

  std::shared_ptr<Sink> sink_;
  std::shared_ptr<arrow::Schema> schema_;
  std::unique_ptr<arrow::ArrayBuilder> builder_;
  std::optional<BuilderColumn> row_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
};

}  // namespace

std::unique_ptr<ParquetTypes> read_parquet_types(const std::vector<std::string>& paths, const std::string& text_field) {
  auto types = std::make_unique<ArrowTypes>();
  std::vector<std::string> differing;
  for (const std::string& path : paths) {
    std::shared_ptr<arrow::Schema> schema = parquet_schema(path);
    if (!schema) continue;
    for (const auto& field : schema->fields()) {
      if (field->name() == text_field && holds_base64(*arrow::utf8(), *field->type())) continue;
      auto [found, is_new] = types->by_name.emplace(field->name(), field->type());
      if (!is_new && !found->second->Equals(*field->type())) differing.push_back(field->name());
    }
  }
  for (const std::string& name : differing) types->by_name.erase(name);
  // Arrow makes a type's fingerprint when it is first asked for and keeps it: now, while no other thread has the type.
  for (const auto& [name, type] : types->by_name) type->fingerprint();
  return types;
}

std::unique_ptr<ParquetWriter> make_parquet_writer(const std::string& path, const ColumnType& type,
                                                   const ParquetTypes& like, int level) {
  return std::make_unique<Writer>(path, type, static_cast<const ArrowTypes&>(like), level);
}

}  // namespace base
