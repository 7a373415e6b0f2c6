#include "base/huge_pages.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <new>

namespace base {
namespace {

TEST(HugePages, LargeVectorsBeginAtAHugePageAndSmallOnesAtACacheLine) {
  auto place = [](const auto& values) { return reinterpret_cast<std::uintptr_t>(values.data()); };
  for (std::size_t size : {1u, 3u, 1000u, 100'000u, 1'000'000u}) {
    HugeVector<std::int32_t> values(size, 7);
    const std::uintptr_t unit = size < 100'000 ? 64 : 2u << 20;
    EXPECT_EQ(place(values) % unit, 0u) << size;
    values.push_back(8);  // moved, and nothing lost
    EXPECT_EQ(values.front(), 7);
    EXPECT_EQ(values[size - 1], 7);
    EXPECT_EQ(values[size], 8);
  }
}

TEST(HugePages, TooMuchIsNoMemory) {
  HugePageAllocator<std::int64_t> allocator;
  EXPECT_THROW(static_cast<void>(allocator.allocate(~std::size_t{0} / 2)), std::bad_alloc);
}

}  // namespace
}  // namespace base
