// Which documents are dropped for which, within a budget of memory. Tested by tests/curate/dedup/deduplicate_test.cc.
#include "curate/dedup/duplicate_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <numeric>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/text.h"
#include "curate/dedup/duplicate_group.h"

namespace curate {
namespace {

template <class F>
void for_each_print(const DuplicateSearch& search, F&& f) {
  constexpr std::uint64_t kAtOnce = 4096;
  std::vector<Fingerprint> prints;
  for (std::uint64_t first = 0; first < search.documents; first += kAtOnce) {
    prints.resize(std::min(kAtOnce, search.documents - first));
    search.prints(first, prints);
    for (std::size_t i = 0; i < prints.size(); ++i) f(static_cast<std::uint32_t>(first + i), prints[i]);
  }
}

// Key -> the document that had it first. Open addressing; grows when it must.
class FirstWithKey {
 public:
  static constexpr std::uint64_t kSlotBytes = 16;
  explicit FirstWithKey(std::uint64_t slots) : slots_(std::max<std::uint64_t>(slots, 64)) {}
  // The document that was given with `key` first: `document` itself when it is the first.
  std::uint32_t add(std::uint64_t key, std::uint32_t document) {
    if (used_ * 10 > slots_.size() * 9) grow();
    Slot& slot = find(key);
    if (slot.document == kEmpty) {
      slot = {key, document};
      ++used_;
    }
    return slot.document;
  }
  void clear() {
    std::fill(slots_.begin(), slots_.end(), Slot{});
    used_ = 0;
  }

 private:
  static constexpr std::uint32_t kEmpty = ~std::uint32_t{0};
  struct Slot {
    std::uint64_t key = 0;
    std::uint32_t document = kEmpty;
  };
  static_assert(sizeof(Slot) == kSlotBytes);
  Slot& find(std::uint64_t key) {
    auto place = static_cast<std::size_t>((static_cast<unsigned __int128>(base::mix64(key)) * slots_.size()) >> 64);
    while (slots_[place].document != kEmpty && slots_[place].key != key)
      place = place + 1 < slots_.size() ? place + 1 : 0;
    return slots_[place];
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.document != kEmpty) find(slot.key) = slot;
  }
  std::vector<Slot> slots_;
  std::uint64_t used_ = 0;
};

// document -> the first document of its component: those that share a content or a band, directly or over others. The
// keys are looked at slice by slice, a slice being a range of their values, with tables of `bytes` in all.
std::vector<std::uint32_t> find_components(const DuplicateSearch& search, bool near, std::uint64_t bytes) {
  std::vector<std::uint32_t> parent(search.documents);
  std::iota(parent.begin(), parent.end(), 0u);
  auto root = [&](std::uint32_t document) {
    while (parent[document] != document) document = parent[document] = parent[parent[document]];
    return document;
  };
  const auto threads = static_cast<std::uint64_t>(std::max(1, search.threads));
  const std::uint64_t keys = search.documents * (near ? kBands : 1), slots = bytes / threads / FirstWithKey::kSlotBytes;
  const std::uint64_t slices = std::max(threads, keys * 5 / 3 / std::max<std::uint64_t>(slots, 64) + 1);
  std::vector<FirstWithKey> tables;
  for (std::uint64_t i = 0; i < threads; ++i) tables.emplace_back(std::min(slots, keys * 5 / 3 / slices + 64));
  std::mutex mutex;
  base::parallel_for(slices, search.threads, [&](std::size_t slice, int worker) {
    FirstWithKey& table = tables[static_cast<std::size_t>(worker)];
    table.clear();
    auto add = [&](std::uint64_t key, std::uint32_t document) {
      if (((key >> 32) * slices) >> 32 != slice) return;
      const std::uint32_t first = table.add(key, document);
      if (first == document) return;
      std::lock_guard lock(mutex);
      std::uint32_t a = root(first), b = root(document);
      parent[std::max(a, b)] = std::min(a, b);
    };
    for_each_print(search, [&](std::uint32_t document, const Fingerprint& print) {
      // Equal texts have equal bands; without a word they have none.
      if (print.shingles == 0) return add(print.content[0], document);
      for (std::uint64_t key : print.bands) add(key, document);
    });
  });
  for (std::uint32_t& first : parent) first = parent[first];  // a first document comes before the others
  return parent;
}

constexpr std::uint32_t kAlone = ~std::uint32_t{0};

[[noreturn]] void too_little(const DuplicateSearch& search, std::uint64_t needed) {
  const std::uint64_t all = search.budget > 0 ? search.budget : search.memory + search.elsewhere;
  const std::uint64_t least = std::max((needed + search.elsewhere + (1 << 20) - 1) >> 20, (all >> 20) + 1);
  throw base::Error(
      {"the memory is too little to find the duplicates of " + base::human_count(search.documents) + " documents",
       "--memory", fmt::format("{}M", all >> 20), fmt::format("at least {}M", least),
       fmt::format("curate run goes on with more: --resume --memory {}M, or with fewer --threads", least)});
}

}  // namespace

