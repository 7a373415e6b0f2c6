// The global functions: range, dict, namespace, raise_exception, strftime_now, cycler, joiner. Tested by
// tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/error.h"
#include "base/text.h"
#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

// dict(mapping or pairs, name=value ...)
Value make_dict(Engine& engine, const Arguments& arguments) {
  if (arguments.positional.size() > 1) engine.fail("dict takes one argument at most");
  Dict* dict = engine.arena.make<Dict>();
  const Source* source = nullptr;
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    source = from.source;
    if (from.is(Type::kDict)) {
      dict->message = from.dict->message;  // a message with some members changed is still that message
      dict->reserve(engine, from.dict->size);
      engine.charge(from.dict->size);
      for (const Dict::Entry& entry : from.dict->items()) dict->add(engine, entry.key, entry.value);
    } else {
      for_each(engine, from, [&](const Value& item) {
        const Value pair = to_list(engine, item);
        if (pair.size != 2) engine.fail("dict needs pairs of key and value", std::to_string(pair.size) + " items");
        dict->set(engine, pair.items[0], pair.items[1]);
      });
    }
  }
  for (const Named& named : arguments.named) dict->set(engine, Value::string_of(named.name), named.value);
  return Value::dict_of(dict, source);
}

namespace {

Value range(Engine& engine, const Arguments& arguments) {
  constexpr std::int64_t kMost = 100'000;  // as Jinja's sandbox
  const Parameters given(engine, "range", arguments, {"start", "stop", "step"}, 1);
  const std::int64_t first = given.integer(0), start = given.has(1) ? first : 0;
  const std::int64_t stop = given.integer(1, first), step = given.integer(2, 1);
  if (step == 0) engine.fail("the step of a range is not 0");
  const auto up = static_cast<unsigned __int128>(step > 0 ? static_cast<__int128>(stop) - start
                                                          : static_cast<__int128>(start) - stop);
  const bool empty = step > 0 ? start >= stop : start <= stop;
  const auto width =
      static_cast<unsigned __int128>(step > 0 ? static_cast<__int128>(step) : -static_cast<__int128>(step));
  const auto count = empty ? 0 : (up + width - 1) / width;
  if (count > kMost) engine.fail("a range is too long", {}, "100,000 numbers at most");
  Value value = Value::of_type(Type::kRange);
  value.range = engine.arena.make<Range>(start, stop, step, static_cast<std::int64_t>(count));
  return value;
}

Value make_namespace(Engine& engine, const Arguments& arguments) {
  const Value dict = make_dict(engine, arguments);
  for (const Dict::Entry& entry : dict.dict->items())
    if (entry.key.is_string() && entry.key.string().starts_with('_'))
      engine.fail("a namespace has no attributes that begin with an underscore", entry.key.string());
  Value value = Value::of_type(Type::kNamespace);
  value.dict = dict.dict;
  return value;
}

Value raise_exception(Engine& engine, const Arguments& arguments) {
  const Parameters given(engine, "raise_exception", arguments, {"message"}, 1);
  const Value text = engine.to_string(given[0]);
  engine.fail("the chat template refuses the conversation: " + base::shortened(text.string(), 400));
}

// What only datetime.strftime knows: microseconds, and time zones, of which now() has none.
std::string filled(std::string_view format, long microseconds) {
  std::string result;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      result += format[i];
      continue;
    }
    const char c = format[++i];
    if (c == 'f')
      result += fmt::format("{:06}", microseconds);
    else if (c != 'z' && c != 'Z')
      result += {'%', c};
  }
  return result;
}

Value strftime_now(Engine& engine, const Arguments& arguments) {
  const Parameters given(engine, "strftime_now", arguments, {"format"}, 1);
  if (given.string(0).size() > 1000) engine.fail("the format of a time is too long", given.string(0));
  const auto now = engine.options.now.value_or(std::chrono::system_clock::now());
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(now));
  const auto rest =
      std::chrono::duration_cast<std::chrono::microseconds>(now - std::chrono::floor<std::chrono::seconds>(now));
  std::tm local{};
  localtime_r(&seconds, &local);
  // A mark in front tells an empty time from one that did not fit.
  const std::string format = "x" + filled(given.string(0), rest.count());
  std::string text(format.size() * 100 + 100, '\0');
  text.resize(std::strftime(text.data(), text.size(), format.c_str(), &local));
  if (text.empty()) engine.fail("the format of a time gives too long a text", given.string(0));
  return engine.copy(std::string_view(text).substr(1));
}

Value cycler(Engine& engine, const Arguments& arguments) {
  if (!arguments.named.empty() || arguments.positional.empty()) engine.fail("cycler needs the items to cycle through");
  ListBuilder items(engine, arguments.positional.size());
  for (const Value& item : arguments.positional) items.add(item);
  Value value = Value::of_type(Type::kCycler);
  value.cycler = engine.arena.make<Cycler>(items.items(), std::size_t{0});
  return value;
}

Value joiner(Engine& engine, const Arguments& arguments) {
  const Parameters given(engine, "joiner", arguments, {"sep"});
  Value value = Value::of_type(Type::kJoiner);
  value.joiner = engine.arena.make<Joiner>(given.value_or(0, Value::string_of(", ")), false);
  return value;
}

Value lipsum(Engine& engine, const Arguments&) {
  engine.fail("lipsum is not supported: it gives another text every time");
}

constexpr std::array kFunctions = {Function{"range", range},
                                   Function{"dict", make_dict},
                                   Function{"namespace", make_namespace},
                                   Function{"raise_exception", raise_exception},
                                   Function{"strftime_now", strftime_now},
                                   Function{"cycler", cycler},
                                   Function{"joiner", joiner},
                                   Function{"lipsum", lipsum}};

}  // namespace

const Function* find_function(std::string_view name) {
  for (const Function& function : kFunctions)
    if (function.name == name) return &function;
  return nullptr;
}

}  // namespace tokenizer::jinja
