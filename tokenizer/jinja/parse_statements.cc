// Statements: the tags between {% and %}. Tested by tests/tokenizer/jinja_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text.h"
#include "tokenizer/jinja/parser.h"

namespace tokenizer::jinja {

Parser::Parser(Program& program) : program_(program), tokens_(tokens_of(program.text, program.name, program.strings)) {}

void Parser::parse() {
  program_.body = parse_until({});
  if (current().kind != TokenKind::kEnd) fail_unexpected("text or a tag");
}

void Parser::fail(std::string what, int line, std::string_view value, std::string advice) const {
  throw base::Error({std::move(what), fmt::format("{}:{}", program_.name, line), base::shortened(value, 60), "",
                     advice.empty() ? "mend the template" : std::move(advice)});
}

void Parser::fail_unexpected(std::string_view expected) const {
  fail(fmt::format("expected {}, found {}", expected, described(current())), current().line);
}

void Parser::expect_operator(std::string_view text) {
  if (!skip_operator(text)) fail_unexpected(fmt::format("'{}'", text));
}
void Parser::expect_name(std::string_view text) {
  if (!skip_name(text)) fail_unexpected(fmt::format("'{}'", text));
}
std::string_view Parser::expect_any_name() {
  if (current().kind != TokenKind::kName) fail_unexpected("a name");
  return next().text;
}
void Parser::expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind) fail_unexpected(what);
  next();
}

Body Parser::parse_until(std::initializer_list<std::string_view> ends) {
  const Nesting nesting(*this, nesting_, kMaxNesting);
  Body body;
  while (current().kind != TokenKind::kEnd) {
    const Token token = next();
    if (token.kind == TokenKind::kData) {
      TextStatement* text = make<TextStatement>(token.line);
      text->text = token.text;
      body.push_back(text);
    } else if (token.kind == TokenKind::kVariableBegin) {
      PrintStatement* print = make<PrintStatement>(token.line);
      print->expression = parse_tuple(true);
      expect(TokenKind::kVariableEnd, "'}}'");
      body.push_back(print);
    } else {
      if (current().kind == TokenKind::kName && std::ranges::find(ends, current().text) != ends.end()) return body;
      if (is_name("print"))
        parse_print(body);
      else
        body.push_back(parse_statement());
      expect(TokenKind::kBlockEnd, "'%}'");
    }
  }
  if (ends.size() > 0) {
    std::string names;
    for (std::string_view end : ends) names += fmt::format("{}{{% {} %}}", names.empty() ? "" : " or ", end);
    fail("the chat template ends within a block", current().line, {}, "close it with " + names);
  }
  return body;
}

Body Parser::parse_body(std::initializer_list<std::string_view> ends) {
  skip_operator(":");
  expect(TokenKind::kBlockEnd, "'%}'");
  return parse_until(ends);
}

Body Parser::parse_closed(std::string_view end) {
  Body body = parse_body({end});
  next();
  return body;
}

Statement* Parser::parse_statement() {
  if (current().kind != TokenKind::kName) fail_unexpected("the name of a tag");
  return parse_named_statement(current().text);
}

Statement* Parser::parse_named_statement(std::string_view tag) {
  using Parse = Statement* (Parser::*)();
  static constexpr std::array<std::pair<std::string_view, Parse>, 12> kTags = {
      {{"set", &Parser::parse_set},
       {"if", &Parser::parse_if},
       {"for", &Parser::parse_for},
       {"macro", &Parser::parse_macro},
       {"call", &Parser::parse_call_block},
       {"filter", &Parser::parse_filter_block},
       {"with", &Parser::parse_with},
       {"block", &Parser::parse_block},
       {"autoescape", &Parser::parse_autoescape},
       {"generation", &Parser::parse_generation},
       {"break", &Parser::parse_jump},
       {"continue", &Parser::parse_jump}}};
  for (const auto& [name, parse] : kTags)
    if (name == tag) return (this->*parse)();
  refuse_tag(tag);
}

void Parser::refuse_tag(std::string_view tag) {
  static constexpr std::array<std::string_view, 4> kOtherFiles = {"include", "import", "from", "extends"};
  if (std::ranges::find(kOtherFiles, tag) != kOtherFiles.end())
    fail(fmt::format("{{% {} %}} is not supported: a chat template is one file", tag), current().line, {},
         "copy what it needs of other files into it");
  if (tag.starts_with("end") || tag == "else" || tag == "elif")
    fail(fmt::format("{{% {} %}} closes nothing that is open", tag), current().line);
  fail("unknown tag", current().line, tag);
}

