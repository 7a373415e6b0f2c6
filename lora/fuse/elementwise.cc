// TIES, DARE and pruning of true changes. Tested by tests/lora/fuse/elementwise_test.cc.
#include "lora/fuse/elementwise.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <mutex>

#include "base/error.h"
#include "base/parallel.h"
#include "base/random.h"

namespace lora {
namespace {

using Eigen::Index;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// The rows of a weight in pieces, always the same ones, so that every pass computes the same numbers.
struct Pieces {
  Index rows, columns, of;  // `of`: rows of a piece
  explicit Pieces(const AdapterModule& module)
      : rows(module.out), columns(module.in), of(std::max<Index>(1, (Index{1} << 18) / module.in)) {}
  std::size_t count() const { return static_cast<std::size_t>((rows + of - 1) / of); }
  Index first(std::size_t piece) const { return static_cast<Index>(piece) * of; }
  Index size(std::size_t piece) const { return std::min(of, rows - first(piece)); }
};

RowMajor change_of(const AdapterModule& module, Index first, Index count) {
  const Eigen::Map<const RowMajor> a(module.a.data(), module.rank, module.in);
  const Eigen::Map<const RowMajor> b(module.b.data() + first * module.rank, count, module.rank);
  RowMajor change = (b * a) * static_cast<float>(module.scale);
  bool is_finite = true;
  for (const float value : change.reshaped()) is_finite &= std::fabs(value) <= std::numeric_limits<float>::max();
  if (!is_finite)
    throw base::Error({"the adapter's numbers are not finite", module.name, "", "",
                       "the adapter is damaged; did the training diverge?"});
  return change;
}

// The size of a number as an integer: in the same order.
std::uint32_t size_bits(float value) { return std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFFU; }

// Numbers of size above `border` are kept, and of those of just this size the first `equal_kept`.
struct Border {
  std::uint32_t size = 0;
  std::int64_t equal_kept = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> equal_before{};  // of each piece; empty: all of them are kept
};

class Pruner {
 public:
  Pruner(const AdapterModule& module, double density, int threads)
      : module_(module), pieces_(module), threads_(threads) {
    keep_ = static_cast<std::int64_t>(density * static_cast<double>(module.out * module.in));
  }

  // Found in two passes of counting, by the upper and the lower half of the bits.
  Border border() const {
    Border border;
    if (keep_ >= module_.out * module_.in) return border;
    if (keep_ == 0) return {std::numeric_limits<std::uint32_t>::max(), 0, {}};
    std::int64_t above = 0;
    const auto upper = counted([](std::uint32_t size) { return std::int64_t{size >> 16}; });
    const std::uint32_t half{highest(upper, above)};
    const auto lower =
        counted([&](std::uint32_t size) { return size >> 16 == half ? std::int64_t{size & 0xFFFFU} : -1; });
    border.size = half << 16 | highest(lower, above);
    border.equal_kept = keep_ - above;
    if (border.size == 0) return {};  // zeros are left out or not: they stay zeros
    if (border.equal_kept < lower[border.size & 0xFFFFU]) border.equal_before = equal_before(border.size);
    return border;
  }

 private:
  using Counts = std::vector<std::int64_t>;

  template <class Bin>
  Counts counted(const Bin& bin) const {
    Counts total(std::size_t{1} << 16, 0);
    std::mutex mutex;
    base::parallel_for(pieces_.count(), threads_, [&](std::size_t piece, int) {
      Counts own(total.size(), 0);
      const RowMajor change = change_of(module_, pieces_.first(piece), pieces_.size(piece));
      for (const float value : change.reshaped())
        if (const std::int64_t place = bin(size_bits(value)); place >= 0) ++own[static_cast<std::size_t>(place)];
      const std::lock_guard lock(mutex);
      for (std::size_t i = 0; i < own.size(); ++i) total[i] += own[i];
    });
    return total;
  }

  // The bin in which the last number that is kept lies; `above` grows by those in higher ones.
  std::uint32_t highest(const Counts& counts, std::int64_t& above) const {
    for (std::size_t bin = counts.size(); bin-- > 0;) {
      if (above + counts[bin] >= keep_) return static_cast<std::uint32_t>(bin);
      above += counts[bin];
    }
    return 0;
  }

