// Inside the search for duplicates: documents that fit into memory are decided together. Tested by
// tests/curate/dedup/deduplicate_test.cc.
#include "curate/dedup/duplicate_group.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "base/parallel.h"

namespace curate {
namespace {

constexpr std::uint32_t kNoBucket = ~std::uint32_t{0};

// Documents that share a band key, per band; then the connected components of sharing, which are independent of each
// other. Only `members` (one per distinct text, by index) take part.
struct Buckets {
  std::vector<std::uint32_t> of;       // member x band -> bucket, or kNoBucket when alone
  std::vector<std::uint32_t> begin;    // bucket -> its first place in a list of all buckets' members; and the end
  std::vector<std::uint32_t> members;  // of the components of two and more, one after another, each in the order given
  struct Component {
    std::uint32_t begin, size;
  };
  std::vector<Component> components;
};

// Fills `of` for one band with buckets counted from 0; returns their sizes.
std::vector<std::uint32_t> fill_band(std::span<const Fingerprint> prints, std::span<const std::uint32_t> members,
                                     std::size_t band, std::vector<std::uint32_t>& of) {
  struct Key {
    std::uint64_t key;
    std::uint32_t member;
  };
  std::vector<Key> keys;
  keys.reserve(members.size());
  for (std::uint32_t m = 0; m < members.size(); ++m)
    if (prints[members[m]].shingles > 0) keys.push_back({prints[members[m]].bands[band], m});
  std::sort(keys.begin(), keys.end(), [](const Key& x, const Key& y) { return x.key < y.key; });
  auto for_each_run = [&](auto&& f) {
    for (std::size_t i = 0, j; i < keys.size(); i = j) {
      for (j = i + 1; j < keys.size() && keys[j].key == keys[i].key;) ++j;
      if (j - i >= 2) f(i, j);
    }
  };
  std::size_t runs = 0;
  for_each_run([&](std::size_t, std::size_t) { ++runs; });
  std::vector<std::uint32_t> sizes;
  sizes.reserve(runs);
  for_each_run([&](std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k)
      of[std::size_t{keys[k].member} * kBands + band] = static_cast<std::uint32_t>(sizes.size());
    sizes.push_back(static_cast<std::uint32_t>(end - begin));
  });
  return sizes;
}

Buckets make_buckets(std::span<const Fingerprint> prints, std::span<const std::uint32_t> members, int threads) {
  Buckets buckets;
  const auto n = static_cast<std::uint32_t>(members.size());
  buckets.of.assign(std::size_t{n} * kBands, kNoBucket);
  std::vector<std::vector<std::uint32_t>> sizes(kBands);
  base::parallel_for(kBands, threads,
                     [&](std::size_t band, int) { sizes[band] = fill_band(prints, members, band, buckets.of); });
  std::size_t count = 0;
  for (const auto& of_band : sizes) count += of_band.size();
  buckets.begin.reserve(count + 1);
  std::uint32_t place = 0, first_bucket[kBands];
  for (int band = 0; band < kBands; ++band) {
    first_bucket[band] = static_cast<std::uint32_t>(buckets.begin.size());
    for (std::uint32_t size : sizes[static_cast<std::size_t>(band)]) {
      buckets.begin.push_back(place);
      place += size;
    }
    std::vector<std::uint32_t>().swap(sizes[static_cast<std::size_t>(band)]);
  }
  buckets.begin.push_back(place);

  std::vector<std::uint32_t> parent(n), first(count, kNoBucket);
  std::iota(parent.begin(), parent.end(), 0u);
  auto root = [&](std::uint32_t m) {
    while (parent[m] != m) m = parent[m] = parent[parent[m]];
    return m;
  };
  for (std::uint32_t m = 0; m < n; ++m) {
    for (int band = 0; band < kBands; ++band) {
      std::uint32_t& bucket = buckets.of[std::size_t{m} * kBands + static_cast<std::size_t>(band)];
      if (bucket == kNoBucket) continue;
      bucket += first_bucket[band];
      if (first[bucket] == kNoBucket) first[bucket] = m;
      std::uint32_t a = root(first[bucket]), b = root(m);
      parent[std::max(a, b)] = std::min(a, b);
    }
  }
  std::vector<std::uint32_t>().swap(first);
  // Roots come before the others; `next` counts a component's members, then says where the next one goes.
  std::vector<std::uint32_t> next(n, 0);
  for (std::uint32_t m = 0; m < n; ++m) ++next[parent[m] = parent[parent[m]]];
  std::uint32_t filled = 0;
  for (std::uint32_t m = 0; m < n; ++m) {
    if (parent[m] != m || next[m] < 2) continue;
    buckets.components.push_back({filled, next[m]});
    filled += std::exchange(next[m], filled);
  }
  buckets.members.resize(filled);
  for (std::uint32_t m = 0; m < n; ++m) {
    const std::size_t band_begin = std::size_t{m} * kBands;
    const auto* of = &buckets.of[band_begin];
    if (std::any_of(of, of + kBands, [](std::uint32_t bucket) { return bucket != kNoBucket; }))
      buckets.members[next[parent[m]]++] = m;
  }
  return buckets;
}

// Gathers what a document is compared with: the kept members of its buckets, at most `most` of them (0: all). Returns
// whether that is not all.
class CandidateList {
 public:
  // `lists`: the kept members of each bucket, ascending.
  bool gather(std::vector<std::span<const std::uint32_t>>& lists, std::size_t most) {
    members_.clear();
    std::size_t total = 0;
    for (const auto& list : lists) total += list.size();
    if (most == 0 || total <= most) {
      for (const auto& list : lists) members_.insert(members_.end(), list.begin(), list.end());
      std::sort(members_.begin(), members_.end());
      members_.erase(std::unique(members_.begin(), members_.end()), members_.end());
      return false;
    }
    // What few have in common tells more.
    std::stable_sort(lists.begin(), lists.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
    for (const auto& list : lists) {
      const std::size_t known = members_.size();
      for (std::uint32_t member : list) {
        if (std::binary_search(members_.begin(), members_.begin() + static_cast<std::ptrdiff_t>(known), member))
          continue;
        if (members_.size() == most) {
          std::sort(members_.begin(), members_.end());
          return true;
        }
        members_.push_back(member);
      }
      std::inplace_merge(members_.begin(), members_.begin() + static_cast<std::ptrdiff_t>(known), members_.end());
    }
    return false;
  }
  const std::vector<std::uint32_t>& members() const { return members_; }  // ascending: the most preferred first

 private:
  std::vector<std::uint32_t> members_;
};

// Shingle sets by member, forgotten all at once when they become too many.
class SetCache {
 public:
  explicit SetCache(std::uint64_t limit) : limit_(limit) {}
  const std::vector<std::uint64_t>* find(std::uint32_t member) const {
    auto found = sets_.find(member);
    return found == sets_.end() ? nullptr : &found->second;
  }
  void add(std::uint32_t member, const std::vector<std::uint64_t>& set) {
    const std::uint64_t size = 100 + set.size() * sizeof(std::uint64_t);  // with its node and its table's slot
    if (bytes_ + size > limit_) clear();
    bytes_ += size;
    sets_.emplace(member, set);
  }
  void clear() {
    sets_.clear();
    bytes_ = 0;
  }

