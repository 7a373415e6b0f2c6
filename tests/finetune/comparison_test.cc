#include "finetune/comparison.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using testing::HasSubstr;

TEST(Comparison, NotANumberIsNotEqual) {
  finetune::Comparison comparison;
  comparison.bounds.relative = 1;
  EXPECT_FALSE(comparison.equal()) << "nothing was compared";
  at::Tensor good = at::arange(6, at::kFloat).view({2, 3}).square(), bad = good.clone();
  bad[0][1] = NAN;
  finetune::compare(good, good, comparison);
  EXPECT_TRUE(comparison.equal());
  finetune::compare(good, bad, comparison);
  finetune::compare(good, good, comparison);
  EXPECT_FALSE(comparison.equal());
  EXPECT_EQ(comparison.tokens, 6);
  EXPECT_TRUE(std::isnan(comparison.max_kl));
  EXPECT_THROW(finetune::compare(good, at::ones({2, 4}), comparison), base::Error);
}

TEST(Comparison, MeasuresEachPositionAndNotTheCommonShift) {
  at::Tensor a = at::tensor({3.0f, 4.0f, -7.0f, 6.0f, -6.0f, 0.0f}).view({2, 3});
  finetune::Comparison comparison;
  finetune::compare(a, a + 10, comparison);
  EXPECT_NEAR(comparison.max_rel, 0, 1e-6);
  EXPECT_NEAR(comparison.max_kl, 0, 1e-6);
  at::Tensor b = a.clone();
  b[1][0] += 0.6f;
  b[1][1] -= 0.6f;
  finetune::compare(a, b, comparison);
  EXPECT_NEAR(comparison.max_abs, 0.6, 1e-5);
  EXPECT_NEAR(comparison.max_rel, 0.1, 1e-5) << "0.6 sqrt(2) of 6 sqrt(2)";
}

// Probabilities 1/2, 1/2 against 3/4, 1/4: KL = ln 2 - ln 3 / 2, and the second has another best token than (0, 1).
TEST(Comparison, DivergenceAndBestTokensByHand) {
  finetune::Comparison comparison;
  const at::Tensor half = at::tensor({0.0f, 0.0f}).view({1, 2}),
                   three = at::tensor({std::log(3.0f), 0.0f}).view({1, 2});
  finetune::compare(half, three, comparison);
  EXPECT_NEAR(comparison.mean_kl(), std::log(2.0) - std::log(3.0) / 2, 1e-7);
  EXPECT_EQ(comparison.same_best, 1);
  finetune::compare(three, three.flip(1), comparison);
  EXPECT_EQ(comparison.same_best, 1);
  EXPECT_NEAR(comparison.max_kl, std::log(3.0) / 2, 1e-6);
  EXPECT_DOUBLE_EQ(comparison.share_of_best(), 0.5);
}

// The second token of the text stands at the logits behind prompt and first token.
TEST(Comparison, TextsMayPartWhereTwoTokensAreNearlyAsGood) {
  const at::Tensor logits = at::tensor({0.0f, 0.0f, 9.0f, 0.0f, 5.0f, 4.9f, 9.0f, 0.0f, 0.0f}).view({3, 3});
  finetune::Comparison comparison;
  comparison.bounds.relative = 1;
  finetune::compare(logits, logits, comparison);
  comparison.max_abs = 0.06;
  finetune::compare_texts({2, 1}, {2, 1}, 1, logits, comparison);
  finetune::compare_texts({2, 1}, {2, 2}, 1, logits, comparison);
  EXPECT_TRUE(comparison.equal());
  EXPECT_EQ(comparison.same_texts, 1);
  finetune::compare_texts({2, 1}, {2, 0}, 1, logits, comparison);
  EXPECT_FALSE(comparison.equal()) << "5 against 0";
  EXPECT_EQ(comparison.unexplained, 1);
  finetune::compare_texts({2, 1}, {2}, 1, logits, comparison);
  EXPECT_EQ(comparison.unexplained, 2);
  EXPECT_EQ(comparison.texts, 4);
}

TEST(Comparison, EachBoundCounts) {
  finetune::Comparison comparison;
  comparison.tokens = 100, comparison.same_best = 90, comparison.sum_kl = 1, comparison.max_rel = 0.1;
  comparison.bounds = {0.1, 0.01, 0.9, "x"};
  EXPECT_TRUE(comparison.equal());
  for (const finetune::Bounds& narrow :
       {finetune::Bounds{0.09, 0.01, 0.9, ""}, {0.1, 0.009, 0.9, ""}, {0.1, 0.01, 0.91, ""}}) {
    comparison.bounds = narrow;
    EXPECT_FALSE(comparison.equal());
  }
}

TEST(Comparison, SaysInWordsWhatItFound) {
  finetune::Comparison comparison;
  comparison.bounds = {5e-3, 1e-4, 0.97, "float16 rounding"};
  comparison.max_rel = 1.79e-3, comparison.max_abs = 0.02, comparison.sum_kl = 0.01, comparison.max_kl = 1e-4;
  comparison.tokens = 1024, comparison.same_best = 1020, comparison.texts = 8, comparison.same_texts = 7;
  EXPECT_EQ(
      finetune::to_text(comparison),
      "1,024 tokens: the logits agree within float16 rounding (largest relative difference 1.79e-03, bound 0.005)\n"
      "  largest difference of a logit 2.00e-02; KL in the mean 9.8e-06 nats (bound 0.0001), at most 1.0e-04; the "
      "same best token at 99.61 % (bound 97 %)\n"
      "  7 of 8 greedy texts are the same");
  comparison.weights = lora::Difference{"model.norm.weight", 0.2, 0.3, 0.001, 0.02};
  EXPECT_THAT(finetune::to_text(comparison),
              HasSubstr("weights are those of base and adapter rounded to their types: at most 1.0e-03 of the norm off "
                        "(model.norm.weight, bound 0.02)"));
  comparison.weights->rounded = 0.03;
  EXPECT_FALSE(comparison.equal());
  EXPECT_THAT(finetune::to_text(comparison), HasSubstr("weights DIFFER from"));
  comparison.max_rel = 0.4, comparison.unexplained = 1;
  EXPECT_THAT(finetune::to_text(comparison), HasSubstr("DIFFER by more than float16 rounding"));
  EXPECT_THAT(finetune::to_text(comparison), HasSubstr("1 DIFFER where the logits do not"));
}

TEST(Comparison, TheBoundsFollowTheTypeOfTheWeights) {
  EXPECT_EQ(finetune::bounds_of(lora::ModelFiles(tiny_llama::folder("tied").string())).relative, 5e-2);
  EXPECT_EQ(finetune::bounds_of(lora::ModelFiles(tiny_llama::folder("tied").string())).name, "bfloat16 rounding");
  tiny_llama::Changed wide("tied", [](const std::string&, at::Tensor&) {});
  EXPECT_EQ(finetune::bounds_of(lora::ModelFiles(wide.path().string())).relative, 2e-5);
}

}  // namespace