  Counts equal_before(std::uint32_t size) const {
    Counts equal(pieces_.count() + 1, 0);
    base::parallel_for(pieces_.count(), threads_, [&](std::size_t piece, int) {
      const RowMajor change = change_of(module_, pieces_.first(piece), pieces_.size(piece));
      for (const float value : change.reshaped()) equal[piece + 1] += size_bits(value) == size ? 1 : 0;
    });
    for (std::size_t piece = 0; piece + 1 < equal.size(); ++piece) equal[piece + 1] += equal[piece];
    return equal;
  }

  const AdapterModule& module_;
  Pieces pieces_;
  int threads_;
  std::int64_t keep_;
};

void prune(RowMajor& change, const Border& border, std::size_t piece) {
  std::int64_t equal = border.equal_before.empty() ? 0 : border.equal_before[piece];
  float* values = change.data();
  for (Index i = 0; i < change.size(); ++i) {
    const std::uint32_t size{size_bits(values[i])};
    if (size < border.size || (size == border.size && equal++ >= border.equal_kept)) values[i] = 0;
  }
}

// What chance depends on besides the place.
std::uint64_t key_of(std::uint64_t seed, const WeightedModule& weighted) {
  std::uint64_t key{base::mix64(seed ^ base::mix64(weighted.number + 1))};
  for (const char c : weighted.module->name) key = base::mix64(key ^ static_cast<unsigned char>(c));
  return key;
}

void drop(RowMajor& change, double density, std::uint64_t key, std::uint64_t first) {
  float* values = change.data();
  const float divisor{static_cast<float>(density)};
  for (Index i = 0; i < change.size(); ++i)
    values[i] =
        base::unit(base::mix64(key + first + static_cast<std::uint64_t>(i))) < density ? values[i] / divisor : 0;
}

// The numbers of one place in all changes.
float elected(std::span<const RowMajor> changes, std::span<const float> weights, Index place, bool by_frequency) {
  float total = 0;
  for (const RowMajor& change : changes) {
    const float value{change.data()[place]};
    total += by_frequency ? static_cast<float>((value > 0) - (value < 0)) : value;
  }
  const bool is_positive{total >= 0};
  float sum = 0;
  int count = 0;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const float value{changes[i].data()[place]};
    if (value == 0 || (value > 0) != is_positive) continue;
    sum += value * weights[i];
    ++count;
  }
  return sum / static_cast<float>(std::max(count, 1));
}

}  // namespace

std::vector<float> joined(std::span<const WeightedModule> modules, const ElementwiseSettings& settings, int threads) {
  const Pieces pieces(*modules.front().module);
  const bool prunes{settings.density < 1};
  std::vector<Border> borders(modules.size());
  std::vector<float> weights;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    weights.push_back(static_cast<float>(modules[i].weight));
    if (prunes && !settings.at_random) borders[i] = Pruner(*modules[i].module, settings.density, threads).border();
  }
  std::vector<float> result(static_cast<std::size_t>(pieces.rows * pieces.columns));
  base::parallel_for(pieces.count(), threads, [&](std::size_t piece, int) {
    const Index first{pieces.first(piece)}, count{pieces.size(piece)};
    std::vector<RowMajor> changes;
    for (std::size_t i = 0; i < modules.size(); ++i) {
      changes.push_back(change_of(*modules[i].module, first, count));
      if (prunes && settings.at_random) {
        drop(changes.back(), settings.density, key_of(settings.seed, modules[i]),
             static_cast<std::uint64_t>(first * pieces.columns));
      } else if (prunes) {
        prune(changes.back(), borders[i], piece);
      }
    }
    Eigen::Map<RowMajor> out(result.data() + first * pieces.columns, count, pieces.columns);
    if (settings.elects_signs) {
      for (Index place = 0; place < out.size(); ++place)
        out.data()[place] = elected(changes, weights, place, settings.by_frequency);
      return;
    }
    out.setZero();
    for (std::size_t i = 0; i < changes.size(); ++i) out += weights[i] * changes[i];
  });
  return result;
}

}  // namespace lora
