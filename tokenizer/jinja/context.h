// What a template is given: JSON as values, each with the place that it came from.
#pragma once

#include <string>
#include <vector>

#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

class ContextBuilder {
 public:
  /// Adds to `members` the names that origins speak of.
  ContextBuilder(Engine& engine, std::vector<std::string>& members) : engine_(engine), members_(members) {}
  Value convert(const Variable& variable);

 private:
  Value messages(const Json& list);
  Value messages(std::span<const GivenMessage> list);
  Value message(const Json& object, std::int32_t index);
  Value message(const GivenMessage& given, std::int32_t index);
  Value value(const Json& json, const Source* source);
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
