// Records of files, one after the other, for commands that look at every text.
#pragma once

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json_values.h"
#include "base/pipeline.h"
#include "base/program.h"
#include "base/records.h"

namespace tokenizer {

inline std::string place_text(const std::vector<std::string>& files, const base::Place& place) {
  return fmt::format("{}:{}", files[place.file], place.line);
}

/// For every record of `files`, in order and on several threads: `work(record as JSON text, place)` gives what `sink`
/// gets. Bytes that are no record end the command.
template <class Result>
void each_record(const std::vector<std::string>& files, const base::TextOptions& text, int threads,
                 const std::function<Result(std::string_view line, const std::string& where)>& work,
                 const std::function<void(Result)>& sink) {
  base::RecordOptions options;
  options.text = text;
  options.bytes_are_text = true;
  base::BlockReader reader(files, options);
  std::vector<base::BadBytes> bad;
  const auto source = [&]() -> std::optional<base::Block> {
    auto block = reader.next(bad);
    if (!bad.empty()) throw base::Error({bad[0].error, place_text(files, bad[0].place), "", "", ""});
    return block;
  };
  const auto work_block = [&](base::Block block, int) {
    std::vector<Result> results;
    base::for_each_line(block, [&](std::string_view line, const base::Place& place) {
      results.push_back(work(line, place_text(files, place)));
    });
    return results;
  };
  const auto sink_block = [&](std::vector<Result> results) {
    for (Result& result : results) sink(std::move(result));
  };
  base::ordered_pipeline<base::Block, std::vector<Result>>(base::thread_count(threads), source, work_block, sink_block);
}

/// Counts records that had a key twice; any thread.
class RepeatedKeys {
 public:
  void add(bool repeated) { count_ += repeated; }
  void say(base::Context& context) const {
    if (count_ > 0 && !context.quiet) fmt::print(context.err, "{}\n", base::repeated_keys_note(count_));
  }

 private:
  std::atomic<std::uint64_t> count_ = 0;
};

/// The text under `field` of a record. Throws Error when it has none; `where` names the record.
std::string text_field(std::string_view line, const std::string& field, const std::string& where,
                       RepeatedKeys& repeated_keys);

}  // namespace tokenizer
