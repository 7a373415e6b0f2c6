// The syntax tree of a template, which is also what is executed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/jinja/engine.h"
#include "tokenizer/jinja/loop.h"

namespace tokenizer::jinja {

class Scope;

/// Where the value of a name is: a variable given to the template (or a function), or a slot of an activation.
struct Binding {
  static constexpr std::uint32_t kGlobal = ~0u;
  std::uint32_t hops = kGlobal;  ///< from the innermost activation outwards
  std::uint32_t index = 0;
};
inline Value& place(Engine& engine, const Binding& binding) {
  if (binding.hops == Binding::kGlobal) return engine.globals[binding.index];
  Activation* activation = engine.activation;
  for (std::uint32_t i = 0; i < binding.hops; ++i) activation = activation->parent;
  return activation->slots[binding.index];
}

class Expression;
using ExpressionVisitor = std::function<void(Expression&)>;

class Expression {
 public:
  virtual ~Expression() = default;
  virtual Value evaluate(Engine& engine) const = 0;
  /// Whether the value is true.
  virtual bool holds(Engine& engine) const { return truth(evaluate(engine)); }
  /// Writes the value, as {{ expression }} does.
  virtual void emit(Engine& engine) const { engine.print(evaluate(engine)); }
  virtual void each_child(const ExpressionVisitor&) {}
  int line = 0;
  int depth = 1;

 protected:
  Value value_of(Engine& engine, const Expression& child) const {
    Value value = child.evaluate(engine);
    engine.line = line;
    return value;
  }
};
using Expressions = std::vector<Expression*>;

struct ConstantExpression : Expression {
  explicit ConstantExpression(Value constant) : value(constant) {}
  Value evaluate(Engine&) const override { return value; }
  Value value;
};

struct NameExpression : Expression {
  explicit NameExpression(std::string_view text) : name(text) {}
  Value evaluate(Engine& engine) const override {
    engine.charge();
    return place(engine, binding);
  }
  std::string_view name;
  Binding binding;
};

/// a + b + c; with `text`, a ~ b ~ c.
struct SumExpression : Expression {
  Value evaluate(Engine& engine) const override;
  void emit(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override {
    for (Expression* operand : operands) visit(*operand);
  }
  Expressions operands;
  bool text = false;

 private:
  Value combine(Engine& engine, std::span<Value> values) const;
};

struct OperatorExpression : Expression {
  Value evaluate(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override { visit(*left), visit(*right); }
  Operator operation;
  Expression *left, *right;
};

/// and, or: the operand that decides.
struct LogicalExpression : Expression {
  Value evaluate(Engine& engine) const override;
  bool holds(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override { visit(*left), visit(*right); }
  bool conjunction;
  Expression *left, *right;
};

struct UnaryExpression : Expression {
  Value evaluate(Engine& engine) const override;
  bool holds(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override { visit(*operand); }
  char operation;  // '-', '+' or '!' for not
  Expression* operand;
};

/// a < b <= c.
struct ComparisonExpression : Expression {
  Value evaluate(Engine& engine) const override;
  bool holds(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override {
    visit(*first);
    for (const Step& step : steps) visit(*step.operand);
  }
  struct Step {
    Comparison comparison;
    Expression* operand;
  };
  Expression* first;
  std::vector<Step> steps;
};

struct ConditionalExpression : Expression {
  Value evaluate(Engine& engine) const override;
  void emit(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override {
    visit(*condition), visit(*then);
    if (otherwise) visit(*otherwise);
  }
  Expression *condition, *then, *otherwise = nullptr;
};

/// [a, b], (a, b)
struct SequenceExpression : Expression {
  Value evaluate(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override {
    for (Expression* item : items) visit(*item);
  }
  Type type;
  Expressions items;
};

struct DictExpression : Expression {
  Value evaluate(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override {
    for (const auto& [key, value] : items) visit(*key), visit(*value);
  }
  std::vector<std::pair<Expression*, Expression*>> items;
};

struct AttributeExpression : Expression {
  Value evaluate(Engine& engine) const override { return of(engine, value_of(engine, *object)); }
  Value of(Engine& engine, const Value& value) const;
  void each_child(const ExpressionVisitor& visit) override { visit(*object); }
  Expression* object;
  std::string_view name;
  const Method *string_method = nullptr, *dict_method = nullptr;
  LoopAttribute loop_attribute = LoopAttribute::kNone;
  bool special = false;  // not a member of a dict at once: "update", "__class__"
};

struct SubscriptExpression : Expression {
  Value evaluate(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override { visit(*object), visit(*index); }
  Expression *object, *index;
  const ConstantExpression* key = nullptr;  // the index, when it is a string that stands there
};

struct SliceExpression : Expression {
  Value evaluate(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override {
    visit(*object);
    for (Expression* bound : {start, stop, step})
      if (bound) visit(*bound);
  }
  Expression *object, *start = nullptr, *stop = nullptr, *step = nullptr;
};

/// The arguments of a call as they are written.
struct ArgumentsSyntax {
  Expressions positional;
  std::vector<std::pair<std::string_view, Expression*>> named;
  Expression *more_positional = nullptr, *more_named = nullptr;
  void each_child(const ExpressionVisitor& visit) const;
};
/// Arguments evaluated. Lives on the stack.
class ArgumentValues {
 public:
  ArgumentValues(Engine& engine, const ArgumentsSyntax& syntax, int line, const Value* caller = nullptr);
  operator Arguments() const { return {positional_, named_}; }

