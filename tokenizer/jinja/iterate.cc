// Iteration, lengths, and parts of values: indices and slices. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>

#include "base/unicode.h"
#include "tokenizer/jinja/loop.h"

namespace tokenizer::jinja {

namespace {

class Items : public Iterator {
 public:
  explicit Items(std::span<const Value> items) : items_(items) {}
  bool next(Engine& engine, Value& item) override {
    if (position_ == items_.size()) return false;
    engine.charge();
    item = items_[position_++];
    return true;
  }

 private:
  std::span<const Value> items_;
  std::size_t position_ = 0;
};

class DictItems : public Iterator {
 public:
  DictItems(const Dict& dict, ViewKind kind) : dict_(dict), kind_(kind) {}
  bool next(Engine& engine, Value& item) override {
    if (position_ == dict_.size) return false;
    engine.charge();
    const Dict::Entry& entry = dict_.entries[position_++];
    if (kind_ == ViewKind::kItems) {
      Value* pair = engine.arena.array<Value>(2);
      pair[0] = entry.key, pair[1] = entry.value;
      item = Value::sequence_of(Type::kTuple, pair, 2);
    } else {
      item = kind_ == ViewKind::kKeys ? entry.key : entry.value;
    }
    return true;
  }

 private:
  const Dict& dict_;
  ViewKind kind_;
  std::uint32_t position_ = 0;
};

class RangeItems : public Iterator {
 public:
  explicit RangeItems(const Range& range) : range_(range) {}
  bool next(Engine& engine, Value& item) override {
    if (position_ == range_.count) return false;
    engine.charge();
    item = Value::integer_of(range_.at(position_++));
    return true;
  }

 private:
  const Range& range_;
  std::int64_t position_ = 0;
};

class Characters : public Iterator {
 public:
  explicit Characters(const Value& string) : string_(string) {}
  bool next(Engine& engine, Value& item) override {
    if (position_ == string_.size) return false;
    engine.charge();
    const std::size_t begin = position_;
    base::next_code_point(string_.string(), position_);
    item = Value::string_of(string_.string().substr(begin, position_ - begin), string_.source);
    return true;
  }

 private:
  Value string_;
  std::size_t position_ = 0;
};

class LoopItems : public Iterator {
 public:
  explicit LoopItems(Loop& loop) : loop_(loop) {}
  bool next(Engine& engine, Value& item) override {
    Value value;
    if (!loop_.next(engine, value)) return false;
    Value* pair = engine.arena.array<Value>(2);
    pair[0] = value;
    pair[1] = Value::of_type(Type::kLoop);
    pair[1].loop = &loop_;
    item = Value::sequence_of(Type::kTuple, pair, 2);
    return true;
  }

