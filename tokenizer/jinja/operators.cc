// Arithmetic and comparisons, as Python has them for these types. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tokenizer/jinja/engine.h"
#include "tokenizer/jinja/strings.h"

namespace tokenizer::jinja {

namespace {

[[noreturn]] void fail_overflow(Engine& engine) { engine.fail("a number leaves the range of 64 bits"); }

std::int64_t power(Engine& engine, std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  while (exponent > 0) {
    if (exponent & 1 && __builtin_mul_overflow(result, base, &result)) fail_overflow(engine);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow(engine);
  }
  return result;
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

double floor_modulo(double a, double b) {
  const double remainder = std::fmod(a, b);
  if (remainder == 0) return std::copysign(0.0, b);
  return (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

Value operate_integers(Engine& engine, Operator operation, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  switch (operation) {
    case Operator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Operator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Operator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Operator::kDivide:
      return Value::real_of(static_cast<double>(a) / static_cast<double>(b));
    case Operator::kFloorDivide:
      overflow = a == INT64_MIN && b == -1;
      if (!overflow) result = floor_divide(a, b);
      break;
    case Operator::kModulo:
      result = b == -1 ? 0 : a - floor_divide(a, b) * b;
      break;
    case Operator::kPower:
      if (b < 0) return Value::real_of(std::pow(static_cast<double>(a), static_cast<double>(b)));
      result = power(engine, a, b);
  }
  if (overflow) fail_overflow(engine);
  return Value::integer_of(result);
}

Value operate_reals(Engine& engine, Operator operation, double a, double b) {
  switch (operation) {
    case Operator::kAdd:
      return Value::real_of(a + b);
    case Operator::kSubtract:
      return Value::real_of(a - b);
    case Operator::kMultiply:
      return Value::real_of(a * b);
    case Operator::kDivide:
      return Value::real_of(a / b);
    case Operator::kFloorDivide: {
      // As CPython: exact quotient of what the remainder leaves.
      const double remainder = floor_modulo(a, b);
      const double quotient = (a - remainder) / b;
      double floor = std::floor(quotient);
      if (quotient - floor > 0.5) floor += 1;
      return Value::real_of(quotient == 0 ? std::copysign(0.0, a / b) : floor);
    }
    case Operator::kModulo:
      return Value::real_of(floor_modulo(a, b));
    case Operator::kPower:
      if (a < 0 && b != std::floor(b)) engine.fail("a power of a negative number is not real");
      if (const double result = std::pow(a, b); !std::isinf(result) || std::isinf(a) || std::isinf(b))
        return Value::real_of(result);
      engine.fail("a number is too large");
  }
  return {};
}

Value operate_numbers(Engine& engine, Operator operation, const Value& left, const Value& right) {
  const bool divides =
      operation == Operator::kDivide || operation == Operator::kFloorDivide || operation == Operator::kModulo;
  if (divides && right.as_real() == 0) engine.fail("division by zero");
  if (operation == Operator::kPower && left.as_real() == 0 && right.as_real() < 0)
    engine.fail("zero cannot be raised to a negative power");
  if (left.is_integer() && right.is_integer())
    return operate_integers(engine, operation, left.as_integer(), right.as_integer());
  return operate_reals(engine, operation, left.as_real(), right.as_real());
}

Value join_lists(Engine& engine, const Value& left, const Value& right) {
  const std::size_t count = std::size_t{left.size} + right.size;
  engine.charge(count / 4);
  Value* items = engine.arena.array<Value>(count);
  std::ranges::copy(right.list(), std::ranges::copy(left.list(), items).out);
  return Value::sequence_of(left.type, items, count);
}

// A string of one origin, or none, as often as is wanted.
Value repeat_bytes(Engine& engine, const Value& string, std::size_t total) {
  engine.charge_bytes(total);
  char* place = engine.arena.array<char>(total);
  std::memcpy(place, string.text, std::min<std::size_t>(string.size, total));
  for (std::size_t done = string.size; done < total; done *= 2)
    std::memcpy(place + done, place, std::min(done, total - done));
  return Value::string_of({place, total}, string.source, string.detail);
}

Value repeat(Engine& engine, const Value& value, std::int64_t times) {
  const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(times, 0));
  if (value.size > 0 && count > Arena::kLimit / value.size)
    engine.fail("a repetition is too large", std::to_string(times));
  const std::size_t total = value.size * count;
  if (value.is_string()) {
    if (total == 0) return Value::string_of("", nullptr, value.detail);
    if (!value.source || value.source->count == 0) return repeat_bytes(engine, value, total);
    TextBuilder text(engine, total);
    for (std::uint64_t i = 0; i < count; ++i) {
      engine.charge(1 + value.size / 32);
      text.append(value);
    }
    return text.finish(value.detail);
  }
  engine.charge(total / 4);
  Value* items = engine.arena.array<Value>(total);
  for (std::size_t i = 0; i < total; ++i) items[i] = value.items[i % value.size];
  return Value::sequence_of(value.type, items, total);
}

Value add_strings(Engine& engine, const Value& left, const Value& right) {
  const bool markup = left.is_markup() || right.is_markup();
  Value sum =
      markup ? engine.concatenate(escape(engine, left), escape(engine, right)) : engine.concatenate(left, right);
  sum.detail = markup ? kMarkup : 0;
  return sum;
}

constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "//", "%", "**"};

}  // namespace

Value operate(Engine& engine, Operator operation, const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) return operate_numbers(engine, operation, left, right);
  for (const Value* operand : {&left, &right})
    if (operand->is_undefined() && !(operand == &right && left.is_string() && operation == Operator::kModulo))
      engine.fail(describe_undefined(*operand));
  if (operation == Operator::kAdd) {
    if (left.is_string() && right.is_string()) return add_strings(engine, left, right);
    if (left.is_sequence() && left.type == right.type) return join_lists(engine, left, right);
  }
  const auto repeats = [](const Value& value) { return value.is_string() || value.is_sequence(); };
  if (operation == Operator::kMultiply && repeats(left) && right.is_integer())
    return repeat(engine, left, right.as_integer());
  if (operation == Operator::kMultiply && repeats(right) && left.is_integer())
    return repeat(engine, right, left.as_integer());
  if (operation == Operator::kModulo && left.is_string()) return format_percent(engine, left, right);
  engine.fail(fmt::format("'{}' does not fit these", kSigns[static_cast<std::size_t>(operation)]),
              fmt::format("{} and {}", type_name(left), type_name(right)));
}

Value negate(Engine& engine, const Value& value) {
  if (value.is(Type::kFloat)) return Value::real_of(-value.real);
  return operate_integers(engine, Operator::kSubtract, 0, value.as_integer());
}

bool compare(Engine& engine, Comparison comparison, const Value& left, const Value& right) {
  switch (comparison) {
    case Comparison::kEqual:
      return equal(engine, left, right);
    case Comparison::kNotEqual:
      return !equal(engine, left, right);
    case Comparison::kIn:
      return contains(engine, right, left);
    case Comparison::kNotIn:
      return !contains(engine, right, left);
    default:
      break;
  }
  for (const Value* operand : {&left, &right})
    if (operand->is_undefined()) engine.fail(describe_undefined(*operand));
  bool unordered = false;
  const int order = compare(engine, left, right, &unordered);
  if (unordered) return false;
  switch (comparison) {
    case Comparison::kLess:
      return order < 0;
    case Comparison::kLessEqual:
      return order <= 0;
    case Comparison::kGreater:
      return order > 0;
    default:
      return order >= 0;
  }
}

bool contains(Engine& engine, const Value& container, const Value& item) {
  switch (container.type) {
    case Type::kString:
      if (!item.is_string()) engine.fail("only a string can be in a string", type_name(item));
      engine.charge_bytes(container.size);
      return find_text(container.string(), item.string()) != std::string_view::npos;
    case Type::kDict:
      return container.dict->find(engine, item) != nullptr;
    case Type::kView:
      if (static_cast<ViewKind>(container.detail) == ViewKind::kKeys)
        return container.dict->find(engine, item) != nullptr;
      break;
    case Type::kRange: {
      const Range& range = *container.range;
      if (!item.is_number()) return false;
      if (item.as_real() != std::floor(item.as_real())) return false;
      const std::int64_t at = item.is(Type::kFloat) ? static_cast<std::int64_t>(item.real) : item.as_integer();
      const std::int64_t steps = (at - range.start) / range.step;
      return steps >= 0 && steps < range.count && range.at(steps) == at;
    }
    default:
      break;
  }
  bool found = false;
  Iterator* iterator = iterate(engine, container);
  for (Value one; !found && iterator->next(engine, one);) {
    engine.charge();
    found = identical(one, item) || equal(engine, one, item);
  }
  return found;
}

}  // namespace tokenizer::jinja
