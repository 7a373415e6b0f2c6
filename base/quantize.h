// Numbers into blocks of quantised weights, as ggml's own quantiser makes them without an importance matrix.
#pragma once

#include <cstddef>
#include <span>

#include "base/tensor.h"

namespace base {

/// True for the block types that we write: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K.
bool can_quantize(DType type);
/// The largest magnitude that blocks of `type` surely hold.
float largest_of(DType type);
/// `values`, a whole number of blocks, into `blocks`: the bytes of ggml_quantize_chunk, for which its order of sums and
/// products is kept. Throws Error for what is not finite or beyond largest_of.
void quantize(DType type, std::span<const float> values, std::byte* blocks);

}  // namespace base
