// One rendering: its memory, its bounds, its variables and where its output goes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/jinja/jinja.h"
#include "tokenizer/jinja/value.h"

namespace tokenizer::jinja {

struct Named {
  std::string_view name;
  Value value;
};
struct Arguments {
  std::span<const Value> positional = {};
  std::span<const Named> named = {};
};

/// A function of the language, or a method (then with the value that it is called on).
struct Function {
  const char* name;
  Value (*call)(Engine& engine, const Arguments& arguments);
};
struct Method {
  const char* name;
  Value (*call)(Engine& engine, const Value& self, const Arguments& arguments);
};
struct BoundMethod {
  const Method* method;
  Value self;
};

/// The variables of one call of a macro (or of the template itself), and those around its definition.
struct Activation {
  Value* slots;
  Activation* parent;
};
class MacroStatement;
struct Closure {
  const MacroStatement* macro;
  Activation* parent;
};
struct Cycler {
  std::span<const Value> items;
  std::size_t position;
};
struct Joiner {
  Value separator;
  bool used;
};

/// What can be iterated, item by item. Lives in the arena.
class Iterator {
 public:
  virtual bool next(Engine& engine, Value& item) = 0;

 protected:
  ~Iterator() = default;
};

class Engine {
 public:
  static constexpr std::uint64_t kSteps = 10'000'000, kSlice = 4096;
  static constexpr double kSeconds = 0.5;  ///< of the processor: steps can take longer than most do
  static constexpr std::size_t kStackBytes = std::size_t{1} << 20;

  Engine(Arena& arena, const std::string& name, const Options& options);

  // Bounds and errors.
  [[noreturn]] void fail(std::string what, std::string_view value = {}, std::string expected = {},
                         std::string advice = {}) const;
  /// Counts work; a template that never ends is stopped.
  void charge(std::uint64_t steps = 1) {
    if (steps > slice_) begin_slice(steps);
    slice_ -= steps;
  }
  /// Work on so many bytes.
  void charge_bytes(std::size_t bytes) { charge(bytes / 32); }
  /// Work on a value as a whole, by a filter, a test or a method.
  void charge_value(const Value& value) {
    if (value.is_string()) charge_bytes(value.size);
  }
  /// To be called where the depth of recursion is the template's or the data's choice.
  void check_stack() const;

  // Output.
  void emit(std::string_view text) { out->append(arena, text, generated, owner); }
  void emit(std::string_view text, const Source* source);
  /// As {{ value }} does.
  void print(const Value& value);

  // Text.
  Value copy(std::string_view text, const Source* source = nullptr, std::uint8_t detail = 0);
  /// str(value), with its provenance.
  Value to_string(const Value& value);
  Value concatenate(const Value& left, const Value& right);
  Value concatenate(std::span<const Value> strings);
  /// The string of all that `buffer` holds.
  Value string_of(const Buffer& buffer, std::uint8_t detail = 0);

  // Calls.
  Value call(const Value& callee, const Arguments& arguments);
  Value call_macro(const Closure& closure, const Arguments& arguments);

  Arena& arena;
  const Options& options;
  int line = 1;              ///< of the template, for messages
  Buffer* out = nullptr;     ///< what is being written: the output, or what a macro or block captures
  std::int32_t owner = -1;   ///< the message whose turn it is
  Tag generated = 0;         ///< 1 within {% generation %}
  Value* globals = nullptr;  ///< the variables given, and functions, by index
  Activation* activation = nullptr;

 private:
  [[noreturn]] void refuse_steps() const;
  void begin_slice(std::uint64_t steps);

  const std::string& name_;
  std::uint64_t slice_ = kSlice, steps_ = kSteps - kSlice;  // before the clock is looked at, and behind that
  double begin_ = -1;                                       // of the second slice: most renderings have none
  const char* stack_;
};

/// Builds a string from pieces, keeping where each came from.
class TextBuilder {
 public:
  explicit TextBuilder(Engine& engine, std::size_t expected = 0) : engine_(engine) {
    if (expected > 0) buffer_.grow(engine.arena, expected);
  }
  void append(std::string_view text, const Source* source = nullptr) {
    for_each_run(text, source, [&](std::string_view part, Tag tag, std::int32_t owner) {
      buffer_.append(engine_.arena, part, tag, owner < 0 ? engine_.owner : owner);
    });
  }
  void append(char c, const Source* source = nullptr) { append(std::string_view(&c, 1), source); }
  void append(const Value& string) { append(string.string(), string.source); }
  void repeat(char c, std::size_t count, const Source* source = nullptr);
  std::size_t size() const { return buffer_.size; }
  std::string_view view() const { return {buffer_.data, buffer_.size}; }
  Value finish(std::uint8_t detail = 0) { return engine_.string_of(buffer_, detail); }
  Engine& engine() { return engine_; }

