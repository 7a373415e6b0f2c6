// The filters that order, count and cut lists. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/strings.h"
#include "tokenizer/jinja/unicode.h"

namespace tokenizer::jinja {

Value folded(Engine& engine, const Value& value, bool case_sensitive) {
  if (!value.is_string() || case_sensitive) return value;
  charge_case(engine, value.string());
  return with_text(engine, value, lower_case(value.string()));
}

namespace {

Value count(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "length", arguments, {});
  const std::int64_t size = length(input);
  if (size < 0) engine.fail("this has no length", type_name(input), {}, "make it a list first: | list");
  if (input.is_string()) engine.charge_bytes(input.size);
  return Value::integer_of(size);
}

Value first(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "first", arguments, {});
  Value item;
  return iterate(engine, input)->next(engine, item) ? item
                                                    : Value::undefined(Missing::kHint, "the first item of nothing");
}

bool is_reversible(const Value& value) {
  return is_iterable(value) && !value.is(Type::kIterator) && !value.is(Type::kLoop);
}

Value last(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "last", arguments, {});
  if (!is_reversible(input)) engine.fail("this has no last item", type_name(input), {}, "make it a list first: | list");
  const Value nothing = Value::undefined(Missing::kHint, "the last item of nothing");
  if (input.is_string()) return input.size > 0 ? subscript(engine, input, Value::integer_of(-1)) : nothing;
  const Value list = to_list(engine, input);
  return list.size > 0 ? list.items[list.size - 1] : nothing;
}

Value reverse(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "reverse", arguments, {});
  if (input.is_string()) return slice(engine, input, Value::none(), Value::none(), Value::integer_of(-1));
  const Value list = to_list(engine, input);
  engine.charge(list.size);
  Value* items = engine.arena.array<Value>(list.size);
  std::ranges::reverse_copy(list.list(), items);
  return is_reversible(input) ? iterator_over(engine, {items, list.size})
                              : Value::sequence_of(Type::kList, items, list.size);
}

Value make_list(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "list", arguments, {});
  return to_list(engine, input);
}

struct Keyed {
  Value key, item;
};

Value sorted(Engine& engine, std::vector<Keyed>& all, bool reversed) {
  engine.charge(all.size());
  std::ranges::stable_sort(all, [&](const Keyed& a, const Keyed& b) {
    return reversed ? less(engine, b.key, a.key) : less(engine, a.key, b.key);
  });
  Value* items = engine.arena.array<Value>(all.size());
  std::ranges::transform(all, items, &Keyed::item);
  return Value::sequence_of(Type::kList, items, all.size());
}

Value sort(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "sort", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<Value> paths;
  if (given.given(2) && given[2].is_string())
    for (const std::string& path : base::split(given[2].string(), ',')) paths.push_back(engine.copy(path));
  else if (given.given(2))
    paths.push_back(given[2]);
  std::vector<Keyed> all;
  for_each(engine, input, [&](const Value& item) {
    ListBuilder key(engine, std::max<std::size_t>(1, paths.size()));
    for (const Value& path : paths) key.add(folded(engine, attribute_path(engine, item, path), given.truth_of(1)));
    if (paths.empty()) key.add(folded(engine, item, given.truth_of(1)));
    all.push_back({key.finish(), item});
  });
  return sorted(engine, all, given.truth_of(0));
}

Value sort_dict(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string_view by = given.string(1, "key");
  if (by != "key" && by != "value") engine.fail("dictsort sorts by key or value", by);
  if (input.is_undefined()) engine.fail(describe_undefined(input));
  if (!input.is(Type::kDict)) engine.fail("dictsort needs a dict", type_name(input));
  std::vector<Keyed> all;
  for (const Dict::Entry& entry : input.dict->items()) {
    Value* pair = engine.arena.array<Value>(2);
    pair[0] = entry.key, pair[1] = entry.value;
    all.push_back({folded(engine, by == "key" ? entry.key : entry.value, given.truth_of(0)),
                   Value::sequence_of(Type::kTuple, pair, 2)});
  }
  return sorted(engine, all, given.truth_of(2));
}

template <bool largest>
Value extreme(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, largest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  Value best, best_key;
  bool none = true;
  for_each(engine, input, [&](const Value& item) {
    const Value key = folded(engine, given.given(1) ? attribute_path(engine, item, given[1]) : item, given.truth_of(0));
    const bool better = none || (largest ? compare(engine, Comparison::kGreater, key, best_key)
                                         : compare(engine, Comparison::kLess, key, best_key));
    none = false;
    if (better) best = item, best_key = key;
  });
  return none ? Value::undefined(Missing::kHint, "the least or greatest of nothing") : best;
}