 private:
  void add_more(Engine& engine, const ArgumentsSyntax& syntax);
  std::span<const Value> positional_;
  std::span<const Named> named_;
  Value few_[3];
};

struct CallExpression : Expression {
  Value evaluate(Engine& engine) const override { return evaluate(engine, nullptr); }
  Value evaluate(Engine& engine, const Value* caller) const;
  void emit(Engine& engine) const override { emit(engine, nullptr); }
  void emit(Engine& engine, const Value* caller) const;
  void each_child(const ExpressionVisitor& visit) override {
    visit(*callee);
    arguments.each_child(visit);
  }
  Expression* callee;
  ArgumentsSyntax arguments;
  const AttributeExpression* attribute = nullptr;  // the callee, when it is one
};

struct FilterExpression : Expression {
  Value evaluate(Engine& engine) const override { return apply(engine, value_of(engine, *input)); }
  Value apply(Engine& engine, const Value& value) const;
  void each_child(const ExpressionVisitor& visit) override {
    if (input) visit(*input);
    arguments.each_child(visit);
  }
  Expression* input = nullptr;  // null in a filter or set block: what it captures
  std::string_view name;
  const FilterFunction* function = nullptr;  // null: unknown, an error when it is used
  ArgumentsSyntax arguments;
};

/// Filters of a filter or set block, one after the other, on what the block captured.
Value apply_chain(Engine& engine, const FilterExpression& filter, const Value& captured);

struct TestExpression : Expression {
  Value evaluate(Engine& engine) const override;
  bool holds(Engine& engine) const override;
  void each_child(const ExpressionVisitor& visit) override {
    visit(*input);
    arguments.each_child(visit);
  }
  Expression* input;
  std::string_view name;
  const TestFunction* function = nullptr;
  ArgumentsSyntax arguments;
};

/// What is assigned to: a name, an attribute of a namespace, or several of these.
struct Target {
  std::string_view name, attribute;
  std::vector<Target> several;
  bool is_several = false;
  int line = 0;
  Binding binding;
  Binding exported;  // of a variable of the template itself that a block reads
  bool is_exported = false;
};
void assign(Engine& engine, const Target& target, const Value& value);

enum class Flow { kNormal, kBreak, kContinue };

class Statement {
 public:
  virtual ~Statement() = default;
  virtual Flow execute(Engine& engine) const = 0;
  /// Finds the places of all names within; see jinja_scope.h.
  virtual void analyze(Scope& scope) = 0;
  virtual void bind(Scope& scope) = 0;
  int line = 0;
};
using Body = std::vector<Statement*>;
Flow execute(Engine& engine, const Body& body);

/// A slot that has to be set when a scope is entered.
struct Initialization {
  std::uint32_t slot;
  bool undefined;
  Binding from;
  std::string_view name;
};
using Initializations = std::vector<Initialization>;
void enter(Engine& engine, const Initializations& initializations);

struct TextStatement : Statement {
  Flow execute(Engine& engine) const override {
    engine.charge();
    engine.emit(text);
    return Flow::kNormal;
  }
  void analyze(Scope&) override {}
  void bind(Scope&) override {}
  std::string_view text;
};

struct PrintStatement : Statement {
  Flow execute(Engine& engine) const override {
    engine.line = line;
    engine.charge();
    expression->emit(engine);
    return Flow::kNormal;
  }
  void analyze(Scope& scope) override;
  void bind(Scope& scope) override;
  Expression* expression;
};

struct SetStatement : Statement {
  Flow execute(Engine& engine) const override;
  void analyze(Scope& scope) override;
  void bind(Scope& scope) override;
  Target target;
  Expression* value;
  bool selects_message = false;  // {% set message = messages[i] %} in a loop over i
};

struct SetBlockStatement : Statement {
  Flow execute(Engine& engine) const override;
  void analyze(Scope& scope) override;
  void bind(Scope& scope) override;
  Target target;
  FilterExpression* filter = nullptr;
  Body body;
  Initializations initializations;
};

struct IfStatement : Statement {
  Flow execute(Engine& engine) const override;
  void analyze(Scope& scope) override;
  void bind(Scope& scope) override;
  struct Branch {
    Expression* condition;  // null: else
    Body body;
  };
  std::vector<Branch> branches;

