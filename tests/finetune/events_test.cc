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
    writer.restart(301, wall_time);
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

}  // namespace
