// Which documents stand in which row, and in which order the rows come.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "finetune/data/examples.h"
#include "finetune/model/model.h"

namespace finetune {

/// The documents of one row: indices into the examples.
using RowPlan = std::vector<std::uint32_t>;

/// The rows of one epoch. With `packing`: best-fit-decreasing, i.e. documents from long to short, each into the row
/// with the least room that still holds it, rows of at most `max_length` tokens; without: one document a row.
/// `seed` decides which of equally long documents comes first and then the order of the rows.
std::vector<RowPlan> plan_rows(const Examples& examples, std::int64_t max_length, bool packing, std::uint64_t seed);

/// Rows without end, epoch after epoch, each epoch in an order of its own that depends on nothing but `seed` and the
/// epoch's number: a resumed run finds its place by the row's number alone.
class RowStream {
 public:
  /// `examples` must not be empty.
  RowStream(Examples examples, std::int64_t max_length, bool packing, std::uint64_t seed);
  /// The same for every epoch, because best-fit-decreasing only looks at the lengths.
  std::int64_t rows_per_epoch() const { return rows_per_epoch_; }
  const RowPlan& row(std::int64_t number);

 private:
  Examples examples_;
  std::int64_t max_length_;
  bool packing_;
  std::uint64_t seed_;
  std::int64_t epoch_ = -1, rows_per_epoch_ = 0;
  std::vector<RowPlan> rows_;
};

/// Lays `documents` end to end, the tensors on `device`. The target of a position is the next token of the same
/// document where that token is trained: the label of a document's first token is never used.
PackedRow make_row(const Examples& examples, std::span<const std::uint32_t> documents, at::Device device = at::kCPU);

/// Rows `first` and those behind it of a step as one, whose random numbers are those of these rows by themselves.
PackedRow make_batch(const Examples& examples, std::span<const RowPlan> rows, std::int64_t first, at::Device device);

}  // namespace finetune
