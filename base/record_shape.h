// JSON records as columns: which type each field has over all records, and their values one record after another.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace base {

/// The type of a column, or of what is inside one. Every value may be null.
struct ColumnType {
  enum class Kind {
    kNull,  ///< nothing but null
    kBoolean,
    kInteger,   ///< 64 bits
    kUnsigned,  ///< 64 bits
    kDouble,
    kString,
    kJson,    ///< a string that holds the value as JSON
    kList,    ///< of children[0]
    kStruct,  ///< of children, named
  };
  Kind kind = Kind::kNull;
  std::vector<std::string> names;
  std::vector<ColumnType> children;
};

/// What the fields of records hold, learnt record by record; pieces learnt elsewhere are joined. The result depends on
/// the records and their order alone: fields stand in the order in which they first appear.
///
/// Integers and other numbers in one field are doubles, unless an integer needs more than 53 bits. Values of different
/// types in one field, numbers beyond 64 bits or a double, objects without members or with more than 1000 different
/// ones, and what is nested deeper than 32 levels become JSON text.
class RecordShape {
 public:
  RecordShape();
  ~RecordShape();
  RecordShape(RecordShape&&) noexcept;
  RecordShape& operator=(RecordShape&&) noexcept;
  /// Looks at one record, a valid JSON object.
  void add(std::string_view record);
  /// Joins what was learnt from later records.
  void add(const RecordShape& later);
  /// A kStruct of all fields. Throws Error when the records have more than 10,000 fields.
  ColumnType type() const;
  /// The fields that become JSON text, "meta.size": those of the type's kJson.
  std::vector<std::string> json_text() const;

  struct Node;

 private:
  std::unique_ptr<Node> root_;
};

/// Takes the values of one column. One call of these for a row: `null`, the one of its kind, or for kList `list` and
/// then `length` rows of children 0, for kStruct `object` and then a row of every child.
class Column {
 public:
  virtual ~Column() = default;
  virtual void null() = 0;
  virtual void boolean(bool value) = 0;
  virtual void integer(std::int64_t value) = 0;
  virtual void number(std::uint64_t value) = 0;
  virtual void number(double value) = 0;
  virtual void string(std::string_view value) = 0;  ///< valid UTF-8
  virtual void list() = 0;
  virtual void object() = 0;
  virtual Column& child(std::size_t i) = 0;
};

/// Splits records into a column of kStruct. One thread.
class RecordSplitter {
 public:
  explicit RecordSplitter(const ColumnType& type);
  ~RecordSplitter();
  /// Appends a row: missing fields are null, of a field that stands twice the last counts. The record must have been
  /// added to the shape that made the type.
  void append(std::string_view record, Column& column);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace base
