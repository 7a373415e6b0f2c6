#include "base/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/safetensors.h"
#include "tests/error_of.h"

namespace {

using base::DType;
using testing::HasSubstr;

constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                            DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

std::vector<float> floats_of(const base::TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  base::to_float(tensor.type, tensor.bytes, values);
  return values;
}

// The golden file is ggml's (scripts/oracle/ggml_blocks.py). Another one, of any size, is given by GGML_BLOCKS.
TEST(Quantize, BlocksAreThoseOfGgmlBitForBit) {
  const char* other = std::getenv("GGML_BLOCKS");
  const base::SafetensorsReader golden(other ? other
                                             : HORNBOOK_SOURCE_DIR "/tests/golden/base/ggml_blocks.safetensors");
  const std::vector<float> values = floats_of(golden.at("values"));
  for (const DType type : kTypes) {
    const base::TensorView& expected = golden.at(base::name_of(type));
    const std::vector<std::byte> bytes = base::from_float(type, values);
    ASSERT_EQ(bytes.size(), expected.bytes.size());
    const std::size_t size = base::block_bytes(type);
    std::size_t different = 0;
    for (std::size_t i = 0; i < bytes.size(); i += size)
      different += std::memcmp(&bytes[i], &expected.bytes[i], size) != 0 ? 1 : 0;
    EXPECT_EQ(different, 0) << base::name_of(type) << ", of " << bytes.size() / size;
  }
}

// More bits lose less, and what is read back is near what was given.
TEST(Quantize, ErrorFallsWithTheBits) {
  const base::SafetensorsReader golden(HORNBOOK_SOURCE_DIR "/tests/golden/base/ggml_blocks.safetensors");
  const std::vector<float> all = floats_of(golden.at("values"));
  const std::span values = std::span(all).first(1024);  // normal numbers
  const auto error = [&](DType type) {
    std::vector<float> back(values.size());
    base::to_float(type, base::from_float(type, values), back);
    double lost = 0, whole = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      lost += std::pow(back[i] - values[i], 2);
      whole += std::pow(values[i], 2);
    }
    return std::sqrt(lost / whole);
  };
  EXPECT_LT(error(DType::kQ8_0), 0.01);
  EXPECT_LT(error(DType::kQ8_0), error(DType::kQ6_K));
  EXPECT_LT(error(DType::kQ6_K), error(DType::kQ5_K));
  EXPECT_LT(error(DType::kQ5_K), error(DType::kQ4_K));
  EXPECT_LT(error(DType::kQ4_K), error(DType::kQ4_0));
  EXPECT_LT(error(DType::kQ4_0), 0.12);
}

// ggml divides by a subnormal there, and its levels are what comes of infinity; all are zero times something.
TEST(Quantize, SubnormalNumbersAreZero) {
  const std::vector<float> values(256, 1e-40f);
  for (const DType type : kTypes) {
    std::vector<float> back(values.size(), 1);
    base::to_float(type, base::from_float(type, values), back);
    EXPECT_THAT(back, testing::Each(0)) << base::name_of(type);
  }
}

TEST(Quantize, WhatNoBlockHoldsIsRefused) {
  for (const DType type : kTypes) {
    const float most = base::largest_of(type);
    for (const float wrong : {std::nextafter(most, 1e9f), -std::numeric_limits<float>::infinity(), std::nanf("")}) {
      std::vector<float> values(256, 0.5f);
      values[77] = wrong;
      EXPECT_THAT(error_of([&] { base::from_float(type, values); }), HasSubstr(std::string(base::name_of(type))));
    }
    std::vector<float> values(256, 0.5f), back(256);
    values[77] = most;
    values[78] = -most;
    base::to_float(type, base::from_float(type, values), back);
    for (const float value : back) EXPECT_TRUE(std::isfinite(value)) << base::name_of(type);
  }
}

}  // namespace
