// The largest singular values of a matrix that is too large for a whole decomposition.
#pragma once

#include <cstdint>
#include <span>

#include "lora/fuse/factors.h"

namespace lora {

/// The `rank` largest singular values and their vectors of `matrix` [rows, columns], row-major (fewer where it has
/// fewer). Small matrices are decomposed whole; of others a block Krylov space (Musco and Musco 2015,
/// arXiv:1504.05477) grows from a fixed random start until a further block adds less than a millionth of what is left
/// out, in double. The same for any number of threads. Beside the matrix it takes 16 (rows + columns) (rank + 8) bytes
/// for each block of the space, usually 3 to 8.
ThinSvd top_svd(std::span<const float> matrix, std::int64_t rows, std::int64_t columns, std::int64_t rank, int threads);

}  // namespace lora
