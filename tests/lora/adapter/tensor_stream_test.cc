#include "lora/adapter/tensor_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/file.h"
#include "base/safetensors.h"
#include "tests/temporary_folder.h"

namespace {

using base::DType;
using lora::StreamedTensor;

// Rows of numbers that say where they are.
StreamedTensor counting(const std::string& name, std::vector<std::int64_t> shape, float begin) {
  const std::int64_t row{shape.size() == 2 ? shape[1] : 1};
  return {name, DType::kF32, shape, [=](std::int64_t first, std::int64_t rows) {
            std::vector<float> values(static_cast<std::size_t>(rows * row));
            for (std::size_t i = 0; i < values.size(); ++i)
              values[i] = begin + static_cast<float>(first * row) + static_cast<float>(i);
            return base::from_float(DType::kF32, values);
          }};
}

std::vector<StreamedTensor> tensors() {
  return {counting("a", {3000, 1000}, 0), counting("b", {7}, 1), counting("empty", {0, 4}, 0),
          counting("c", {300, 1000}, 2), counting("d", {2, 2}, 3)};
}

void expect_all(const base::SafetensorsReader& file) {
  ASSERT_EQ(file.tensors().size(), tensors().size());
  for (const StreamedTensor& tensor : tensors()) {
    const base::TensorView& view = file.at(tensor.name);
    const std::vector<std::byte> expected = tensor.bytes(0, tensor.shape[0]);
    ASSERT_EQ(view.bytes.size(), expected.size());
    EXPECT_TRUE(expected.empty() || std::memcmp(view.bytes.data(), expected.data(), expected.size()) == 0)
        << tensor.name;
  }
}

TEST(TensorStream, OneFileHoldsWhatFits) {
  const TemporaryFolder folder;
  double share = 0;
  lora::write_safetensors(tensors(), folder.path(), 1'000'000'000, {16, 2, [&](double done) { share = done; }});
  EXPECT_EQ(share, 1);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "model.safetensors.index.json"));
  expect_all(base::SafetensorsReader(folder.path()));
}

// As transformers lays them: in order, a tensor larger than a file alone in one.
TEST(TensorStream, LargerFoldersAreShardedWithAnIndex) {
  const TemporaryFolder folder;
  lora::write_safetensors(tensors(), folder.path(), 1'300'000, {16, 2, {}});
  const auto index = nlohmann::json::parse(base::read_file(folder.path() / "model.safetensors.index.json"));
  EXPECT_EQ(index["weight_map"]["a"], "model-00001-of-00002.safetensors");
  for (const char* name : {"b", "empty", "c", "d"})
    EXPECT_EQ(index["weight_map"][name], "model-00002-of-00002.safetensors") << name;
  EXPECT_EQ(index["metadata"]["total_size"], 4 * (3'000'000 + 7 + 300'000 + 4));
  expect_all(base::SafetensorsReader(folder.path()));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "model.safetensors"));
}

TEST(TensorStream, AFailureLeavesNoFile) {
  const TemporaryFolder folder;
  std::vector<StreamedTensor> broken = tensors();
  broken.push_back({"e", DType::kF32, {4}, [](std::int64_t, std::int64_t) -> std::vector<std::byte> {
                      throw std::runtime_error("broken");
                    }});
  EXPECT_THROW(lora::write_safetensors(broken, folder.path(), 1'300'000, {16, 2, {}}), std::runtime_error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TensorStream, RowsComeInWholeUnits) {
  std::int64_t next = 0;
  for (const lora::RowRange& rows : lora::row_ranges({96 * 31, 1000}, 96)) {
    EXPECT_EQ(rows.first, next);
    EXPECT_EQ(rows.count % 96, 0);
    next += rows.count;
  }
  EXPECT_EQ(next, 96 * 31);
  EXPECT_EQ(lora::row_ranges({5}, 96).size(), 1U);
}

}  // namespace
