// Values of the template language: Python's, as far as a template can make them.
#pragma once

#include <cstdint>
#include <string_view>

#include "tokenizer/chat/jinja_memory.h"

namespace tokenizer::jinja {

enum class Type : std::uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kView,      // dict.keys(), values(), items()
  kRange,     // range(...)
  kIterator,  // what select, map ... give: passes once, without a length
  kNamespace,
  kLoop,
  kMacro,
  kFunction,  // range, dict, raise_exception ...
  kMethod,    // a method of a value, not called yet
  kCycler,
  kJoiner,
};

class Engine;
class Iterator;
struct Value;
struct Dict;
struct Range;
struct Loop;
struct Closure;
struct Function;
struct BoundMethod;
struct Cycler;
struct Joiner;

/// Why a value is undefined: decides the message when it is used.
enum class Missing : std::uint8_t { kVariable, kAttribute, kElement, kHint, kUnsafe };
enum class ViewKind : std::uint8_t { kKeys, kValues, kItems };
enum : std::uint8_t { kMarkup = 1, kGroup = 1 };  // Value::detail of a string that was escaped; of groupby's tuples

struct Value {
  Type type = Type::kUndefined;
  std::uint8_t detail = 0;  // a string's kMarkup, a view's ViewKind, a tuple's kGroup, an undefined value's Missing
  Type of = Type::kNone;    // of an undefined attribute: the type that lacks it
  std::uint32_t size = 0;   // bytes of a string or name, items of a list or tuple
  union {
    bool boolean;
    std::int64_t integer = 0;
    double real;
    const char* text;    // also of an undefined value: the name that was looked up
    const Value* items;  // of a list or tuple
    Dict* dict;          // also of a namespace and a view
    Range* range;
    Iterator* iterator;
    Loop* loop;
    const Closure* closure;
    const Function* function;
    const BoundMethod* method;
    Cycler* cycler;
    Joiner* joiner;
  };
  const Source* source = nullptr;  // where a string, number or container came from

  Value() : integer(0) {}
  static Value none() { return of_type(Type::kNone); }
  static Value boolean_of(bool value) {
    Value result = of_type(Type::kBool);
    result.boolean = value;
    return result;
  }
  static Value integer_of(std::int64_t value) {
    Value result = of_type(Type::kInt);
    result.integer = value;
    return result;
  }
  static Value real_of(double value) {
    Value result = of_type(Type::kFloat);
    result.real = value;
    return result;
  }
  static Value string_of(std::string_view text, const Source* source = nullptr, std::uint8_t detail = 0) {
    Value result = of_type(Type::kString);
    result.detail = detail;
    result.size = static_cast<std::uint32_t>(text.size());
    result.text = text.data();
    result.source = source;
    return result;
  }
  static Value sequence_of(Type type, const Value* items, std::size_t count, const Source* source = nullptr) {
    Value result = of_type(type);
    result.size = static_cast<std::uint32_t>(count);
    result.items = items;
    result.source = source;
    return result;
  }
  static Value dict_of(Dict* dict, const Source* source = nullptr) {
    Value result = of_type(Type::kDict);
    result.dict = dict;
    result.source = source;
    return result;
  }
  static Value undefined(Missing why, std::string_view name, Type of = Type::kNone) {
    Value result;
    result.detail = static_cast<std::uint8_t>(why);
    result.of = of;
    result.size = static_cast<std::uint32_t>(name.size());
    result.text = name.data();
    return result;
  }
  static Value of_type(Type type) {
    Value result;
    result.type = type;
    return result;
  }

  bool is(Type wanted) const { return type == wanted; }
  bool is_undefined() const { return type == Type::kUndefined; }
  bool is_string() const { return type == Type::kString; }
  bool is_markup() const { return type == Type::kString && detail == kMarkup; }
  bool is_sequence() const { return type == Type::kList || type == Type::kTuple; }
  /// An int or what counts as one: bool.
  bool is_integer() const { return type == Type::kInt || type == Type::kBool; }
  bool is_number() const { return is_integer() || type == Type::kFloat; }
  std::string_view string() const { return {text, size}; }
  std::span<const Value> list() const { return {items, size}; }
  std::int64_t as_integer() const { return type == Type::kBool ? boolean : integer; }
  double as_real() const { return type == Type::kFloat ? real : static_cast<double>(as_integer()); }
};
static_assert(sizeof(Value) == 24);

/// Keeps the order of insertion; found by a scan while small, by a hash table later.
struct Dict {
  struct Entry {
    Value key, value;
  };
  Entry* entries = nullptr;
  std::uint32_t size = 0, capacity = 0;
  std::uint32_t* table = nullptr;  // entry + 1 at hash & mask; 0: empty
  std::uint32_t mask = 0;
  std::int32_t message = -1;  // the index of the message that this is, or that it was made from

  Value* find(Engine& engine, const Value& key) const;
  /// Of a string, without a Value made of it.
  Value* find(std::string_view key) const;
  void set(Engine& engine, const Value& key, const Value& value);
  void reserve(Engine& engine, std::size_t count);
  /// Of a key that is known to be new.
  void add(Engine& engine, const Value& key, const Value& value);
  std::span<Entry> items() const { return {entries, size}; }

 private:
  void rehash(Engine& engine);
};

struct Range {
  std::int64_t start, stop, step;
  std::int64_t count;
  std::int64_t at(std::int64_t index) const { return start + index * step; }
};

/// Python's type name, as its messages write it.
std::string_view type_name(const Value& value);
bool truth(const Value& value);
bool equal(Engine& engine, const Value& left, const Value& right);
/// Python's order: negative, 0, positive. Throws Error for what has no order (NaN is unordered: `*unordered`).
int compare(Engine& engine, const Value& left, const Value& right, bool* unordered);
bool less(Engine& engine, const Value& left, const Value& right);
bool identical(const Value& left, const Value& right);
/// Throws Error for what cannot be a key.
std::size_t hash(Engine& engine, const Value& value);

/// Code points of valid UTF-8.
std::size_t code_points(std::string_view text);
/// Byte offset of the code point `index`; the end when there are fewer.
std::size_t byte_offset(std::string_view text, std::size_t index);
bool is_ascii(std::string_view text);

}  // namespace tokenizer::jinja
