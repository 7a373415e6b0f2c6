// Compiling a template, and one rendering from the variables to the spans. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/program.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "base/unicode.h"
#include "tokenizer/jinja/context.h"
#include "tokenizer/jinja/parser.h"
#include "tokenizer/jinja/scope.h"

namespace tokenizer::jinja {

namespace {

constexpr std::size_t kMaxTemplate = std::size_t{4} << 20;

std::string checked(std::string text, const std::string& name) {
  if (text.size() > kMaxTemplate)
    throw base::Error({"the chat template is too large", name, base::human_bytes(static_cast<double>(text.size())),
                       "4 MB at most", "is this a chat template?"});
  if (const std::size_t bad = base::find_invalid_utf8(text); bad != std::string::npos)
    throw base::Error(
        {"the chat template is not UTF-8", fmt::format("{}@{}", name, bad), "", "", "convert it to UTF-8"});
  return normalized(text);
}

}  // namespace

Program::Program(std::string source, std::string title)
    : text(checked(std::move(source), title)), name(std::move(title)) {
  Parser(*this).parse();
  ActivationLayout layout;
  Scope scope(*this, nullptr, layout);
  scope.analyze(body);
  initializations = scope.finish();
  scope.bind(body);
  slots = layout.slots;
  if (has_blocks && reads("self"))
    throw base::Error({"self, which is the blocks of a template, is not supported", name, "self", "",
                       "write what is said twice as a macro"});
  set_defaults();
}

void Program::set_defaults() {
  for (const Global& global : globals_) {
    Value& value = defaults_.emplace_back(Value::undefined(Missing::kVariable, global.name));
    if (global.name == "self") value = Value::of_type(Type::kTemplate);
    if (!global.function) continue;
    value = Value::of_type(Type::kFunction);
    value.function = global.function;
  }
}

std::uint32_t Program::global(std::string_view global_name, bool read) {
  const auto [place, added] = global_indices_.emplace(global_name, static_cast<std::uint32_t>(globals_.size()));
  if (added) globals_.push_back({global_name, find_function(global_name), false});
  globals_[place->second].read |= read;
  return place->second;
}

void Program::fill_globals(Engine& engine, const std::vector<Variable>& variables, Rendered& rendered) const {
  engine.globals = engine.arena.array<Value>(globals_.size());
  std::ranges::copy(defaults_, engine.globals);
  ContextBuilder context(engine, rendered.members);
  for (const Variable& variable : variables) {
    const auto found = std::ranges::find(globals_, variable.name, &Global::name);  // few, and mostly of other lengths
    if (found != globals_.end()) engine.globals[found - globals_.begin()] = context.convert(variable);
  }
}

namespace {

// The runs of the output as spans.
void add_spans(const Buffer& buffer, std::vector<Span>& spans) {
  spans.resize(buffer.count);
  std::size_t begin = 0;
  Span* span = spans.data();
  for (const Run& run : std::span(buffer.runs, buffer.count)) {
    const Origin origin = Origin::of(run.tag);
    *span++ = {begin, run.end, run.owner, origin.message, origin.member, run.tag > 1, (run.tag & 1) != 0};
    begin = run.end;
  }
}

}  // namespace

void Program::render(const std::vector<Variable>& variables, const Options& options, Rendered& rendered) const {
  static thread_local Arena arena;
  struct Reset {
    ~Reset() { arena.reset(); }
  } reset;
  Engine engine(arena, name, options);
  fill_globals(engine, variables, rendered);
  Activation activation{engine.arena.array<Value>(slots), nullptr};
  engine.activation = &activation;
  Buffer output;
  output.grow(engine.arena, 4096);
  engine.out = &output;
  enter(engine, initializations);
  execute(engine, body);
  rendered.text.assign(output.data, output.size);
  add_spans(output, rendered.spans);
}

Template::Template(std::string text, std::string name)
    : program_(std::make_unique<const Program>(std::move(text), std::move(name))) {}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

Rendered Template::render(const std::vector<Variable>& variables, const Options& options) const {
  Rendered rendered;
  render(variables, options, rendered);
  return rendered;
}
void Template::render(const std::vector<Variable>& variables, const Options& options, Rendered& rendered) const {
  program_->render(variables, options, rendered);
}
bool Template::marks_generation() const { return program_->marks_generation; }
bool Template::reads(std::string_view variable) const { return program_->reads(variable); }

}  // namespace tokenizer::jinja
