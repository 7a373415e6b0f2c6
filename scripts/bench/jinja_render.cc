// Renders chat templates for scripts that compare with Jinja2: one JSON object a line in, one a line out.
//
// In: {"template": TEXT, "context": {...}, "now": SECONDS, "repeat": N}. Of the context, "messages" are messages,
// "tools" and "documents" data. Out: {"text": ..., "spans": [[begin, end, owner, origin, member, data, generated]
// ...]}, or
// {"error": ...}; with "repeat", {"seconds": ...} for one rendering, the least of all.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <string>

#include "base/error.h"
#include "tokenizer/jinja/jinja.h"

namespace {

using namespace tokenizer::jinja;

std::vector<Variable> variables_of(const Json& context) {
  std::vector<Variable> variables;
  for (const auto& [name, value] : context.items()) {
    const Role role = name == "messages"                       ? Role::kMessages
                      : name == "tools" || name == "documents" ? Role::kData
                                                               : Role::kSetting;
    variables.push_back({name, &value, role});
  }
  return variables;
}

Json spans_of(const Rendered& rendered) {
  Json spans = Json::array();
  for (const Span& span : rendered.spans) {
    const Json member = span.member < 0 ? Json() : Json(rendered.members[static_cast<std::size_t>(span.member)]);
    spans.push_back({span.begin, span.end, span.owner, span.origin, member, span.data, span.generated});
  }
  return spans;
}

double seconds_of(const Template& compiled, const std::vector<Variable>& variables, const Options& options,
                  int repeat) {
  using Clock = std::chrono::steady_clock;
  Rendered rendered;
  double least = 1e9;
  for (int i = 0; i < repeat; ++i) {
    const auto begin = Clock::now();
    for (int j = 0; j < 20; ++j) compiled.render(variables, options, rendered);
    least = std::min(least, std::chrono::duration<double>(Clock::now() - begin).count() / 20);
  }
  return least;
}

Json answer(const Json& request) try {
  static std::map<std::string, Template> cache;
  const std::string text = request["template"];
  auto found = cache.find(text);
  if (found == cache.end()) found = cache.emplace(text, Template(text)).first;
  const auto variables = variables_of(request["context"]);
  Options options;
  if (request.contains("now"))
    options.now = std::chrono::system_clock::time_point(std::chrono::seconds(request["now"].get<std::int64_t>()));
  if (request.contains("repeat"))
    return {{"seconds", seconds_of(found->second, variables, options, request["repeat"])}};
  const Rendered rendered = found->second.render(variables, options);
  return {{"text", rendered.text}, {"spans", spans_of(rendered)}};
} catch (const base::Error& error) {
  return {{"error", error.what()}};
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) std::cout << answer(Json::parse(line)).dump() << std::endl;
}
