// The one exception type of the project. Tested by tests/base/error_test.cc.
#include "base/error.h"

namespace base {
namespace {

// An option is called in a file what it is called here, and on the command line with '-' for '_'.
std::string as_flag(std::string where) {
  const bool is_flag = where.starts_with("--");
  for (std::size_t i = 2; is_flag && i < where.size() && where[i] != ' ' && where[i] != ':' && where[i] != '='; ++i)
    if (where[i] == '_') where[i] = '-';
  return where;
}

// "WHERE: WHAT: got VALUE, expected EXPECTED\n  ADVICE"
std::string message(const ErrorFacts& facts) {
  std::string text;
  if (!facts.where.empty()) text += as_flag(facts.where) + ": ";
  // A cause within `what` may bring lines of advice: they stand below, before our own.
  const std::size_t end = facts.what.find('\n');
  text += facts.what.substr(0, end);
  if (!facts.value.empty()) text += ": got '" + facts.value + "'";
  if (!facts.expected.empty()) text += (facts.value.empty() ? ": expected " : ", expected ") + facts.expected;
  if (end != std::string::npos) text += facts.what.substr(end);
  if (!facts.advice.empty()) text += "\n  " + facts.advice;
  return text;
}

}  // namespace

Error::Error(ErrorFacts facts) : std::runtime_error(message(facts)), facts_(std::move(facts)) {}

}  // namespace base
