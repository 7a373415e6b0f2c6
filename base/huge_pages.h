// Memory for tables that are read at random places: on huge pages, where the system has them.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

namespace base {

/// An allocator. A block of a quarter of a megabyte and more begins at a huge page and asks for such pages, so that a
/// random read seldom waits for the page table too; a smaller one begins at a cache line.
template <class T>
struct HugePageAllocator {
  using value_type = T;
  static constexpr std::size_t kCacheLine = 64, kHugePage = std::size_t{2} << 20, kLarge = std::size_t{1} << 18;

  HugePageAllocator() = default;
  template <class U>
  HugePageAllocator(const HugePageAllocator<U>&) {}

  T* allocate(std::size_t count) {
    if (count > (std::size_t{1} << 62) / sizeof(T)) throw std::bad_array_new_length();
    const std::size_t bytes = count * sizeof(T), unit = bytes < kLarge ? kCacheLine : kHugePage;
    const std::size_t whole = (bytes + unit - 1) / unit * unit;
    void* const block = std::aligned_alloc(unit, whole);
    if (block == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    if (unit == kHugePage) madvise(block, whole, MADV_HUGEPAGE);  // a wish: refused, the pages are small
#endif
    return static_cast<T*>(block);
  }
  void deallocate(T* block, std::size_t) { std::free(block); }
  friend bool operator==(const HugePageAllocator&, const HugePageAllocator&) { return true; }
};

/// A vector for random reads.
template <class T>
using HugeVector = std::vector<T, HugePageAllocator<T>>;

}  // namespace base