void Parser::parse_print(Body& body) {
  const int line = next().line;
  while (current().kind != TokenKind::kBlockEnd) {
    if (current().kind == TokenKind::kEnd) fail_unexpected("'%}'");
    PrintStatement* print = make<PrintStatement>(line);
    print->expression = parse_expression();
    body.push_back(print);
    if (current().kind != TokenKind::kBlockEnd) expect_operator(",");
  }
}

Statement* Parser::parse_set() {
  const int line = next().line;
  Target target = parse_target(true, {});
  if (!skip_operator("=")) {
    SetBlockStatement* block = make<SetBlockStatement>(line);
    block->target = std::move(target);
    while (is_operator("|")) block->filter = parse_filter(block->filter);
    block->body = parse_closed("endset");
    return block;
  }
  SetStatement* set = make<SetStatement>(line);
  set->target = std::move(target);
  set->value = parse_tuple(true);
  // {% set message = messages[i] %} or messages[loop.index0]: the turn of a loop over indices.
  const auto* subscript = dynamic_cast<const SubscriptExpression*>(set->value);
  if (subscript && !loop_stack_.empty()) {
    const auto* index = dynamic_cast<const NameExpression*>(subscript->index);
    const auto* position = dynamic_cast<const AttributeExpression*>(subscript->index);
    const auto* loop = position ? dynamic_cast<const NameExpression*>(position->object) : nullptr;
    set->selects_message = (index && index->name == loop_stack_.back()->target.name) ||
                           (loop && loop->name == "loop" && position->name == "index0");
  }
  return set;
}

namespace {

bool names_loop(const Target& target) {
  return target.name == "loop" || std::ranges::any_of(target.several, names_loop);
}

}  // namespace

Statement* Parser::parse_for() {
  const int line = next().line;
  ForStatement* loop = make<ForStatement>(line);
  loop->target = loop->test_target = parse_target(false, "in");
  if (names_loop(loop->target)) fail("loop cannot be assigned to in a loop", line, {}, "choose another name");
  expect_name("in");
  loop->iterable = parse_tuple(false, "recursive");
  if (skip_name("if")) loop->test = parse_expression();
  loop->recursive = skip_name("recursive");
  const int outer = loops_;
  loops_ = loop->recursive ? 1 : outer + 1;
  loop->has_loop = loop->recursive;
  loop_stack_.push_back(loop);
  open_loops_.push_back(loop);
  loop->body = parse_body({"endfor", "else"});
  open_loops_.pop_back();
  loop_stack_.pop_back();
  loops_ = loop->recursive ? 0 : outer;
  if (next().text == "else") loop->otherwise = parse_closed("endfor");
  loops_ = outer;
  return loop;
}

Statement* Parser::parse_if() {
  IfStatement* statement = make<IfStatement>(next().line);
  while (true) {
    Expression* condition = parse_tuple(false);
    statement->branches.push_back({condition, parse_body({"elif", "else", "endif"})});
    const std::string_view end = next().text;
    if (end == "elif") continue;
    if (end == "else") statement->branches.push_back({nullptr, parse_closed("endif")});
    return statement;
  }
}

void Parser::parse_signature(MacroStatement& macro) {
  expect_operator("(");
  while (!is_operator(")")) {
    if (!macro.parameters.empty()) expect_operator(",");
    const int line = current().line;
    Parameter parameter;
    parameter.name = name_target().name;
    for (const Parameter& other : macro.parameters)
      if (other.name == parameter.name) fail("a macro has two parameters of one name", line, parameter.name);
    if (skip_operator("="))
      parameter.fallback = parse_expression();
    else if (!macro.parameters.empty() && macro.parameters.back().fallback)
      fail("a parameter without a default follows one with a default", line, parameter.name);
    macro.parameters.push_back(parameter);
  }
  next();
}

void Parser::parse_macro_body(MacroStatement& macro, std::string_view end) {
  const int loops = std::exchange(loops_, 0);
  const auto loop_stack = std::exchange(loop_stack_, {});
  open_macros_.push_back(&macro);
  macro.body = parse_closed(end);
  open_macros_.pop_back();
  loops_ = loops;
  loop_stack_ = loop_stack;
}

Statement* Parser::parse_macro() {
  MacroStatement* macro = make<MacroStatement>(next().line);
  macro->target = name_target();
  macro->name = macro->target.name;
  parse_signature(*macro);
  parse_macro_body(*macro, "endmacro");
  return macro;
}

