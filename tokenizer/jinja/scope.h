// Which variable a name means, as jinja2.idtracking decides it: found once, when the template is compiled.
#pragma once

#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "tokenizer/jinja/program.h"

namespace tokenizer::jinja {

/// What runs in an activation of its own: the template, a macro, a block, a recursive loop.
struct ActivationLayout {
  std::uint32_t level = 0;
  std::uint32_t slots = 0;
};

/// The variables of one block of the template. First every statement of it is analyzed, then all names are bound.
class Scope {
 public:
  Scope(Program& program, Scope* parent, ActivationLayout& layout)
      : program_(program), parent_(parent), layout_(layout) {}

  // Analysis, in the order of the template.
  void load(std::string_view name);
  void store(std::string_view name);
  void declare_parameter(std::string_view name);
  void load_all(Expression& expression);
  void store_all(const Target& target);
  void declare_all(const Target& target);
  void analyze(const Body& body) {
    for (Statement* statement : body) statement->analyze(*this);
  }
  /// The branches of an if are analyzed apart, each from the state before it, then joined.
  struct Layer {
    std::map<std::string_view, int> loads;  // Load of each name seen
    std::set<std::string_view> stores;
  };
  void begin_branch() { layers_.emplace_back(); }
  Layer end_branch();
  void join(const std::vector<Layer>& branches);

  /// Gives the names their slots. Returns what has to be set on entry.
  Initializations finish();

  // Binding.
  Binding find(std::string_view name) const;
  void bind(Expression& expression);
  void bind(Target& target);
  void bind(const Body& body) {
    for (Statement* statement : body) statement->bind(*this);
  }
  Program& program() { return program_; }
  ActivationLayout& layout() { return layout_; }
  bool is_root() const { return !parent_ && layout_.level == 0; }

  /// Within an if: there an unknown filter is an error only when it is used.
  bool soft = false;

 private:
  enum Load : int { kParameter, kUndefined, kResolve, kAlias };
  bool knows(std::string_view name) const;
  bool has_stored(std::string_view name) const;

  Program& program_;
  Scope* parent_;
  ActivationLayout& layout_;
  std::vector<Layer> layers_ = std::vector<Layer>(1);
  std::map<std::string_view, std::uint32_t> slots_;
};

}  // namespace tokenizer::jinja
