// Products of which one dimension is small. Tested by tests/finetune/kernels_test.cc.
#include "finetune/kernels/low_rank.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "finetune/kernels/amx_products.h"
#include "finetune/kernels/tiles.h"
#include "finetune/kernels/widened.h"

namespace finetune::low_rank {
namespace {

constexpr std::int64_t kColumns = 32;                  // of b at a time
constexpr std::int64_t kDepth = 1024;                  // numbers of a row of x, rows of b at a time
constexpr std::int64_t kRows = 512;                    // of x at a time
constexpr std::int64_t kFewTiles = 8, kFewRows = 128;  // with few tiles of columns threads share rows too

bool is_tiled(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && x.numel() > 0 && (x.stride(1) == 1 || x.size(1) == 1);
}

void multiply(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b, bool adds) {
  const std::int64_t rows{x.size(0)}, depth{x.size(1)}, columns{b.size(1)};
  const std::int64_t x_stride{x.stride(0)}, b_stride{b.stride(0)}, y_stride{y.stride(0)};
  const float *left = x.const_data_ptr<float>(), *right = b.const_data_ptr<float>();
  float* out = y.mutable_data_ptr<float>();
  const std::int64_t tiles{(columns + kColumns - 1) / kColumns};
  const std::int64_t shared{tiles < kFewTiles ? kFewRows : rows}, parts{(rows + shared - 1) / shared};
  take_turns(tiles * parts, [&] {
    return [&](std::int64_t task) {
      const std::int64_t column{task / parts * kColumns}, width{std::min(kColumns, columns - column)};
      const std::int64_t begin{task % parts * shared}, count{std::min(shared, rows - begin)};
      for (std::int64_t k = 0; k < depth; k += kDepth)
        in_steps(count, kRows, [&](std::int64_t first, std::int64_t step) {
          const std::int64_t row{begin + first};
          tile_product(step, width, std::min(kDepth, depth - k), left + row * x_stride + k, x_stride,
                       right + k * b_stride + column, b_stride, out + row * y_stride + column, y_stride, adds || k > 0);
        });
    };
  });
}

}  // namespace

at::Tensor product(const at::Tensor& x, const at::Tensor& b) {
  const at::Tensor y = at::empty({x.size(0), b.size(1)}, x.options());
  product_into(y, x, b);
  return y;
}

void product_into(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b) {
  const at::NoGradGuard no_gradient;
  if (is_tiled(x) && is_tiled(b)) return multiply(y, x, b, false);
  if (amx::handles_rows(x, b)) return amx::multiply(y, x, b, false);
  at::Tensor out = y;
  if (is_widened(x)) {
    out.copy_(product(widened(x), widened(b)));
    return;
  }
  at::mm_out(out, x, b);
}

void add_product(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b) {
  const at::NoGradGuard no_gradient;
  if (is_tiled(x) && is_tiled(b)) return multiply(y, x, b, true);
  if (amx::handles_rows(x, b)) return amx::multiply(y, x, b, true);
  if (is_widened(x)) {
    const at::Tensor wide = widened(y);
    add_product(wide, widened(x), widened(b));
    y.copy_(wide);
    return;
  }
  y.addmm_(x, b);
}

// The few columns of a are brought into rows first, a piece of kRows numbers of each side by side.
at::Tensor product_over_rows(const at::Tensor& a, const at::Tensor& b) {
  const at::NoGradGuard no_gradient;
  if (is_widened(a)) return product_over_rows(widened(a), widened(b));
  if (amx::handles_sums_over_rows(a, b)) return amx::product_over_rows(a, b);
  if (!is_tiled(a) || !is_tiled(b)) return at::mm(a.t(), b).to(at::kFloat);
  const std::int64_t rows{a.size(0)}, m{a.size(1)}, columns{b.size(1)}, b_stride{b.stride(0)};
  static thread_local Lines<float> pieces;  // stays: between tensors that live on it would scatter them
  pieces.resize(static_cast<std::size_t>((rows + kRows - 1) / kRows * m * kRows));
  const float* left = pieces.data();
  for (std::int64_t row = 0; row < rows; row += kRows)
    transpose(a.const_data_ptr<float>() + row * a.stride(0), a.stride(0), std::min(kRows, rows - row), m,
              pieces.data() + row * m, kRows);
  const at::Tensor y = at::empty({m, columns}, b.options());
  const float* right = b.const_data_ptr<float>();
  float* out = y.mutable_data_ptr<float>();
  take_turns((columns + kColumns - 1) / kColumns, [&] {
    return [&](std::int64_t tile) {
      const std::int64_t column{tile * kColumns}, width{std::min(kColumns, columns - column)};
      in_steps(rows, kRows, [&](std::int64_t row, std::int64_t step) {
        tile_product(m, width, step, left + row / kRows * m * kRows + row % kRows, kRows,
                     right + row * b_stride + column, b_stride, out + column, columns, row > 0);
      });
    };
  });
  return y;
}

}  // namespace finetune::low_rank
