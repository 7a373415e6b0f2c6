// Executing statements. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tokenizer/jinja/loop.h"
#include "tokenizer/jinja/syntax.h"

namespace tokenizer::jinja {

Flow execute(Engine& engine, const Body& body) {
  for (const Statement* statement : body)
    if (const Flow flow = statement->execute(engine); flow != Flow::kNormal) return flow;
  return Flow::kNormal;
}

void enter(Engine& engine, const Initializations& initializations) {
  Value* slots = engine.activation->slots;
  for (const Initialization& one : initializations)
    slots[one.slot] = one.undefined ? Value::undefined(Missing::kVariable, one.name) : place(engine, one.from);
}

namespace {

// Writes to a buffer of its own while it lives.
class Capture {
 public:
  explicit Capture(Engine& engine)
      : engine_(engine), buffer_(engine.arena.make<Buffer>()), outer_(std::exchange(engine.out, buffer_)) {}
  ~Capture() { engine_.out = outer_; }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  Value finish() { return engine_.string_of(*buffer_); }

 private:
  Engine& engine_;
  Buffer* buffer_;
  Buffer* outer_;
};

void assign_several(Engine& engine, const Target& target, const Value& value) {
  const Value list = to_list(engine, value);
  if (list.size != target.several.size())
    engine.fail("a wrong number of values to unpack", std::to_string(list.size), std::to_string(target.several.size()));
  for (std::size_t i = 0; i < target.several.size(); ++i) assign(engine, target.several[i], list.items[i]);
}

void check_namespaces(Engine& engine, const Target& target) {
  for (const Target& one : target.several) check_namespaces(engine, one);
  if (!target.attribute.empty() && !place(engine, target.binding).is(Type::kNamespace))
    engine.fail("only an attribute of a namespace can be set", target.name, {}, "make it with namespace()");
}

// The message that a value is, or -1.
std::int32_t message_of(const Value& value) { return value.is(Type::kDict) ? value.dict->message : -1; }

}  // namespace

void assign(Engine& engine, const Target& target, const Value& value) {
  if (target.is_several) return assign_several(engine, target, value);
  if (target.attribute.empty()) {
    place(engine, target.binding) = value;
    if (target.is_exported) place(engine, target.exported) = value;
    return;
  }
  const Value& space = place(engine, target.binding);
  if (target.attribute.starts_with('_'))
    engine.fail("a namespace has no attributes that begin with an underscore", target.attribute);
  space.dict->set(engine, Value::string_of(target.attribute), value);
}

Flow SetStatement::execute(Engine& engine) const {
  engine.line = line;
  engine.charge();
  check_namespaces(engine, target);
  const Value result = value->evaluate(engine);
  engine.line = line;
  assign(engine, target, result);
  if (selects_message)
    if (const std::int32_t message = message_of(result); message >= 0) engine.owner = message;
  return Flow::kNormal;
}

// What `body` writes, instead of writing it. Any other flow than the normal one leaves `result` as it is.
template <class Body>
Flow capture_block(Engine& engine, const Initializations& initializations, const Body& body, Value& result) {
  engine.charge();
  enter(engine, initializations);
  Capture capture(engine);
  const Flow flow = jinja::execute(engine, body);
  if (flow == Flow::kNormal) result = capture.finish();
  return flow;
}

Flow SetBlockStatement::execute(Engine& engine) const {
  Value result;
  if (const Flow flow = capture_block(engine, initializations, body, result); flow != Flow::kNormal) return flow;
  engine.line = line;
  if (filter) result = apply_chain(engine, *filter, result);
  check_namespaces(engine, target);
  assign(engine, target, result);
  return Flow::kNormal;
}

Flow FilterBlockStatement::execute(Engine& engine) const {
  Value result;
  if (const Flow flow = capture_block(engine, initializations, body, result); flow != Flow::kNormal) return flow;
  engine.line = line;
  result = apply_chain(engine, *filter, result);
  if (!result.is_string()) engine.fail("the filter of a block gives no text", type_name(result));
  engine.print(result);
  return Flow::kNormal;
}

Value apply_chain(Engine& engine, const FilterExpression& filter, const Value& captured) {
  const auto* before = static_cast<const FilterExpression*>(filter.input);
  return filter.apply(engine, before ? apply_chain(engine, *before, captured) : captured);
}

Flow IfStatement::execute(Engine& engine) const {
  engine.charge();
  for (const Branch& branch : branches) {
    if (branch.condition && !branch.condition->holds(engine)) continue;
    return jinja::execute(engine, branch.body);
  }
  return Flow::kNormal;
}

Flow ForStatement::execute(Engine& engine) const {
  const Value items = iterable->evaluate(engine);
  engine.line = line;
  if (!recursive) return run(engine, items, 1, engine.activation);
  engine.check_stack();
  Activation* outer = engine.activation;
  run_recursive(engine, items, 1, outer);
  return Flow::kNormal;
}

void ForStatement::run_recursive(Engine& engine, const Value& items, int depth, Activation* outer) const {
  engine.check_stack();
  Activation* own = engine.arena.make<Activation>(engine.arena.array<Value>(slots), outer);
  Activation* before = std::exchange(engine.activation, own);
  run(engine, items, depth, outer);
  engine.activation = before;
}

namespace {

// The items that a test lets through, as they are asked for.
class TestedItems : public Iterator {
 public:
  TestedItems(const ForStatement& statement, Iterator* items) : statement_(statement), items_(items) {}
  bool next(Engine& engine, Value& item) override {
    while (items_->next(engine, item)) {
      engine.charge();
      enter(engine, statement_.test_initializations);
      assign(engine, statement_.test_target, item);
      if (statement_.test->holds(engine)) return true;
    }
    return false;
  }

