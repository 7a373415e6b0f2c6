// What scorers are measured with.
#include "curate/train/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

namespace {

using curate::Judged;

TEST(Evaluation, AreaUnderTheCurveIsTheShareOfPairsInOrder) {
  const std::vector<Judged> judged = {{0.5, 1, true}, {0.9, 7, true}, {0.1, 1, false}, {0.8, 1, true}, {0.5, 3, false}};
  EXPECT_DOUBLE_EQ(curate::area_under_curve(judged), 5.5 / 6);
  EXPECT_TRUE(std::isnan(curate::area_under_curve({{0.5, 1, true}, {0.7, 1, true}})));
  EXPECT_TRUE(std::isnan(curate::area_under_curve({})));
}

TEST(Evaluation, ATenthOfTheScoresIsWeighedByItsDocuments) {
  const std::vector<Judged> judged = {{0.25, 3, true}, {0.29, 1, false}, {1.0, 2, true}, {0.0, 1, false}};
  const std::vector<curate::ScoreBin> bins = curate::calibration(judged);
  ASSERT_EQ(bins.size(), 3u);
  EXPECT_EQ(bins[0].from, 0);
  EXPECT_EQ(bins[0].good_share, 0);
  EXPECT_EQ(bins[1].from, 0.2);
  EXPECT_EQ(bins[1].documents, 2u);
  EXPECT_DOUBLE_EQ(bins[1].mean_score, 0.26);
  EXPECT_DOUBLE_EQ(bins[1].good_share, 0.75);
  EXPECT_EQ(bins[2].from, 0.9);  // 1 is in the last tenth
  EXPECT_EQ(curate::to_json(bins)[2].dump(), R"({"documents":1,"from":0.9,"good_share":1.0,"mean_score":1.0})");
  EXPECT_EQ(curate::to_json(std::vector<curate::ScoreBin>{}).dump(), "[]");
}

TEST(Evaluation, WhatAThresholdKeeps) {
  const std::vector<Judged> judged = {{0.5, 1, true}, {0.9, 3, true}, {0.5, 1, false}, {0.2, 4, false}};
  const curate::KeptWeight kept = curate::kept_at(judged, 0.5);
  EXPECT_EQ(kept.good, 4);
  EXPECT_EQ(kept.bad, 1);
  EXPECT_EQ(kept.recall(), 1);
  EXPECT_EQ(kept.bad_kept(), 0.2);
  EXPECT_EQ(curate::kept_at(judged, 0.6).recall(), 0.75);
  EXPECT_TRUE(std::isnan(curate::kept_at({}, 0.5).recall()));
  EXPECT_TRUE(curate::finite_or_null(std::nan("")).is_null());
  EXPECT_EQ(curate::finite_or_null(0.5), 0.5);
}

}  // namespace
