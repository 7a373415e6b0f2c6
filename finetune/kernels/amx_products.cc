// Products by AMX over blocks of the weights as they come. Tested by tests/finetune/kernels_test.cc.
#include "finetune/kernels/amx_products.h"

#include <ATen/ATen.h>

#include <limits>

#include "finetune/kernels/device.h"
#include "finetune/kernels/tiles.h"

namespace finetune::amx {
namespace {

constexpr std::int64_t kRows = 512;  // of x at once
// Rows of a product, its depth and columns, and columns of a tile: operands of a product stay in a core's second cache,
// those of a step in the first.
constexpr std::int64_t kStep = 64, kBlock = 768, kWidth = 64, kColumns = 256;
constexpr std::int64_t kNarrow = 2048, kNarrowWidth = 32;  // of fewer columns, so that threads get as many
// Of few columns of x, as of LoRA's second product, y is most of the work: long pieces of its rows.
constexpr std::int64_t kShallow = 64, kShallowStep = 32, kShallowWidth = 256, kShallowColumns = 2048;
constexpr std::int64_t kApart = 32;  // between rows, which would share places of a cache

// x = first + second + third: eight bits of its 24 each. What is infinite or no number (as arithmetic makes it) is so
// in `first`.
BASE_CLONES void split(const float* x, std::int64_t n, Bfloat16* first, Bfloat16* second, Bfloat16* third) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(x[i]);
    const float rest = x[i] - std::bit_cast<float>(bits & 0xFFFF0000u);
    const std::uint32_t rest_bits = (bits & 0x7F800000u) == 0x7F800000u ? 0 : std::bit_cast<std::uint32_t>(rest);
    const float last = std::bit_cast<float>(rest_bits) - std::bit_cast<float>(rest_bits & 0xFFFF0000u);
    first[i].bits = static_cast<std::uint16_t>(bits >> 16);
    second[i].bits = static_cast<std::uint16_t>(rest_bits >> 16);
    third[i].bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(last) >> 16);
  }
}

// The length of as few parts of n, each of at most `most`, as there can be: a multiple of `step`.
std::int64_t part_of(std::int64_t n, std::int64_t most, std::int64_t step) {
  const std::int64_t parts{(n + most - 1) / most};
  return rounded_up((n + parts - 1) / parts, step);
}

const Bfloat16* numbers_of(const at::Tensor& x) { return static_cast<const Bfloat16*>(x.const_data_ptr()); }

// The left side of products: some rows of x, and of their columns those that are summed at once.
template <class T>
struct Left;

// Split: blocks of columns, in each the pieces, in each the rows. One at a time in a thread, whose memory stays: it has
// as many sizes as a model has matrices, and would take the places of all else that passes.
template <>
struct Left<float> {
  static constexpr std::int64_t kCount = 3, kDepth = 4096;
  std::int64_t rows, columns, block;  // of x; columns of a block
  Bfloat16* pieces;

  Left(const at::Tensor& x, std::int64_t row, std::int64_t column)
      : rows(std::min(kRows, x.size(0) - row)),
        columns(std::min(kDepth, x.size(1) - column)),
        block(std::min(columns, part_of(columns, kBlock, kApart))) {
    static thread_local Lines<Bfloat16> memory;
    const auto numbers = static_cast<std::size_t>(rounded_up(columns, block) / block * kCount * rows * stride());
    if (memory.size() < numbers) memory.resize(numbers);
    Bfloat16* out = pieces = memory.data();
    const float* in = x.const_data_ptr<float>() + row * x.stride(0) + column;
    const std::int64_t all{rows * stride()};
    at::parallel_for(0, rows, std::max<std::int64_t>(1, (std::int64_t{1} << 14) / columns),
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t k = 0; k < columns; k += block)
                         for (std::int64_t i = begin; i < end; ++i) {
                           Bfloat16* to = out + k / block * kCount * all + i * stride();
                           split(in + i * x.stride(0) + k, std::min(block, columns - k), to, to + all, to + 2 * all);
                         }
                     });
  }
  std::int64_t stride() const { return rounded_up(block, kApart) + kApart; }
  const Bfloat16* at(std::int64_t k, std::int64_t piece, std::int64_t i) const {
    return pieces + ((k / block * kCount + piece) * rows + i) * stride();
  }
};

// As they lie.
template <>
struct Left<Bfloat16> {
  static constexpr std::int64_t kCount = 1, kDepth = std::numeric_limits<std::int64_t>::max();
  std::int64_t rows, columns, block, apart;  // apart: from row to row
  const Bfloat16* first;

