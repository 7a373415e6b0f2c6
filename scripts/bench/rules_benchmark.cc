// The four quality rules in file order, from JSONL in the page cache to decisions:
//   rules_benchmark [--threads N] [--repeat N] FILE.jsonl...
// Prints the wall time and the processor time of each round, what was decided, and each part's processor time.
#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/pipeline.h"
#include "base/records.h"
#include "curate/records/record.h"
#include "curate/steps/c4.h"
#include "curate/steps/fineweb.h"
#include "curate/steps/gopher.h"
#include "scripts/bench/clock.h"

namespace {

double now() { return seconds(CLOCK_THREAD_CPUTIME_ID); }

constexpr const char* kParts[] = {"parse", "gopher_repetition", "gopher_quality", "c4", "fineweb"};
struct Totals {
  std::array<double, 5> seconds{};
  std::array<std::uint64_t, 5> passed{};
  std::uint64_t bytes = 0, bad = 0;
};

int run(int argc, char** argv) {
  int threads = 2, repeat = 1, first = 1;
  for (; first + 1 < argc && std::string(argv[first]).starts_with("--"); first += 2) {
    int value = std::atoi(argv[first + 1]);
    (std::string(argv[first]) == "--threads" ? threads : repeat) = value;
  }
  std::vector<std::string> files(argv + first, argv + argc);
  if (files.empty()) throw base::UsageError("usage: rules_benchmark [--threads N] [--repeat N] FILE.jsonl...");
  curate::GopherRepetition repetition;
  curate::GopherQuality quality;
  curate::C4 c4;
  c4.filter_no_terminal_punct = false;
  curate::FineWeb fineweb;
  std::vector<curate::Step*> steps = {&repetition, &quality, &c4, &fineweb};
  for (curate::Step* step : steps) step->prepare();

  for (int round = 0; round < repeat; ++round) {
    struct Worker {
      curate::RecordParser parser;
      curate::Document document;
      Totals totals;
    };
    std::vector<Worker> workers(static_cast<std::size_t>(threads));
    double start = seconds(CLOCK_MONOTONIC), used = seconds(CLOCK_PROCESS_CPUTIME_ID);
    base::BlockReader reader(files, {});
    std::vector<base::BadBytes> bad;
    base::ordered_pipeline<base::Block, int>(
        threads, [&] { return reader.next(bad); },
        [&](base::Block block, int number) {
          Worker& worker = workers[static_cast<std::size_t>(number)];
          const char* end = block.bytes.data() + block.bytes.size();
          base::for_each_line(block, [&](std::string_view line, const base::Place&) {
            curate::Record record;
            double before = now();
            auto readable = static_cast<std::size_t>(end - (line.data() + line.size()));
            if (!worker.parser.parse(line, readable, {"text", "id", "", ""}, record).empty()) {
              ++worker.totals.bad;
              return;
            }
            worker.totals.bytes += record.text.size();
            worker.document.reset(record.text, record.id, "");
            ++worker.totals.passed[0];
            for (std::size_t i = 0; i < steps.size(); ++i) {
              double after = now();
              worker.totals.seconds[i] += after - before;
              before = after;
              if (!steps[i]->apply(worker.document).keep) {
                worker.totals.seconds[i + 1] += now() - before;
                return;
              }
              ++worker.totals.passed[i + 1];
            }
            worker.totals.seconds[4] += now() - before;
          });
          return 0;
        },
        [](int) {});
    double wall = seconds(CLOCK_MONOTONIC) - start;
    used = seconds(CLOCK_PROCESS_CPUTIME_ID) - used;
    Totals all;
    for (const Worker& worker : workers) {
      for (std::size_t i = 0; i < 5; ++i) {
        all.seconds[i] += worker.totals.seconds[i];
        all.passed[i] += worker.totals.passed[i];
      }
      all.bytes += worker.totals.bytes;
      all.bad += worker.totals.bad;
    }
    fmt::print("{} threads: {:.3f} s wall, {:.3f} s of processors, {:.1f} MB of text, {:.1f} MB/s, {} bad lines\n",
               threads, wall, used, all.bytes * 1e-6, all.bytes * 1e-6 / wall, all.bad);
    for (std::size_t i = 0; i < 5; ++i) {
      fmt::print("  {:18} {:8} passed  {:.3f} s\n", kParts[i], all.passed[i], all.seconds[i]);
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
