// A compiled template: its text, its syntax tree, the variables that it reads.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/jinja/syntax.h"

namespace tokenizer::jinja {

class Program {
 public:
  Program(std::string text, std::string name);

  void render(const std::vector<Variable>& variables, const Options& options, Rendered& rendered) const;

  /// The index of a name that the template takes from outside: a variable given to it, or a function. Not `read`: one
  /// that it only sets, for its blocks.
  std::uint32_t global(std::string_view name, bool read = true);
  std::string_view global_name(std::uint32_t index) const { return globals_[index].name; }
  bool reads(std::string_view name) const {
    const auto found = global_indices_.find(name);
    return found != global_indices_.end() && globals_[found->second].read;
  }

  std::string text, name;
  std::deque<std::string> strings;  // string constants with escapes, and joined ones
  std::vector<std::unique_ptr<Expression>> expressions;
  std::vector<std::unique_ptr<Statement>> statements;
  Body body;
  Initializations initializations;
  std::uint32_t slots = 0;
  bool marks_generation = false, has_blocks = false;

 private:
  void set_defaults();
  void fill_globals(Engine& engine, const std::vector<Variable>& variables, Rendered& rendered) const;

  struct Global {
    std::string_view name;
    const Function* function;
    bool read;
  };
  std::vector<Global> globals_;
  std::map<std::string_view, std::uint32_t> global_indices_;
  std::vector<Value> defaults_;  // of the globals, where none is given
};

}  // namespace tokenizer::jinja
