// What an adapter adds to rows of a weight.
#pragma once

#include <cstdint>

namespace lora {

/// out [rows, columns] += scale * (b [rows, rank] a [rank, columns]), all row-major. Each number is summed in the order
/// of the rank, without fused operations: the bits are the same on every processor, whatever rows are added at once.
void add_product(const float* b, const float* a, std::int64_t rows, std::int64_t rank, std::int64_t columns,
                 float scale, float* out);

}  // namespace lora
