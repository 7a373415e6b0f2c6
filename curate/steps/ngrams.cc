// Repetition of word n-grams, as Gopher's rules count it: hashes, no n-gram strings. Tested by
// tests/curate/steps/rules_test.cc.
#include "curate/steps/ngrams.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

namespace curate {
namespace {

std::uint64_t combine(std::uint64_t hash, std::uint64_t next) {
  return (std::rotl(hash, 23) ^ next) * 0x9FB21C651E98DF25ull;
}

}  // namespace

TopNGrams::TopNGrams(Document& document, const Words& words)
    : document_(document), words_(words), repeated_(document.scratch().positions) {
  repeated_.resize(words.size());
  std::iota(repeated_.begin(), repeated_.end(), 0u);
}

std::uint64_t TopNGrams::next() {
  const std::vector<Word>& words = words_.all();
  const std::size_t n = ++n_;
  times_ = 0;
  if (words.size() < n) return 0;
  auto hash = [n, first = words.data()](std::size_t i) {
    std::uint64_t h = first[i].hash;
    for (std::size_t j = 1; j < n; ++j) h = combine(h, first[i + j].hash);
    return h;
  };
  // An n-gram that occurs twice consists of two (n-1)-grams that do.
  std::uint32_t* const positions = repeated_.data();
  std::size_t kept = 0;
  for (std::size_t k = 0; k + 1 < repeated_.size(); ++k) {
    const std::uint32_t position = positions[k];
    positions[kept] = position;
    kept += positions[k + 1] == position + 1;
  }
  document_.scratch().sieve.reset(kept);
  const Sieve::Places sieve = document_.scratch().sieve.places();
  std::vector<std::uint32_t>& all_places = document_.scratch().numbers;
  all_places.resize(kept);
  std::uint32_t* const places = all_places.data();
  for (std::size_t k = 0; k < kept; ++k) places[k] = sieve.add(hash(positions[k]));
  std::size_t twice = 0;
  std::uint32_t most = 1;  // no n-gram occurs more often
  for (std::size_t k = 0; k < kept; ++k) {
    const std::uint32_t place = places[k], count = sieve.count(place);
    positions[twice] = positions[k];
    places[twice] = place;
    twice += count > 1;
    most = std::max(most, count);
  }
  repeated_.resize(twice);
  all_places.resize(twice);
  count_most_frequent(most, hash);
  std::uint64_t length = n - 1;
  for (std::size_t j = 0; j < n; ++j) length += words[position_ + j].code_points;
  return length * times_;
}

// Sets `times_` and `position_`. Exact counts only of the n-grams whose place in the sieve has the highest count; when
// they turn out smaller, of all whose place has as much as the best of them.
template <class Hash>
void TopNGrams::count_most_frequent(std::uint32_t least, Hash hash) {
  const Sieve::Places sieve = document_.scratch().sieve.places();
  const std::vector<std::uint32_t>& places = document_.scratch().numbers;
  std::vector<std::uint32_t>& chosen = document_.scratch().sums;
  Counter& counter = document_.scratch().counter;
  times_ = 1;
  position_ = 0;
  while (least > 1) {
    chosen.clear();
    for (std::size_t k = 0; k < places.size(); ++k) {
      if (sieve.count(places[k]) >= least) chosen.push_back(repeated_[k]);
    }
    counter.reset(chosen.size());
    times_ = 0;
    for (std::uint32_t i : chosen) {
      Counter::Entry& entry = counter.at(hash(i), i);
      ++entry.count;
      if (entry.count > times_ || (entry.count == times_ && entry.first < position_)) position_ = entry.first;
      times_ = std::max(times_, entry.count);
    }
    if (times_ == 1) position_ = 0;
    if (times_ >= least || least == 2) return;
    least = std::max(times_, 2u);
  }
}

DuplicateNGrams::DuplicateNGrams(Document& document, const Words& words, std::size_t least)
    : document_(document),
      words_(words),
      bytes_(document.scratch().bytes),
      starts_(document.scratch().sums),
      spans_(document.scratch().spans) {
  const std::vector<Word>& all = words.all();
  std::string_view base = words.base();
  if (bytes_.size() < base.size() + kWindow) bytes_.resize(base.size() + kWindow);
  starts_.resize(all.size() + 1);
  char* const bytes = bytes_.data();
  std::uint32_t* const starts = starts_.data();
  std::uint32_t size = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Word& word = all[i];
    starts[i] = size;
    const char* from = base.data() + word.offset;
    if (word.bytes <= kWindow && word.offset + kWindow <= base.size()) {
      std::memcpy(bytes + size, from, kWindow);
    } else {
      std::memcpy(bytes + size, from, word.bytes);
    }
    size += word.bytes;
  }
  starts[all.size()] = size;
  spans_.clear();
  if (all.size() < least) return;
  const std::size_t positions = all.size() - least + 1;
  Sieve& sieve = document.scratch().sieve;
  sieve.reset(positions);
  const Sieve::Places counts = sieve.places();
  document.scratch().numbers.resize(positions);
  std::uint32_t* const places = document.scratch().numbers.data();
  for (std::size_t i = 0; i < positions; ++i) {
    std::uint64_t a, b;
    std::memcpy(&a, bytes + starts[i], 8);
    std::memcpy(&b, bytes + starts[i] + 8, 8);
    const std::uint32_t place = counts.add(combine(a * 0x9E3779B97F4A7C15ull, b));
    // The window of a shorter n-gram holds bytes that are not its own.
    places[i] = starts[i + least] - starts[i] < kWindow ? sieve.always() : place;
  }
  spans_.resize(positions);
  Span* const spans = spans_.data();
  std::size_t kept = 0;
  for (std::uint32_t i = 0; i < positions; ++i) {
    spans[kept] = {WordHash(), i, starts[i]};
    kept += counts.count(places[i]) > 1;
  }
  spans_.resize(kept);
}