 private:
  void analyze_from(Scope& scope, std::size_t branch);
};

class ForStatement : public Statement {
 public:
  Flow execute(Engine& engine) const override;
  void analyze(Scope& scope) override;
  void bind(Scope& scope) override;
  /// The loop over `items`, at `depth` of recursion (from 1). `outer` is the activation around a recursive loop.
  Flow run(Engine& engine, const Value& items, int depth, Activation* outer) const;
  void run_recursive(Engine& engine, const Value& items, int depth, Activation* outer) const;
  Target target, test_target;
  Expression *iterable, *test = nullptr;
  bool recursive = false;
  Body body, otherwise;
  Initializations initializations, test_initializations, otherwise_initializations;
  bool has_loop = false;  // `loop` is read
  Binding loop;
  std::uint32_t slots = 0;  // of an activation of its own, when recursive
};

struct Parameter {
  std::string_view name;
  Expression* fallback = nullptr;
  Binding binding;
};

/// A macro, or the body of a call block, which is one without a name.
class MacroStatement : public Statement {
 public:
  Flow execute(Engine& engine) const override;
  void analyze(Scope& scope) override;
  void bind(Scope& scope) override;
  Value closure(Engine& engine) const;
  void bind_body(Scope& scope);
  /// Runs the body, which writes to the engine's output.
  void run(Engine& engine, const Closure& closure, const Arguments& arguments) const;

  std::string_view name;
  Target target;  // the macro's name
  std::vector<Parameter> parameters;
  Body body;
  Initializations initializations;
  bool reads_caller = false, reads_kwargs = false, reads_varargs = false;
  Binding caller, kwargs, varargs;
  std::uint32_t slots = 0;

 private:
  void fill(Engine& engine, const Arguments& arguments, Value* values) const;
};

struct CallBlockStatement : Statement {
  Flow execute(Engine& engine) const override;
  void analyze(Scope& scope) override;
  void bind(Scope& scope) override;
  MacroStatement caller;
  CallExpression* call;
};

struct FilterBlockStatement : Statement {
  Flow execute(Engine& engine) const override;
  void analyze(Scope& scope) override;
  void bind(Scope& scope) override;
  FilterExpression* filter;
  Body body;
  Initializations initializations;
};

struct WithStatement : Statement {
  Flow execute(Engine& engine) const override;
  void analyze(Scope& scope) override;
  void bind(Scope& scope) override;
  std::vector<Target> targets;
  Expressions values;
  Body body;
  Initializations initializations;
};

/// {% block %}: reads what the template was given and what it set itself, nothing of the scopes around.
struct BlockStatement : Statement {
  Flow execute(Engine& engine) const override;
  void analyze(Scope&) override {}
  void bind(Scope& scope) override;
  Body body;
  Initializations initializations;
  std::uint32_t slots = 0;
};

/// {% generation %}: what is written within is what the model writes.
struct GenerationStatement : Statement {
  Flow execute(Engine& engine) const override;
  void analyze(Scope&) override {}
  void bind(Scope& scope) override;
  Body body;
  Initializations initializations;
};

struct JumpStatement : Statement {
  Flow execute(Engine&) const override { return flow; }
  void analyze(Scope&) override {}
  void bind(Scope&) override {}
  Flow flow;
};

}  // namespace tokenizer::jinja
