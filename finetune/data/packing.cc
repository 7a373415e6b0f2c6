// Which documents stand in which row, and in which order the rows come. Tested by tests/finetune/packing_test.cc.
#include "finetune/data/packing.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/random.h"

namespace finetune {

std::vector<RowPlan> plan_rows(const Examples& examples, std::int64_t max_length, bool packing, std::uint64_t seed) {
  base::Random random(seed);
  std::vector<std::uint32_t> order(examples.size());
  std::iota(order.begin(), order.end(), 0u);
  base::shuffle(order, random);
  std::vector<RowPlan> rows;
  if (!packing) {
    for (std::uint32_t document : order) rows.push_back({document});
    return rows;
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return examples.length(a) > examples.length(b); });
  std::map<std::int64_t, std::vector<std::uint32_t>> rows_by_room;
  for (std::uint32_t document : order) {
    const auto length = static_cast<std::int64_t>(examples.length(document));
    std::int64_t room = max_length;
    auto row = static_cast<std::uint32_t>(rows.size());
    if (auto best = rows_by_room.lower_bound(length); best != rows_by_room.end()) {
      room = best->first;
      row = best->second.back();
      best->second.pop_back();
      if (best->second.empty()) rows_by_room.erase(best);
    } else {
      rows.emplace_back();
    }
    rows[row].push_back(document);
    if (room > length) rows_by_room[room - length].push_back(row);
  }
  base::shuffle(rows, random);
  return rows;
}

RowStream::RowStream(Examples examples, std::int64_t max_length, bool packing, std::uint64_t seed)
    : examples_(std::move(examples)), max_length_(max_length), packing_(packing), seed_(seed) {
  rows_ = plan_rows(examples_, max_length_, packing_, base::mix64(seed_));
  epoch_ = 0;
  rows_per_epoch_ = static_cast<std::int64_t>(rows_.size());
}

const RowPlan& RowStream::row(std::int64_t number) {
  const std::int64_t epoch = number / rows_per_epoch_;
  if (epoch != epoch_) {
    rows_ = plan_rows(examples_, max_length_, packing_, base::mix64(seed_ + static_cast<std::uint64_t>(epoch)));
    epoch_ = epoch;
  }
  return rows_[static_cast<std::size_t>(number % rows_per_epoch_)];
}

PackedRow make_row(const Examples& examples, std::span<const std::uint32_t> documents, at::Device device) {
  constexpr std::int64_t kNotTrained = -100;
  PackedRow row;
  std::int64_t total = 0;
  for (std::uint32_t document : documents) total += static_cast<std::int64_t>(examples.length(document));
  row.ids = at::empty({total}, at::kLong);
  row.targets = at::empty({total}, at::kLong);
  auto* ids = row.ids.mutable_data_ptr<std::int64_t>();
  auto* targets = row.targets.mutable_data_ptr<std::int64_t>();
  for (std::uint32_t document : documents) {
    const ExampleView example = examples[document];
    const std::size_t length = example.ids.size();
    for (std::size_t i = 0; i < length; ++i) {
      const bool trained = i + 1 < length && i + 1 != example.second && example.trained[i + 1];
      *ids++ = example.ids[i];
      *targets++ = trained ? example.ids[i + 1] : kNotTrained;
      row.trained += trained && example.trained[i + 1] != kCompared;
    }
    if (example.second > 0) {
      row.lengths.push_back(static_cast<std::int64_t>(example.second));
      row.desirable.push_back(std::ranges::find(example.trained, kUndesirable) == example.trained.end());
      row.references.insert(row.references.end(), example.reference.begin(), example.reference.end());
    }
    row.lengths.push_back(static_cast<std::int64_t>(length - example.second));
  }
  row.ids = row.ids.to(device);
  row.targets = row.targets.to(device);
  return row;
}

PackedRow make_batch(const Examples& examples, std::span<const RowPlan> rows, std::int64_t first, at::Device device) {
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 24;  // of a row: a place is a row's number and one in it
  RowPlan documents;
  for (const RowPlan& row : rows) documents.insert(documents.end(), row.begin(), row.end());
  PackedRow batch = make_row(examples, documents, device);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::int64_t place{(first + static_cast<std::int64_t>(i)) * kMostTokens};
    for (const std::uint32_t document : rows[i])
      for (int part = examples[document].second > 0 ? 2 : 1; part > 0; --part) {
        const std::int64_t length{batch.lengths[batch.places.size()]};
        batch.places.push_back(place);
        place += length;
      }
  }
  return batch;
}

}  // namespace finetune
