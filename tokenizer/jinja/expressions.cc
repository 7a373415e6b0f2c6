// Evaluating expressions. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "tokenizer/jinja/syntax.h"

namespace tokenizer::jinja {

namespace {

constexpr std::size_t kFewOperands = 8;

// Room for some values that are not made before they are needed.
struct Few {
  alignas(Value) std::byte bytes[kFewOperands * sizeof(Value)];
};

// The values of `operands`, in `few` where they fit.
std::span<Value> evaluated(Engine& engine, const Expressions& operands, Few& few) {
  Value* values = operands.size() <= kFewOperands ? reinterpret_cast<Value*>(few.bytes)
                                                  : engine.arena.array<Value>(operands.size());
  for (std::size_t i = 0; i < operands.size(); ++i) new (values + i) Value(operands[i]->evaluate(engine));
  return {values, operands.size()};
}

bool all_plain_strings(std::span<const Value> values) {
  return std::ranges::all_of(values, [](const Value& value) { return value.is_string() && value.detail == 0; });
}

}  // namespace

Value SumExpression::combine(Engine& engine, std::span<Value> values) const {
  engine.line = line;
  engine.charge(values.size());
  if (text)
    for (Value& value : values) {
      value = engine.to_string(value);
      value.detail = 0;
    }
  if (all_plain_strings(values)) return engine.concatenate(values);
  Value sum = values[0];
  for (const Value& value : values.subspan(1)) sum = operate(engine, Operator::kAdd, sum, value);
  return sum;
}

Value SumExpression::evaluate(Engine& engine) const {
  Few few;
  return combine(engine, evaluated(engine, operands, few));
}

void SumExpression::emit(Engine& engine) const {
  Few few;
  const auto values = evaluated(engine, operands, few);
  if (!text && !all_plain_strings(values)) return engine.print(combine(engine, values));
  engine.charge(values.size());
  engine.line = line;
  for (const Value& value : values) engine.print(value);
}

Value OperatorExpression::evaluate(Engine& engine) const {
  const Value first = left->evaluate(engine);
  const Value second = value_of(engine, *right);
  engine.charge();
  return operate(engine, operation, first, second);
}

Value LogicalExpression::evaluate(Engine& engine) const {
  const Value first = left->evaluate(engine);
  return truth(first) == conjunction ? right->evaluate(engine) : first;
}

bool LogicalExpression::holds(Engine& engine) const {
  return left->holds(engine) == conjunction ? right->holds(engine) : !conjunction;
}

bool UnaryExpression::holds(Engine& engine) const {
  if (operation != '!') return truth(evaluate(engine));
  engine.charge();
  return !operand->holds(engine);
}

Value UnaryExpression::evaluate(Engine& engine) const {
  if (operation == '!') return Value::boolean_of(holds(engine));
  const Value value = value_of(engine, *operand);
  engine.charge();
  if (!value.is_number()) engine.fail(fmt::format("'{}' needs a number", operation), type_name(value));
  if (operation == '-') return negate(engine, value);
  return value.is(Type::kBool) ? Value::integer_of(value.boolean) : value;
}

Value ComparisonExpression::evaluate(Engine& engine) const { return Value::boolean_of(holds(engine)); }

bool ComparisonExpression::holds(Engine& engine) const {
  Value left = first->evaluate(engine);
  for (const Step& step : steps) {
    const Value right = value_of(engine, *step.operand);
    engine.charge();
    if (!compare(engine, step.comparison, left, right)) return false;
    left = right;
  }
  return true;
}

Value ConditionalExpression::evaluate(Engine& engine) const {
  if (condition->holds(engine)) return then->evaluate(engine);
  if (otherwise) return otherwise->evaluate(engine);
  return Value::undefined(Missing::kHint, "the condition was false and there is no else");
}

void ConditionalExpression::emit(Engine& engine) const {
  if (condition->holds(engine))
    then->emit(engine);
  else if (otherwise)
    otherwise->emit(engine);
}

Value SequenceExpression::evaluate(Engine& engine) const {
  // Of an empty list too there is a place, so that no two are the same.
  Value* values = engine.arena.array<Value>(std::max<std::size_t>(1, items.size()));
  for (std::size_t i = 0; i < items.size(); ++i) values[i] = items[i]->evaluate(engine);
  return Value::sequence_of(type, values, items.size());
}

Value DictExpression::evaluate(Engine& engine) const {
  Dict* dict = engine.arena.make<Dict>();
  dict->reserve(engine, items.size());
  for (const auto& [key, value] : items) {
    const Value name = key->evaluate(engine);
    const Value held = value_of(engine, *value);
    dict->set(engine, name, held);
  }
  return Value::dict_of(dict);
}

Value AttributeExpression::of(Engine& engine, const Value& value) const {
  engine.charge();
  const Method* method = value.is_string() ? string_method : value.is(Type::kDict) ? dict_method : nullptr;
  if (value.is(Type::kDict) && !method && !special) {
    if (const Value* found = value.dict->find(name)) return *found;
    return Value::undefined(Missing::kAttribute, name, value.type);
  }
  if (!method) {
    if (value.is(Type::kLoop) && loop_attribute != LoopAttribute::kNone)
      return jinja::loop_attribute(engine, *value.loop, loop_attribute);
    return jinja::attribute(engine, value, name);
  }
  Value bound = Value::of_type(Type::kMethod);
  bound.method = engine.arena.make<BoundMethod>(method, value);
  return bound;
}

Value SubscriptExpression::evaluate(Engine& engine) const {
  const Value value = object->evaluate(engine);
  engine.charge();
  if (key && value.is(Type::kDict))
    if (const Value* found = value.dict->find(key->value.string())) return *found;
  const Value at = value_of(engine, *index);
  return subscript(engine, value, at);
}

Value SliceExpression::evaluate(Engine& engine) const {
  const Value value = object->evaluate(engine);
  const auto bound = [&](const Expression* expression) {
    return expression ? expression->evaluate(engine) : Value::none();
  };
  const Value from = bound(start), to = bound(stop), by = bound(step);
  engine.line = line;
  engine.charge();
  return slice(engine, value, from, to, by);
}

void ArgumentsSyntax::each_child(const ExpressionVisitor& visit) const {
  for (Expression* argument : positional) visit(*argument);
  for (const auto& [name, argument] : named) visit(*argument);
  if (more_positional) visit(*more_positional);
  if (more_named) visit(*more_named);
}

ArgumentValues::ArgumentValues(Engine& engine, const ArgumentsSyntax& syntax, int line, const Value* caller) {
  const std::size_t count = syntax.positional.size();
  Value* values = count <= std::size(few_) ? few_ : engine.arena.array<Value>(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = syntax.positional[i]->evaluate(engine);
    engine.charge_value(values[i]);
  }
  positional_ = {values, count};
  if (syntax.more_positional || syntax.more_named || caller || !syntax.named.empty()) {
    Named* named = engine.arena.array<Named>(syntax.named.size() + 1);
    std::size_t names = 0;
    for (const auto& [name, argument] : syntax.named) named[names++] = {name, argument->evaluate(engine)};
    if (caller) named[names++] = {"caller", *caller};
    named_ = {named, names};
    engine.line = line;
    add_more(engine, syntax);
  }
  engine.line = line;
}

// *list and **dict.
void ArgumentValues::add_more(Engine& engine, const ArgumentsSyntax& syntax) {
  if (syntax.more_positional) {
    ListBuilder all(engine, positional_.size() + 4);
    for (const Value& value : positional_) all.add(value);
    for_each(engine, syntax.more_positional->evaluate(engine), [&](const Value& value) { all.add(value); });
    positional_ = all.items();
  }
  if (!syntax.more_named) return;
  const Value more = syntax.more_named->evaluate(engine);
  if (!more.is(Type::kDict)) engine.fail("** needs a dict", type_name(more));
  Named* all = engine.arena.array<Named>(named_.size() + more.dict->size);
  std::copy(named_.begin(), named_.end(), all);
  std::size_t count = named_.size();
  for (const Dict::Entry& entry : more.dict->items()) {
    if (!entry.key.is_string()) engine.fail("** needs a dict whose keys are strings", type_name(entry.key));
    for (const Named& other : std::span(all, count)) {
      engine.charge();
      if (other.name == entry.key.string()) engine.fail("a call names an argument twice", other.name);
    }
    all[count++] = {entry.key.string(), entry.value};
  }
  named_ = {all, count};
}

Value CallExpression::evaluate(Engine& engine, const Value* caller) const {
  // A method is called without being made a value of its own.
  if (attribute) {
    const Value self = attribute->object->evaluate(engine);
    engine.line = line;
    const Method* method = self.is_string()       ? attribute->string_method
                           : self.is(Type::kDict) ? attribute->dict_method
                                                  : nullptr;
    const Value function = method ? Value() : attribute->of(engine, self);
    const ArgumentValues values(engine, arguments, line, caller);
    engine.charge();
    engine.charge_value(self);
    return method ? method->call(engine, self, values) : engine.call(function, values);
  }
  const Value function = callee->evaluate(engine);
  const ArgumentValues values(engine, arguments, line, caller);
  engine.charge();
  return engine.call(function, values);
}

void CallExpression::emit(Engine& engine, const Value* caller) const {
  const auto print = [&](const Value& value) {
    if (caller && !value.is_string()) engine.fail("what a call block calls gives no text", type_name(value));
    engine.print(value);
  };
  if (attribute) return print(evaluate(engine, caller));
  const Value function = callee->evaluate(engine);
  const ArgumentValues values(engine, arguments, line, caller);
  engine.charge();
  if (!function.is(Type::kMacro)) return print(engine.call(function, values));
  // What a macro writes goes straight to the output.
  engine.check_stack();
  function.closure->macro->run(engine, *function.closure, values);
}

Value FilterExpression::apply(Engine& engine, const Value& value) const {
  const ArgumentValues values(engine, arguments, line);
  engine.charge();
  engine.charge_value(value);
  if (!function) engine.fail("unknown filter", name);
  return function->call(engine, value, values);
}

Value TestExpression::evaluate(Engine& engine) const { return Value::boolean_of(holds(engine)); }

bool TestExpression::holds(Engine& engine) const {
  const Value value = input->evaluate(engine);
  const ArgumentValues values(engine, arguments, line);
  engine.charge();
  engine.charge_value(value);
  if (!function) engine.fail("unknown test", name);
  return function->call(engine, value, values);
}

}  // namespace tokenizer::jinja
