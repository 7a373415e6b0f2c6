// Values of the template language: Python's, as far as a template can make them.
#pragma once

#include <cstdint>
#include <string_view>

#include "tokenizer/jinja/memory.h"

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
  kTemplate,  // self: has the template's blocks, and a template with blocks cannot use it here
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
// Value::detail of a string that was escaped, of one that stands for an integer beyond 64 bits, which templates can
// only write, and of groupby's tuples.
enum : std::uint8_t { kMarkup = 1, kDigits = 2, kGroup = 1 };

/// Three words, written and copied as such: a copy that reads in one piece what was just written in two or more waits
/// until it has reached the cache, which took a third of the time of rendering.
struct Value {
  union {
    std::uint64_t head;
    struct {
      Type type;
      std::uint8_t detail;  // a string's kMarkup, a view's ViewKind, a tuple's kGroup, an undefined value's Missing
      Type of;              // of an undefined attribute: the type that lacks it
      std::uint8_t unused;
      std::uint32_t size;  // bytes of a string or name, items of a list or tuple
    };
  };
  union {
    std::int64_t integer;
    bool boolean;
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

  Value() : head(static_cast<std::uint64_t>(Type::kNone) << 16), integer(0) {}
  explicit Value(Type is, std::size_t count = 0, std::uint8_t more = 0, Type lacks = Type::kNone)
      : head(static_cast<std::uint64_t>(is) | static_cast<std::uint64_t>(more) << 8 |
             static_cast<std::uint64_t>(lacks) << 16 | static_cast<std::uint64_t>(count) << 32),
        integer(0) {}
  Value(const Value& other) : head(other.head), integer(other.integer), source(other.source) {}
  Value& operator=(const Value& other) {
    head = other.head;
    integer = other.integer;
    source = other.source;
    return *this;
  }
  static Value none() { return of_type(Type::kNone); }
  static Value boolean_of(bool value) {
    Value result = of_type(Type::kBool);
    result.integer = value;
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
    Value result(Type::kString, text.size(), detail);
    result.text = text.data();
    result.source = source;
    return result;
  }
  static Value sequence_of(Type type, const Value* items, std::size_t count, const Source* source = nullptr) {
    Value result(type, count);
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
    Value result(Type::kUndefined, name.size(), static_cast<std::uint8_t>(why), of);
    result.text = name.data();
    return result;
  }
  static Value of_type(Type type) { return Value(type); }

  bool is(Type wanted) const { return type == wanted; }
  bool is_undefined() const { return type == Type::kUndefined; }
  bool is_string() const { return type == Type::kString; }
  bool is_markup() const { return type == Type::kString && detail == kMarkup; }
  bool is_digits() const { return type == Type::kString && detail == kDigits; }
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
  Value* find(std::string_view key) const {
    if (table) return find_in_table(key);
    for (std::uint32_t i = 0; i < size; ++i)
      if (is_key(entries[i], key)) return &entries[i].value;
    return nullptr;
  }
  void set(Engine& engine, const Value& key, const Value& value);
  void reserve(Engine& engine, std::size_t count);
  /// Of a key that is known to be new.
  void add(Engine& engine, const Value& key, const Value& value);
  std::span<Entry> items() const { return {entries, size}; }

 private:
  static bool is_key(const Entry& entry, std::string_view key) {
    if (!entry.key.is_string() || entry.key.size != key.size()) return false;
    return entry.key.text == key.data() || std::memcmp(entry.key.text, key.data(), key.size()) == 0;
  }
  Value* find_in_table(std::string_view key) const;
  void rehash(Engine& engine);
};

struct Range {
  std::int64_t start, stop, step;
  std::int64_t count;
  std::int64_t at(std::int64_t index) const { return start + index * step; }
};

/// Python's type name, as its messages write it.
std::string_view type_name(const Value& value);
bool truth_of_other(const Value& value);
inline bool truth(const Value& value) {
  if (value.is(Type::kBool)) return value.boolean;
  if (value.is_string() || value.is_sequence()) return value.size > 0;
  return truth_of_other(value);
}
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
inline bool is_ascii(std::string_view text) {
  typedef std::uint64_t Words [[gnu::vector_size(16)]];
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  const auto at = [&]<class T>(std::size_t position, T word) {
    std::memcpy(&word, text.data() + position, sizeof(T));
    return word;
  };
  const std::size_t size = text.size();
  std::size_t i = 0;
  for (; i + 64 <= size; i += 64) {
    const Words all = at(i, Words()) | at(i + 16, Words()) | at(i + 32, Words()) | at(i + 48, Words());
    if ((all[0] | all[1]) & kHigh) return false;
  }
  for (; i + 8 <= size; i += 8)
    if (at(i, std::uint64_t()) & kHigh) return false;
  if (size >= 8) return !(at(size - 8, std::uint64_t()) & kHigh);
  for (; i < size; ++i)
    if (static_cast<unsigned char>(text[i]) >= 0x80) return false;
  return true;
}

}  // namespace tokenizer::jinja
