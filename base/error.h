// The one exception type of the project. Thrown where a fact is known, caught once in base/program.
#pragma once

#include <stdexcept>
#include <string>

namespace base {

/// The facts a person needs to mend a failure. Every field but `what` may be empty.
struct ErrorFacts {
  std::string what;      ///< what failed, one clause: "cannot read the record"
  std::string where;     ///< "file:line", "file@offset", or the option's name
  std::string value;     ///< the offending value, shortened by the thrower
  std::string expected;  ///< what would have been right
  std::string advice;    ///< what to do, a command where there is one
};

/// Carries ErrorFacts; what() is the whole message on one or two lines.
class Error : public std::runtime_error {
 public:
  explicit Error(ErrorFacts facts);
  explicit Error(std::string what) : Error(ErrorFacts{std::move(what), "", "", "", ""}) {}
  Error(std::string what, std::string where) : Error(ErrorFacts{std::move(what), std::move(where), "", "", ""}) {}
  const ErrorFacts& facts() const { return facts_; }

 private:
  ErrorFacts facts_;
};

/// Wrong usage (exit code 2 instead of 1): an unknown option, a missing argument, a bad value of an option.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace base
