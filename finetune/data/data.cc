// Records -> examples. Tested by tests/finetune/data_test.cc and records_test.cc.
#include "finetune/data/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/input_tally.h"
#include "base/json_values.h"
#include "base/pipeline.h"
#include "base/text.h"
#include "finetune/data/pairs.h"

namespace finetune {
namespace {

// A piece of the input, as a worker takes it.
struct Item {
  std::optional<base::Block> block;
  std::vector<base::BadBytes> bad;
};

// What it gives; reports are added in input order.
struct BlockResult {
  struct Made {
    Example example;
    Origin origin;
  };
  std::vector<Made> examples;
  DataReport report;
  base::InputTally files;
};

Origin origin_of(const base::Place& place) { return {place.file, place.line, 0, place.record}; }

void count_bad(DataReport& report, const Origin& origin, const std::string& kind, const std::string& why) {
  ++report.bad;
  count(report.bad_kinds, kind);
  report.alter(Fate::kBad, origin, why);
}

// The parts of an example that is too long.
std::vector<Example> pieces_of(const Example& example, const DataOptions& options) {
  const auto limit = static_cast<std::size_t>(options.max_length);
  std::vector<Example> pieces;
  if (options.too_long == "truncate" || example.second > 0) {
    pieces.push_back(truncated(example, limit));
  } else {
    for (std::size_t begin = 0; begin < example.ids.size(); begin += limit)
      pieces.push_back(part_of(example, begin, begin + limit));
  }
  return pieces;
}

bool teaches(const Example& example) { return example.second > 0 ? trains_both(example) : example.targets() > 0; }

// What the chat template leaves out of a record; "" when nothing.
std::string parts_left_out(const RecordNotes& notes) {
  std::vector<std::string> parts;
  if (notes.drops_messages) parts.emplace_back("a message is left out");
  if (notes.cuts_messages) parts.emplace_back("a part of a message is left out");
  if (!notes.left_out.empty()) parts.push_back("not written: " + base::join(notes.left_out, ", "));
  return base::join(parts, "; ");
}

// What a used record says of itself; `example` is the whole of it.
void count_notes(const Example& example, const RecordNotes& notes, const ExampleMaker& maker, const Origin& origin,
                 DataReport& report) {
  const tokenizer::Tokenizer& tokenizer = maker.tokenizer();
  const auto begins_with_bos = [&](std::size_t i) {
    return i < example.ids.size() && example.ids[i] == *tokenizer.bos;
  };
  if (tokenizer.bos) report.double_bos += begins_with_bos(0) && begins_with_bos(1);
  if (tokenizer.bos && tokenizer.add_bos) report.without_bos += !begins_with_bos(0);
  report.specials_as_text += notes.specials_as_text;
  if (notes.specials_as_text) report.alter(Fate::kSpecials, origin);
  report.drops_messages += notes.drops_messages;
  report.cuts_messages += notes.cuts_messages;
  report.untrained_first += notes.untrained_first;
  report.chats += notes.is_chat;
  report.plain += notes.is_plain;
  report.empty += notes.has_empty_answer;
  report.crosses += notes.crosses;
  report.asks_again += notes.asks_again;
  report.nulls += notes.has_nulls;
  if (notes.has_empty_answer) report.alter(Fate::kEmpty, origin);
  if (notes.crosses) report.alter(Fate::kCrosses, origin);
  if (std::string parts = parts_left_out(notes); !parts.empty()) {
    ++report.partly;
    report.alter(Fate::kPartly, origin, base::shortened(parts, 200));
  }
  for (const std::string& name : notes.left_out) count(report.left_out, name);
  for (const std::string& name : notes.unused) count(report.unused, name);
}

// A pair says nothing where both its answers are cut before they differ.
void check_cut_pair(const Example& example, const DataOptions& options) {
  const auto half = static_cast<std::ptrdiff_t>(example.second);
  if (half == 0 ||
      !std::equal(example.ids.begin(), example.ids.begin() + half, example.ids.begin() + half, example.ids.end()))
    return;
  throw base::Error({"chosen and rejected are the same once they are truncated", "rejected", "",
                     fmt::format("two answers that differ within {} tokens", options.max_length),
                     "raise --max-length, or leave the record out"});
}

// Applies the length policy and counts the record.
void take(Example example, const RecordNotes& notes, const ExampleMaker& maker, const DataOptions& options,
          const Origin& origin, BlockResult& result) {
  DataReport& report = result.report;
  const bool is_too_long = longest(example) > static_cast<std::size_t>(options.max_length);
  report.too_long += is_too_long;
  if (is_too_long && options.too_long == "drop") {
    ++report.dropped;
    return report.alter(Fate::kTooLong, origin);
  }
  std::vector<Example> pieces;
  if (is_too_long)
    pieces = pieces_of(example, options);
  else
    pieces.push_back(std::move(example));
  const std::size_t untrained = std::erase_if(pieces, [](const Example& piece) { return !teaches(piece); });
  if (pieces.empty()) {
    ++report.untrained;
    report.untrained_by_length += is_too_long;
    return report.alter(Fate::kUntrained, origin);
  }
  if (is_too_long) check_cut_pair(pieces[0], options);
  ++report.used;
  if (is_too_long) {
    const bool is_split = options.too_long == "split";
    ++(is_split ? report.split : report.truncated);
    report.untrained_pieces += untrained;
    report.alter(is_split ? Fate::kSplit : Fate::kTruncated, origin);
  }
  count_notes(is_too_long ? example : pieces[0], notes, maker, origin, report);
  report.ends += std::ranges::any_of(pieces, [&](const Example& piece) { return maker.trains_end(piece); });
  Origin next = origin;
  for (Example& piece : pieces) {
    ++report.examples;
    report.tokens += piece.ids.size();
    report.trained_tokens += static_cast<std::uint64_t>(piece.targets());
    result.examples.push_back({std::move(piece), next});
    ++next.piece;
  }
}

// One record. The first of a block is tried the way back, from its tokens to its text.
void take_record(const base::Block& block, std::string_view line, const base::Place& place, const ExampleMaker& maker,
                 const DataOptions& options, BlockResult& result) {
  DataReport& report = result.report;
  const Origin origin = origin_of(place);
  RecordNotes notes;
  notes.try_round_trip = report.tried == 0;
  ++report.read;
  try {
    Example example = maker.make(line, &notes);
    report.tried += notes.try_round_trip;
    if (!notes.round_trips && report.changed++ == 0) report.first_changed = origin;
    take(std::move(example), notes, maker, options, origin, result);
    ++result.files.of(place.file).used;
  } catch (const base::UsageError&) {
    throw;
  } catch (const base::Error& error) {
    const auto& [what, member, value, expected, advice] = error.facts();
    result.files.refuse(place, error.what(), base::is_cut_off(block, line));
    count_bad(report, origin, member.empty() ? what : member + ": " + what, error.what());
  }
  report.repeated_keys += notes.repeated_keys;
  if (notes.repeated_keys) report.alter(Fate::kRepeated, origin);
}

BlockResult result_of(const Item& item, const ExampleMaker& maker, const DataOptions& options) {
  BlockResult result;
  for (const base::BadBytes& bad : item.bad) {
    ++result.report.read;
    result.files.refuse(bad);
    count_bad(result.report, origin_of(bad.place), bad.error, bad.error);
  }
  if (item.block)
    base::for_each_line(*item.block, [&](std::string_view line, const base::Place& place) {
      take_record(*item.block, line, place, maker, options, result);
    });
  return result;
}

void check_losses(const base::InputTally& tally, const std::vector<std::string>& files, bool all_read) {
  const std::vector<base::FileLoss> losses = tally.losses(files, all_read);
  if (losses.empty()) return;
  const std::string others = losses.size() > 1 ? fmt::format(" (and {} more files)", losses.size() - 1) : "";
  throw base::Error({"a file of the data is lost" + others + ": " + losses[0].cause, losses[0].file, "", "",
                     "mend it or leave it out"});
}

void check_bad(const DataReport& report, const DataOptions& options) {
  if (!options.max_bad.is_exceeded(report.bad, report.read, true)) return;
  throw base::Error({fmt::format("{} of {} records are bad: {}", report.bad, report.read, counted(report.bad_kinds)),
                     report.first_bad, "", fmt::format("at most {} (--max-bad)", options.max_bad.text()), ""});
}

}  // namespace

DataReport write_examples(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options,
                          PreparedWriter& writer) {
  base::RecordOptions record_options;
  record_options.limit = options.limit;
  record_options.text = options.text;
  record_options.bytes_are_text = true;
  record_options.block_bytes = 1 << 17;  // tokenizing is slow: small blocks keep every thread busy
  base::BlockReader reader(files, record_options);
  const auto source = [&]() -> std::optional<Item> {
    Item item;
    item.block = reader.next(item.bad);
    if (!item.block && item.bad.empty()) return std::nullopt;
    return item;
  };
  DataReport report;
  base::InputTally tally;
  const auto sink = [&](BlockResult result) {
    report.add(std::move(result.report));
    tally.add(result.files);
    for (const auto& [example, origin] : result.examples) writer.add(example, origin);
  };
  base::ordered_pipeline<Item, BlockResult>(
      base::thread_count(options.threads), source,
      [&](const Item& item, int) { return result_of(item, maker, options); }, sink);
  report.files = files;
  if (const auto bad = std::ranges::find(report.altered, Fate::kBad, &AlteredRecord::fate); bad != report.altered.end())
    report.first_bad = report.place(bad->origin) + ": " + bad->why;
  check_bad(report, options);
  check_losses(tally, files, options.limit == 0);
  return report;
}

Dataset checked_dataset(std::shared_ptr<const PreparedData> data, const std::vector<std::string>& files,
                        const DataOptions& options) {
  DataReport report = DataReport::from_json(nlohmann::ordered_json::parse(data->report()), files);
  check_bad(report, options);
  if (data->size() == 0) {
    throw base::Error({"nothing to train on: no token of any record is trained", base::join(files, ", "),
                       report.to_text(options), "records with an answer, a completion or a text",
                       !report.too_long ? ""
                       : options.can_split && options.too_long != "split"
                           ? "raise --max-length, or use --too-long split"
                           : "raise --max-length"});
  }
  return {Examples(std::move(data)), std::move(report)};
}

Dataset read_dataset(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options) {
  MemoryWriter memory;
  const DataReport report = write_examples(files, maker, options, memory.writer());
  return checked_dataset(memory.finish(base::json_dump(report.to_json())), files, options);
}

}  // namespace finetune
