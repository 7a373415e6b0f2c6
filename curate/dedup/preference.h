// Which of several copies `keep` prefers, and what documents lack for that.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "curate/dedup/fingerprint.h"

namespace curate {

/// What of a document `keep` compares.
struct Comparable {
  std::uint64_t characters = 0;  ///< code points
  double score = 0;              ///< the named one; NaN: none
  std::string_view date;         ///< as written; see parse_date
  std::string_view source;
};

struct Preference {
  std::uint64_t rank = 0;      ///< the larger is kept; 0 where something is lacking
  std::string_view lacks;      ///< "no date", or empty
  std::string_view not_taken;  ///< what stood in its place
};
Preference preference_of(const DuplicateOptions& options, const Comparable& document);

/// The documents that lack what `keep` compares.
class Unranked {
 public:
  struct Count {
    std::uint64_t documents = 0;
    std::string first;  ///< its id, and what was not understood
  };
  void count(const Preference& preference, std::string_view id);
  void add(const Unranked& later);
  /// A line for each thing that is lacking.
  std::vector<std::string> notes() const;

  std::map<std::string, Count> counts;  ///< by what is lacking
};

}  // namespace curate