Statement* Parser::parse_call_block() {
  CallBlockStatement* block = make<CallBlockStatement>(next().line);
  block->caller.line = block->line;
  block->caller.name = "caller";
  if (is_operator("(")) parse_signature(block->caller);
  block->call = dynamic_cast<CallExpression*>(parse_expression());
  if (!block->call) fail("{% call %} needs a call of a macro", block->line);
  parse_macro_body(block->caller, "endcall");
  return block;
}

Statement* Parser::parse_filter_block() {
  FilterBlockStatement* block = make<FilterBlockStatement>(next().line);
  block->filter = parse_filter(nullptr);
  while (is_operator("|")) block->filter = parse_filter(block->filter);
  block->body = parse_closed("endfilter");
  return block;
}

Statement* Parser::parse_with() {
  WithStatement* with = make<WithStatement>(next().line);
  while (current().kind != TokenKind::kBlockEnd) {
    if (current().kind == TokenKind::kEnd) fail_unexpected("'%}'");
    if (!with->targets.empty()) expect_operator(",");
    with->targets.push_back(parse_target(false, {}));
    expect_operator("=");
    with->values.push_back(parse_expression());
  }
  with->body = parse_closed("endwith");
  return with;
}

Statement* Parser::parse_block() {
  BlockStatement* block = make<BlockStatement>(next().line);
  const std::string_view name = expect_any_name();
  if (!blocks_.insert(name).second) fail("two blocks have one name", block->line, name);
  program_.has_blocks = true;
  if (is_name("scoped") || is_name("required"))
    fail(fmt::format("a block that is {} is not supported: a chat template is one file", current().text), block->line);
  const int loops = std::exchange(loops_, 0);
  const auto open_loops = std::exchange(open_loops_, {});
  block->body = parse_closed("endblock");
  open_loops_ = open_loops;
  loops_ = loops;
  skip_name(name);
  return block;
}

Statement* Parser::parse_autoescape() {
  WithStatement* scope = make<WithStatement>(next().line);
  if (!skip_name("false") && !skip_name("False"))
    fail("{% autoescape %} is not supported: a chat is no HTML", current().line, described(current()),
         "use the filter escape where it is needed");
  scope->body = parse_closed("endautoescape");
  return scope;
}

Statement* Parser::parse_generation() {
  GenerationStatement* generation = make<GenerationStatement>(next().line);
  program_.marks_generation = true;
  const int loops = std::exchange(loops_, 0);
  generation->body = parse_closed("endgeneration");
  loops_ = loops;
  return generation;
}

Statement* Parser::parse_jump() {
  const Token& token = next();
  JumpStatement* jump = make<JumpStatement>(token.line);
  jump->flow = token.text == "break" ? Flow::kBreak : Flow::kContinue;
  if (loops_ == 0) fail(fmt::format("{{% {} %}} stands outside a loop", token.text), token.line);
  return jump;
}

Target Parser::name_target() {
  Target target;
  target.line = current().line;
  target.name = expect_any_name();
  static constexpr std::array<std::string_view, 6> kConstants = {"true", "false", "none", "True", "False", "None"};
  if (std::ranges::find(kConstants, target.name) != kConstants.end())
    fail("a constant cannot be assigned to", target.line, target.name);
  if (target.name == "loop" && !open_loops_.empty())
    fail("loop cannot be assigned to in a loop", target.line, {}, "choose another name");
  return target;
}

Target Parser::target_of(const Expression& expression) const {
  Target target;
  target.line = expression.line;
  if (const auto* name = dynamic_cast<const NameExpression*>(&expression)) {
    target.name = name->name;
    return target;
  }
  const auto* tuple = dynamic_cast<const SequenceExpression*>(&expression);
  if (!tuple || tuple->type != Type::kTuple) fail("this cannot be assigned to", expression.line);
  target.is_several = true;
  for (const Expression* item : tuple->items) target.several.push_back(target_of(*item));
  return target;
}

Target Parser::parse_one_target(bool with_namespace) {
  if (current().kind != TokenKind::kName) return target_of(*parse_primary());
  Target target = name_target();
  if (with_namespace && skip_operator(".")) target.attribute = expect_any_name();
  return target;
}

Target Parser::parse_target(bool with_namespace, std::string_view end) {
  Target several;
  several.is_several = true;
  several.line = current().line;
  bool is_tuple = false;
  while (true) {
    if (!several.several.empty()) expect_operator(",");
    if (is_tuple_end(end)) break;
    several.several.push_back(parse_one_target(with_namespace));
    if (!is_operator(",")) break;
    is_tuple = true;
  }
  if (several.several.empty()) fail_unexpected("a name to assign to");
  return is_tuple ? several : several.several[0];
}

}  // namespace tokenizer::jinja