 private:
  Engine& engine_;
  Buffer buffer_;
};

/// A growing list in the arena.
class ListBuilder {
 public:
  explicit ListBuilder(Engine& engine, std::size_t expected = 4)
      : engine_(engine), items_(engine.arena.array<Value>(expected)), capacity_(expected) {}
  void add(const Value& value) {
    if (size_ == capacity_) grow();
    items_[size_++] = value;
  }
  Value finish(Type type = Type::kList) const { return Value::sequence_of(type, items_, size_); }
  /// Begins another list.
  void restart() {
    items_ = nullptr;
    size_ = capacity_ = 0;
  }
  std::size_t size() const { return size_; }
  std::span<Value> items() { return {items_, size_}; }

 private:
  void grow();
  Engine& engine_;
  Value* items_;
  std::size_t size_ = 0, capacity_;
};

/// The arguments of a call by the names of its parameters. Throws Error for one that is unknown, given twice, missing
/// or too many.
class Parameters {
 public:
  Parameters(Engine& engine, const char* callee, const Arguments& arguments, std::initializer_list<const char*> names,
             std::size_t required = 0);
  bool has(std::size_t index) const { return values_[index] != nullptr; }
  const Value& operator[](std::size_t index) const { return *values_[index]; }
  Value value_or(std::size_t index, const Value& fallback) const { return has(index) ? *values_[index] : fallback; }
  bool truth_of(std::size_t index, bool fallback = false) const {
    return has(index) ? truth(*values_[index]) : fallback;
  }
  /// Throws Error for what is no int, or no string.
  std::int64_t integer(std::size_t index, std::int64_t fallback = 0) const;
  std::string_view string(std::size_t index, std::string_view fallback = {}) const;
  /// Given and not None.
  bool given(std::size_t index) const { return has(index) && !values_[index]->is(Type::kNone); }

 private:
  Engine& engine_;
  const char* callee_;
  const Value* values_[8] = {};
};

// Iteration.
Iterator* iterate(Engine& engine, const Value& value);  ///< throws Error for what cannot be iterated
bool is_iterable(const Value& value);
/// Calls f(item) until it returns false (or, returning void, to the end).
template <class F>
void for_each(Engine& engine, const Value& value, F f) {
  if (value.is_sequence()) {
    for (const Value& item : value.list()) {
      engine.charge();
      f(item);
    }
    return;
  }
  Iterator* iterator = iterate(engine, value);
  for (Value item; iterator->next(engine, item);) f(item);
}
Value to_list(Engine& engine, const Value& value, Type type = Type::kList);
/// What is wrong with using it: "'x' is undefined".
std::string describe_undefined(const Value& value);
/// len(value), or -1 for what has none.
std::int64_t length(const Value& value);
/// An iterator that passes over `items`.
Value iterator_over(Engine& engine, std::span<const Value> items);

// Operators.
enum class Operator : std::uint8_t { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class Comparison : std::uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };
Value operate(Engine& engine, Operator operation, const Value& left, const Value& right);
bool compare(Engine& engine, Comparison comparison, const Value& left, const Value& right);
bool contains(Engine& engine, const Value& container, const Value& item);
Value negate(Engine& engine, const Value& value);
/// value[index] and value.name as Jinja's sandbox looks them up; undefined when there is none.
Value subscript(Engine& engine, const Value& value, const Value& index);
Value attribute(Engine& engine, const Value& value, std::string_view name);
/// A method, or another attribute of Python's object (not an item); undefined when there is none.
Value own_attribute(Engine& engine, const Value& value, std::string_view name);
Value slice(Engine& engine, const Value& value, const Value& start, const Value& stop, const Value& step);
/// Hidden from templates: what changes a value, and Python's inner attributes.
bool is_unsafe(Type type, std::string_view name);
/// The methods that a value of this type has. Null: none of this name.
const Method* find_method(Type type, std::string_view name);
const Method* find_string_method(std::string_view name);
const Method* find_container_method(Type type, std::string_view name);

// Text of values.
void append_str(TextBuilder& text, const Value& value);
void append_repr(TextBuilder& text, const Value& value);
std::string float_repr(double value);
struct JsonStyle {
  bool ascii = false, sort_keys = false;
  std::optional<std::string> indent = {};
  std::string item_separator = ", ", key_separator = ": ";
};
void append_json(TextBuilder& text, const Value& value, const JsonStyle& style);
Value format_percent(Engine& engine, const Value& format, const Value& arguments);
Value format_braces(Engine& engine, const Value& format, const Arguments& arguments);
Value escape(Engine& engine, const Value& value);

// Names of the language.
struct FilterFunction {
  const char* name;
  Value (*call)(Engine& engine, const Value& input, const Arguments& arguments);
};
struct TestFunction {
  const char* name;
  bool (*call)(Engine& engine, const Value& input, const Arguments& arguments);
};
const FilterFunction* find_filter(std::string_view name);
const TestFunction* find_test(std::string_view name);
const Function* find_function(std::string_view name);  ///< of the global ones
Value make_dict(Engine& engine, const Arguments& arguments);
/// An attribute by a path with dots, as the filters take it: "function.name", 0.
Value attribute_path(Engine& engine, const Value& item, const Value& path);

}  // namespace tokenizer::jinja
