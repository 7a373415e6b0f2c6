// Decompression and parsing alone, the floor of every command that reads records:
//   parse_benchmark [--threads N] [--repeat N] FILE...
// Reads blocks, and of each record its text and id, as `curate` does; prints records, wall and processor seconds of
// each round as JSON.
#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/pipeline.h"
#include "base/records.h"
#include "curate/records/record.h"
#include "scripts/bench/clock.h"

namespace {

struct Counts {
  std::uint64_t records = 0, text = 0, bytes = 0;
};

void run(int argc, char** argv) {
  int threads = 2, repeat = 1, first = 1;
  for (; first + 1 < argc && std::string(argv[first]).starts_with("--"); first += 2)
    (std::string(argv[first]) == "--threads" ? threads : repeat) = std::atoi(argv[first + 1]);
  for (int round = 0; round < repeat; ++round) {
    const double wall = seconds(CLOCK_MONOTONIC), processor = seconds(CLOCK_PROCESS_CPUTIME_ID);
    base::BlockReader reader(std::vector<std::string>(argv + first, argv + argc), {});
    std::vector<base::BadBytes> bad;
    std::vector<curate::RecordParser> parsers(static_cast<std::size_t>(threads));
    Counts all;
    base::ordered_pipeline<base::Block, Counts>(
        threads, [&] { return reader.next(bad); },
        [&](base::Block block, int worker) {
          Counts counts;
          counts.bytes = block.bytes.size();
          block.bytes.reserve(block.bytes.size() + 64);
          const char* end = block.bytes.data() + block.bytes.capacity();
          base::for_each_line(block, [&](std::string_view line, const base::Place&) {
            curate::Record record;
            auto readable = static_cast<std::size_t>(end - (line.data() + line.size()));
            auto& parser = parsers[static_cast<std::size_t>(worker)];
            if (!parser.parse(line, readable, {"text", "id", "", ""}, record).empty()) return;
            ++counts.records;
            counts.text += record.text.size();
          });
          return counts;
        },
        [&](Counts counts) {
          all.records += counts.records;
          all.text += counts.text;
          all.bytes += counts.bytes;
        });
    fmt::print("{{\"records\": {}, \"text\": {}, \"bytes\": {}, \"wall\": {:.4f}, \"processor\": {:.4f}}}\n",
               all.records, all.text, all.bytes, seconds(CLOCK_MONOTONIC) - wall,
               seconds(CLOCK_PROCESS_CPUTIME_ID) - processor);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc, argv);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
