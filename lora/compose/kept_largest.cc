// The largest numbers of a tensor, found without having it whole in memory: their sizes' bits are counted, the upper
// half first. Tested by tests/lora/compose/kept_largest_test.cc.
#include "lora/compose/kept_largest.h"

#include <algorithm>
#include <bit>
#include <string>

#include "base/error.h"
#include "lora/adapter/tensor_stream.h"

namespace lora {
namespace {

constexpr std::uint32_t kInfinity = 0x7F800000;

std::uint32_t size_bits(float value) { return std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFF; }

// Calls visit(first row, numbers) for all of the tensor.
void each_part(const RowReader& read, const std::vector<std::int64_t>& shape, std::int64_t unit, std::int64_t row,
               const std::function<void(std::int64_t first, std::span<const float> values)>& visit) {
  std::vector<float> values;
  for (const RowRange& rows : row_ranges(shape, unit)) {
    values.resize(static_cast<std::size_t>(rows.count * row));
    read(rows.first, values);
    visit(rows.first, values);
  }
}

// The bin, from above, in which the `wanted`th number lies; `wanted` becomes its place there, from 1.
std::uint32_t bin_of(const std::vector<std::uint64_t>& counts, std::uint64_t& wanted) {
  std::size_t bin = counts.size() - 1;
  for (; counts[bin] < wanted; --bin) wanted -= counts[bin];
  return static_cast<std::uint32_t>(bin);
}

}  // namespace

KeptLargest::KeptLargest(const std::string& name, const RowReader& read, const std::vector<std::int64_t>& shape,
                         std::int64_t unit, double density)
    : row_(shape.size() == 1 ? 1 : shape[1]) {
  const std::int64_t all{shape[0] * row_};
  std::uint64_t wanted{static_cast<std::uint64_t>(std::max<double>(1, density * static_cast<double>(all)))};
  std::vector<std::uint64_t> upper(1U << 15), lower(1U << 16);
  each_part(read, shape, unit, row_, [&](std::int64_t, std::span<const float> values) {
    for (const float value : values) {
      if (size_bits(value) >= kInfinity)
        throw base::Error({"the weights are not finite numbers", name, "", "", "the model is damaged; fetch it again"});
      ++upper[size_bits(value) >> 16];
    }
  });
  const std::uint32_t bin{bin_of(upper, wanted)};
  each_part(read, shape, unit, row_, [&](std::int64_t, std::span<const float> values) {
    for (const float value : values)
      if (size_bits(value) >> 16 == bin) ++lower[size_bits(value) & 0xFFFF];
  });
  const std::uint32_t rest{bin_of(lower, wanted)};
  least_ = bin << 16 | rest;
  if (least_ == 0 || lower[rest] == wanted) return;  // a zero stays zero; or all of that size are kept
  equal_kept_ = wanted;
  const std::size_t rows{shape.size() == 1 ? 1 : static_cast<std::size_t>(shape[0])};
  equal_before_.assign(rows + 1, 0);
  each_part(read, shape, unit, row_, [&](std::int64_t first, std::span<const float> values) {
    for (std::size_t i = 0; i < values.size(); ++i)
      if (size_bits(values[i]) == least_)
        ++equal_before_[rows == 1 ? 1 : static_cast<std::size_t>(first) + i / static_cast<std::size_t>(row_) + 1];
  });
  for (std::size_t i = 1; i <= rows; ++i) equal_before_[i] += equal_before_[i - 1];
}

void KeptLargest::prune(std::int64_t first, std::span<float> values) const {
  std::uint64_t equal{equal_before_.empty() ? 0 : equal_before_[static_cast<std::size_t>(first)]};
  for (float& value : values) {
    const std::uint32_t size{size_bits(value)};
    const bool is_equal{size == least_ && !equal_before_.empty()};
    if (size < least_ || (is_equal && equal >= equal_kept_)) value = 0;
    equal += is_equal;
  }
}

}  // namespace lora
