// The tests: x is defined, x is string ... Tested by tests/tokenizer/jinja_test.cc.
#include <algorithm>
#include <array>
#include <cmath>

#include "tokenizer/jinja/engine.h"
#include "tokenizer/jinja/unicode.h"

namespace tokenizer::jinja {

namespace {

template <bool (*holds)(const Value&)>
bool of_value(Engine& engine, const Value& value, const Arguments& arguments) {
  const Parameters none(engine, "the test", arguments, {});
  return holds(value);
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
template <Type type>
bool is_type(const Value& value) {
  return value.is(type);
}
template <bool wanted>
bool is_boolean(const Value& value) {
  return value.is(Type::kBool) && value.boolean == wanted;
}
bool is_number(const Value& value) { return value.is_number() || value.is_digits(); }
bool is_integer(const Value& value) { return value.is(Type::kInt) || value.is_digits(); }
bool is_string(const Value& value) { return value.is_string() && !value.is_digits(); }
bool is_sequence(const Value& value) {
  return length(value) >= 0 && !value.is_digits() && !value.is(Type::kView) && !value.is(Type::kLoop);
}
bool is_callable(const Value& value) {
  return value.is(Type::kFunction) || value.is(Type::kMethod) || value.is(Type::kMacro) || value.is(Type::kJoiner) ||
         value.is(Type::kLoop) || value.is(Type::kUndefined);
}
bool is_escaped(const Value& value) { return value.is_markup(); }

template <bool (*holds)(std::string_view)>
bool of_text(Engine& engine, const Value& value, const Arguments& arguments) {
  const Parameters none(engine, "the test", arguments, {});
  const Value text = engine.to_string(value);
  engine.charge_bytes(text.size);
  return holds(text.string());
}

Value remainder(Engine& engine, const Value& value, const Value& divisor) {
  return operate(engine, Operator::kModulo, value, divisor);
}
template <int wanted>
bool has_parity(Engine& engine, const Value& value, const Arguments& arguments) {
  const Parameters none(engine, "the test", arguments, {});
  const Value rest = remainder(engine, value, Value::integer_of(2));
  return rest.is_number() && rest.as_real() == wanted;
}
bool is_divisible(Engine& engine, const Value& value, const Arguments& arguments) {
  const Parameters given(engine, "divisibleby", arguments, {"num"}, 1);
  const Value rest = remainder(engine, value, given[0]);
  return rest.is_number() && rest.as_real() == 0;
}

bool is_same(Engine& engine, const Value& value, const Arguments& arguments) {
  const Parameters given(engine, "sameas", arguments, {"other"}, 1);
  return identical(value, given[0]);
}
bool is_in(Engine& engine, const Value& value, const Arguments& arguments) {
  const Parameters given(engine, "in", arguments, {"seq"}, 1);
  return contains(engine, given[0], value);
}
template <Comparison comparison>
bool compares(Engine& engine, const Value& value, const Arguments& arguments) {
  const Parameters given(engine, "the test", arguments, {"other"}, 1);
  return compare(engine, comparison, value, given[0]);
}

bool is_filter(Engine& engine, const Value& value, const Arguments& arguments) {
  const Parameters none(engine, "filter", arguments, {});
  hash(engine, value);  // refuses what cannot be looked up
  return value.is_string() && find_filter(value.string());
}
bool is_test(Engine& engine, const Value& value, const Arguments& arguments) {
  const Parameters none(engine, "test", arguments, {});
  hash(engine, value);
  return value.is_string() && find_test(value.string());
}

constexpr std::array kTests = {TestFunction{"odd", has_parity<1>},
                               TestFunction{"even", has_parity<0>},
                               TestFunction{"divisibleby", is_divisible},
                               TestFunction{"defined", of_value<is_defined>},
                               TestFunction{"undefined", of_value<is_undefined>},
                               TestFunction{"filter", is_filter},
                               TestFunction{"test", is_test},
                               TestFunction{"none", of_value<is_type<Type::kNone>>},
                               TestFunction{"boolean", of_value<is_type<Type::kBool>>},
                               TestFunction{"false", of_value<is_boolean<false>>},
                               TestFunction{"true", of_value<is_boolean<true>>},
                               TestFunction{"integer", of_value<is_integer>},
                               TestFunction{"float", of_value<is_type<Type::kFloat>>},
                               TestFunction{"lower", of_text<is_lower>},
                               TestFunction{"upper", of_text<is_upper>},
                               TestFunction{"string", of_value<is_string>},
                               TestFunction{"mapping", of_value<is_type<Type::kDict>>},
                               TestFunction{"number", of_value<is_number>},
                               TestFunction{"sequence", of_value<is_sequence>},
                               TestFunction{"iterable", of_value<is_iterable>},
                               TestFunction{"callable", of_value<is_callable>},
                               TestFunction{"sameas", is_same},
                               TestFunction{"escaped", of_value<is_escaped>},
                               TestFunction{"in", is_in},
                               TestFunction{"==", compares<Comparison::kEqual>},
                               TestFunction{"eq", compares<Comparison::kEqual>},
                               TestFunction{"equalto", compares<Comparison::kEqual>},
                               TestFunction{"!=", compares<Comparison::kNotEqual>},
                               TestFunction{"ne", compares<Comparison::kNotEqual>},
                               TestFunction{">", compares<Comparison::kGreater>},
                               TestFunction{"gt", compares<Comparison::kGreater>},
                               TestFunction{"greaterthan", compares<Comparison::kGreater>},
                               TestFunction{"ge", compares<Comparison::kGreaterEqual>},
                               TestFunction{">=", compares<Comparison::kGreaterEqual>},
                               TestFunction{"<", compares<Comparison::kLess>},
                               TestFunction{"lt", compares<Comparison::kLess>},
                               TestFunction{"lessthan", compares<Comparison::kLess>},
                               TestFunction{"<=", compares<Comparison::kLessEqual>},
                               TestFunction{"le", compares<Comparison::kLessEqual>}};

}  // namespace

const TestFunction* find_test(std::string_view name) {
  for (const TestFunction& test : kTests)
    if (test.name == name) return &test;
  return nullptr;
}

}  // namespace tokenizer::jinja
