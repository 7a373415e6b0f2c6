// What a template is given: JSON as values, each with the place that it came from.
#pragma once

#include <simdjson.h>

#include <string>
#include <vector>

#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

/// The same text; of the names that nearly all templates and messages use always at the same address, so that they are
/// found without a look at their letters.
std::string_view known_name(std::string_view name);

class ContextBuilder {
 public:
  /// Fills `members` with the names that origins speak of.
  ContextBuilder(Engine& engine, std::vector<std::string>& members);
  Value convert(const Variable& variable);

 private:
  Value messages(const Json& list);
  Value messages(std::span<const GivenMessage> list);
  Value message(const Json& object, std::int32_t index);
  Value message(GivenMessage given, std::int32_t index);
  Value value(const Json& json, const Source* source);
  Value value(std::string_view json, const Source* source);
  Value value(simdjson::dom::element json, const Source* source);
  Value string(std::string_view text, const Source* source);
  void check(std::string_view text) const;
  const Source* source(std::int32_t message, std::int32_t member);
  Value dict(const Json& object, const Source* source);
  std::int32_t member(std::string_view name);

  Engine& engine_;
  std::vector<std::string>& members_;
  std::string_view variable_;
};

}  // namespace tokenizer::jinja
