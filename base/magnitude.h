// How large numbers are. Tested by tests/base/tensor_test.cc.
#pragma once

#include <span>

namespace base {

/// The largest |x|, NaN where one of them is; 0 of none.
float largest_magnitude(std::span<const float> values);

}  // namespace base
