// Truth, equality, order, hashes and dicts, as Python has them. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/unicode.h"
#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

std::string_view type_name(const Value& value) {
  static constexpr std::string_view kNames[] = {"Undefined", "NoneType",    "bool",   "int",
                                                "float",     "str",         "list",   "tuple",
                                                "dict",      "dict view",   "range",  "iterator",
                                                "Namespace", "LoopContext", "Macro",  "function",
                                                "method",    "Cycler",      "Joiner", "TemplateReference"};
  return kNames[static_cast<std::size_t>(value.type)];
}

bool truth_of_other(const Value& value) {
  switch (value.type) {
    case Type::kUndefined:
    case Type::kNone:
      return false;
    case Type::kBool:
      return value.boolean;
    case Type::kInt:
      return value.integer != 0;
    case Type::kFloat:
      return value.real != 0;
    case Type::kString:
    case Type::kList:
    case Type::kTuple:
      return value.size > 0;
    case Type::kDict:
    case Type::kView:
      return value.dict->size > 0;
    case Type::kRange:
      return value.range->count > 0;
    case Type::kLoop:
      return length(value) != 0;
    default:
      return true;
  }
}

namespace {

bool equal_lists(Engine& engine, std::span<const Value> left, std::span<const Value> right) {
  engine.check_stack();
  engine.charge_bytes(left.size_bytes());
  return left.size() == right.size() &&
         std::equal(left.begin(), left.end(), right.begin(),
                    [&](const auto& a, const auto& b) { return identical(a, b) || equal(engine, a, b); });
}

bool equal_dicts(Engine& engine, const Dict& left, const Dict& right) {
  engine.check_stack();
  if (left.size != right.size) return false;
  return std::ranges::all_of(left.items(), [&](const Dict::Entry& entry) {
    const Value* other = right.find(engine, entry.key);
    return other && equal(engine, entry.value, *other);
  });
}

bool equal_numbers(const Value& left, const Value& right) {
  if (left.is_integer() && right.is_integer()) return left.as_integer() == right.as_integer();
  if (left.is(Type::kFloat) && right.is(Type::kFloat)) return left.real == right.real;
  const double real = left.is(Type::kFloat) ? left.real : right.real;
  const std::int64_t integer = left.is(Type::kFloat) ? right.as_integer() : left.as_integer();
  return real >= -0x1p63 && real < 0x1p63 && real == std::floor(real) && static_cast<std::int64_t>(real) == integer;
}

int order_of_integer_and_real(std::int64_t integer, double real) {
  if (real >= 0x1p63) return -1;
  if (real < -0x1p63) return 1;
  const double whole = std::floor(real);
  const auto floor = static_cast<std::int64_t>(whole);
  if (integer != floor) return integer < floor ? -1 : 1;
  return real > whole ? -1 : 0;
}

int order_of_numbers(const Value& left, const Value& right, bool* unordered) {
  if ((left.is(Type::kFloat) && std::isnan(left.real)) || (right.is(Type::kFloat) && std::isnan(right.real))) {
    *unordered = true;
    return 0;
  }
  if (left.is(Type::kFloat) && right.is(Type::kFloat)) return left.real < right.real ? -1 : left.real > right.real;
  if (left.is(Type::kFloat)) return -order_of_integer_and_real(right.as_integer(), left.real);
  if (right.is(Type::kFloat)) return order_of_integer_and_real(left.as_integer(), right.real);
  return left.as_integer() < right.as_integer() ? -1 : left.as_integer() > right.as_integer();
}

}  // namespace

bool identical(const Value& left, const Value& right) {
  if (left.type != right.type) return false;
  switch (left.type) {
    case Type::kNone:
      return true;
    case Type::kUndefined:
      return false;
    case Type::kString:
      return left.string() == right.string();  // Python keeps one of equal short strings
    case Type::kBool:
      return left.boolean == right.boolean;
    case Type::kView:
      return left.dict == right.dict && left.detail == right.detail;
    case Type::kList:
    case Type::kTuple:
      return left.items == right.items && left.size == right.size;
    default:
      return left.integer == right.integer;
  }
}

bool equal(Engine& engine, const Value& left, const Value& right) {
  engine.charge();
  if (left.is_number() && right.is_number()) return equal_numbers(left, right);
  if (left.type != right.type) return false;
  switch (left.type) {
    case Type::kUndefined:
      return true;
    case Type::kString:
      engine.charge_bytes(left.size);
      return left.string() == right.string();
    case Type::kList:
    case Type::kTuple:
      return equal_lists(engine, left.list(), right.list());
    case Type::kDict:
      return left.dict == right.dict || equal_dicts(engine, *left.dict, *right.dict);
    case Type::kRange: {
      const Range &a = *left.range, &b = *right.range;
      return a.count == b.count && (a.count == 0 || (a.start == b.start && (a.count == 1 || a.step == b.step)));
    }
    default:
      return identical(left, right);
  }
}

