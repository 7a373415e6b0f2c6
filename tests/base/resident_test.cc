// Pages of a mapped file leave the process, and come again with the same bytes.
#include "base/resident.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/file.h"
#include "tests/temporary_folder.h"

namespace {

// Pages of a mapped file that the process holds. Of all its files together they cannot be counted: what it shares with
// other processes comes and goes with these.
std::size_t mapped_pages(const base::MappedFile& file) {
  const std::string maps = base::read_file("/proc/self/smaps");
  const std::size_t place = maps.find("Rss:", maps.find(file.path().string()));
  return place == std::string::npos ? 0 : std::stoul(maps.substr(place + 4)) / 4;
}

TEST(GiveBack, TakesPagesOutOfTheProcessAndKeepsTheBytes) {
  const TemporaryFolder folder;
  std::string bytes(std::size_t{16} << 20, 'a');
  for (std::size_t i = 0; i < bytes.size(); i += 4096) bytes[i] = static_cast<char>('b' + i / 4096 % 20);
  const base::MappedFile file(folder.write("mapped", bytes));
  const auto sum = [&] {
    std::size_t total = 0;
    for (const std::byte byte : file.bytes()) total += static_cast<std::size_t>(byte);
    return total;
  };
  const std::size_t before = sum(), resident = mapped_pages(file);
  ASSERT_GT(resident, 4000u);
  base::give_back(file.bytes().subspan(10, bytes.size() - 20));
  EXPECT_LT(mapped_pages(file) + 3000, resident) << "16 MB are 4,096 pages";
  EXPECT_EQ(sum(), before);
  // Piece by piece: what a read brought along of its neighbours goes too.
  constexpr std::size_t kPiece = 256 * 1024 + 100;
  for (std::size_t first = 0; first < bytes.size(); first += kPiece) {
    const auto piece = file.bytes().subspan(first, std::min(kPiece, bytes.size() - first));
    EXPECT_GT(std::ranges::count(piece, std::byte{'a'}), 0);
    base::give_back(piece);
  }
  EXPECT_LT(mapped_pages(file) + 4000, resident);
  EXPECT_EQ(sum(), before);
  // Memory that is no file's keeps what is in it.
  std::vector<std::byte> own(std::size_t{1} << 20, std::byte{7});
  base::give_back(own);
  EXPECT_EQ(std::ranges::count(own, std::byte{7}), 1 << 20);
  base::give_back({});
  base::give_back(file.bytes().subspan(5, 100));
  EXPECT_EQ(sum(), before);
}

}  // namespace