 private:
  std::uint64_t limit_, bytes_ = 0;
  std::unordered_map<std::uint32_t, std::vector<std::uint64_t>> sets_;
};

}  // namespace

// In deduplicate's order of appearance: print, index in the whole, result, order or members and copies; then the
// buckets: `of`, and either the keys of the bands that are being sorted, or what the components and kept lists take.
std::uint64_t group_bytes(const DuplicateOptions& options, int threads) {
  const std::uint64_t always = sizeof(Fingerprint) + 4 + sizeof(Duplicate) + 4 + 4 + 8;
  if (!options.near) return always;
  const std::uint64_t sorted = 16 * static_cast<std::uint64_t>(std::clamp(threads, 1, kBands)), sizes = 4 * kBands / 2;
  const std::uint64_t begins = 4 * kBands / 2, kept = 4 * kBands, filled = 4 * kBands / 2, components = 4 + 4 + 4;
  return always + 4 * kBands + begins + components + std::max(sorted + sizes, kept + filled);
}

namespace {

// Decides about one group: first exact copies, then stars of near ones.
class GroupSearch {
 public:
  explicit GroupSearch(const DocumentGroup& group)
      : group_(group),
        by_index_(group.options.keep == "first" || group.options.keep == "source_order"),
        most_(group.on_pair ? 0 : static_cast<std::size_t>(group.options.max_candidates)),
        members_(group.prints.size()),
        result_(group.prints.size()) {}

  std::vector<Duplicate> decide(std::uint64_t& bounded) {
    set_copies_aside();
    if (group_.options.near) decide_near(bounded);
    for (const auto& [copy, first] : copies_) {
      result_[copy] = result_[first].dropped() ? result_[first] : Duplicate{first, true, 1};
      report(copy, first, 1);
    }
    return std::move(result_);
  }

 private:
  struct Worker {
    std::vector<std::span<const std::uint32_t>> lists;
    CandidateList candidates;
    std::vector<std::uint64_t> set, again;
    std::uint64_t bounded = 0;
  };

  bool preferred(std::uint32_t x, std::uint32_t y) const {
    const Fingerprint &a = group_.prints[x], &b = group_.prints[y];
    if (a.preference != b.preference) return a.preference > b.preference;
    if (by_index_) return x < y;
    return std::tie(a.content[0], a.content[1], a.id_hash, x) < std::tie(b.content[0], b.content[1], b.id_hash, y);
  }

