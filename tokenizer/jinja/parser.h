// From tokens to the syntax tree, rule for rule as jinja2.parser has them.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/jinja/lexer.h"
#include "tokenizer/jinja/program.h"

namespace tokenizer::jinja {

class Parser {
 public:
  /// Deeper trees are refused: they would need as much stack.
  static constexpr int kMaxDepth = 200, kMaxNesting = 100;

  /// Parses the text of `program` into it.
  explicit Parser(Program& program);
  void parse();

 private:
  // Tokens.
  const Token& current() const { return tokens_[position_]; }
  const Token& ahead() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  const Token& next() { return tokens_[position_ + 1 < tokens_.size() ? position_++ : position_]; }
  bool is_operator(std::string_view text) const { return current().is(TokenKind::kOperator, text); }
  bool is_name(std::string_view text) const { return current().is(TokenKind::kName, text); }
  bool skip_operator(std::string_view text) { return is_operator(text) && (next(), true); }
  bool skip_name(std::string_view text) { return is_name(text) && (next(), true); }
  void expect_operator(std::string_view text);
  void expect_name(std::string_view text);
  std::string_view expect_any_name();
  void expect(TokenKind kind, std::string_view what);
  [[noreturn]] void fail(std::string what, int line, std::string_view value = {}, std::string advice = {}) const;
  [[noreturn]] void fail_unexpected(std::string_view expected) const;

  // Statements.
  Body parse_until(std::initializer_list<std::string_view> ends);  // leaves the end tag's name as current
  Body parse_body(std::initializer_list<std::string_view> ends);   // from the end of the tag before
  Body parse_closed(std::string_view end);                         // and the end tag is passed
  Statement* parse_statement();
  Statement* parse_named_statement(std::string_view tag);
  Statement* parse_set();
  Statement* parse_for();
  Statement* parse_if();
  Statement* parse_macro();
  Statement* parse_call_block();
  Statement* parse_filter_block();
  Statement* parse_with();
  Statement* parse_block();
  Statement* parse_autoescape();
  Statement* parse_generation();
  Statement* parse_jump();
  void parse_print(Body& body);
  void parse_signature(MacroStatement& macro);
  void parse_macro_body(MacroStatement& macro, std::string_view end);
  [[noreturn]] void refuse_tag(std::string_view tag);
  Target parse_target(bool with_namespace, std::string_view end);
  Target parse_one_target(bool with_namespace);
  Target target_of(const Expression& expression) const;
  Target name_target();

  // Expressions.
  Expression* parse_expression();
  Expression* parse_without_condition();
  Expression* parse_or();
  Expression* parse_and();
  Expression* parse_not();
  Expression* parse_comparison();
  Expression* parse_sum();
  Expression* parse_concatenation();
  Expression* parse_product();
  Expression* parse_power();
  Expression* parse_unary(bool with_filter);
  Expression* parse_primary();
  Expression* parse_name();
  Expression* parse_string();
  Expression* parse_number();
  Expression* parse_list();
  Expression* parse_dict();
  Expression* parse_tuple(bool with_condition, std::string_view end = {}, bool in_parentheses = false);
  bool is_tuple_end(std::string_view end) const;
  Expression* parse_postfix(Expression* expression);
  Expression* parse_filters_and_tests(Expression* expression);
  Expression* parse_subscript(Expression* object);
  Expression* parse_attribute(Expression* object);
  Expression* parse_index(Expression* object);
  Expression* parse_call(Expression* callee);
  FilterExpression* parse_filter(Expression* input);
  Expression* parse_test(Expression* input);
  ArgumentsSyntax parse_arguments();
  std::string_view parse_dotted_name();
  bool parse_comparison_operator(Comparison& comparison);
  Expression* constant(Value value, int line);

  // The node belongs to the program.
  template <class T, class... Arguments>
  T* make(int line, Arguments&&... arguments);
  // Sets the depth of a finished expression, and refuses one that is too deep.
  template <class T>
  T* finished(T* expression);
  Expression* finished_binary(Expression* expression) { return finished(expression); }

  class Nesting;
  Program& program_;
  std::vector<Token> tokens_;
  std::size_t position_ = 0;
  int nesting_ = 0, expression_nesting_ = 0;
  int loops_ = 0;                                // around this place, within the same macro
  std::vector<const ForStatement*> loop_stack_;  // the same
  std::vector<ForStatement*> open_loops_;        // all around this place
  std::vector<MacroStatement*> open_macros_;
  std::set<std::string_view> blocks_;
};

class Parser::Nesting {
 public:
  Nesting(const Parser& parser, int& level, int limit) : level_(level) {
    if (++level_ > limit) {
      --level_;
      parser.fail("the chat template nests too deeply", parser.current().line, {}, "write it with fewer levels");
    }
  }
  ~Nesting() { --level_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& level_;
};

template <class T, class... Arguments>
T* Parser::make(int line, Arguments&&... arguments) {
  auto node = std::make_unique<T>(std::forward<Arguments>(arguments)...);
  node->line = line;
  T* result = node.get();
  if constexpr (std::is_base_of_v<Expression, T>)
    program_.expressions.push_back(std::move(node));
  else
    program_.statements.push_back(std::move(node));
  return result;
}

template <class T>
T* Parser::finished(T* expression) {
  int depth = 0;
  expression->each_child([&](Expression& child) { depth = std::max(depth, child.depth); });
  expression->depth = depth + 1;
  if (expression->depth > kMaxDepth)
    fail("an expression of the chat template nests too deeply", expression->line, {}, "write it with fewer levels");
  return expression;
}

}  // namespace tokenizer::jinja
