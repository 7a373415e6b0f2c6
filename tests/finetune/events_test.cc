#include "finetune/train/events.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/temporary_folder.h"

namespace {

TEST(Events, ChecksumOfTheKnownVector) {
  EXPECT_EQ(finetune::crc32c("123456789"), 0xE3069283u);  // RFC 3720's CRC-32C check value
  EXPECT_NE(finetune::masked_crc32c("123456789"), finetune::crc32c("123456789"));
}

TEST(Events, BytesEqualTensorBoardsOwnWriter) {
  const TemporaryFolder folder;
  const double wall_time = 1700000000.25;
  std::string bytes;
  {
    finetune::EventWriter writer(folder.path(), wall_time);
    writer.scalars(0, {{"validation/loss", 3.5}}, wall_time);
    writer.scalars(1, {{"train/loss", 2.25}, {"train/learning_rate", 1e-4}}, wall_time);
    writer.scalars(300, {{"train/loss", 0.5}}, wall_time);
    bytes = base::read_file(writer.path());
  }
  std::string hex;
  for (unsigned char byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  const auto golden = nlohmann::json::parse(base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/events.json"));
  EXPECT_EQ(hex, golden["hex"].get<std::string>());
}

TEST(Events, AFollowingFileTakesWhatIsKeptAndThePlaceOfTheOneBefore) {
  const TemporaryFolder folder;
  std::string whole;
  {
    finetune::EventWriter writer(folder.path(), 1000);
    for (std::int64_t step : {0, 1, 2, 300}) writer.scalars(step, {{"train/loss", 0.5 + static_cast<double>(step)}}, 1);
    whole = base::read_file(writer.path());
  }
  const auto files = [&] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      names.push_back(entry.path().filename().string());
    return names;
  };
  ASSERT_EQ(files().size(), 1u);
  base::write_file(folder / "events.out.tfevents.0000000001.another.1", "of another program");
  // A kill fell into the last event.
  const auto path = folder / "events.out.tfevents.0000001000.hornbook.7";
  base::write_file(path, whole.substr(0, whole.size() - 3));
  std::filesystem::remove(folder / ("events.out.tfevents.0000001000.hornbook." + std::to_string(getpid())));
  const auto size_of = [&](double wall_time, std::optional<std::int64_t> kept) {
    const finetune::EventWriter writer(folder.path(), wall_time, kept);
    EXPECT_EQ(files().size(), 2u);
    return base::read_file(writer.path()).size();
  };
  const std::size_t all = size_of(2000, 300), two = size_of(3000, 1), same = size_of(4000, 1), none = size_of(5000, 0);
  EXPECT_EQ(two, same);
  // Steps 0, 1, 2 were whole, each event of one byte more than the one of step 0, which is not written.
  const std::size_t of_one = all - two;
  EXPECT_EQ(two - none, of_one);
  EXPECT_GT(of_one, 30u);
  EXPECT_LT(size_of(6000, std::nullopt), none);
}

}  // namespace
