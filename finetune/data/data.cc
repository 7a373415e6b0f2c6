// Records -> examples. Tested by tests/finetune/data_test.cc and records_test.cc.
#include "finetune/data/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/input_tally.h"
#include "base/pipeline.h"
#include "base/text.h"
#include "finetune/data/pairs.h"

namespace finetune {
namespace {

// What one block of the input gives; reports are added in input order.
struct BlockResult {
  std::vector<Example> examples;
  DataReport report;
  base::InputTally files;
};

void count_bad(DataReport& report, const std::string& where, const std::string& kind, const std::string& why) {
  ++report.bad;
  count(report.bad_kinds, kind);
  if (report.first_bad.empty()) report.first_bad = where + ": " + why;
}

// Applies the length policy and counts the record.
void take(Example example, const RecordNotes& notes, const DataOptions& options, BlockResult& result) {
  DataReport& report = result.report;
  const auto limit = static_cast<std::size_t>(options.max_length);
  std::vector<Example> pieces;
  const bool is_pair = example.second > 0;
  const std::size_t length = is_pair ? example.second : example.ids.size();
  if (longest(example) <= limit) {
    pieces.push_back(std::move(example));
  } else {
    ++report.too_long;
    if (options.too_long == "drop") {
      ++report.dropped;
      return;
    }
    if (options.too_long == "truncate" || is_pair) {
      pieces.push_back(truncated(example, limit));
    } else {
      for (std::size_t begin = 0; begin < example.ids.size(); begin += limit)
        pieces.push_back(part_of(example, begin, begin + limit));
    }
  }
  std::erase_if(pieces, [&](const Example& piece) { return is_pair ? !trains_both(piece) : piece.targets() == 0; });
  ++(pieces.empty() ? report.untrained : report.used);
  if (pieces.empty()) return;
  report.specials_as_text += notes.specials_as_text;
  report.drops_messages += notes.drops_messages;
  report.ends += notes.first_end < (options.too_long == "truncate" ? std::min(limit, length) : length);
  for (const std::string& name : notes.left_out) count(report.left_out, name);
  for (const std::string& name : notes.unused) count(report.unused, name);
  for (Example& piece : pieces) {
    ++report.examples;
    report.tokens += piece.ids.size();
    report.trained_tokens += static_cast<std::uint64_t>(piece.targets());
    result.examples.push_back(std::move(piece));
  }
}

}  // namespace

Dataset read_dataset(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options) {
  base::RecordOptions record_options;
  record_options.limit = options.limit;
  record_options.text = options.text;
  record_options.block_bytes = 1 << 17;  // tokenizing is slow: small blocks keep every thread busy
  base::BlockReader reader(files, record_options);
  struct Item {
    std::optional<base::Block> block;
    std::vector<base::BadBytes> bad;
  };
  auto source = [&]() -> std::optional<Item> {
    Item item;
    item.block = reader.next(item.bad);
    if (!item.block && item.bad.empty()) return std::nullopt;
    return item;
  };
  auto where = [&](const base::Place& place) { return fmt::format("{}:{}", reader.files()[place.file], place.line); };
  auto work = [&](Item item, int) {
    BlockResult result;
    for (const base::BadBytes& bad : item.bad) {
      ++result.report.read;
      result.files.refuse(bad);
      count_bad(result.report, where(bad.place), bad.error, bad.error);
    }
    if (!item.block) return result;
    base::for_each_line(*item.block, [&](std::string_view line, const base::Place& place) {
      ++result.report.read;
      RecordNotes notes;
      try {
        Example example = maker.make(line, &notes);
        ++result.files.of(place.file).used;
        take(std::move(example), notes, options, result);
      } catch (const base::UsageError&) {
        throw;
      } catch (const base::Error& error) {
        const auto& [what, member, value, expected, advice] = error.facts();
        result.files.refuse(place, error.what(), base::is_cut_off(*item.block, line));
        count_bad(result.report, where(place), member.empty() ? what : member + ": " + what, error.what());
      }
      result.report.repeated_keys += notes.repeated_keys;
    });
    return result;
  };
  Dataset dataset;
  base::InputTally tally;
  auto sink = [&](BlockResult result) {
    add(dataset.report, result.report);
    tally.add(result.files);
    std::move(result.examples.begin(), result.examples.end(), std::back_inserter(dataset.examples));
  };
  base::ordered_pipeline<Item, BlockResult>(base::thread_count(options.threads), source, work, sink);

  const DataReport& report = dataset.report;
  if (options.max_bad.is_exceeded(report.bad, report.read, true)) {
    throw base::Error({fmt::format("{} of {} records are bad: {}", report.bad, report.read, counted(report.bad_kinds)),
                       report.first_bad, "", fmt::format("at most {} (--max-bad)", options.max_bad.text()), ""});
  }
  const std::vector<base::FileLoss> losses = tally.losses(files, options.limit == 0);
  if (!losses.empty()) {
    std::string others = losses.size() > 1 ? fmt::format(" (and {} more files)", losses.size() - 1) : "";
    throw base::Error({"a file of the data is lost" + others + ": " + losses[0].cause, losses[0].file, "", "",
                       "mend it or leave it out"});
  }
  if (dataset.examples.empty()) {
    throw base::Error({"nothing to train on: no token of any record is trained", base::join(files, ", "),
                       report.to_text(options), "records with an answer, a completion or a text",
                       report.too_long ? "raise --max-length, or use --too-long split" : ""});
  }
  return dataset;
}

}  // namespace finetune
