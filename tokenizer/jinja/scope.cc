// Which variable a name means. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/scope.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace tokenizer::jinja {

bool Scope::knows(std::string_view name) const {
  return std::ranges::any_of(layers_, [&](const Layer& layer) { return layer.loads.contains(name); }) ||
         (parent_ && parent_->knows(name));
}
bool Scope::has_stored(std::string_view name) const {
  return std::ranges::any_of(layers_, [&](const Layer& layer) { return layer.stores.contains(name); });
}

void Scope::load(std::string_view name) {
  if (!knows(name)) layers_.back().loads[name] = kResolve;
}

void Scope::store(std::string_view name) {
  const bool seen_here = std::ranges::any_of(layers_, [&](const Layer& layer) { return layer.loads.contains(name); });
  layers_.back().stores.insert(name);
  if (!seen_here) layers_.back().loads[name] = parent_ && parent_->knows(name) ? kAlias : kUndefined;
}

void Scope::declare_parameter(std::string_view name) {
  layers_.back().stores.insert(name);
  layers_.back().loads[name] = kParameter;
}

void Scope::load_all(Expression& expression) {
  if (const auto* name = dynamic_cast<NameExpression*>(&expression)) return load(name->name);
  expression.each_child([this](Expression& child) { load_all(child); });
}

void Scope::store_all(const Target& target) {
  if (target.is_several) {
    for (const Target& one : target.several) store_all(one);
  } else if (target.attribute.empty()) {
    store(target.name);
  } else {
    load(target.name);
  }
}

void Scope::declare_all(const Target& target) {
  if (!target.is_several) return declare_parameter(target.name);
  for (const Target& one : target.several) declare_all(one);
}

Scope::Layer Scope::end_branch() {
  Layer layer = std::move(layers_.back());
  layers_.pop_back();
  return layer;
}

void Scope::join(const std::vector<Layer>& branches) {
  std::set<std::string_view> newly_stored;
  for (const Layer& branch : branches)
    for (std::string_view name : branch.stores)
      if (!has_stored(name)) newly_stored.insert(name);
  Layer& here = layers_.back();
  for (const Layer& branch : branches) {
    for (const auto& [name, load] : branch.loads) here.loads[name] = load;
    here.stores.insert(branch.stores.begin(), branch.stores.end());
  }
  for (std::string_view name : newly_stored) here.loads[name] = parent_ && parent_->knows(name) ? kAlias : kResolve;
}

Initializations Scope::finish() {
  Initializations initializations;
  for (const auto& [name, load] : layers_[0].loads) {
    // What is only read comes straight from outside.
    if (load == kResolve && !layers_[0].stores.contains(name)) continue;
    const std::uint32_t slot = layout_.slots++;
    if (load == kUndefined) initializations.push_back({slot, true, {}, name});
    if (load == kResolve) initializations.push_back({slot, false, {Binding::kGlobal, program_.global(name)}, name});
    if (load == kAlias) {
      Binding from = parent_->find(name);
      if (from.hops != Binding::kGlobal) from.hops += layout_.level - parent_->layout_.level;
      initializations.push_back({slot, false, from, name});
    }
    slots_[name] = slot;
  }
  return initializations;
}

Binding Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope; scope = scope->parent_)
    if (const auto slot = scope->slots_.find(name); slot != scope->slots_.end())
      return {layout_.level - scope->layout_.level, slot->second};
  return {Binding::kGlobal, program_.global(name)};
}

void Scope::bind(Expression& expression) {
  const auto check = [&](const char* kind, std::string_view name, bool known, int line) {
    if (!known && !soft)
      throw base::Error({fmt::format("unknown {} '{}'", kind, name), fmt::format("{}:{}", program_.name, line), "", "",
                         "mend the template, or take one that does without it"});
  };
  if (auto* name = dynamic_cast<NameExpression*>(&expression)) name->binding = find(name->name);
  if (auto* filter = dynamic_cast<FilterExpression*>(&expression))
    check("filter", filter->name, filter->function, filter->line);
  if (auto* test = dynamic_cast<TestExpression*>(&expression)) check("test", test->name, test->function, test->line);
  const bool outer = soft;
  if (dynamic_cast<ConditionalExpression*>(&expression)) soft = true;
  expression.each_child([this](Expression& child) { bind(child); });
  soft = outer;
}

void Scope::bind(Target& target) {
  for (Target& one : target.several) bind(one);
  if (target.is_several) return;
  target.binding = find(target.name);
  // A block reads what the template itself set.
  target.is_exported = is_root() && target.attribute.empty();
  if (target.is_exported) target.exported = {Binding::kGlobal, program_.global(target.name, false)};
}

void PrintStatement::analyze(Scope& scope) { scope.load_all(*expression); }
void PrintStatement::bind(Scope& scope) { scope.bind(*expression); }

void SetStatement::analyze(Scope& scope) {
  scope.load_all(*value);
  scope.store_all(target);
}
void SetStatement::bind(Scope& scope) {
  scope.bind(*value);
  scope.bind(target);
}

namespace {

// A block within the same activation, with names of its own.
template <class Declare>
Initializations bind_block(Scope& outer, const Body& body, FilterExpression* filter, Declare declare) {
  Scope scope(outer.program(), &outer, outer.layout());
  declare(scope);
  if (filter) scope.load_all(*filter);
  scope.analyze(body);
  Initializations initializations = scope.finish();
  if (filter) scope.bind(*filter);
  scope.bind(body);
  return initializations;
}
void nothing(Scope&) {}

}  // namespace

