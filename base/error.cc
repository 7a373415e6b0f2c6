#include "base/error.h"

namespace base {
namespace {

// "WHERE: WHAT: got VALUE, expected EXPECTED\n  ADVICE"
std::string message(const ErrorFacts& facts) {
  std::string text;
  if (!facts.where.empty()) text += facts.where + ": ";
  text += facts.what;
  if (!facts.value.empty()) text += ": got '" + facts.value + "'";
  if (!facts.expected.empty()) text += (facts.value.empty() ? ": expected " : ", expected ") + facts.expected;
  if (!facts.advice.empty()) text += "\n  " + facts.advice;
  return text;
}

}  // namespace

Error::Error(ErrorFacts facts) : std::runtime_error(message(facts)), facts_(std::move(facts)) {}

}  // namespace base
