// Which numbers of a tensor are kept when it is made sparse. The largest are found without sorting: their sizes' bits
// are counted, the upper half first. Tested by tests/lora/adapter/kept_numbers_test.cc.
#include "lora/adapter/kept_numbers.h"

#include <bit>
#include <limits>
#include <mutex>

#include "base/parallel.h"
#include "base/random.h"

namespace lora {
namespace {

using Counts = std::vector<std::int64_t>;

constexpr std::size_t kHalf = std::size_t{1} << 16;

// The size of a number as an integer: in the same order.
std::uint32_t size_bits(float value) { return std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFF; }

// Calls visit(first row, numbers) for all parts of the tensor, from several threads.
template <class Visit>
void each_part(const TensorRows& tensor, int threads, const Visit& visit) {
  base::parallel_for(tensor.parts.size(), threads, [&](std::size_t part, int) {
    const auto [first, rows] = tensor.parts[part];
    std::vector<float> values(static_cast<std::size_t>(rows * tensor.columns));
    tensor.read(first, values);
    visit(first, std::span<const float>(values));
  });
}

// How many numbers have each half of bits that `half_of` gives of a size; a negative one is not counted.
template <class Half>
Counts counted(const TensorRows& tensor, int threads, const Half& half_of) {
  Counts total(kHalf, 0);
  std::mutex mutex;
  each_part(tensor, threads, [&](std::int64_t, std::span<const float> values) {
    Counts own(kHalf, 0);
    for (const float value : values)
      if (const std::int64_t half{half_of(size_bits(value))}; half >= 0) ++own[static_cast<std::size_t>(half)];
    const std::lock_guard lock(mutex);
    for (std::size_t i = 0; i < kHalf; ++i) total[i] += own[i];
  });
  return total;
}

// The half, from above, in which the `wanted`th number lies; `wanted` becomes its place there, from 1.
std::uint32_t half_of_number(const Counts& counts, std::int64_t& wanted) {
  std::size_t half = counts.size() - 1;
  for (; counts[half] < wanted; --half) wanted -= counts[half];
  return static_cast<std::uint32_t>(half);
}

}  // namespace

KeptLargest::KeptLargest(const TensorRows& tensor, std::int64_t keep, int threads) {
  if (keep >= tensor.rows * tensor.columns) return;
  if (keep == 0) {
    least_ = std::numeric_limits<std::uint32_t>::max();
    return;
  }
  const Counts upper = counted(tensor, threads, [](std::uint32_t size) { return std::int64_t{size >> 16}; });
  const std::uint32_t half{half_of_number(upper, keep)};
  const Counts lower = counted(tensor, threads, [half](std::uint32_t size) {
    return size >> 16 == half ? std::int64_t{size & 0xFFFF} : std::int64_t{-1};
  });
  const std::uint32_t rest{half_of_number(lower, keep)};
  least_ = half << 16 | rest;
  if (least_ == 0 || lower[rest] == keep) return;  // a zero stays zero; or all of that size are kept
  equal_kept_ = keep;
  equal_before_.assign(static_cast<std::size_t>(tensor.rows) + 1, 0);
  each_part(tensor, threads, [&](std::int64_t first, std::span<const float> values) {
    for (std::size_t i = 0; i < values.size(); ++i)
      if (size_bits(values[i]) == least_)
        ++equal_before_[static_cast<std::size_t>(first) + i / static_cast<std::size_t>(tensor.columns) + 1];
  });
  for (std::size_t row = 1; row < equal_before_.size(); ++row) equal_before_[row] += equal_before_[row - 1];
}

void KeptLargest::prune(std::int64_t first, std::span<float> values) const {
  std::int64_t equal{equal_before_.empty() ? 0 : equal_before_[static_cast<std::size_t>(first)]};
  for (float& value : values) {
    const std::uint32_t size{size_bits(value)};
    const bool is_equal{size == least_ && !equal_before_.empty()};
    if (size < least_ || (is_equal && equal >= equal_kept_)) value = 0;
    equal += is_equal;
  }
}

std::uint64_t chance_key(std::uint64_t start, std::string_view name) {
  std::uint64_t key{base::mix64(start)};
  for (const char letter : name) key = base::mix64(key ^ static_cast<unsigned char>(letter));
  return key;
}

void drop_by_chance(std::uint64_t key, double density, std::int64_t first, std::span<float> values) {
  key += static_cast<std::uint64_t>(first);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (base::unit(base::mix64(key + i)) >= density) values[i] = 0;
}

}  // namespace lora
