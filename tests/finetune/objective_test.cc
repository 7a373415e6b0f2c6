// What a step's loss is divided by.
#include "finetune/train/objective.h"

#include <gtest/gtest.h>

#include "tests/finetune/tiny_llama.h"

namespace {

TEST(Objective, OfAnswersIsTheModelsLossAndItsTrainedTokens) {
  const tiny_llama::Golden golden("tied");
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  model.attach({"all-linear"}, 4, 8, 0.2, false, 3);
  const finetune::PackedRow row = golden.row(0);
  const finetune::AnswerObjective objective;
  at::NoGradGuard no_gradient;
  const at::Tensor totals = objective.totals(model, row, 7);
  EXPECT_EQ(totals.sizes(), at::IntArrayRef{1});
  EXPECT_EQ(totals.item<double>(), static_cast<double>(row.targets.ge(0).sum().item<std::int64_t>()));
  EXPECT_EQ(objective.loss(model, row, 7, at::ones({1})).item<float>(), model.loss_sum(row, 7).item<float>());
  EXPECT_LT(tiny_llama::relative(objective.loss(model, row, 0, totals), golden.at("base/loss")), 1e-5);
}

}  // namespace