std::uint64_t DuplicateNGrams::code_points(std::size_t n, std::vector<std::uint32_t>* repeats) {
  const std::vector<Word>& words = words_.all();
  while (!spans_.empty() && spans_.back().first + n > words.size()) spans_.pop_back();
  Document::Scratch& scratch = document_.scratch();
  scratch.hashes.resize(spans_.size());
  scratch.numbers.resize(spans_.size());
  scratch.sieve.reset(spans_.size());
  const Sieve::Places sieve = scratch.sieve.places();
  const char *const bytes = bytes_.data(), *const bytes_end = bytes + bytes_.size();
  const std::uint32_t* const starts = starts_.data();
  std::uint32_t* const numbers = scratch.numbers.data();
  std::uint64_t* const hashes = scratch.hashes.data();
  Span* const spans = spans_.data();
  const std::size_t count = spans_.size();
  for (std::size_t k = 0; k < count; ++k) {
    Span& span = spans[k];
    const std::uint32_t end = starts[span.first + n];
    for (; end - span.hashed > WordHash::kBlock; span.hashed += WordHash::kBlock)
      span.hash.add_block(bytes + span.hashed);
    hashes[k] = span.hash.finish(bytes + span.hashed, end - span.hashed, bytes_end, end - starts[span.first]);
    numbers[k] = sieve.add(hashes[k]);
  }
  // What comes out of the sieve once is no repetition and is not repeated.
  std::size_t twice = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const std::uint32_t place = numbers[k];
    numbers[twice] = spans[k].first;
    hashes[twice] = hashes[k];
    twice += sieve.count(place) > 1;
  }
  scratch.counter.reset(twice);
  std::uint64_t repeated = 0;
  std::size_t next = 0;
  for (std::size_t k = 0; k < twice; ++k) {
    const std::uint32_t i = numbers[k];
    if (i < next) continue;
    Counter::Entry& entry = scratch.counter.at(hashes[k], i);
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