  Left(const at::Tensor& x, std::int64_t row, std::int64_t)
      : rows(std::min(kRows, x.size(0) - row)),
        columns(x.size(1)),
        block(std::min(columns, part_of(columns, kBlock, kApart))),
        apart(x.stride(0)),
        first(numbers_of(x) + row * apart) {}
  std::int64_t stride() const { return apart; }
  const Bfloat16* at(std::int64_t k, std::int64_t, std::int64_t i) const { return first + i * apart + k; }
};

// Where rows of a tile of y are summed: in a float32 y itself, or in memory that is rounded to y behind.
template <class Y>
class Sums;

template <>
class Sums<float> {
 public:
  Sums(float* y, std::int64_t stride, std::int64_t, std::int64_t, bool, bool) : y_(y), stride_(stride) {}
  std::int64_t stride() const { return stride_; }
  void begin(std::int64_t, std::int64_t) {}
  float* at(std::int64_t row) const { return y_ + row * stride_; }
  void end(std::int64_t, std::int64_t) {}

 private:
  float* y_;
  std::int64_t stride_;
};

template <>
class Sums<Bfloat16> {
 public:
  // keeps: all rows are begun before one is ended.
  Sums(Bfloat16* y, std::int64_t stride, std::int64_t rows, std::int64_t columns, bool adds, bool keeps)
      : y_(y), stride_(stride), columns_(columns), adds_(adds), keeps_(keeps) {
    static thread_local Lines<float> memory;  // stays: between tensors that live on it would scatter them
    memory.resize(static_cast<std::size_t>((keeps ? rows : std::min(rows, kStep)) * columns));
    memory_ = memory.data();
  }
  std::int64_t stride() const { return columns_; }
  void begin(std::int64_t row, std::int64_t rows) {
    for (std::int64_t i = 0; adds_ && i < rows; ++i) widen(y_ + (row + i) * stride_, columns_, at(row) + i * columns_);
  }
  float* at(std::int64_t row) const { return memory_ + (keeps_ ? row * columns_ : 0); }
  void end(std::int64_t row, std::int64_t rows) {
    for (std::int64_t i = 0; i < rows; ++i) narrow(at(row) + i * columns_, columns_, y_ + (row + i) * stride_);
  }

 private:
  Bfloat16* y_;
  std::int64_t stride_, columns_;
  bool adds_, keeps_;
  float* memory_;
};

// How a product is cut into tiles of columns. Blocks of a tile and steps of rows lie where they do with any number of
// threads: oneDNN sums by their sizes.
struct Cut {
  std::int64_t columns, width, step;  // width: of a block; step: rows of a product
  std::int64_t blocks, tiles;

  Cut(std::int64_t depth, std::int64_t columns)
      : columns(columns),
        width(depth <= kShallow   ? kShallowWidth
              : columns < kNarrow ? kNarrowWidth
                                  : kWidth),
        step(depth <= kShallow ? kShallowStep : kStep),
        blocks((columns + width - 1) / width) {
    const std::int64_t threads{depth <= kShallow ? 1 : at::get_num_threads()};
    const std::int64_t most{(depth <= kShallow ? kShallowColumns : kColumns) / width * threads};
    tiles = std::min(blocks, (blocks + most - 1) / most * threads);
  }
  std::int64_t first(std::int64_t tile) const { return tile * blocks / tiles * width; }
  std::int64_t count(std::int64_t tile) const { return std::min(first(tile + 1), columns) - first(tile); }
};