std::string bounded_note(std::uint64_t documents) {
  return base::human_count(documents) + (documents == 1 ? " document shares" : " documents share") +
         " bands with more kept ones than max_candidates, as pages of one template do: compared were the likeliest "
         "only "
         "(max_candidates: 0 compares with all)";
}

std::vector<Duplicate> find_duplicates(const DuplicateSearch& search, const DuplicateOptions& options, PairList* pairs,
                                       std::uint64_t* bounded) {
  std::uint64_t unwanted = 0;
  if (bounded == nullptr) bounded = &unwanted;
  const std::uint64_t n = search.documents, each = group_bytes(options, search.threads);
  if (n >= kAlone) throw base::Error("more than 4294967294 documents cannot be compared in one run");
  // A fourth of what there is goes to shingle sets.
  auto rows_in = [&](std::uint64_t bytes) { return std::min<std::uint64_t>(bytes / 4 * 3 / each, kAlone / kBands); };
  auto decide = [&](std::span<const Fingerprint> prints, std::uint64_t bytes,
                    const std::function<std::uint64_t(std::uint32_t)>& index) {
    DocumentGroup group{prints, options, search.threads, search.sets, bytes - prints.size() * each, {}};
    if (pairs != nullptr)
      group.on_pair = [&](std::uint32_t a, std::uint32_t b, double jaccard) {
        pairs->add({index(a), index(b), jaccard});
      };
    return decide_group(group, *bounded);
  };
  if (n <= rows_in(search.memory)) {
    std::vector<Fingerprint> prints(n);
    search.prints(0, prints);
    return decide(prints, search.memory, [](std::uint32_t i) { return i; });
  }
  const std::uint64_t fixed = n * (sizeof(Duplicate) + 2 * sizeof(std::uint32_t));
  if (search.memory < fixed + 100 * each) too_little(search, fixed + 100 * each);
  const std::uint64_t rest = search.memory - fixed;
  const std::vector<std::uint32_t> first = find_components(search, options.near, rest);
  // Components are put into groups, in order, as many as fit; those of one document into none.
  std::vector<std::uint32_t> group(n, 0);
  std::uint64_t largest = 0;
  for (std::uint32_t document : first) largest = std::max<std::uint64_t>(largest, ++group[document]);
  if (largest > rows_in(rest)) too_little(search, fixed + (largest + 1) * each / 3 * 4 + 4);
  std::vector<std::uint64_t> sizes;
  for (std::uint32_t document = 0; document < n; ++document) {
    if (first[document] != document) continue;
    const std::uint64_t size = group[document];
    if (size > 1 && (sizes.empty() || sizes.back() + size > rows_in(rest))) sizes.push_back(0);
    group[document] = size == 1 ? kAlone : static_cast<std::uint32_t>(sizes.size() - 1);
    if (size > 1) sizes.back() += size;
  }
  std::vector<Duplicate> result(n);
  for (std::uint32_t number = 0; number < sizes.size(); ++number) {
    std::vector<Fingerprint> prints;
    std::vector<std::uint32_t> index;
    prints.reserve(sizes[number]);
    index.reserve(sizes[number]);
    for_each_print(search, [&](std::uint32_t document, const Fingerprint& print) {
      if (group[first[document]] != number) return;
      prints.push_back(print);
      index.push_back(document);
    });
    std::vector<Duplicate> decided = decide(prints, rest, [&](std::uint32_t i) { return index[i]; });
    for (std::size_t i = 0; i < decided.size(); ++i)
      if (decided[i].dropped()) result[index[i]] = {index[decided[i].of], decided[i].exact, decided[i].jaccard};
  }
  return result;
}

}  // namespace curate
