#include "base/tensor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/magnitude.h"
#include "base/safetensors.h"

namespace {

using base::DType;

const base::SafetensorsReader& golden() {
  static const base::SafetensorsReader file(HORNBOOK_SOURCE_DIR "/tests/golden/base/dequantize.safetensors");
  return file;
}

std::vector<float> floats_of(std::string_view name) {
  const base::TensorView& tensor = golden().at(name);
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  base::to_float(DType::kF32, tensor.bytes, values);
  return values;
}

// Elements whose bits differ; all NaN are alike.
std::size_t differences(const std::vector<float>& left, const std::vector<float>& right) {
  if (left.size() != right.size()) return std::numeric_limits<std::size_t>::max();
  std::size_t count = 0;
  for (std::size_t i = 0; i < left.size(); ++i)
    count += !(std::isnan(left[i]) && std::isnan(right[i])) &&
             std::bit_cast<std::uint32_t>(left[i]) != std::bit_cast<std::uint32_t>(right[i]);
  return count;
}

TEST(Tensor, ExpandsBitForBitAsTheGgufPackage) {
  for (DType type :
       {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K,
        DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4, DType::kF16, DType::kBF16}) {
    std::string name(base::name_of(type));
    std::vector<float> expected = floats_of(name + ".values"), values(expected.size());
    std::vector<std::byte> bytes(golden().at(name + ".bytes").bytes.begin(), golden().at(name + ".bytes").bytes.end());
    base::to_float(type, bytes, values);
    EXPECT_EQ(differences(values, expected), 0u) << name;
    // One flipped bit is seen: the comparison can fail.
    bytes[bytes.size() - 1] ^= std::byte{0x10};
    base::to_float(type, bytes, values);
    EXPECT_GT(differences(values, expected), 0u) << name;
  }
}

TEST(Tensor, QuantizesByteForByteAsTheGgufPackage) {
  for (DType type : {DType::kQ8_0, DType::kF16, DType::kBF16}) {
    std::string name(base::name_of(type));
    std::vector<float> source = floats_of(name + ".source");
    std::span<const std::byte> expected = golden().at(name + ".quantized").bytes;
    std::vector<std::byte> bytes = base::from_float(type, source);
    ASSERT_EQ(bytes.size(), expected.size());
    std::size_t unequal = 0;
    for (std::size_t i = 0; i < source.size() && type != DType::kQ8_0; ++i) {
      if (std::isnan(source[i])) continue;  // the payload of a NaN is nobody's business
      unequal += std::memcmp(&bytes[i * 2], &expected[i * 2], 2) != 0;
    }
    if (type == DType::kQ8_0) unequal = std::memcmp(bytes.data(), expected.data(), bytes.size()) != 0;
    EXPECT_EQ(unequal, 0u) << name;
  }
}

TEST(Tensor, HalvesOfNaNAreNaN) {
  float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(base::half_to_float(base::float_to_half(nan))));
  EXPECT_TRUE(std::isnan(base::bfloat16_to_float(base::float_to_bfloat16(nan))));
  EXPECT_TRUE(std::isnan(base::bfloat16_to_float(base::float_to_bfloat16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_EQ(base::float_to_half(65520.0f), 0x7c00);         // a tie goes to even: infinity
  EXPECT_EQ(base::float_to_half(65519.9f), 0x7bff);         // the largest half
  EXPECT_EQ(base::float_to_bfloat16(1.00390625f), 0x3f80);  // 1 + 2^-8 is a tie, even wins
}

TEST(Tensor, RefusesWhatCannotBe) {
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(base::byte_size(DType::kF32, Shape{2, 3}), 24u);
  EXPECT_EQ(base::byte_size(DType::kF32, Shape{}), 4u);
  EXPECT_EQ(base::byte_size(DType::kF32, Shape{0, 3}), 0u);
  EXPECT_EQ(base::byte_size(DType::kQ4_0, Shape{2, 64}), 2u * 2 * 18);
  EXPECT_THROW(base::byte_size(DType::kF32, Shape{-1, 3}), base::Error);
  EXPECT_THROW(base::byte_size(DType::kQ8_0, Shape{64, 33}), base::Error);
  EXPECT_THROW(base::byte_size(DType::kF32, Shape{1ll << 31, 1ll << 31}), base::Error);
  EXPECT_THROW(base::byte_size(DType::kI8, Shape{1ll << 40, 1ll << 40, 0}), base::Error);
  std::vector<float> out(3);
  std::vector<std::byte> bytes(12);
  EXPECT_THROW(base::to_float(DType::kI32, bytes, out), base::Error);
  EXPECT_THROW(base::to_float(DType::kF16, bytes, out), base::Error);
  EXPECT_THROW(base::from_float(DType::kQ8_0, out), base::Error);
  std::vector<float> block(32, 1);
  block[5] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(base::from_float(DType::kQ8_0, block), base::Error);
}

TEST(Magnitude, IsTheLargestAndNotANumberWhereOneIs) {
  EXPECT_EQ(base::largest_magnitude({}), 0);
  for (const std::size_t n : {1, 7, 8, 9, 100}) {
    std::vector<float> values(n, 0.5F);
    EXPECT_EQ(base::largest_magnitude(values), 0.5F);
    for (std::size_t i = 0; i < n; ++i) {
      values[i] = -3;
      EXPECT_EQ(base::largest_magnitude(values), 3) << i << " of " << n;
      values[i] = std::numeric_limits<float>::infinity();
      EXPECT_TRUE(std::isinf(base::largest_magnitude(values)));
      values[i] = -std::numeric_limits<float>::quiet_NaN();
      EXPECT_TRUE(std::isnan(base::largest_magnitude(values))) << i << " of " << n;
      values[i] = 0.5F;
    }
  }
}

TEST(Bfloat16, ManyAreRoundedAsOneIs) {
  std::vector<float> values;
  for (std::uint32_t bits = 0; bits < 0xFFFF0000U; bits += 0x8765U) values.push_back(std::bit_cast<float>(bits));
  const std::vector<std::byte> bytes = base::from_float(DType::kBF16, values);
  std::vector<float> back(values.size());
  base::to_float(DType::kBF16, bytes, back);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t one = base::float_to_bfloat16(values[i]);
    ASSERT_EQ(std::memcmp(&one, bytes.data() + 2 * i, 2), 0) << std::bit_cast<std::uint32_t>(values[i]);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(back[i]), std::uint32_t{one} << 16);
  }
  std::vector<std::byte> odd(bytes.size() + 1);  // where no number of two bytes lies
  std::ranges::copy(bytes, odd.begin() + 1);
  std::vector<float> again(values.size());
  base::to_float(DType::kBF16, std::span(odd).subspan(1), again);
  EXPECT_EQ(std::memcmp(again.data(), back.data(), 4 * back.size()), 0);
}

}  // namespace
