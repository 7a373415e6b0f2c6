// A device in this process that is as strict as a GPU: its memory cannot be touched by the processor but within
// LibTorch's operations, and these refuse operands in two places. What runs on it runs on a GPU but for kernels of
// CUDA's own.
#pragma once

#include <ATen/core/Tensor.h>

namespace strict_device {

/// The name that --device takes, once `install` was called.
inline constexpr const char* kName = "strict";

/// Makes it a device of this process, once and for all.
at::Device install();

/// Operations that were computed on it so far.
std::int64_t operations();

}  // namespace strict_device
