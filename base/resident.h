// Memory of mapped files, which counts as the process's own while it is there. Tested by tests/base/resident_test.cc.
#pragma once

#include <cstddef>
#include <span>

namespace base {

/// What MappedFile says of its memory. give_back leaves alone what is no part of it.
void add_mapping(std::span<const std::byte> file);
void remove_mapping(std::span<const std::byte> file);

/// Lets the kernel take the pages of `bytes`, a part of a mapped file, out of the process again; who reads them later
/// finds the same. Goes out to whole 2 MB of the file: a look at one byte may bring all of them back that lie together
/// in the page cache, those among them that were given back before.
void give_back(std::span<const std::byte> bytes);

}  // namespace base
