#include "lora/compose/layer_curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/error_of.h"

namespace {

using testing::HasSubstr;

TEST(LayerCurve, GoesThroughItsPointsFromFirstToLast) {
  const lora::LayerCurve curve = lora::layer_curve("0:0.5:0.3:1", "t");
  EXPECT_DOUBLE_EQ(curve.at(0), 0);
  EXPECT_DOUBLE_EQ(curve.at(1), 1);
  EXPECT_NEAR(curve.at(1.0 / 3), 0.5, 1e-12);
  EXPECT_NEAR(curve.at(0.5), 0.4, 1e-12);
  EXPECT_DOUBLE_EQ(lora::layer_curve("-0.25", "t").at(0.7), -0.25);
}

TEST(LayerCurve, OneForEachModelOrOneForAll) {
  const auto curves = lora::layer_curves({"0.7", "0:1"}, 2, "weights");
  EXPECT_DOUBLE_EQ(curves.at(0).at(1), 0.7);
  EXPECT_DOUBLE_EQ(curves.at(1).at(1), 1);
  EXPECT_EQ(lora::layer_curves({"0.5"}, 3, "weights").size(), 3U);
  EXPECT_THAT(error_of([] { lora::layer_curves({"1", "2"}, 3, "weights"); }), HasSubstr("not one for each model"));
}

TEST(LayerCurve, OfPartsAndWrongOnes) {
  EXPECT_EQ(lora::curve_of_part("mlp=0:1", "t").part, "mlp");
  EXPECT_EQ(lora::curve_of_part("0:1", "t").part, "");
  EXPECT_THAT(error_of([] { lora::curve_of_part("=1", "t"); }), HasSubstr("a part of a name is missing"));
  for (const char* wrong : {"", "a", "0.5x", "0::1", "1:", "nan", "inf", "0.5 "})
    EXPECT_THAT(error_of([&] { lora::layer_curve(wrong, "t"); }), HasSubstr("not a number")) << wrong;
}

}  // namespace
