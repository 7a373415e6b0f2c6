// The filters that pass over a list item by item, when they are asked to: map, select and their kind. Tested by
// tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tokenizer/jinja/filters.h"

namespace tokenizer::jinja {

Arguments kept(Engine& engine, const Arguments& arguments) {
  Value* positional = engine.arena.array<Value>(arguments.positional.size());
  std::ranges::copy(arguments.positional, positional);
  Named* named = engine.arena.array<Named>(arguments.named.size());
  std::ranges::copy(arguments.named, named);
  return {{positional, arguments.positional.size()}, {named, arguments.named.size()}};
}

namespace {

Value iterator_of(Iterator* iterator) {
  Value value = Value::of_type(Type::kIterator);
  value.iterator = iterator;
  return value;
}

std::string_view name_of(Engine& engine, const Value& value, const char* what) {
  if (!value.is_string()) engine.fail(fmt::format("the name of a {} is a string", what), type_name(value));
  return value.string();
}

// Begins when the first item is asked for, as a generator in Python: errors come no sooner.
class Lazy : public Iterator {
 public:
  Lazy(const Value& input, const Arguments& arguments) : input_(input), arguments_(arguments) {}
  bool next(Engine& engine, Value& item) override {
    if (!started_) {
      started_ = true;
      if (!truth(input_)) return false;
      prepare(engine);
      items_ = iterate(engine, input_);
    }
    return items_ && advance(engine, item);
  }

 protected:
  ~Lazy() = default;
  virtual void prepare(Engine& engine) = 0;
  virtual bool advance(Engine& engine, Value& item) = 0;

  Value input_;
  Arguments arguments_;
  Iterator* items_ = nullptr;

 private:
  bool started_ = false;
};

class Mapped final : public Lazy {
 public:
  using Lazy::Lazy;

 private:
  void prepare(Engine& engine) override {
    if (arguments_.positional.empty()) {
      for (const Named& named : arguments_.named) {
        if (named.name == "attribute")
          path_ = &named.value;
        else if (named.name == "default")
          default_ = &named.value;
        else
          engine.fail("map has no argument of this name", named.name);
      }
      if (!path_) engine.fail("map needs the name of a filter, or an attribute");
      return;
    }
    const std::string_view name = name_of(engine, arguments_.positional[0], "filter");
    filter_ = find_filter(name);
    if (!filter_) engine.fail("unknown filter", name);
    arguments_.positional = arguments_.positional.subspan(1);
  }
  bool advance(Engine& engine, Value& item) override {
    if (!items_->next(engine, item)) return false;
    if (filter_) {
      engine.charge_value(item);
      item = filter_->call(engine, item, arguments_);
      return true;
    }
    item = attribute_path(engine, item, *path_);
    if (item.is_undefined() && default_ && !default_->is(Type::kNone)) item = *default_;
    return true;
  }

  const Value *path_ = nullptr, *default_ = nullptr;
  const FilterFunction* filter_ = nullptr;
};

class Selected final : public Lazy {
 public:
  Selected(const Value& input, const Arguments& arguments, bool keep, bool by_attribute)
      : Lazy(input, arguments), keep_(keep), by_attribute_(by_attribute) {}

 private:
  void prepare(Engine& engine) override {
    if (by_attribute_) {
      if (arguments_.positional.empty()) engine.fail("selectattr and rejectattr need an attribute");
      path_ = &arguments_.positional[0];
      arguments_.positional = arguments_.positional.subspan(1);
    }
    if (arguments_.positional.empty()) return;
    const std::string_view name = name_of(engine, arguments_.positional[0], "test");
    test_ = find_test(name);
    if (!test_) engine.fail("unknown test", name);
    arguments_.positional = arguments_.positional.subspan(1);
  }
  bool advance(Engine& engine, Value& item) override {
    while (items_->next(engine, item)) {
      const Value value = path_ ? attribute_path(engine, item, *path_) : item;
      engine.charge_value(value);
      if ((test_ ? test_->call(engine, value, arguments_) : truth(value)) == keep_) return true;
    }
    return false;
  }

  bool keep_, by_attribute_;
  const Value* path_ = nullptr;
  const TestFunction* test_ = nullptr;
};

class Members final : public Iterator {
 public:
  explicit Members(const Value& input) : input_(input) {}
  bool next(Engine& engine, Value& item) override {
    if (input_.is_undefined()) return false;
    if (!input_.is(Type::kDict)) engine.fail("items needs a dict", type_name(input_));
    if (!items_) {
      Value view = input_;
      view.type = Type::kView;
      view.detail = static_cast<std::uint8_t>(ViewKind::kItems);
      items_ = iterate(engine, view);
    }
    return items_->next(engine, item);
  }

 private:
  Value input_;
  Iterator* items_ = nullptr;
};

Value map(Engine& engine, const Value& input, const Arguments& arguments) {
  return iterator_of(engine.arena.make<Mapped>(input, kept(engine, arguments)));
}
template <bool keep, bool by_attribute>
Value select(Engine& engine, const Value& input, const Arguments& arguments) {
  return iterator_of(engine.arena.make<Selected>(input, kept(engine, arguments), keep, by_attribute));
}
Value members(Engine& engine, const Value& input, const Arguments& arguments) {
  const Parameters none(engine, "items", arguments, {});
  return iterator_of(engine.arena.make<Members>(input));
}

constexpr std::array kFilters = {FilterFunction{"items", members},
                                 FilterFunction{"map", map},
                                 FilterFunction{"reject", select<false, false>},
                                 FilterFunction{"rejectattr", select<false, true>},
                                 FilterFunction{"select", select<true, false>},
                                 FilterFunction{"selectattr", select<true, true>}};

class Deferred final : public Iterator {
 public:
  using Filter = Value (*)(Engine&, const Value&, const Arguments&);
  Deferred(Filter filter, const Value& input, const Arguments& arguments)
      : filter_(filter), input_(input), arguments_(arguments) {}
  bool next(Engine& engine, Value& item) override {
    if (!items_) items_ = iterate(engine, filter_(engine, input_, arguments_));
    return items_->next(engine, item);
  }

 private:
  Filter filter_;
  Value input_;
  Arguments arguments_;
  Iterator* items_ = nullptr;
};

}  // namespace

Value deferred(Engine& engine, Value (*filter)(Engine&, const Value&, const Arguments&), const Value& input,
               const Arguments& arguments) {
  return iterator_of(engine.arena.make<Deferred>(filter, input, kept(engine, arguments)));
}

std::span<const FilterFunction> selecting_filters() { return kFilters; }

}  // namespace tokenizer::jinja
