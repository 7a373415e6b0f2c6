// Expressions, from the loosest operator to the tightest, and what stands between operators. Tested by
// tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "tokenizer/jinja/parser.h"

namespace tokenizer::jinja {

Expression* Parser::parse_expression() {
  const Nesting nesting(*this, expression_nesting_, kMaxDepth);
  const int line = current().line;
  Expression* expression = parse_or();
  while (skip_name("if")) {
    ConditionalExpression* conditional = make<ConditionalExpression>(line);
    conditional->then = expression;
    conditional->condition = parse_or();
    if (skip_name("else")) conditional->otherwise = parse_expression();
    expression = finished(conditional);
  }
  return expression;
}

Expression* Parser::parse_without_condition() {
  const Nesting nesting(*this, expression_nesting_, kMaxDepth);
  return parse_or();
}

Expression* Parser::parse_or() {
  const int line = current().line;
  Expression* left = parse_and();
  while (skip_name("or")) {
    LogicalExpression* logical = make<LogicalExpression>(line);
    logical->conjunction = false;
    logical->left = left;
    logical->right = parse_and();
    left = finished(logical);
  }
  return left;
}

Expression* Parser::parse_and() {
  const int line = current().line;
  Expression* left = parse_not();
  while (skip_name("and")) {
    LogicalExpression* logical = make<LogicalExpression>(line);
    logical->conjunction = true;
    logical->left = left;
    logical->right = parse_not();
    left = finished(logical);
  }
  return left;
}

Expression* Parser::parse_not() {
  if (!is_name("not")) return parse_comparison();
  const Nesting nesting(*this, expression_nesting_, kMaxDepth);
  UnaryExpression* unary = make<UnaryExpression>(next().line);
  unary->operation = '!';
  unary->operand = parse_not();
  return finished(unary);
}

bool Parser::parse_comparison_operator(Comparison& comparison) {
  static constexpr std::array<std::pair<std::string_view, Comparison>, 6> kOperators = {
      {{"==", Comparison::kEqual},
       {"!=", Comparison::kNotEqual},
       {"<", Comparison::kLess},
       {"<=", Comparison::kLessEqual},
       {">", Comparison::kGreater},
       {">=", Comparison::kGreaterEqual}}};
  for (const auto& [text, meant] : kOperators)
    if (skip_operator(text)) {
      comparison = meant;
      return true;
    }
  if (skip_name("in")) {
    comparison = Comparison::kIn;
    return true;
  }
  if (!is_name("not") || !ahead().is(TokenKind::kName, "in")) return false;
  next(), next();
  comparison = Comparison::kNotIn;
  return true;
}

Expression* Parser::parse_comparison() {
  const int line = current().line;
  Expression* first = parse_sum();
  Comparison comparison;
  if (!parse_comparison_operator(comparison)) return first;
  ComparisonExpression* expression = make<ComparisonExpression>(line);
  expression->first = first;
  do expression->steps.push_back({comparison, parse_sum()});
  while (parse_comparison_operator(comparison));
  return finished(expression);
}

Expression* Parser::parse_sum() {
  Expression* left = parse_concatenation();
  SumExpression* sum = nullptr;  // `left`, where it is one of this chain
  while (is_operator("+") || is_operator("-")) {
    const Token& token = next();
    Expression* right = parse_concatenation();
    if (token.text == "-") {
      OperatorExpression* difference = make<OperatorExpression>(token.line);
      difference->operation = Operator::kSubtract;
      difference->left = left;
      difference->right = right;
      left = finished(difference);
      sum = nullptr;
    } else {
      if (!sum) {
        sum = make<SumExpression>(token.line);
        sum->operands.push_back(left);
      }
      sum->operands.push_back(right);
      sum->depth = std::max(sum->depth, right->depth + 1);
      left = sum->operands.size() == 2 ? finished(sum) : sum;
      if (sum->depth > kMaxDepth) finished(sum);  // refuses it
    }
  }
  return left;
}

Expression* Parser::parse_concatenation() {
  const int line = current().line;
  Expression* first = parse_product();
  if (!is_operator("~")) return first;
  SumExpression* sum = make<SumExpression>(line);
  sum->text = true;
  sum->operands.push_back(first);
  while (skip_operator("~")) sum->operands.push_back(parse_product());
  return finished(sum);
}

Expression* Parser::parse_product() {
  static constexpr std::array<std::pair<std::string_view, Operator>, 4> kOperators = {
      {{"*", Operator::kMultiply}, {"/", Operator::kDivide}, {"//", Operator::kFloorDivide}, {"%", Operator::kModulo}}};
  Expression* left = parse_power();
  while (true) {
    const auto found =
        std::ranges::find_if(kOperators, [&](const auto& operation) { return is_operator(operation.first); });
    if (found == kOperators.end()) return left;
    OperatorExpression* product = make<OperatorExpression>(next().line);
    product->operation = found->second;
    product->left = left;
    product->right = parse_power();
    left = finished(product);
  }
}

Expression* Parser::parse_power() {
  Expression* left = parse_unary(true);
  while (is_operator("**")) {
    OperatorExpression* power = make<OperatorExpression>(next().line);
    power->operation = Operator::kPower;
    power->left = left;
    power->right = parse_unary(true);
    left = finished(power);
  }
  return left;
}

Expression* Parser::parse_unary(bool with_filter) {
  Expression* expression;
  if (is_operator("-") || is_operator("+")) {
    const Nesting nesting(*this, expression_nesting_, kMaxDepth);
    const Token& token = next();
    UnaryExpression* unary = make<UnaryExpression>(token.line);
    unary->operation = token.text[0];
    unary->operand = parse_unary(false);
    expression = finished(unary);
  } else {
    expression = parse_primary();
  }
  expression = parse_postfix(expression);
  return with_filter ? parse_filters_and_tests(expression) : expression;
}

Expression* Parser::constant(Value value, int line) { return make<ConstantExpression>(line, value); }

Expression* Parser::parse_primary() {
  const Token& token = current();
  switch (token.kind) {
    case TokenKind::kName:
      return parse_name();
    case TokenKind::kString:
      return parse_string();
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return parse_number();
    default:
      break;
  }
  if (is_operator("[")) return parse_list();
  if (is_operator("{")) return parse_dict();
  if (!skip_operator("(")) fail_unexpected("an expression");
  Expression* inner = parse_tuple(true, {}, true);
  expect_operator(")");
  return inner;
}

Expression* Parser::parse_name() {
  const Token& token = next();
  if (token.text == "true" || token.text == "True") return constant(Value::boolean_of(true), token.line);
  if (token.text == "false" || token.text == "False") return constant(Value::boolean_of(false), token.line);
  if (token.text == "none" || token.text == "None") return constant(Value::none(), token.line);
  if (token.text == "loop")
    for (ForStatement* loop : open_loops_) loop->has_loop = true;
  for (MacroStatement* macro : open_macros_) {
    macro->reads_caller |= token.text == "caller";
    macro->reads_kwargs |= token.text == "kwargs";
    macro->reads_varargs |= token.text == "varargs";
  }
  return make<NameExpression>(token.line, token.text);
}

Expression* Parser::parse_string() {
  const Token& first = next();
  if (current().kind != TokenKind::kString) return constant(Value::string_of(first.text), first.line);
  std::string joined(first.text);
  while (current().kind == TokenKind::kString) joined += next().text;
  return constant(Value::string_of(program_.strings.emplace_back(std::move(joined))), first.line);
}

Expression* Parser::parse_number() {
  const Token& token = next();
  std::string digits(token.text);
  std::erase(digits, '_');
  const char* const end = digits.data() + digits.size();
  if (token.kind == TokenKind::kFloat) {
    double real = 0;
    if (std::from_chars(digits.data(), end, real).ec == std::errc::result_out_of_range)
      real = strtod(digits.c_str(), nullptr);
    return constant(Value::real_of(real), token.line);
  }
  int base = 10;
  const char* begin = digits.data();
  if (digits.size() > 2 && digits[0] == '0' && !isdigit(static_cast<unsigned char>(digits[1]))) {
    const char mark = static_cast<char>(digits[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'o' ? 8 : 2;
    begin += 2;
  }
  std::int64_t integer = 0;
  if (std::from_chars(begin, end, integer, base).ec != std::errc())
    fail("a number is too large", token.line, token.text, "stay below 2^63");
  return constant(Value::integer_of(integer), token.line);
}

Expression* Parser::parse_list() {
  SequenceExpression* list = make<SequenceExpression>(next().line);
  list->type = Type::kList;
  while (!is_operator("]")) {
    if (!list->items.empty()) expect_operator(",");
    if (is_operator("]")) break;
    list->items.push_back(parse_expression());
  }
  next();
  return finished(list);
}

Expression* Parser::parse_dict() {
  DictExpression* dict = make<DictExpression>(next().line);
  while (!is_operator("}")) {
    if (!dict->items.empty()) expect_operator(",");
    if (is_operator("}")) break;
    Expression* key = parse_expression();
    expect_operator(":");
    dict->items.emplace_back(key, parse_expression());
  }
  next();
  return finished(dict);
}

bool Parser::is_tuple_end(std::string_view end) const {
  return current().kind == TokenKind::kVariableEnd || current().kind == TokenKind::kBlockEnd || is_operator(")") ||
         (!end.empty() && is_name(end));
}

Expression* Parser::parse_tuple(bool with_condition, std::string_view end, bool in_parentheses) {
  const int line = current().line;
  Expressions items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) expect_operator(",");
    if (is_tuple_end(end)) break;
    items.push_back(with_condition ? parse_expression() : parse_without_condition());
    if (!is_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return items[0];
  if (!is_tuple && !in_parentheses) fail_unexpected("an expression");
  SequenceExpression* tuple = make<SequenceExpression>(line);
  tuple->type = Type::kTuple;
  tuple->items = std::move(items);
  return finished(tuple);
}

}  // namespace tokenizer::jinja
