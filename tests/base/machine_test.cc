#include "base/machine.h"

#include <gtest/gtest.h>

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

}  // namespace
