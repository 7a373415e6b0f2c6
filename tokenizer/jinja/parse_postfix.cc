// What stands behind an expression: attributes, indices and slices, calls, filters and tests. Tested by
// tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/context.h"
#include "tokenizer/jinja/parser.h"

namespace tokenizer::jinja {

Expression* Parser::parse_postfix(Expression* expression) {
  while (true) {
    if (is_operator(".") || is_operator("["))
      expression = parse_subscript(expression);
    else if (is_operator("("))
      expression = parse_call(expression);
    else
      return expression;
  }
}

Expression* Parser::parse_filters_and_tests(Expression* expression) {
  while (true) {
    if (is_operator("|"))
      expression = parse_filter(expression);
    else if (is_name("is"))
      expression = parse_test(expression);
    else if (is_operator("("))
      expression = parse_call(expression);
    else
      return expression;
  }
}

Expression* Parser::parse_subscript(Expression* object) {
  return is_operator(".") ? parse_attribute(object) : parse_index(object);
}

Expression* Parser::parse_attribute(Expression* object) {
  const int line = next().line;
  if (current().kind == TokenKind::kInteger) {
    SubscriptExpression* subscript = make<SubscriptExpression>(line);
    subscript->object = object;
    subscript->index = parse_number();
    return finished(subscript);
  }
  AttributeExpression* attribute = make<AttributeExpression>(line);
  attribute->object = object;
  attribute->name = known_name(expect_any_name());
  attribute->string_method = find_method(Type::kString, attribute->name);
  attribute->loop_attribute = find_loop_attribute(attribute->name);
  attribute->special = is_unsafe(Type::kDict, attribute->name);
  attribute->dict_method = find_method(Type::kDict, attribute->name);
  return finished(attribute);
}

Expression* Parser::parse_index(Expression* object) {
  const int line = next().line;
  Expression* first = is_operator(":") ? nullptr : parse_expression();
  if (is_operator(":")) {
    SliceExpression* slice = make<SliceExpression>(line);
    slice->object = object;
    slice->start = first;
    next();
    if (!is_operator(":") && !is_operator("]")) slice->stop = parse_expression();
    if (skip_operator(":") && !is_operator("]")) slice->step = parse_expression();
    if (is_operator(",")) fail("slices of several dimensions are not supported", line);
    expect_operator("]");
    return finished(slice);
  }
  SubscriptExpression* subscript = make<SubscriptExpression>(line);
  subscript->object = object;
  subscript->index = first;
  if (auto* constant = dynamic_cast<ConstantExpression*>(first); constant && constant->value.is_string()) {
    constant->value.text = known_name(constant->value.string()).data();
    subscript->key = constant;
  }
  if (is_operator(",")) {
    SequenceExpression* tuple = make<SequenceExpression>(line);
    tuple->type = Type::kTuple;
    tuple->items.push_back(first);
    while (skip_operator(",")) tuple->items.push_back(parse_expression());
    subscript->index = finished(tuple);
  }
  expect_operator("]");
  return finished(subscript);
}

ArgumentsSyntax Parser::parse_arguments() {
  const int line = next().line;
  const auto ensure = [&](bool right) {
    if (!right) fail("arguments of a call stand in a wrong order", line);
  };
  ArgumentsSyntax arguments;
  bool first = true;
  while (!is_operator(")")) {
    if (!first) expect_operator(",");
    first = false;
    if (is_operator(")")) break;
    if (skip_operator("*")) {
      ensure(!arguments.more_positional && !arguments.more_named);
      arguments.more_positional = parse_expression();
    } else if (skip_operator("**")) {
      ensure(!arguments.more_named);
      arguments.more_named = parse_expression();
    } else if (current().kind == TokenKind::kName && ahead().is(TokenKind::kOperator, "=")) {
      ensure(!arguments.more_named);
      const std::string_view name = next().text;
      next();
      for (const auto& other : arguments.named)
        if (other.first == name) fail("a call names an argument twice", line, name);
      arguments.named.emplace_back(name, parse_expression());
    } else {
      ensure(!arguments.more_positional && !arguments.more_named && arguments.named.empty());
      arguments.positional.push_back(parse_expression());
    }
  }
  next();
  return arguments;
}

Expression* Parser::parse_call(Expression* callee) {
  CallExpression* call = make<CallExpression>(current().line);
  call->callee = callee;
  call->attribute = dynamic_cast<const AttributeExpression*>(callee);
  call->arguments = parse_arguments();
  return finished(call);
}

std::string_view Parser::parse_dotted_name() {
  std::string_view name = expect_any_name();
  if (!is_operator(".")) return name;
  std::string dotted(name);
  while (skip_operator(".")) dotted += "." + std::string(expect_any_name());
  return program_.strings.emplace_back(std::move(dotted));
}

FilterExpression* Parser::parse_filter(Expression* input) {
  skip_operator("|");
  FilterExpression* filter = make<FilterExpression>(current().line);
  filter->input = input;
  filter->name = parse_dotted_name();
  filter->function = find_filter(filter->name);
  if (is_operator("(")) filter->arguments = parse_arguments();
  return finished(filter);
}

Expression* Parser::parse_test(Expression* input) {
  TestExpression* test = make<TestExpression>(next().line);
  const bool negated = skip_name("not");
  test->input = input;
  test->name = parse_dotted_name();
  test->function = find_test(test->name);
  const auto starts_argument = [&] {
    if (current().kind == TokenKind::kOperator) return is_operator("[") || is_operator("{");
    if (current().kind == TokenKind::kName) return !is_name("else") && !is_name("or") && !is_name("and");
    return current().kind == TokenKind::kString || current().kind == TokenKind::kInteger ||
           current().kind == TokenKind::kFloat;
  };
  if (is_operator("(")) {
    test->arguments = parse_arguments();
  } else if (starts_argument()) {
    if (is_name("is")) fail("tests cannot be chained", test->line, {}, "join them with and");
    test->arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  Expression* result = finished(test);
  if (!negated) return result;
  UnaryExpression* unary = make<UnaryExpression>(test->line);
  unary->operation = '!';
  unary->operand = result;
  return finished(unary);
}

}  // namespace tokenizer::jinja
