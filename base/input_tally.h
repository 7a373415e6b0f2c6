// What each file of an input gave: which of them gave nothing, or lost their tail.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/records.h"

namespace base {

struct Context;

/// Of one file.
struct FileCount {
  std::uint64_t used = 0, refused = 0;  ///< records; a piece of bad bytes is one
  std::string first_error;              ///< of the refused ones: "line 7: not valid JSON"
  std::string lost;                     ///< why a part of the file was not read; "" when all of it was
  std::string advice;                   ///< what to do where nothing could be used
};

/// A file that gave nothing, or not all that it holds, or of which most records are refused.
struct FileLoss {
  std::string file, cause;
  FileCount count;
};

/// Counts records by file. Those of pieces of an input, added in its order, are the whole's.
class InputTally {
 public:
  /// Of one file, to count what it gave; holds until the tally is gone.
  FileCount& of(std::uint32_t file) { return counts_[file]; }
  /// A record that is not used. `is_cut`: the file ends within it, see is_cut_off.
  void refuse(const Place& place, std::string_view error, bool is_cut = false);
  void refuse(const BadBytes& bad);
  void add(const InputTally& later);
  /// In the order of `files`. Without `all_read` (a limit was reached) files that were not met are left out.
  std::vector<FileLoss> losses(const std::vector<std::string>& files, bool all_read) const;

  nlohmann::json to_json() const;
  static InputTally from_json(const nlohmann::json& json);

 private:
  std::map<std::uint32_t, FileCount> counts_;
};

/// Whether the file ends within `line` of `block`: it has no end of line, and its JSON object no end. Lines made of
/// other formats have both.
bool is_cut_off(const Block& block, std::string_view line);

/// Says the losses on context.err, which no option silences. The exit status: 1 when there are any, else 0.
int tell_losses(const std::vector<FileLoss>& losses, const Context& context);

}  // namespace base
