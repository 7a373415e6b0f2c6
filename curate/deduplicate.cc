#include "curate/deduplicate.h"

#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cctype>
#include <cmath>
#include <ctime>
#include <exception>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>
#include <tuple>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "curate/record.h"
#include "curate/simplify.h"

namespace curate {

void Deduplicate::visit(base::OptionVisitor& v) {
  v("threshold", threshold, "Jaccard similarity of the shingle sets from which two documents are duplicates");
  v.choice("keep", keep, {"first", "longest", "best_score", "newest", "source_order"}, "which copy is kept");
  v.choice("shingle", shingle, {"word", "datatrove"},
           "words are runs of \\w of the lower-cased text, or datatrove's English words of its simplify_text");
  v("words", words, "words in a shingle");
  v("near", near, "also near-duplicates, not only equal texts");
  v("score", score, "the score that keep: best_score compares");
  v("sources", sources, "keep: source_order prefers these sources, the first most");
  v("pairs", pairs, "write every verified pair of distinct texts to this file", base::PathKind::kPath);
}

void Deduplicate::prepare() {
  if (!(threshold > 0 && threshold <= 1))
    throw base::UsageError({"not a valid value", "deduplicate.threshold", std::to_string(threshold),
                            "above 0, at most 1", "0.8 is usual"});
  if (words < 1 || words > 100)
    throw base::UsageError({"not a valid value", "deduplicate.words", std::to_string(words), "1 to 100", ""});
}

Verdict Deduplicate::apply(Document&, std::vector<Measure>*) const { return {}; }

Fingerprinter::Fingerprinter(const Deduplicate& options) : options_(options), shingler_(options.words) {}

std::span<const std::uint64_t> Fingerprinter::shingles_of(std::string_view text) {
  if (options_.shingle == "word") return shingler_.shingles(text);
  simplified_ = simplify_text(text);
  words_.split(simplified_);
  word_hashes_.clear();
  for (const Word& word : words_.all()) word_hashes_.push_back(word.hash);
  return shingler_.shingles(word_hashes_);
}

Fingerprint Fingerprinter::fingerprint(std::string_view text, std::string_view id) {
  Fingerprint print;
  XXH128_hash_t content = XXH3_128bits(text.data(), text.size());
  print.content[0] = content.high64;
  print.content[1] = content.low64;
  print.id_hash = XXH3_64bits(id.data(), id.size());
  last_ = {};
  if (options_.near) {
    auto shingles = last_ = shingles_of(text);
    print.shingles = shingles.size();
    if (!shingles.empty()) print.bands = band_keys(sign(shingles));
  }
  return print;
}

void Fingerprinter::shingle_set(std::string_view text, std::vector<std::uint64_t>& set) {
  auto shingles = shingles_of(text);
  set.assign(shingles.begin(), shingles.end());
  make_set(set);
}

namespace {

// The digits of a date as YYYYMMDDhhmmss; a bare number above 9999 is seconds (or milliseconds) since 1970.
std::uint64_t date_rank(std::string_view date) {
  std::string digits;
  bool bare = true;
  for (std::size_t i = 0; i < date.size() && digits.size() < 14; ++i) {
    if (std::isdigit(static_cast<unsigned char>(date[i]))) {
      digits += date[i];
    } else {
      bare = false;
      if (date[i] == '.' || date[i] == '+' || date[i] == 'Z') break;  // fractions and zones
    }
  }
  if (digits.empty()) return 0;
  if (bare && digits.size() != 4 && digits.size() != 8 && digits.size() != 14) {
    std::uint64_t number = std::stoull(digits);
    std::time_t seconds = static_cast<std::time_t>(number > 100'000'000'000ull ? number / 1000 : number);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char text[32];
    std::strftime(text, sizeof text, "%Y%m%d%H%M%S", &utc);
    return std::stoull(text);
  }
  digits.resize(14, '0');
  return std::stoull(digits);
}

// Larger doubles give larger integers.
std::uint64_t ordered(double value) {
  if (std::isnan(value)) return 0;
  auto bits = std::bit_cast<std::uint64_t>(value);
  return bits >> 63 ? ~bits : bits | (1ull << 63);
}

}  // namespace

std::uint64_t preference_of(const Deduplicate& options, std::uint64_t characters, double score, std::string_view date,
                            std::string_view source) {
  if (options.keep == "longest") return characters;
  if (options.keep == "best_score") return ordered(score);
  if (options.keep == "newest") return date_rank(date);
  if (options.keep == "source_order") {
    auto found = std::find(options.sources.begin(), options.sources.end(), source);
    return static_cast<std::uint64_t>(options.sources.end() - found);
  }
  return 0;
}

namespace {

// Runs f(i, worker) for i in 0..n-1 on some threads; rethrows the first exception.
void parallel_for(std::size_t n, int threads, const std::function<void(std::size_t, int)>& f) {
  if (threads <= 1 || n <= 1) {
    for (std::size_t i = 0; i < n; ++i) f(i, 0);
    return;
  }
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  {
    std::vector<std::jthread> workers;
    for (int worker = 0; worker < threads; ++worker)
      workers.emplace_back([&, worker] {
        try {
          for (std::size_t i; (i = next++) < n;) f(i, worker);
        } catch (...) {
          std::lock_guard lock(mutex);
          if (!failure) failure = std::current_exception();
          next = n;
        }
      });
  }
  if (failure) std::rethrow_exception(failure);
}

constexpr std::uint32_t kNoBucket = ~std::uint32_t{0};

// Documents that share a band key, per band; then the connected components of sharing, which are independent of each
// other. Only `members` (one per distinct text, by index) take part.
struct Buckets {
  std::vector<std::uint32_t> of;                       // member x band -> bucket, or kNoBucket when alone
  std::uint32_t count = 0;                             // buckets in all
  std::vector<std::vector<std::uint32_t>> components;  // members, in the order given, of two and more
};

Buckets make_buckets(std::span<const Fingerprint> prints, std::span<const std::uint64_t> members, int threads) {
  Buckets buckets;
  const std::size_t n = members.size();
  buckets.of.assign(n * kBands, kNoBucket);
  std::vector<std::vector<std::vector<std::uint32_t>>> runs(kBands);
  parallel_for(kBands, threads, [&](std::size_t band, int) {
    std::vector<std::pair<std::uint64_t, std::uint32_t>> keys;
    keys.reserve(n);
    for (std::size_t m = 0; m < n; ++m) {
      const Fingerprint& print = prints[members[m]];
      if (print.shingles > 0) keys.emplace_back(print.bands[band], static_cast<std::uint32_t>(m));
    }
    std::sort(keys.begin(), keys.end());
    for (std::size_t i = 0, j; i < keys.size(); i = j) {
      for (j = i + 1; j < keys.size() && keys[j].first == keys[i].first;) ++j;
      if (j - i < 2) continue;
      auto& run = runs[band].emplace_back();
      for (std::size_t k = i; k < j; ++k) run.push_back(keys[k].second);
    }
  });
  std::vector<std::uint32_t> parent(n);
  std::iota(parent.begin(), parent.end(), 0u);
  auto root = [&](std::uint32_t m) {
    while (parent[m] != m) m = parent[m] = parent[parent[m]];
    return m;
  };
  for (int band = 0; band < kBands; ++band) {
    for (const auto& run : runs[band]) {
      for (std::uint32_t m : run) {
        buckets.of[std::size_t{m} * kBands + band] = buckets.count;
        std::uint32_t a = root(run[0]), b = root(m);
        parent[std::max(a, b)] = std::min(a, b);
      }
      ++buckets.count;
    }
  }
  std::vector<std::uint32_t> component_of(n, kNoBucket);
  for (std::uint32_t m = 0; m < n; ++m) {
    std::uint32_t r = root(m);
    if (r == m) continue;
    if (component_of[r] == kNoBucket) {
      component_of[r] = static_cast<std::uint32_t>(buckets.components.size());
      buckets.components.push_back({r});
    }
    buckets.components[component_of[r]].push_back(m);
  }
  return buckets;
}

}  // namespace

std::vector<Duplicate> find_duplicates(std::span<const Fingerprint> prints, const Deduplicate& options, int threads,
                                       const ShingleSets& sets, std::vector<DuplicatePair>* pairs) {
  const bool by_index = options.keep == "first" || options.keep == "source_order";
  auto preferred = [&](std::uint64_t x, std::uint64_t y) {
    const Fingerprint &a = prints[x], &b = prints[y];
    if (a.preference != b.preference) return a.preference > b.preference;
    if (by_index) return x < y;
    return std::tie(a.content[0], a.content[1], a.id_hash, x) < std::tie(b.content[0], b.content[1], b.id_hash, y);
  };
  // The same text: the preferred copy stands for all.
  std::vector<std::uint64_t> order(prints.size());
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  std::sort(order.begin(), order.end(), [&](std::uint64_t x, std::uint64_t y) {
    const Fingerprint &a = prints[x], &b = prints[y];
    if (a.content[0] != b.content[0]) return a.content[0] < b.content[0];
    if (a.content[1] != b.content[1]) return a.content[1] < b.content[1];
    return preferred(x, y);
  });
  std::vector<Duplicate> result(prints.size());
  std::vector<std::uint64_t> members;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> copies;  // copy, the one that stands for it
  for (std::size_t i = 0, j; i < order.size(); i = j) {
    members.push_back(order[i]);
    const Fingerprint& print = prints[order[i]];
    for (j = i + 1; j < order.size() && prints[order[j]].content[0] == print.content[0] &&
                    prints[order[j]].content[1] == print.content[1];
         ++j)
      copies.emplace_back(order[j], order[i]);
  }
  std::vector<std::uint64_t>().swap(order);
  std::sort(members.begin(), members.end(), preferred);

  if (options.near) {
    Buckets buckets = make_buckets(prints, members, threads);
    std::vector<std::vector<std::uint32_t>> in_bucket(buckets.count);  // compared with those that come after
    std::mutex pairs_mutex;
    // Large components first, so that no thread is left alone with one at the end.
    std::stable_sort(buckets.components.begin(), buckets.components.end(),
                     [](const auto& a, const auto& b) { return a.size() > b.size(); });
    parallel_for(buckets.components.size(), threads, [&](std::size_t c, int worker) {
      std::map<std::uint32_t, std::vector<std::uint64_t>> set_of;
      std::vector<std::uint32_t> candidates;
      std::vector<std::uint64_t> set;
      for (std::uint32_t m : buckets.components[c]) {  // in order of preference
        candidates.clear();
        for (int band = 0; band < kBands; ++band) {
          std::uint32_t bucket = buckets.of[std::size_t{m} * kBands + band];
          if (bucket != kNoBucket)
            candidates.insert(candidates.end(), in_bucket[bucket].begin(), in_bucket[bucket].end());
        }
        std::sort(candidates.begin(), candidates.end());
        candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
        sets(members[m], worker, set);
        Duplicate& duplicate = result[members[m]];
        double best = 0;
        for (std::uint32_t candidate : candidates) {  // the most preferred first
          double similarity = jaccard(set_of[candidate], set, options.threshold);
          if (similarity < 0) continue;
          if (pairs != nullptr) {
            std::uint64_t x = members[candidate], y = members[m];
            std::lock_guard lock(pairs_mutex);
            pairs->push_back({std::min(x, y), std::max(x, y), similarity});
          }
          if (!result[members[candidate]].dropped() && similarity > best) {
            best = similarity;
            duplicate = {members[candidate], similarity, false};
          }
        }
        if (duplicate.dropped() && pairs == nullptr) continue;
        set_of[m] = set;
        for (int band = 0; band < kBands; ++band) {
          std::uint32_t bucket = buckets.of[std::size_t{m} * kBands + band];
          if (bucket != kNoBucket) in_bucket[bucket].push_back(m);
        }
      }
    });
  }
  for (const auto& [copy, first] : copies) {
    result[copy] = result[first].dropped() ? result[first] : Duplicate{first, 1, true};
    if (pairs != nullptr) pairs->push_back({std::min(copy, first), std::max(copy, first), 1});
  }
  if (pairs != nullptr)
    std::sort(pairs->begin(), pairs->end(),
              [](const DuplicatePair& x, const DuplicatePair& y) { return std::tie(x.a, x.b) < std::tie(y.a, y.b); });
  return result;
}

void write_pairs(const std::string& path, const std::vector<DuplicatePair>& pairs,
                 const std::function<std::string(std::uint64_t)>& id_of) {
  base::FileWriter file(path);
  std::string line;
  for (const DuplicatePair& pair : pairs) {
    line = "{\"a\":";
    base::append_json_string(line, id_of(pair.a));
    line += ",\"b\":";
    base::append_json_string(line, id_of(pair.b));
    line += ",\"jaccard\":";
    append_json_number(line, pair.jaccard);
    line += "}\n";
    file.write(line);
  }
  file.commit();
}

}  // namespace curate