// y [T, columns], of which rows may lie apart, (+)= x [T, depth] b, where put(operand, first depth, depth, first
// column, columns, width) gives blocks of b. T: x's numbers; Y: y's.
template <class T, class Y, class Put>
void add_product_of(const at::Tensor& x, const at::Tensor& y, bool adds, Put put) {
  const Cut cut(x.size(1), y.size(1));
  const std::int64_t stride{y.stride(0)}, threads{at::get_num_threads()};
  Y* out = static_cast<Y*>(y.mutable_data_ptr());
  for (std::int64_t row = 0; row < x.size(0); row += kRows)
    for (std::int64_t column = 0; column < x.size(1); column += std::min(x.size(1), Left<T>::kDepth)) {
      const Left<T> left(x, row, column);
      const bool adds_to_y{adds || column > 0};
      // Where there are few tiles threads share rows too.
      const std::int64_t shared{part_of(left.rows, (left.rows * cut.tiles + threads - 1) / threads, kStep)};
      const std::int64_t parts{(left.rows + shared - 1) / shared};
      take_turns(cut.tiles * parts, [&] {
        static thread_local Operand<Bfloat16> operand;
        return [&](std::int64_t task) {
          const std::int64_t first{cut.first(task / parts)}, count{cut.count(task / parts)};
          const std::int64_t begin{task % parts * shared}, rows{std::min(shared, left.rows - begin)};
          Sums<Y> sums(out + (row + begin) * stride + first, stride, rows, count, adds_to_y, left.columns > left.block);
          for (std::int64_t k = 0; k < left.columns; k += left.block) {
            const std::int64_t deep{std::min(left.block, left.columns - k)};
            const Bfloat16* right = put(operand, column + k, deep, first, count, cut.width);
            in_steps(rows, cut.step, [&](std::int64_t i, std::int64_t step) {
              if (k == 0) sums.begin(i, step);
              for (std::int64_t j = 0; j < count; j += cut.width)
                for (std::int64_t piece = left.kCount - 1; piece >= 0; --piece)  // the smallest first
                  tile_product(step, std::min(cut.width, count - j), deep, left.at(k, piece, begin + i), left.stride(),
                               right + j * deep, sums.at(i) + j, sums.stride(),
                               adds_to_y || k > 0 || piece < left.kCount - 1);
              if (k + deep == left.columns) sums.end(i, step);
            });
          }
        };
      });
    }
}

template <class Put>
void add_product(const at::Tensor& x, const at::Tensor& y, bool adds, Put put) {
  if (x.scalar_type() == at::kFloat) return add_product_of<float, float>(x, y, adds, put);
  if (y.scalar_type() == at::kFloat) return add_product_of<Bfloat16, float>(x, y, adds, put);
  add_product_of<Bfloat16, Bfloat16>(x, y, adds, put);
}

bool lies_in_rows(const at::Tensor& x) {
  const bool are_whole{x.is_cpu() && x.dim() == 2 && x.numel() > 0 && (x.stride(1) == 1 || x.size(1) == 1)};
  return are_whole && (x.stride(0) >= x.size(1) || x.size(0) == 1);
}

}  // namespace

bool handles(const at::Tensor& x, const at::Tensor& w) {
  const bool is_even{w.dim() == 2 && w.size(0) % 2 == 0 && w.size(1) % 2 == 0};
  const bool has_types{(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
                       w.scalar_type() == at::kBFloat16};
  const bool has_rows{x.size(0) > 1 || x.scalar_type() == at::kBFloat16};
  return has_tiles() && has_types && has_rows && is_even && lies_in_rows(x) && w.is_contiguous();
}

bool handles_sums_over_rows(const at::Tensor& a, const at::Tensor& b) {
  const bool has_types{a.scalar_type() == at::kBFloat16 && b.scalar_type() == at::kBFloat16};
  return has_tiles() && has_types && lies_in_rows(a) && lies_in_rows(b);
}

bool handles_rows(const at::Tensor& x, const at::Tensor& b) {
  return handles_sums_over_rows(x, b) && x.size(1) % 2 == 0;
}

void product_into(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added) {
  const Bfloat16* from = numbers_of(w);
  const std::int64_t stride{w.size(1)};
  if (added.defined()) y.copy_(added);
  add_product(x, y, added.defined(),
              [=](Operand<Bfloat16>& operand, std::int64_t k, std::int64_t deep, std::int64_t first, std::int64_t count,
                  std::int64_t width) {
                return operand.right_of_transposed(from + first * stride + k, stride, count, deep, width);
              });
}

void multiply(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b, bool adds) {
  const Bfloat16* from = numbers_of(b);
  const std::int64_t stride{b.stride(0)}, depth{b.size(0)};
  add_product(x, y, adds,
              [=](Operand<Bfloat16>& operand, std::int64_t k, std::int64_t deep, std::int64_t first, std::int64_t count,
                  std::int64_t width) {
                return operand.right(from + k * stride + first, stride, std::min(deep, depth - k), count, width);
              });
}

// The few columns of a are brought into rows first, rounded up to an even number of zeros.
at::Tensor product_over_rows(const at::Tensor& a, const at::Tensor& b) {
  const std::int64_t rows{a.size(0)}, m{a.size(1)}, even{rounded_up(rows, 2)};
  const at::Tensor left = at::empty({m, even}, a.options());
  transpose(numbers_of(a), a.stride(0), rows, m, static_cast<Bfloat16*>(left.mutable_data_ptr()), even);
  if (even > rows) left.narrow(1, rows, 1).zero_();
  const at::Tensor y = at::empty({m, b.size(1)}, b.options().dtype(at::kFloat));
  multiply(y, left, b, false);
  return y;
}

}  // namespace finetune::amx
