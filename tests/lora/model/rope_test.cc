#include "lora/model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace {

lora::RopeSpec llama3(double theta, double factor, double low, double high, std::int64_t context) {
  lora::RopeSpec rope;
  rope.theta = theta, rope.type = "llama3", rope.factor = factor;
  rope.low_freq_factor = low, rope.high_freq_factor = high, rope.original_context = context;
  return rope;
}

TEST(Rope, Llama3FactorsAreTheKnownRow) {
  // Head size 128, theta 500000, factor 8: the short waves are left alone, the longest is stretched by exactly 8.
  std::vector<float> factors = lora::stretch_factors(llama3(5e5, 8, 1, 4, 8192), 128);
  ASSERT_EQ(factors.size(), 64u);
  EXPECT_EQ(factors[0], 1);
  EXPECT_EQ(factors[28], 1);
  EXPECT_GT(factors[31], 1);
  EXPECT_LT(factors[31], 8);
  EXPECT_EQ(factors[63], 8);
}

TEST(Rope, FactorsTurnAsTheSettingThatTheyCameFrom) {
  lora::RopeSpec setting = llama3(5e5, 32, 1, 4, 8192), factors;
  factors.theta = 5e5;
  factors.type = "factors";
  factors.factors = lora::stretch_factors(setting, 64);
  std::vector<float> a = lora::inverse_frequencies(setting, 64), b = lora::inverse_frequencies(factors, 64);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 2e-7 * a[i]);
  EXPECT_EQ(lora::stretch_factors(factors, 64), factors.factors);
}

TEST(Rope, TheSettingBehindFactorsIsFound) {
  for (const lora::RopeSpec& setting :
       {llama3(5e5, 8, 1, 4, 8192), llama3(5e5, 32, 1, 4, 8192), llama3(1e4, 4, 1, 4, 64), llama3(1e6, 16, 1, 8, 4096),
        llama3(5e5, 8, 2, 8, 8192)}) {
    for (std::int64_t dim : {64, 128}) {
      lora::RopeSpec factors;
      factors.theta = setting.theta, factors.type = "factors";
      factors.factors = lora::stretch_factors(setting, dim);
      const lora::RopeSpec found = lora::as_llama3(factors, dim);
      ASSERT_EQ(found.type, "llama3") << setting.original_context;
      if (setting.low_freq_factor == 1) {
        EXPECT_EQ(found, setting) << dim;
      }
      const std::vector<float> again = lora::stretch_factors(found, dim);
      for (std::size_t i = 0; i < again.size(); ++i) EXPECT_NEAR(again[i], factors.factors[i], 1e-5 * again[i]);
    }
  }
}

TEST(Rope, OtherFactorsStayFactors) {
  lora::RopeSpec factors;
  factors.type = "factors";
  factors.factors = {1, 2, 1, 3, 5, 4, 4, 4};
  EXPECT_EQ(lora::as_llama3(factors, 16), factors);
}

// As transformers' build_alibi_tensor gives them.
TEST(Rope, SlopesOfHeadsThatAreNoPowerOfTwoLieBetween) {
  EXPECT_EQ(lora::alibi_slopes(4), (std::vector<double>{0.25, 0.0625, 0.015625, 0.00390625}));
  EXPECT_EQ(lora::alibi_slopes(6), (std::vector<double>{0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125}));
}

}  // namespace
