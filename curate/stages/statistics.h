// What a run counts. Blocks are counted apart and added up in input order; the sum does not depend on threads.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "curate/dedup/preference.h"

namespace curate {

struct Count {
  std::uint64_t records = 0, bytes = 0;  ///< bytes of text
  void add(std::uint64_t size) {
    ++records;
    bytes += size;
  }
};

struct StepCounts {
  Count seen, dropped, edited;
  double seconds = 0;  ///< of processor time; the only number that differs between runs
  std::map<std::string, std::uint64_t> reasons;
};

struct SourceCounts {
  Count read, kept;
  std::map<std::string, std::uint64_t> dropped;  ///< step -> records
};

/// 50 equal bins over 0..1; what lies outside is put into the first or last bin.
struct ScoreCounts {
  static constexpr int kBins = 50;
  std::array<std::uint64_t, kBins> bins{};
  void add(double value);
};

/// Counts in powers of two: bin i counts 2^i to 2^(i+1)-1; bin 0 also 0.
using PowerCounts = std::array<std::uint64_t, 40>;

/// A document to look at. Of each group the ones with the smallest margin are kept, of equal ones those with the
/// smallest hash of the id: a sample that does not depend on the order of the input.
struct Specimen {
  static constexpr std::size_t kPerGroup = 20, kExcerptBytes = 1000;
  double margin = 0;  ///< of a near miss: how far its value was from the threshold; else 0
  std::uint64_t hash = 0;
  std::string id, source, excerpt, note;
  std::uint64_t bytes = 0;
};

/// A document that is counted.
struct DocumentView {
  std::string_view id, source, text;
};

struct Statistics {
  Count read, kept, dropped, quarantined;
  std::uint64_t input_bytes = 0;  ///< of lines, decompressed
  double parse_seconds = 0, write_seconds = 0, duplicate_seconds = 0;
  std::map<std::string, StepCounts> steps;  ///< by label
  /// The largest sources, and what all others have together. A source that was pushed out and comes back is listed
  /// with what came since; listed and other ones add up to the whole.
  static constexpr std::size_t kMostSources = 10'000;
  std::map<std::string, SourceCounts> sources;
  SourceCounts other_sources;
  std::map<std::string, ScoreCounts> scores;
  std::map<std::string, PowerCounts> counts;                                 ///< of scores that are counts
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> languages;  ///< seen, kept
  PowerCounts lengths_read{}, lengths_kept{};                                ///< in bytes
  std::uint64_t repeated_keys = 0;           ///< records that had a key twice, of which the last was kept
  std::uint64_t non_finite = 0;              ///< records that held NaN or Infinity
  std::uint64_t bounded = 0;                 ///< documents that were compared with a part of their candidates only
  std::map<std::string, Unranked> unranked;  ///< by label of the deduplicate step
  std::map<std::uint64_t, std::uint64_t> clusters;  ///< copies of one document, itself included -> how many
  /// Of quarantined records. Messages can hold numbers of the data: beyond so many, the rest is counted as
  /// kOtherErrors.
  static constexpr std::size_t kMostErrors = 1000;
  static constexpr const char* kOtherErrors = "others";
  std::map<std::string, std::uint64_t> errors;
  using Samples = std::map<std::string, std::vector<Specimen>>;
  Samples samples;      ///< "kept" or "STEP: REASON"
  Samples near_misses;  ///< "STEP: REASON": documents that passed the rules, and this one most narrowly

  static void add_sample(Samples& samples, const std::string& group, const DocumentView& document, std::string note,
                         double margin = 0);
  void add(const Statistics& other);
  /// Puts all but the `most` sources with the most records among the others.
  void limit_sources(std::size_t most);

 private:
  void add_source(const std::string& name, const SourceCounts& from);
};

int power_bin(std::uint64_t number);

/// All of it, for report.json and for checkpoints; and back. `statistics_from_json` throws std::exception for what it
/// cannot read.
nlohmann::json to_json(const Statistics& statistics);
Statistics statistics_from_json(const nlohmann::json& json);

}  // namespace curate