void SetBlockStatement::analyze(Scope& scope) { scope.store_all(target); }
void SetBlockStatement::bind(Scope& scope) {
  initializations = bind_block(scope, body, filter, nothing);
  scope.bind(target);
}

void FilterBlockStatement::analyze(Scope& scope) { scope.load_all(*filter); }
void FilterBlockStatement::bind(Scope& scope) { initializations = bind_block(scope, body, filter, nothing); }

void GenerationStatement::bind(Scope& scope) { initializations = bind_block(scope, body, nullptr, nothing); }

void WithStatement::analyze(Scope& scope) {
  for (Expression* value : values) scope.load_all(*value);
}
void WithStatement::bind(Scope& scope) {
  for (Expression* value : values) scope.bind(*value);
  Scope inner(scope.program(), &scope, scope.layout());
  for (const Target& target : targets) inner.declare_all(target);
  inner.analyze(body);
  initializations = inner.finish();
  for (Target& target : targets) inner.bind(target);
  inner.bind(body);
}

void IfStatement::analyze(Scope& scope) { analyze_from(scope, 0); }
// A later condition belongs to the branch that it opens, as in an if within the else of the first.
void IfStatement::analyze_from(Scope& scope, std::size_t first) {
  scope.load_all(*branches[first].condition);
  std::vector<Scope::Layer> layers;
  scope.begin_branch();
  scope.analyze(branches[first].body);
  layers.push_back(scope.end_branch());
  if (first > 0) {
    scope.join(layers);
    return;
  }
  scope.begin_branch();
  for (std::size_t i = 1; i < branches.size() && branches[i].condition; ++i) analyze_from(scope, i);
  layers.push_back(scope.end_branch());
  scope.begin_branch();
  if (!branches.back().condition) scope.analyze(branches.back().body);
  layers.push_back(scope.end_branch());
  scope.join(layers);
}
void IfStatement::bind(Scope& scope) {
  const bool outer = std::exchange(scope.soft, true);
  for (const Branch& branch : branches) {
    if (branch.condition) scope.bind(*branch.condition);
    scope.bind(branch.body);
  }
  scope.soft = outer;
}

void ForStatement::analyze(Scope& scope) { scope.load_all(*iterable); }
void ForStatement::bind(Scope& scope) {
  scope.bind(*iterable);
  ActivationLayout own{scope.layout().level + 1, 0};
  ActivationLayout& layout = recursive ? own : scope.layout();
  if (test) {
    Scope inner(scope.program(), &scope, layout);
    inner.declare_all(test_target);
    inner.load_all(*test);
    test_initializations = inner.finish();
    inner.bind(test_target);
    inner.bind(*test);
  }
  {
    Scope inner(scope.program(), &scope, layout);
    if (has_loop) inner.declare_parameter("loop");
    inner.declare_all(target);
    inner.analyze(body);
    initializations = inner.finish();
    inner.bind(target);
    if (has_loop) loop = inner.find("loop");
    inner.bind(body);
  }
  Scope inner(scope.program(), &scope, layout);
  inner.analyze(otherwise);
  otherwise_initializations = inner.finish();
  inner.bind(otherwise);
  slots = own.slots;
}

void MacroStatement::analyze(Scope& scope) { scope.store(name); }
void MacroStatement::bind(Scope& scope) {
  bind_body(scope);
  scope.bind(target);
}
void MacroStatement::bind_body(Scope& outer) {
  ActivationLayout layout{outer.layout().level + 1, 0};
  Scope scope(outer.program(), &outer, layout);
  const auto declare_special = [&](bool& reads, std::string_view special) {
    const bool is_parameter = std::ranges::any_of(parameters, [&](const Parameter& p) { return p.name == special; });
    if (is_parameter && special != "caller") reads = false;
    if (reads && !is_parameter) scope.declare_parameter(special);
  };
  for (const Parameter& parameter : parameters) scope.declare_parameter(parameter.name);
  declare_special(reads_caller, "caller");
  declare_special(reads_kwargs, "kwargs");
  declare_special(reads_varargs, "varargs");
  for (const Parameter& parameter : parameters)
    if (parameter.fallback) scope.load_all(*parameter.fallback);
  scope.analyze(body);
  initializations = scope.finish();
  for (Parameter& parameter : parameters) {
    parameter.binding = scope.find(parameter.name);
    if (parameter.name == "caller" && reads_caller && !parameter.fallback)
      throw base::Error("a parameter named caller needs a default", fmt::format("{}:{}", outer.program().name, line));
    if (parameter.fallback) scope.bind(*parameter.fallback);
  }
  if (reads_caller) caller = scope.find("caller");
  if (reads_kwargs) kwargs = scope.find("kwargs");
  if (reads_varargs) varargs = scope.find("varargs");
  scope.bind(body);
  slots = layout.slots;
}

void CallBlockStatement::analyze(Scope& scope) { scope.load_all(*call); }
void CallBlockStatement::bind(Scope& scope) {
  caller.bind_body(scope);
  scope.bind(*call);
}

void BlockStatement::bind(Scope& outer) {
  // Apart from all scopes: only what comes from outside the template, and what the template itself set, is seen.
  ActivationLayout layout{outer.layout().level + 1, 0};
  Scope scope(outer.program(), nullptr, layout);
  scope.analyze(body);
  initializations = scope.finish();
  scope.bind(body);
  slots = layout.slots;
}

}  // namespace tokenizer::jinja
