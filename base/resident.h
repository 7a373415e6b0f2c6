// Memory of mapped files, which counts as the process's own while it is there. Tested by tests/base/resident_test.cc.
#pragma once

#include <cstddef>
#include <span>

namespace base {

/// Lets the kernel take the pages of `bytes`, a part of a mapped file, out of the process again; who reads them later
/// finds the same. Pages that it shares with other bytes stay.
void give_back(std::span<const std::byte> bytes);

}  // namespace base