 private:
  const ForStatement& statement_;
  Iterator* items_;
};

}  // namespace

Flow ForStatement::run(Engine& engine, const Value& items, int depth, Activation* outer) const {
  Loop* loop_state = engine.arena.make<Loop>(recursive ? this : nullptr, outer, items, iterate(engine, items), depth);
  if (test) {
    loop_state->iterator = engine.arena.make<TestedItems>(*this, loop_state->iterator);
    loop_state->iterable = Value::of_type(Type::kIterator);  // its length is not known
    loop_state->iterable.iterator = loop_state->iterator;
  }
  const std::int32_t owner = engine.owner;
  bool none = true;  // as Jinja2 counts it: no turn has come to its end
  for (Value item; loop_state->next(engine, item);) {
    engine.charge();
    engine.line = line;
    const std::int32_t message = message_of(item);
    engine.owner = message >= 0 ? message : owner;
    if (has_loop) {
      Value value = Value::of_type(Type::kLoop);
      value.loop = loop_state;
      place(engine, loop) = value;
    }
    assign(engine, target, item);
    enter(engine, initializations);
    const Flow flow = jinja::execute(engine, body);
    if (flow == Flow::kBreak) break;
    none &= flow != Flow::kNormal;
  }
  engine.owner = owner;
  if (!none) return Flow::kNormal;
  enter(engine, otherwise_initializations);
  return jinja::execute(engine, otherwise);
}

Value MacroStatement::closure(Engine& engine) const {
  Value value = Value::of_type(Type::kMacro);
  value.closure = engine.arena.make<Closure>(this, engine.activation);
  return value;
}

Flow MacroStatement::execute(Engine& engine) const {
  engine.charge();
  assign(engine, target, closure(engine));
  return Flow::kNormal;
}

// The arguments in the places of the parameters. What is missing has its default or is undefined.
void MacroStatement::fill(Engine& engine, const Arguments& arguments, Value* values) const {
  const auto fail = [&](const char* what, std::string_view value) {
    engine.fail(fmt::format("the macro {} {}", name, what), value);
  };
  const std::size_t given = std::min(arguments.positional.size(), parameters.size());
  Dict* more = reads_kwargs ? engine.arena.make<Dict>() : nullptr;
  const Value* caller_given = nullptr;
  bool* filled = engine.arena.array<bool>(parameters.size());
  std::fill(filled, filled + parameters.size(), false);
  for (std::size_t i = 0; i < given; ++i) {
    values[parameters[i].binding.index] = arguments.positional[i];
    filled[i] = true;
  }
  for (const Named& named : arguments.named) {
    const auto found = std::ranges::find(parameters, named.name, &Parameter::name);
    const auto index = static_cast<std::size_t>(found - parameters.begin());
    if (found != parameters.end() && !filled[index]) {
      values[found->binding.index] = named.value;
      filled[index] = true;
    } else if (named.name == "caller" && reads_caller && caller.hops != Binding::kGlobal && found == parameters.end()) {
      caller_given = &named.value;
    } else if (reads_kwargs) {
      more->set(engine, Value::string_of(named.name), named.value);
    } else {
      fail(found == parameters.end() ? "has no such argument" : "is given an argument twice", named.name);
    }
  }
  if (arguments.positional.size() > parameters.size() && !reads_varargs)
    fail("takes fewer arguments", std::to_string(arguments.positional.size()));
  if (reads_caller && std::ranges::find(parameters, "caller", &Parameter::name) == parameters.end())
    values[caller.index] = caller_given && !caller_given->is(Type::kNone)
                               ? *caller_given
                               : Value::undefined(Missing::kHint, "no caller is given");
  if (reads_kwargs) values[kwargs.index] = Value::dict_of(more);
  if (reads_varargs)
    values[varargs.index] =
        Value::sequence_of(Type::kTuple, arguments.positional.data() + given, arguments.positional.size() - given);
  enter(engine, initializations);
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (!filled[i]) values[parameters[i].binding.index] = Value::undefined(Missing::kVariable, parameters[i].name);
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (!filled[i] && parameters[i].fallback)
      values[parameters[i].binding.index] = parameters[i].fallback->evaluate(engine);
}

void MacroStatement::run(Engine& engine, const Closure& definition, const Arguments& arguments) const {
  const int from = engine.line;
  Activation* own = engine.arena.make<Activation>(engine.arena.array<Value>(slots), definition.parent);
  Activation* before = std::exchange(engine.activation, own);
  fill(engine, arguments, own->slots);
  jinja::execute(engine, body);
  engine.activation = before;
  engine.line = from;
}

Flow CallBlockStatement::execute(Engine& engine) const {
  engine.charge();
  const Value closure = caller.closure(engine);
  engine.line = line;
  call->emit(engine, &closure);
  return Flow::kNormal;
}

Flow WithStatement::execute(Engine& engine) const {
  engine.charge();
  enter(engine, initializations);
  for (std::size_t i = 0; i < targets.size(); ++i) assign(engine, targets[i], values[i]->evaluate(engine));
  return jinja::execute(engine, body);
}

Flow BlockStatement::execute(Engine& engine) const {
  engine.charge();
  Activation* own = engine.arena.make<Activation>(engine.arena.array<Value>(slots), nullptr);
  Activation* before = std::exchange(engine.activation, own);
  enter(engine, initializations);
  jinja::execute(engine, body);
  engine.activation = before;
  return Flow::kNormal;
}

Flow GenerationStatement::execute(Engine& engine) const {
  engine.charge();
  enter(engine, initializations);
  const Tag outer = std::exchange(engine.generated, 1);
  jinja::execute(engine, body);
  engine.generated = outer;
  return Flow::kNormal;
}

Value Engine::call_macro(const Closure& closure, const Arguments& arguments) {
  check_stack();
  Capture capture(*this);
  closure.macro->run(*this, closure, arguments);
  return capture.finish();
}

Value Engine::call(const Value& callee, const Arguments& arguments) {
  switch (callee.type) {
    case Type::kFunction:
      return callee.function->call(*this, arguments);
    case Type::kMethod:
      charge_value(callee.method->self);
      return callee.method->method->call(*this, callee.method->self, arguments);
    case Type::kMacro:
      return call_macro(*callee.closure, arguments);
    case Type::kJoiner: {
      if (!arguments.positional.empty() || !arguments.named.empty()) fail("a joiner takes no arguments");
      return std::exchange(callee.joiner->used, true) ? callee.joiner->separator : Value::string_of("");
    }
    case Type::kLoop: {
      if (!callee.loop->statement)
        fail("a loop that is called has to be recursive", {}, {}, "write: {% for ... recursive %}");
      const Parameters parameters(*this, "loop()", arguments, {"iterable"}, 1);
      Capture capture(*this);
      callee.loop->statement->run_recursive(*this, parameters[0], callee.loop->depth + 1, callee.loop->outer);
      return capture.finish();
    }
    case Type::kUndefined:
      fail(describe_undefined(callee));
    default:
      fail("this cannot be called", type_name(callee));
  }
}

}  // namespace tokenizer::jinja
