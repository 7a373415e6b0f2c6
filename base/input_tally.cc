// What each file of an input gave: which of them gave nothing, or lost their tail. Tested by
// tests/base/input_tally_test.cc.
#include "base/input_tally.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/program.h"
#include "base/records_format.h"
#include "base/text.h"

namespace base {
using nlohmann::json;
namespace {

// A file of which at least half is refused, and so many records, is no file with a few bad ones.
constexpr std::uint64_t kManyRefused = 25;

}  // namespace

void InputTally::refuse(const Place& place, std::string_view error, bool is_cut) {
  FileCount& count = of(place.file);
  if (count.refused++ == 0) count.first_error = fmt::format("line {}: {}", line_text(place), error);
  if (is_cut && count.lost.empty()) count.lost = fmt::format("its last record, line {}, is cut off", line_text(place));
}

void InputTally::refuse(const BadBytes& bad) {
  refuse(bad.place, bad.error);
  FileCount& count = of(bad.place.file);
  if (bad.lost && count.lost.empty()) count.lost = fmt::format("from line {} on: {}", line_text(bad.place), bad.error);
}

void InputTally::add(const InputTally& later) {
  for (const auto& [file, count] : later.counts_) {
    FileCount& sum = counts_[file];
    sum.used += count.used;
    sum.refused += count.refused;
    if (sum.first_error.empty()) sum.first_error = count.first_error;
    if (sum.lost.empty()) sum.lost = count.lost;
    if (sum.advice.empty()) sum.advice = count.advice;
  }
}

std::vector<FileLoss> InputTally::losses(const std::vector<std::string>& files, bool all_read) const {
  std::vector<FileLoss> losses;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto found = counts_.find(static_cast<std::uint32_t>(i));
    if (found == counts_.end()) {
      if (all_read) losses.push_back({files[i], "it holds no record", {}});
      continue;
    }
    const FileCount& count = found->second;
    std::string cause;
    if (count.used == 0 && count.refused > 0) {
      cause = fmt::format("none of its {} record{} can be used, the first: {}", human_count(count.refused),
                          count.refused == 1 ? "" : "s", count.first_error);
    } else if (count.used == 0) {
      cause = "it holds no record";
    } else if (!count.lost.empty()) {
      cause = fmt::format("a part of it is lost, {}; {} of its records {} used", count.lost, human_count(count.used),
                          count.used == 1 ? "was" : "were");
    } else if (count.refused >= std::max(count.used, kManyRefused)) {
      cause = fmt::format("{} of its {} records cannot be used, the first: {}", human_count(count.refused),
                          human_count(count.refused + count.used), count.first_error);
    }
    if (cause.empty()) continue;
    if (count.used == 0 && !count.advice.empty()) cause += "; " + count.advice;
    if (count.used == 0 && files[i] == "-") cause += "; standard input is read as JSON, one object a line";
    losses.push_back({files[i], std::move(cause), count});
  }
  return losses;
}

json InputTally::to_json() const {
  json all = json::array();
  for (const auto& [file, count] : counts_)
    all.push_back({file, count.used, count.refused, count.first_error, count.lost, count.advice});
  return all;
}

InputTally InputTally::from_json(const json& all) {
  InputTally tally;
  for (const json& one : all) {
    FileCount& count = tally.of(one.at(0).get<std::uint32_t>());
    one.at(1).get_to(count.used);
    one.at(2).get_to(count.refused);
    one.at(3).get_to(count.first_error);
    one.at(4).get_to(count.lost);
    one.at(5).get_to(count.advice);
  }
  return tally;
}

bool is_cut_off(const Block& block, std::string_view line) {
  return line.data() + line.size() == block.bytes.data() + block.bytes.size() && ends_early(line);
}

int tell_losses(const std::vector<FileLoss>& losses, const Context& context) {
  constexpr std::size_t kMost = 10;
  for (std::size_t i = 0; i < std::min(losses.size(), kMost); ++i)
    fmt::print(context.err, "lost: {}: {}\n", shortened(losses[i].file, 200), losses[i].cause);
  if (losses.size() > kMost) fmt::print(context.err, "lost: and {} more files\n", human_count(losses.size() - kMost));
  return losses.empty() ? 0 : 1;
}

}  // namespace base