Value group_by(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const auto real_key = [&](const Value& item) {
    const Value key = attribute_path(engine, item, given[0]);
    return key.is_undefined() && given.given(1) ? given[1] : key;
  };
  std::vector<Keyed> all;
  for_each(engine, input, [&](const Value& item) {
    all.push_back({folded(engine, real_key(item), given.truth_of(2)), item});
  });
  const Value items = sorted(engine, all, false);
  ListBuilder groups(engine);
  for (std::size_t begin = 0, end; begin < all.size(); begin = end) {
    end = begin + 1;
    while (end < all.size() && equal(engine, all[end].key, all[begin].key)) ++end;
    Value* pair = engine.arena.array<Value>(2);
    pair[0] = given.truth_of(2) ? all[begin].key : real_key(all[begin].item);
    pair[1] = Value::sequence_of(Type::kList, items.items + begin, end - begin);
    Value group = Value::sequence_of(Type::kTuple, pair, 2);
    group.detail = kGroup;
    groups.add(group);
  }
  return groups.finish();
}

Value sum(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "sum", arguments, {"attribute", "start"});
  Value total = given.value_or(1, Value::integer_of(0));
  if (total.is_string()) engine.fail("sum adds no strings", {}, {}, "join them: | join");
  for_each(engine, input, [&](const Value& item) {
    total = operate(engine, Operator::kAdd, total, given.given(0) ? attribute_path(engine, item, given[0]) : item);
  });
  return total;
}

Value unique(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "unique", arguments, {"case_sensitive", "attribute"});
  Dict* seen = engine.arena.make<Dict>();
  ListBuilder items(engine);
  for_each(engine, input, [&](const Value& item) {
    const Value key = folded(engine, given.given(1) ? attribute_path(engine, item, given[1]) : item, given.truth_of(0));
    if (seen->find(engine, key)) return;
    hash(engine, key);  // refuses what cannot be a key
    seen->add(engine, key, Value::none());
    items.add(item);
  });
  return items.finish();
}

Value batch(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "batch", arguments, {"linecount", "fill_with"}, 1);
  const std::int64_t size = given.integer(0);
  ListBuilder batches(engine), current(engine);
  for_each(engine, input, [&](const Value& item) {
    if (static_cast<std::int64_t>(current.size()) == size) {
      batches.add(current.finish());
      current.restart();
    }
    current.add(item);
  });
  if (current.size() == 0) return batches.finish();
  if (given.given(1))
    while (static_cast<std::int64_t>(current.size()) < size) {
      engine.charge();
      current.add(given[1]);
    }
  batches.add(current.finish());
  return batches.finish();
}

Value slices(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters given(engine, "slice", arguments, {"slices", "fill_with"}, 1);
  const std::int64_t parts = given.integer(0);
  const Value list = to_list(engine, input);
  if (parts == 0) engine.fail("slice needs a number of slices");
  ListBuilder all(engine);
  const std::int64_t size = parts > 0 ? list.size / parts : 0, longer = parts > 0 ? list.size % parts : 0;
  std::int64_t begin = 0;
  for (std::int64_t i = 0; i < parts; ++i) {
    engine.charge();
    const std::int64_t end = begin + size + (i < longer ? 1 : 0);
    ListBuilder part(engine, static_cast<std::size_t>(end - begin) + 1);
    for (std::int64_t at = begin; at < end; ++at) part.add(list.items[at]);
    if (given.given(1) && i >= longer) part.add(given[1]);
    all.add(part.finish());
    begin = end;
  }
  return all.finish();
}

template <Value (*filter)(Engine&, const Value&, const Arguments&)>
Value later(Engine& engine, const Value& input, const Arguments& arguments) {
  return deferred(engine, filter, input, arguments);
}

constexpr std::array kFilters = {FilterFunction{"batch", later<batch>},  FilterFunction{"count", count},
                                 FilterFunction{"dictsort", sort_dict},  FilterFunction{"first", first},
                                 FilterFunction{"groupby", group_by},    FilterFunction{"last", last},
                                 FilterFunction{"length", count},        FilterFunction{"list", make_list},
                                 FilterFunction{"max", extreme<true>},   FilterFunction{"min", extreme<false>},
                                 FilterFunction{"reverse", reverse},     FilterFunction{"slice", later<slices>},
                                 FilterFunction{"sort", sort},           FilterFunction{"sum", sum},
                                 FilterFunction{"unique", later<unique>}};

}  // namespace

std::span<const FilterFunction> sequence_filters() { return kFilters; }

}  // namespace tokenizer::jinja
