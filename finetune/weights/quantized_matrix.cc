// A frozen matrix of quantised parts. Tested by tests/finetune/quantized_test.cc.
#include "finetune/weights/quantized_matrix.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "finetune/kernels/products.h"

namespace finetune {
namespace {

constexpr std::int64_t kColumnStep = 256;  // whole blocks of every kind
// Enough for the processor's cores and for a good product; on a GPU 64 MB in bfloat16.
constexpr std::int64_t kScratch = std::int64_t{8} << 20, kDeviceScratch = std::int64_t{32} << 20;
constexpr std::int64_t kDevicePiece = std::int64_t{8} << 20;  // numbers that are expanded at a time on a GPU

// Memory of this thread's products. New memory for each would be given back to the system and fetched again page by
// page; a device's allocator keeps it.
at::Tensor scratch_of(std::int64_t numbers, const at::TensorOptions& options) {
  if (!options.device().is_cpu()) return at::empty({numbers}, options);
  thread_local at::Tensor bytes;
  const std::int64_t size{numbers * static_cast<std::int64_t>(options.dtype().itemsize())};
  if (!bytes.defined() || bytes.numel() < size) {
    bytes = at::Tensor();
    bytes = at::empty({size}, at::kByte);
  }
  return bytes.narrow(0, 0, size).view(c10::typeMetaToScalarType(options.dtype()));
}

}  // namespace

QuantizedMatrix::QuantizedMatrix(std::vector<std::shared_ptr<const QuantizedRows>> parts,
                                 const at::TensorOptions& options, std::int64_t scratch)
    : parts_(std::move(parts)),
      options_(options),
      scratch_(scratch > 0                 ? scratch
               : options.device().is_cpu() ? kScratch
                                           : kDeviceScratch),
      columns_(parts_.at(0)->columns()) {
  for (const auto& part : parts_) rows_ += part->rows();
}

at::Tensor QuantizedMatrix::expanded(std::int64_t first, std::int64_t count, std::int64_t column,
                                     std::int64_t columns) const {
  const at::Tensor all = scratch_of(count * columns, options_).view({count, columns});
  // ATen's operations make several tensors on their way.
  const std::int64_t step{options_.device().is_cpu() ? count : std::max<std::int64_t>(1, kDevicePiece / columns_)};
  std::int64_t begin = 0;  // of the part
  for (const auto& part : parts_) {
    const std::int64_t from{std::max(first, begin)}, to{std::min(first + count, begin + part->rows())};
    for (std::int64_t row = from; row < to; row += step) {
      at::Tensor out = all.narrow(0, row - first, std::min(step, to - row));
      part->expand(row - begin, column, out, passes_for(out));
    }
    begin += part->rows();
  }
  return all;
}

at::Tensor QuantizedMatrix::apply(const at::Tensor& x, const at::Tensor& added) const {
  if (x.size(0) == 1 && x.is_cpu()) return apply_to_one(x, added);
  at::Tensor y = result_for(x, rows_);
  apply_rows(y, x, 0, added);
  return y;
}

void QuantizedMatrix::apply_rows(at::Tensor& y, const at::Tensor& x, std::int64_t first) const {
  apply_rows(y, x, first, {});
}

void QuantizedMatrix::apply_rows(at::Tensor& y, const at::Tensor& x, std::int64_t first,
                                 const at::Tensor& added) const {
  const std::int64_t step{std::max<std::int64_t>(2, scratch_ / columns_ / 2 * 2)};  // even: see amx_products.h
  for (std::int64_t row = 0; row < y.size(1); row += step) {
    const std::int64_t count{std::min(step, y.size(1) - row)};
    at::Tensor part = y.narrow(1, row, count);
    product_into(part, x, expanded(first + row, count, 0, columns_),
                 added.defined() ? added.narrow(added.dim() - 1, row, count) : added);
  }
}

// Every number is read once: each thread expands no more than its cache holds.
at::Tensor QuantizedMatrix::apply_to_one(const at::Tensor& x, const at::Tensor& added) const {
  at::Tensor y = at::empty({1, rows_}, at::kFloat);
  const at::Tensor wide = x.to(at::kFloat).contiguous();
  const BlockVector row({wide.const_data_ptr<float>(), static_cast<std::size_t>(wide.numel())});
  float* out = y.mutable_data_ptr<float>();
  const std::int64_t grain{std::max<std::int64_t>(1, kCached / 4 / columns_)};  // a few microseconds
  std::int64_t begin = 0;                                                       // of the part
  for (const auto& part : parts_) {
    at::parallel_for(0, part->rows(), grain, [&](std::int64_t first, std::int64_t end) {
      part->times(row, first, options_.dtype().toScalarType(), {out + begin + first, out + begin + end});
    });
    begin += part->rows();
  }
  if (added.defined()) y.add_(added);
  return y.to(x.scalar_type());
}

at::Tensor QuantizedMatrix::apply_transposed(const at::Tensor& dy) const {
  at::Tensor dx = at::empty({dy.size(0), columns_}, dy.options());
  apply_rows_transposed(dx, dy, 0);
  return dx;
}

void QuantizedMatrix::apply_rows_transposed(at::Tensor& dx, const at::Tensor& dy, std::int64_t first) const {
  // ATen's operations expand whole rows, whatever columns are wanted of them.
  const std::int64_t rows{dy.size(1)};
  const std::int64_t step{
      options_.device().is_cpu() ? std::max(kColumnStep, scratch_ / rows / kColumnStep * kColumnStep) : columns_};
  for (std::int64_t column = 0; column < columns_; column += step) {
    const std::int64_t count{std::min(step, columns_ - column)};
    at::Tensor part = dx.narrow(1, column, count);
    product_transposed_into(part, dy, expanded(first, rows, column, count));
  }
}

at::Tensor QuantizedMatrix::rows_from(std::int64_t first, std::int64_t count) const {
  return expanded(first, count, 0, columns_);
}

at::Tensor QuantizedMatrix::rows(const at::Tensor& numbers) const {
  at::Tensor out = at::empty({numbers.size(0), columns_}, options_);
  if (parts_.size() == 1) {
    parts_[0]->pick(numbers, out);
    return out;
  }
  std::int64_t begin = 0;
  for (const auto& part : parts_) {
    const at::Tensor places = (numbers.ge(begin) & numbers.lt(begin + part->rows())).nonzero().squeeze(1);
    if (places.size(0) > 0) {
      at::Tensor picked = at::empty({places.size(0), columns_}, options_);
      part->pick(numbers.index_select(0, places) - begin, picked);
      out.index_copy_(0, places, picked);
    }
    begin += part->rows();
  }
  return out;
}

}  // namespace finetune
