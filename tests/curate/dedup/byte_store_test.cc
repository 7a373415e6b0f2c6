#include "curate/dedup/byte_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/random.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

// The model is a string.
TEST(ByteStore, GivesBackWhatWasAppended) {
  TemporaryFolder folder;
  for (const std::uint64_t limit : {std::uint64_t{0}, std::uint64_t{9} << 20, std::uint64_t{1} << 40}) {
    base::Random random(3);
    ByteStore store(folder.path(), limit);
    std::string model;
    for (int piece = 0; piece < 40; ++piece) {
      std::string bytes(random.below(1 << 20), ' ');
      for (char& c : bytes) c = static_cast<char>(random.below(256));
      EXPECT_EQ(store.append(bytes), model.size());
      model += bytes;
      const std::uint64_t place = random.below(model.size() + 1), size = random.below(model.size() - place + 1);
      std::string got(size, ' ');
      store.read(place, got.data(), size);
      ASSERT_EQ(got, model.substr(place, size)) << limit << " " << place << " " << size;
    }
    EXPECT_EQ(store.size(), model.size());
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));  // the file has no name
  }
}

TEST(ByteStore, SaysWhereItCannotWrite) {
  ByteStore store("/no such folder", 0);
  EXPECT_THAT(error_of([&] { store.append("x"); }), testing::HasSubstr("/no such folder"));
}

}  // namespace
}  // namespace curate
