// Rows of blocks as a GGUF holds them. Tested by tests/finetune/quantized_test.cc.
#include "finetune/weights/gguf_rows.h"

#include <ATen/ATen.h>

#include "finetune/weights/expand.h"

namespace finetune {
namespace {

void expand_bytes(base::DType type, const at::Tensor& bytes, at::Tensor& out, Passes passes) {
  if (passes == Passes::kFused) return expand::blocks(type, bytes, out);
  const auto size = static_cast<std::int64_t>(base::block_bytes(type));
  out.copy_(expand_blocks(type, bytes.reshape({-1, size})).view(out.sizes()));
}

}  // namespace

void GgufRows::expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes passes) const {
  const auto elements = static_cast<std::int64_t>(base::block_elements(type_)),
             size = static_cast<std::int64_t>(base::block_bytes(type_));
  const at::Tensor bytes =
      bytes_.narrow(0, first, out.size(0)).narrow(1, column / elements * size, out.size(1) / elements * size);
  expand_bytes(type_, bytes, out, passes);
}

void GgufRows::pick(const at::Tensor& numbers, at::Tensor& out) const {
  expand_bytes(type_, bytes_.index_select(0, numbers), out, passes_for(out));
}

void GgufRows::times(const BlockVector& x, std::int64_t first, at::ScalarType type, std::span<float> y) const {
  const BlockTimes multiply = block_times(type_);
  if (!multiply) return QuantizedRows::times(x, first, type, y);
  multiply(static_cast<const std::byte*>(bytes_.const_data_ptr()) + first * bytes_.stride(0), bytes_.stride(0), x, y);
}

}  // namespace finetune
