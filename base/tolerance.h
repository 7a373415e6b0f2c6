// How many records of an input may be refused before a command gives up.
#pragma once

#include <cstdint>
#include <string>

namespace base {

/// How many records may be refused, written "100" or "1%".
struct Tolerance {
  /// A share is not judged before so many records, except at the end.
  static constexpr std::uint64_t kFirstJudged = 10'000;
  std::uint64_t records = 0;  ///< more is an error
  double percent = -1;        ///< of all records; negative: `records` counts
  bool is_exceeded(std::uint64_t refused, std::uint64_t read, bool at_end) const;
  std::string text() const;
  /// Throws UsageError.
  static Tolerance parse(const std::string& text);
};

}  // namespace base
