#include "curate/ngrams.h"

#include <bit>
#include <cstring>

namespace curate {
namespace {

/// How far ahead the table is prefetched: a table of a long document does not fit the cache.
constexpr std::size_t kAhead = 8;

std::uint64_t combine(std::uint64_t hash, std::uint64_t next) {
  return (std::rotl(hash, 23) ^ next) * 0x9FB21C651E98DF25ull;
}

/// f(i, hash(i)) for i below `positions`, in order, with the table's place for each hash fetched kAhead before its
/// turn.
template <class Hash, class F>
void for_each_prefetched(const Counter& counter, std::size_t positions, Hash hash, F f) {
  std::uint64_t ahead[kAhead];
  for (std::size_t i = 0; i < kAhead && i < positions; ++i) ahead[i] = hash(i);
  for (std::uint32_t i = 0; i < positions; ++i) {
    std::uint64_t key = ahead[i % kAhead];
    if (i + kAhead < positions) {
      ahead[i % kAhead] = hash(i + kAhead);
      counter.prefetch(ahead[i % kAhead]);
    }
    f(i, key);
  }
}

}  // namespace

TopNGrams::TopNGrams(Document& document, const Words& words)
    : document_(document), words_(words), repeated_(document.scratch().positions) {
  repeated_.clear();
}

std::uint64_t TopNGrams::next() {
  const std::vector<Word>& words = words_.all();
  const std::size_t n = ++n_;
  times_ = 0;
  if (words.size() < n) return 0;
  const auto positions = static_cast<std::uint32_t>(words.size() - n + 1);
  Counter& counter = document_.scratch().counter;
  std::vector<std::uint32_t>& slots = document_.scratch().numbers;
  auto hash = [&](std::size_t i) {
    std::uint64_t h = words[i].hash;
    for (std::size_t j = 1; j < n; ++j) h = combine(h, words[i + j].hash);
    return h;
  };
  std::uint32_t best = 1, best_position = 0;
  slots.clear();
  if (n == 2) {
    counter.reset(positions);
    for_each_prefetched(counter, positions, hash, [&](std::uint32_t i, std::uint64_t key) {
      Counter::Entry& entry = counter.at(key, i);
      best = std::max(best, ++entry.count);
      slots.push_back(counter.index_of(entry));
    });
    for (std::uint32_t i = 0; i < positions; ++i) {
      const Counter::Entry& entry = counter.entry(slots[i]);
      if (entry.count > 1) repeated_.push_back(i);
    }
  } else {
    // An n-gram that occurs twice consists of two (n-1)-grams that do.
    std::size_t kept = 0;
    for (std::size_t k = 0; k + 1 < repeated_.size(); ++k) {
      if (repeated_[k + 1] == repeated_[k] + 1) repeated_[kept++] = repeated_[k];
    }
    repeated_.resize(kept);
    counter.reset(kept);
    for (std::uint32_t i : repeated_) {
      Counter::Entry& entry = counter.at(hash(i), i);
      best = std::max(best, ++entry.count);
      slots.push_back(counter.index_of(entry));
    }
    kept = 0;
    for (std::size_t k = 0; k < repeated_.size(); ++k) {
      if (counter.entry(slots[k]).count > 1) {
        slots[kept] = slots[k];
        repeated_[kept++] = repeated_[k];
      }
    }
    repeated_.resize(kept);
    slots.resize(kept);
  }
  if (best > 1) {
    for (std::size_t k = 0; k < repeated_.size(); ++k) {
      std::uint32_t slot = n == 2 ? slots[repeated_[k]] : slots[k];
      if (counter.entry(slot).count == best) {
        best_position = repeated_[k];
        break;
      }
    }
  }
  std::uint64_t length = n - 1;
  for (std::size_t j = 0; j < n; ++j) length += words[best_position + j].code_points;
  position_ = best_position;
  times_ = best;
  return length * best;
}

DuplicateNGrams::DuplicateNGrams(Document& document, const Words& words, std::size_t least)
    : document_(document),
      words_(words),
      bytes_(document.scratch().bytes),
      starts_(document.scratch().sums),
      candidates_(document.scratch().positions) {
  const std::vector<Word>& all = words.all();
  std::string_view base = words.base();
  starts_.clear();
  candidates_.clear();
  if (bytes_.size() < base.size() + kWindow) bytes_.resize(base.size() + kWindow);
  std::uint32_t size = 0;
  for (const Word& word : all) {
    starts_.push_back(size);
    const char* from = base.data() + word.offset;
    if (word.bytes <= kWindow && word.offset + kWindow <= base.size()) {
      std::memcpy(&bytes_[size], from, kWindow);
    } else {
      std::memcpy(&bytes_[size], from, word.bytes);
    }
    size += word.bytes;
  }
  starts_.push_back(size);
  if (all.size() < least) return;
  const std::size_t positions = all.size() - least + 1;
  std::vector<std::uint32_t>& candidate = document.scratch().numbers;  // 1: yes
  candidate.assign(positions, 0);
  Counter& counter = document.scratch().counter;
  counter.reset(positions);
  auto hash = [&](std::size_t i) {
    std::uint64_t a, b;
    std::memcpy(&a, &bytes_[starts_[i]], 8);
    std::memcpy(&b, &bytes_[starts_[i] + 8], 8);
    return combine(a * 0x9E3779B97F4A7C15ull, b);
  };
  for_each_prefetched(counter, positions, hash, [&](std::uint32_t i, std::uint64_t key) {
    if (starts_[i + least] - starts_[i] < kWindow) {
      candidate[i] = 1;
      if (starts_[i] + kWindow > size) return;  // the window would hold bytes of nothing
    }
    Counter::Entry& entry = counter.at(key, i);
    if (entry.count > 0) {
      candidate[i] = 1;
      candidate[entry.first] = 1;
    }
    entry.count = 1;
  });
  for (std::uint32_t i = 0; i < positions; ++i) {
    if (candidate[i]) candidates_.push_back(i);
  }
}

std::uint64_t DuplicateNGrams::code_points(std::size_t n, std::vector<std::uint32_t>* repeats) {
  if (candidates_.empty()) return 0;
  const std::vector<Word>& words = words_.all();
  Counter& counter = document_.scratch().counter;
  counter.reset(candidates_.size());
  std::uint64_t repeated = 0;
  std::size_t next = 0;
  for (std::uint32_t i : candidates_) {
    if (i < next) continue;
    if (i + n > words.size()) break;
    Counter::Entry& entry = counter.at(hash_bytes(&bytes_[starts_[i]], starts_[i + n] - starts_[i]), i);
    if (entry.count > 0) {
      for (std::size_t j = 0; j < n; ++j) repeated += words[i + j].code_points;
      next = i + n;
      if (repeats) repeats->push_back(i);
    }
    entry.count = 1;
  }
  return repeated;
}

double covered_by_repeated_n_grams(Document& document, const Words& words, std::size_t n, bool only_most_frequent) {
  const std::vector<Word>& all = words.all();
  if (all.size() < n) return 0;
  const std::size_t positions = all.size() - n + 1;
  Counter& counter = document.scratch().counter;
  std::vector<std::uint32_t>& slots = document.scratch().numbers;
  slots.clear();
  counter.reset(positions);
  std::uint32_t most = 1;
  for (std::uint32_t i = 0; i < positions; ++i) {
    std::uint64_t hash = all[i].hash;
    for (std::size_t j = 1; j < n; ++j) hash = combine(hash, all[i + j].hash);
    Counter::Entry& entry = counter.at(hash, i);
    most = std::max(most, ++entry.count);
    slots.push_back(counter.index_of(entry));
  }
  if (most == 1) return 0;
  std::uint64_t characters = 0, total = 0;
  if (only_most_frequent) {  // by the position of each n-gram's first occurrence: what it covers, and up to which word
    std::vector<std::uint32_t>& covered = document.scratch().sums;
    std::vector<std::uint32_t>& next = document.scratch().positions;
    covered.assign(positions, 0);
    next.assign(positions, 0);
    for (std::uint32_t i = 0; i < positions; ++i) {
      const Counter::Entry& entry = counter.entry(slots[i]);
      if (entry.count != most) continue;
      std::uint32_t& end = next[entry.first];
      for (end = std::max(end, i); end < i + n; ++end) covered[entry.first] += all[end].code_points;
      characters = std::max<std::uint64_t>(characters, covered[entry.first]);
    }
  } else {
    std::size_t next = 0;  // the first word that is not covered yet
    for (std::size_t i = 0; i < positions; ++i) {
      if (counter.entry(slots[i]).count == 1) continue;
      for (next = std::max(next, i); next < i + n; ++next) characters += all[next].code_points;
    }
  }
  for (const Word& word : all) total += word.code_points;
  return static_cast<double>(characters) / static_cast<double>(total);
}

}  // namespace curate