int compare(Engine& engine, const Value& left, const Value& right, bool* unordered) {
  engine.charge();
  if (left.is_number() && right.is_number()) return order_of_numbers(left, right, unordered);
  if (left.is_string() && right.is_string()) {
    engine.charge_bytes(std::min(left.size, right.size));
    return left.string().compare(right.string());  // the order of UTF-8 is that of code points
  }
  if (!left.is_sequence() || left.type != right.type)
    engine.fail("these have no order", fmt::format("{} and {}", type_name(left), type_name(right)),
                "two numbers, two strings or two lists");
  engine.check_stack();
  const auto a = left.list(), b = right.list();
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    if (!identical(a[i], b[i]) && !equal(engine, a[i], b[i])) return compare(engine, a[i], b[i], unordered);
  return a.size() < b.size() ? -1 : a.size() > b.size();
}

bool less(Engine& engine, const Value& left, const Value& right) {
  bool unordered = false;
  return compare(engine, left, right, &unordered) < 0 && !unordered;
}

std::size_t hash(Engine& engine, const Value& value) {
  engine.charge();
  switch (value.type) {
    case Type::kNone:
    case Type::kUndefined:
      return static_cast<std::size_t>(value.type);
    case Type::kString:
      engine.charge_bytes(value.size);
      return std::hash<std::string_view>()(value.string());
    case Type::kBool:
    case Type::kInt:
      return std::hash<double>()(static_cast<double>(value.as_integer()));
    case Type::kFloat:
      return std::hash<double>()(value.real);
    case Type::kTuple: {
      engine.check_stack();
      std::size_t sum = 7;
      for (const Value& item : value.list()) sum = sum * 1'000'003 + hash(engine, item);
      return sum;
    }
    case Type::kList:
    case Type::kDict:
    case Type::kNamespace:
    case Type::kView:
      engine.fail("this cannot be a key", type_name(value), "a string, a number or a tuple");
    default:
      return std::hash<const void*>()(value.text);
  }
}

namespace {

constexpr std::uint32_t kScanned = 8;  // entries that are scanned rather than hashed

}  // namespace

Value* Dict::find_in_table(std::string_view key) const {
  for (std::size_t at = std::hash<std::string_view>()(key);; ++at) {
    const std::uint32_t found = table[at & mask];
    if (found == 0) return nullptr;
    Entry& entry = entries[found - 1];
    if (is_key(entry, key)) return &entry.value;
  }
}

Value* Dict::find(Engine& engine, const Value& key) const {
  if (key.is_string()) {
    engine.charge_bytes(key.size);
    return find(key.string());
  }
  const std::size_t sum = jinja::hash(engine, key);
  if (!table) {
    for (Entry& entry : items())
      if (equal(engine, entry.key, key)) return &entry.value;
    return nullptr;
  }
  for (std::size_t at = sum;; ++at) {
    const std::uint32_t found = table[at & mask];
    if (found == 0) return nullptr;
    if (equal(engine, entries[found - 1].key, key)) return &entries[found - 1].value;
  }
}

void Dict::reserve(Engine& engine, std::size_t count) {
  if (count <= capacity) return;
  Entry* place = engine.arena.array<Entry>(count);
  std::copy(entries, entries + size, place);
  entries = place;
  capacity = static_cast<std::uint32_t>(count);
}

void Dict::add(Engine& engine, const Value& key, const Value& value) {
  if (size == capacity) reserve(engine, std::max<std::size_t>(4, std::size_t{capacity} * 2));
  entries[size++] = {key, value};
  if (size > kScanned) rehash(engine);
}

void Dict::set(Engine& engine, const Value& key, const Value& value) {
  if (Value* found = find(engine, key))
    *found = value;
  else
    add(engine, key, value);
}

// Puts the last entry into the table, or all into a larger one.
void Dict::rehash(Engine& engine) {
  const auto put = [&](std::uint32_t index) {
    std::size_t at = jinja::hash(engine, entries[index].key);
    while (table[at & mask] != 0) {
      engine.charge();
      ++at;
    }
    table[at & mask] = index + 1;
  };
  if (table && std::size_t{size} * 2 <= mask) return put(size - 1);
  mask = mask == 0 ? 63 : mask * 2 + 1;
  while (mask < std::size_t{size} * 2) mask = mask * 2 + 1;
  table = engine.arena.array<std::uint32_t>(std::size_t{mask} + 1);
  std::fill(table, table + mask + 1, 0);
  for (std::uint32_t i = 0; i < size; ++i) put(i);
}

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::size_t byte_offset(std::string_view text, std::size_t index) {
  if (is_ascii(text)) return std::min(index, text.size());
  std::size_t at = 0;
  for (; index > 0 && at < text.size(); --index) base::next_code_point(text, at);
  return at;
}

}  // namespace tokenizer::jinja