 private:
  Loop& loop_;
};

std::span<const Value> no_items() { return {}; }

}  // namespace

bool is_iterable(const Value& value) {
  switch (value.type) {
    case Type::kUndefined:
    case Type::kString:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kView:
    case Type::kRange:
    case Type::kIterator:
    case Type::kLoop:
      return true;
    default:
      return false;
  }
}

Iterator* iterate(Engine& engine, const Value& value) {
  switch (value.type) {
    case Type::kUndefined:
      return engine.arena.make<Items>(no_items());
    case Type::kString:
      return engine.arena.make<Characters>(value);
    case Type::kList:
    case Type::kTuple:
      return engine.arena.make<Items>(value.list());
    case Type::kDict:
      return engine.arena.make<DictItems>(*value.dict, ViewKind::kKeys);
    case Type::kView:
      return engine.arena.make<DictItems>(*value.dict, static_cast<ViewKind>(value.detail));
    case Type::kRange:
      return engine.arena.make<RangeItems>(*value.range);
    case Type::kIterator:
      return value.iterator;
    case Type::kLoop:
      return engine.arena.make<LoopItems>(*value.loop);
    default:
      engine.fail("this cannot be iterated over", type_name(value));
  }
}

Value to_list(Engine& engine, const Value& value, Type type) {
  if (value.is_sequence()) return Value::sequence_of(type, value.items, value.size, value.source);
  ListBuilder list(engine);
  for_each(engine, value, [&](const Value& item) { list.add(item); });
  return list.finish(type);
}

Value iterator_over(Engine& engine, std::span<const Value> items) {
  Value value = Value::of_type(Type::kIterator);
  value.iterator = engine.arena.make<Items>(items);
  return value;
}

std::int64_t length(const Value& value) {
  switch (value.type) {
    case Type::kUndefined:
      return 0;
    case Type::kString:
      return static_cast<std::int64_t>(code_points(value.string()));
    case Type::kList:
    case Type::kTuple:
      return value.size;
    case Type::kDict:
    case Type::kView:
      return value.dict->size;
    case Type::kRange:
      return value.range->count;
    case Type::kLoop:
      return value.loop->known_length >= 0 ? value.loop->known_length : length(value.loop->iterable);
    default:
      return -1;
  }
}

namespace {

Value character(const Value& string, std::size_t index) {
  const std::string_view text = string.string();
  const std::size_t begin = byte_offset(text, index);
  std::size_t end = begin;
  base::next_code_point(text, end);
  return Value::string_of(text.substr(begin, end - begin), string.source, string.detail);
}

// The item at `index`, or undefined.
Value item_at(Engine& engine, const Value& value, const Value& index) {
  const std::int64_t count = length(value);
  if (value.is_string()) engine.charge_bytes(value.size);
  std::int64_t at = index.as_integer();
  if (at < 0) at += count;
  if (at < 0 || at >= count) return Value::undefined(Missing::kElement, "", value.type);
  if (value.is_string()) return character(value, static_cast<std::size_t>(at));
  if (value.is(Type::kRange)) return Value::integer_of(value.range->at(at));
  return value.items[at];
}

bool is_hashable(const Value& value) {
  if (value.is(Type::kTuple)) return std::ranges::all_of(value.list(), is_hashable);
  return !value.is(Type::kList) && !value.is(Type::kDict) && !value.is(Type::kNamespace) && !value.is(Type::kView);
}

}  // namespace

Value subscript(Engine& engine, const Value& value, const Value& index) {
  if (value.is_undefined()) engine.fail(describe_undefined(value));
  const bool indexed = value.is_string() || value.is_sequence() || value.is(Type::kRange);
  if (indexed && index.is_integer()) return item_at(engine, value, index);
  if (value.is(Type::kDict) && is_hashable(index))
    if (const Value* found = value.dict->find(engine, index)) return *found;
  if (index.is_string()) return own_attribute(engine, value, index.string());
  return Value::undefined(Missing::kElement, "", value.type);
}

namespace {

struct Bounds {
  std::int64_t start, stop, step, count;
};

// As Python's slice.indices().
Bounds bounds_of(Engine& engine, std::int64_t size, const Value& start, const Value& stop, const Value& step) {
  for (const Value* bound : {&start, &stop, &step})
    if (!bound->is(Type::kNone) && !bound->is_integer())
      engine.fail("the bounds of a slice are integers", type_name(*bound));
  const std::int64_t by = step.is(Type::kNone) ? 1 : step.as_integer();
  if (by == 0) engine.fail("the step of a slice is not 0");
  const auto clamped = [&](const Value& bound, std::int64_t otherwise) {
    if (bound.is(Type::kNone)) return otherwise;
    std::int64_t at = bound.as_integer();
    if (at < 0) at = std::max(at, -size - 1) + size;
    return by > 0 ? std::clamp<std::int64_t>(at, 0, size) : std::clamp<std::int64_t>(at, -1, size - 1);
  };
  const std::int64_t from = clamped(start, by > 0 ? 0 : size - 1), to = clamped(stop, by > 0 ? size : -1);
  const std::int64_t wide = by > 0 ? to - from : from - to;
  const auto width = by == INT64_MIN ? std::uint64_t{1} << 63 : static_cast<std::uint64_t>(by > 0 ? by : -by);
  return {from, to, by, wide <= 0 ? 0 : static_cast<std::int64_t>((static_cast<std::uint64_t>(wide) - 1) / width) + 1};
}

Value slice_string(Engine& engine, const Value& value, const Bounds& bounds) {
  const std::string_view text = value.string();
  engine.charge_bytes(text.size());
  if (bounds.step == 1) {
    const std::size_t begin = byte_offset(text, static_cast<std::size_t>(bounds.start));
    const std::string_view rest = text.substr(begin);
    return Value::string_of(rest.substr(0, byte_offset(rest, static_cast<std::size_t>(bounds.count))), value.source,
                            value.detail);
  }
  // Where each character begins, so that any of them is found at once.
  std::vector<std::uint32_t> begins;
  for (std::size_t at = 0; at < text.size(); base::next_code_point(text, at))
    begins.push_back(static_cast<std::uint32_t>(at));
  begins.push_back(static_cast<std::uint32_t>(text.size()));
  TextBuilder result(engine);
  for (std::int64_t i = 0; i < bounds.count; ++i) {
    engine.charge();
    const auto at = static_cast<std::size_t>(bounds.start + i * bounds.step);
    result.append(text.substr(begins[at], begins[at + 1] - begins[at]), value.source);
  }
  return result.finish(value.detail);
}

}  // namespace

Value slice(Engine& engine, const Value& value, const Value& start, const Value& stop, const Value& step) {
  if (value.is_undefined()) engine.fail(describe_undefined(value));
  if (!value.is_string() && !value.is_sequence() && !value.is(Type::kRange))
    engine.fail("this has no slices", type_name(value));
  const Bounds bounds = bounds_of(engine, length(value), start, stop, step);
  if (value.is_string()) return slice_string(engine, value, bounds);
  if (value.is(Type::kRange)) {
    const Range& range = *value.range;
    Value result = Value::of_type(Type::kRange);
    result.range =
        engine.arena.make<Range>(range.at(bounds.start), range.at(bounds.stop), range.step * bounds.step, bounds.count);
    return result;
  }
  if (bounds.step == 1)
    return Value::sequence_of(value.type, value.items + (bounds.count > 0 ? bounds.start : 0),
                              static_cast<std::size_t>(bounds.count), value.source);
  Value* items = engine.arena.array<Value>(static_cast<std::size_t>(bounds.count));
  engine.charge(static_cast<std::uint64_t>(bounds.count));
  for (std::int64_t i = 0; i < bounds.count; ++i) items[i] = value.items[bounds.start + i * bounds.step];
  return Value::sequence_of(value.type, items, static_cast<std::size_t>(bounds.count), value.source);
}

}  // namespace tokenizer::jinja
