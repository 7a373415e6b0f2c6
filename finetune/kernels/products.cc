// Products with large frozen matrices, in tiles. Tested by tests/finetune/model_test.cc.
#include "finetune/kernels/products.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "finetune/kernels/amx_products.h"
#include "finetune/kernels/device.h"
#include "finetune/kernels/one_row.h"
#include "finetune/kernels/passing.h"
#include "finetune/kernels/tiles.h"
#include "finetune/kernels/widened.h"

namespace finetune {
namespace {

constexpr std::int64_t kRows = 128;  // of x at a time

// A block of w, which lies in a core's cache.
struct Block {
  std::int64_t depth, width;
};
// With vectors of eight oneDNN's kernel for 48 columns and more is a fifth slower than that for 32.
Block block_for(std::int64_t columns) {
  if (!has_vectors_of_sixteen()) return {1024, 32};
  return {512, columns >= 2048 ? 64 : 32};
}

bool is_tiled(const at::Tensor& x, const at::Tensor& w) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && x.numel() > 0 && x.is_contiguous() && w.is_contiguous();
}

// y [T, columns], of which rows may lie apart, (+)= x [T, depth] b, where put(first depth, depth, first column,
// columns, out) writes a block of b.
template <class Put>
void add_product(const at::Tensor& x, at::Tensor& y, bool adds, Put put) {
  const std::int64_t rows{x.size(0)}, depth{x.size(1)}, columns{y.size(1)}, stride{y.stride(0)};
  const Block size = block_for(columns);
  const float* in = x.const_data_ptr<float>();
  float* out = y.mutable_data_ptr<float>();
  take_turns((columns + size.width - 1) / size.width, [&] {
    static thread_local Lines<float> block;  // stays: between tensors that live on it would scatter them
    block.resize(static_cast<std::size_t>(size.depth * size.width));
    return [&, size](std::int64_t tile) {
      const std::int64_t first{tile * size.width}, count{std::min(size.width, columns - first)};
      for (std::int64_t k = 0; k < depth; k += size.depth) {
        const std::int64_t deep{std::min(size.depth, depth - k)};
        put(k, deep, first, count, block.data());
        in_steps(rows, kRows, [&](std::int64_t row, std::int64_t step) {
          tile_product(step, count, deep, in + row * depth + k, depth, block.data(), out + row * stride + first, stride,
                       adds || k > 0);
        });
      }
    };
  });
}

// w [columns, depth], rows `stride` apart, brought into the order of the product's right side.
void put_transposed(const float* w, std::int64_t stride, std::int64_t columns, std::int64_t depth, float* block) {
  transpose(w, stride, columns, depth, block, columns);
}
template <class T>
void put_transposed(const T* w, std::int64_t stride, std::int64_t columns, std::int64_t depth, float* block) {
  static thread_local Lines<T> turned;  // stays, as the block does
  turned.resize(static_cast<std::size_t>(columns * depth));
  transpose(w, stride, columns, depth, turned.data(), columns);
  widen(turned.data(), columns * depth, block);
}

void put_row(const float* row, std::int64_t n, float* block) { std::copy(row, row + n, block); }
template <class T>
void put_row(const T* row, std::int64_t n, float* block) {
  widen(row, n, block);
}

}  // namespace

void product_into(at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& added) {
  const at::NoGradGuard no_gradient;
  if (one_row::is_one(x, w)) return one_row::product(y, x, w, added);
  if (is_widened(x)) {
    at::Tensor wide = passing_tensor(y.sizes(), x.options().dtype(at::kFloat));
    product_into(wide, widened(x), w, added.defined() ? added.to(at::kFloat) : added);
    y.copy_(wide);
    return;
  }
  if (amx::handles(x, w)) return amx::product_into(y, x, w, added);
  if (!is_tiled(x, w)) {
    const at::Tensor right = w.to(x.scalar_type()).t();
    added.defined() ? at::addmm_out(y, added, x, right) : at::mm_out(y, x, right);
    return;
  }
  if (added.defined()) y.copy_(added);
  with_numbers(w, [&](const auto* from) {
    add_product(x, y, added.defined(),
                [&](std::int64_t k, std::int64_t deep, std::int64_t first, std::int64_t count, float* block) {
                  put_transposed(from + first * w.size(1) + k, w.size(1), count, deep, block);
                });
  });
}

void product_transposed_into(at::Tensor& dx, const at::Tensor& dy, const at::Tensor& w) {
  const at::NoGradGuard no_gradient;
  if (is_widened(dy)) {
    at::Tensor wide = passing_tensor(dx.sizes(), dx.options().dtype(at::kFloat));
    product_transposed_into(wide, widened(dy), w);
    dx.copy_(wide);
    return;
  }
  if (amx::handles(dy, w)) return amx::multiply(dx, dy, w, false);
  if (!is_tiled(dy, w)) {
    at::mm_out(dx, dy, w.to(dy.scalar_type()));
    return;
  }
  with_numbers(w, [&](const auto* from) {
    add_product(dy, dx, false,
                [&](std::int64_t k, std::int64_t deep, std::int64_t first, std::int64_t count, float* block) {
                  for (std::int64_t i = 0; i < deep; ++i)
                    put_row(from + (k + i) * w.size(1) + first, count, block + i * count);
                });
  });
}

bool products_hide_threads(at::ScalarType type) {
  return type == at::kFloat || (type == at::kBFloat16 && (has_tiles() || !multiplies_bfloat16()));
}

at::Tensor product_transposed(const at::Tensor& dy, const at::Tensor& w) {
  at::Tensor dx = at::empty({dy.size(0), w.size(1)}, dy.options());
  product_transposed_into(dx, dy, w);
  return dx;
}

}  // namespace finetune
