// Verified pairs of duplicates: gathered in any order, given back sorted. Tested by
// tests/curate/dedup/deduplicate_test.cc.
#include "curate/dedup/pair_list.h"

#include <algorithm>
#include <memory>
#include <queue>
#include <tuple>

#include "base/stream.h"
#include "base/text.h"
#include "curate/records/record.h"

namespace curate {
namespace {

bool before(const DuplicatePair& x, const DuplicatePair& y) { return std::tie(x.a, x.b) < std::tie(y.a, y.b); }

}  // namespace

PairList::PairList(std::filesystem::path folder, std::uint64_t memory)
    : limit_(std::max<std::size_t>(2, memory / sizeof(DuplicatePair))), runs_(std::move(folder), 0) {}

void PairList::add(const DuplicatePair& pair) {
  std::lock_guard lock(mutex_);
  // The vector doubles: while it is copied, half as many pairs again take memory.
  if (pairs_.size() >= limit_ / 2) end_run();
  pairs_.push_back(pair);
}

void PairList::end_run() {
  std::sort(pairs_.begin(), pairs_.end(), before);
  runs_.append(std::string(reinterpret_cast<const char*>(pairs_.data()), pairs_.size() * sizeof(DuplicatePair)));
  run_ends_.push_back(runs_.size() / sizeof(DuplicatePair));
  pairs_.clear();
}

void PairList::for_each(const std::function<void(const DuplicatePair&)>& f) {
  std::sort(pairs_.begin(), pairs_.end(), before);
  struct Run {
    std::uint64_t next, end;  // in the file
    std::vector<DuplicatePair> buffer;
    std::size_t used = 0;
  };
  std::vector<Run> runs;
  for (std::size_t i = 0; i < run_ends_.size(); ++i)
    runs.push_back({i == 0 ? 0 : run_ends_[i - 1], run_ends_[i], {}, 0});
  const std::uint64_t share = std::max<std::uint64_t>(1, limit_ / 2 / std::max<std::size_t>(1, runs.size()));
  auto current = [&](Run& run) -> const DuplicatePair* {
    if (run.used == run.buffer.size()) {
      run.used = 0;
      run.buffer.resize(std::min(share, run.end - run.next));
      runs_.read(run.next * sizeof(DuplicatePair), run.buffer.data(), run.buffer.size() * sizeof(DuplicatePair));
      run.next += run.buffer.size();
    }
    return run.buffer.empty() ? nullptr : &run.buffer[run.used];
  };
  // What is still in memory is one more run.
  runs.push_back({0, 0, std::move(pairs_), 0});
  auto later = [&](std::size_t x, std::size_t y) { return before(*current(runs[y]), *current(runs[x])); };
  std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(later)> queue(later);
  for (std::size_t i = 0; i < runs.size(); ++i)
    if (current(runs[i]) != nullptr) queue.push(i);
  while (!queue.empty()) {
    const std::size_t first = queue.top();
    queue.pop();
    f(*current(runs[first]));
    ++runs[first].used;
    if (current(runs[first]) != nullptr) queue.push(first);
  }
}

void write_pairs(const std::string& path, PairList& pairs, const std::function<std::string(std::uint64_t)>& id_of) {
  const std::unique_ptr<base::ByteWriter> file = base::open_writer(path);
  std::string line;
  pairs.for_each([&](const DuplicatePair& pair) {
    line = "{\"a\":";
    base::append_json_string(line, id_of(pair.a));
    line += ",\"b\":";
    base::append_json_string(line, id_of(pair.b));
    line += ",\"jaccard\":";
    append_json_number(line, pair.jaccard);
    line += "}\n";
    file->write(line);
  });
  file->commit();
}

}  // namespace curate
