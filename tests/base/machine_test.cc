#include "base/machine.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "tests/sanitized.h"

namespace {

TEST(Machine, ARelativeCacheFolderIsNone) {
  setenv("HOME", "/home/me", 1);
  setenv("XDG_CACHE_HOME", "/cache", 1);
  EXPECT_EQ(base::cache_home(), "/cache");
  for (const char* none : {"", "cache", "./cache"}) {
    setenv("XDG_CACHE_HOME", none, 1);
    EXPECT_EQ(base::cache_home(), "/home/me/.cache") << none;
  }
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  EXPECT_EQ(base::cache_home(), "");
}

TEST(Machine, MemoryInUseIsSeenAndGivenBack) {
  constexpr std::size_t kSize = 64 << 20;
  const std::uint64_t before = base::resident_memory();
  auto bytes = std::make_unique_for_overwrite<char[]>(kSize);
  std::memset(bytes.get(), 1, kSize);
  EXPECT_EQ(bytes[kSize / 2], 1);
  EXPECT_GT(base::resident_memory(), before + kSize * 9 / 10);
  bytes.reset();
  base::release_memory();
  if (!kSanitized) {
    EXPECT_LT(base::resident_memory(), before + kSize / 4);
  }
  EXPECT_GT(base::machine_memory(), base::resident_memory());
}

TEST(Machine, ALimitOfAddressSpaceIsOneOfMemory) {
  if (kSanitized) return;  // a sanitizer maps terabytes
  constexpr std::uint64_t kLimit = std::uint64_t{2} << 30;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  const std::uint64_t unlimited = base::machine_memory();
  rlimit limit = before;
  limit.rlim_cur = kLimit;
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
  const std::uint64_t limited = base::machine_memory();
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_LT(limited, kLimit) << "libraries are mapped";
  EXPECT_GT(limited, base::resident_memory());
  EXPECT_EQ(base::machine_memory(), unlimited);
}

}  // namespace