  void report(std::uint32_t x, std::uint32_t y, double similarity) const {
    if (group_.on_pair) group_.on_pair(std::min(x, y), std::max(x, y), similarity);
  }

  // The same text: the preferred copy stands for all. Leaves one of each text in `members_`.
  void set_copies_aside() {
    std::iota(members_.begin(), members_.end(), 0u);
    std::sort(members_.begin(), members_.end(), [&](std::uint32_t x, std::uint32_t y) {
      const Fingerprint &a = group_.prints[x], &b = group_.prints[y];
      if (a.content[0] != b.content[0]) return a.content[0] < b.content[0];
      if (a.content[1] != b.content[1]) return a.content[1] < b.content[1];
      return preferred(x, y);
    });
    std::size_t distinct = 0;
    for (const std::uint32_t document : members_) {
      const std::uint32_t first = distinct == 0 ? document : members_[distinct - 1];
      if (first != document && std::ranges::equal(group_.prints[first].content, group_.prints[document].content)) {
        copies_.emplace_back(document, first);
      } else {
        members_[distinct++] = document;
      }
    }
    members_.resize(distinct);
  }

  void decide_near(std::uint64_t& bounded) {
    std::sort(members_.begin(), members_.end(), [&](std::uint32_t x, std::uint32_t y) { return preferred(x, y); });
    buckets_ = make_buckets(group_.prints, members_, group_.threads);
    kept_.resize(buckets_.begin.back());
    filled_.assign(buckets_.begin.begin(), buckets_.begin.end() - 1);
    // Large components first, so that no thread is left alone with one at the end.
    std::stable_sort(buckets_.components.begin(), buckets_.components.end(),
                     [](const auto& a, const auto& b) { return a.size > b.size; });
    std::vector<Worker> workers(static_cast<std::size_t>(std::max(1, group_.threads)));
    base::parallel_for(buckets_.components.size(), group_.threads, [&](std::size_t number, int worker) {
      SetCache cache(group_.set_bytes / workers.size());
      const auto& component = buckets_.components[number];
      for (const std::uint32_t m : std::span(buckets_.members).subspan(component.begin, component.size))
        decide_member(m, worker, workers[static_cast<std::size_t>(worker)], cache);  // in order of preference
    });
    for (const Worker& worker : workers) bounded += worker.bounded;
  }

  void decide_member(std::uint32_t m, int number, Worker& worker, SetCache& cache) {
    const std::span<const std::uint32_t> of(&buckets_.of[std::size_t{m} * kBands], kBands);
    worker.lists.clear();
    for (const std::uint32_t bucket : of)
      if (bucket != kNoBucket)
        worker.lists.emplace_back(kept_.data() + buckets_.begin[bucket], kept_.data() + filled_[bucket]);
    worker.bounded += worker.candidates.gather(worker.lists, most_);
    group_.sets(group_.prints[members_[m]], number, worker.set);
    find_nearest(m, number, worker, cache);
    if (result_[members_[m]].dropped() && !group_.on_pair) return;
    cache.add(m, worker.set);
    for (const std::uint32_t bucket : of)
      if (bucket != kNoBucket) kept_[filled_[bucket]++] = m;
  }

  // The nearest kept candidate, of equally near ones the most preferred, drops the member.
  void find_nearest(std::uint32_t m, int number, Worker& worker, SetCache& cache) {
    Duplicate& duplicate = result_[members_[m]];
    double best = 0;
    for (const std::uint32_t candidate : worker.candidates.members()) {  // the most preferred first
      const std::vector<std::uint64_t>* other = cache.find(candidate);
      if (other == nullptr) {
        group_.sets(group_.prints[members_[candidate]], number, worker.again);
        cache.add(candidate, worker.again);
        other = &worker.again;
      }
      const double similarity = jaccard(*other, worker.set, group_.options.threshold);
      if (similarity < 0) continue;
      const std::uint32_t x = members_[candidate];
      report(x, members_[m], similarity);
      if (!result_[x].dropped() && similarity > best) {
        best = similarity;
        duplicate = {x, false, similarity};
      }
    }
  }

  const DocumentGroup& group_;
  const bool by_index_;
  const std::size_t most_;              // candidates of one member; 0: all
  std::vector<std::uint32_t> members_;  // one of each text
  std::vector<Duplicate> result_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> copies_;  // copy, the one that stands for it
  Buckets buckets_;
  std::vector<std::uint32_t> kept_, filled_;  // of each bucket, the members that later ones are compared with
};

}  // namespace

std::vector<Duplicate> decide_group(const DocumentGroup& group, std::uint64_t& bounded) {
  return GroupSearch(group).decide(bounded);
}

}  // namespace curate
