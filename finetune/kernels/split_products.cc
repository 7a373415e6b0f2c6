// float32 products by those of bfloat16, in tiles. Tested by tests/finetune/kernels_test.cc.
#include "finetune/kernels/split_products.h"

#include <ATen/ATen.h>

#include <array>

#include "finetune/kernels/passing.h"
#include "finetune/kernels/tiles.h"

namespace finetune::split {
namespace {

constexpr std::int64_t kRows = 512, kDepth = 4096;  // of x that are split at once
// Of a product: its operands stay in a core's second cache, and those of a tile in the first.
constexpr std::int64_t kStep = 64, kBlock = 768, kColumns = 256;
constexpr std::int64_t kNarrow = 32;  // columns of a tile, of few
constexpr std::int64_t kPieces = 3;
constexpr std::int64_t kApart = 32;  // between rows, which would share places of a cache

// x = first + second + third: eight bits of its 24 each. What is infinite or no number is so in `first`.
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

std::int64_t rounded_up(std::int64_t n, std::int64_t step) { return (n + step - 1) / step * step; }

// The length of as few parts of n, each of at most `most`, as there can be: a multiple of `step`.
std::int64_t part_of(std::int64_t n, std::int64_t most, std::int64_t step) {
  const std::int64_t parts{(n + most - 1) / most};
  return rounded_up((n + parts - 1) / parts, step);
}

// A part of x, split: blocks of columns, in each the pieces, in each the rows.
struct Pieces {
  std::int64_t row, rows, column, columns, block;  // of x; columns of a block
  at::Tensor memory;

  Pieces(const at::Tensor& x, std::int64_t first_row, std::int64_t first_column)
      : row(first_row),
        rows(std::min(kRows, x.size(0) - row)),
        column(first_column),
        columns(std::min(kDepth, x.size(1) - column)),
        block(std::min(columns, part_of(columns, kBlock, kApart))),
        memory(passing_tensor({rounded_up(columns, block) / block * kPieces * rows * stride()},
                              x.options().dtype(at::kBFloat16))) {
    auto* out = static_cast<Bfloat16*>(memory.mutable_data_ptr());
    const float* in = x.const_data_ptr<float>() + row * x.size(1) + column;
    const std::int64_t all{rows * stride()};
    at::parallel_for(0, rows, std::max<std::int64_t>(1, (std::int64_t{1} << 14) / columns),
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t k = 0; k < columns; k += block)
                         for (std::int64_t i = begin; i < end; ++i) {
                           Bfloat16* to = out + k / block * kPieces * all + i * stride();
                           split(in + i * x.size(1) + k, std::min(block, columns - k), to, to + all, to + 2 * all);
                         }
                     });
  }
  std::int64_t stride() const { return block + kApart; }
  const Bfloat16* at(std::int64_t k, std::int64_t piece, std::int64_t i) const {
    return static_cast<const Bfloat16*>(memory.const_data_ptr()) +
           ((k / block * kPieces + piece) * rows + i) * stride();
  }
};

// y [T, columns], of which rows may lie apart, (+)= x [T, depth] b, where put(operand, first depth, depth, first
// column, columns) gives a block of b.
template <class Put>
void add_product(const at::Tensor& x, at::Tensor& y, bool adds, Put put) {
  const std::int64_t columns{y.size(1)}, stride{y.stride(0)};
  // Tiles begin and end where they do with any number of threads: a tile's width decides how oneDNN sums.
  const std::int64_t width{columns < 2048 ? kNarrow : 2 * kNarrow};
  const std::int64_t share{std::max<std::int64_t>(1, columns / at::get_num_threads())};
  const std::int64_t wide{part_of(share, kColumns, width)};
  float* out = y.mutable_data_ptr<float>();
  for (std::int64_t row = 0; row < x.size(0); row += kRows)
    for (std::int64_t column = 0; column < x.size(1); column += kDepth) {
      const Pieces pieces(x, row, column);
      take_turns((columns + wide - 1) / wide, [&] {
        static thread_local std::array<Operand<Bfloat16>, kColumns / kNarrow> operands;
        return [&](std::int64_t tile) {
          const std::int64_t first{tile * wide}, count{std::min(wide, columns - first)};
          for (std::int64_t k = 0; k < pieces.columns; k += pieces.block) {
            const std::int64_t deep{std::min(pieces.block, pieces.columns - k)};
            std::array<const Bfloat16*, kColumns / kNarrow> blocks{};
            for (std::int64_t j = 0; j < count; j += width)
              blocks[j / width] = put(operands[j / width], column + k, deep, first + j, std::min(width, count - j));
            in_steps(pieces.rows, kStep, [&](std::int64_t i, std::int64_t step) {
              for (std::int64_t j = 0; j < count; j += width)
                for (std::int64_t piece = kPieces - 1; piece >= 0; --piece)  // the smallest first
                  tile_product(step, std::min(width, count - j), deep, pieces.at(k, piece, i), pieces.stride(),
                               blocks[j / width], out + (row + i) * stride + first + j, stride,
                               adds || column + k > 0 || piece < kPieces - 1);
            });
          }
        };
      });
    }
}

const Bfloat16* numbers_of(const at::Tensor& w) { return static_cast<const Bfloat16*>(w.const_data_ptr()); }

}  // namespace

bool is_split(const at::Tensor& x, const at::Tensor& w) {
  const bool is_even{w.dim() == 2 && w.size(0) % 2 == 0 && w.size(1) % 2 == 0};
  return x.is_cpu() && x.scalar_type() == at::kFloat && w.scalar_type() == at::kBFloat16 && x.size(0) > 1 && is_even &&
         x.is_contiguous() && w.is_contiguous() && has_tiles();
}

void product_into(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added) {
  const Bfloat16* from = numbers_of(w);
  const std::int64_t stride{w.size(1)};
  if (added.defined()) y.copy_(added);
  add_product(
      x, y, added.defined(),
      [&](Operand<Bfloat16>& operand, std::int64_t k, std::int64_t deep, std::int64_t first, std::int64_t count) {
        return operand.right_of_transposed(from + first * stride + k, stride, count, deep);
      });
}

void product_transposed_into(at::Tensor& dx, const at::Tensor& dy, const at::Tensor& w) {
  const Bfloat16* from = numbers_of(w);
  const std::int64_t stride{w.size(1)};
  add_product(dy, dx, false,
              [&](Operand<Bfloat16>& operand, std::int64_t k, std::int64_t deep, std::int64_t first,
                  std::int64_t count) { return operand.right(from + k * stride + first, stride, deep, count); });
}

}  // namespace finetune::split
