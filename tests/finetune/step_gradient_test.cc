// The gradient of a step: split where memory does not suffice, and shared by processes.
#include "finetune/train/step_gradient.h"

#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>

#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::Example;
using finetune::RowPlan;

// Answers, whose allocator has no more than `most` tokens' worth of memory.
class Scarce final : public finetune::Objective {
 public:
  Scarce(std::int64_t most, std::function<void()> fail) : most_(most), fail_(std::move(fail)) {}
  at::Tensor loss(const finetune::Transformer& model, const finetune::PackedRow& batch, std::uint64_t seed,
                  const at::Tensor& totals, at::Tensor* figures) const override {
    const at::Tensor loss = finetune::AnswerObjective().loss(model, batch, seed, totals, figures);
    if (batch.ids.numel() > most_) {
      loss.backward();  // a failure can come late
      fail_();
    }
    return loss;
  }
  at::Tensor totals(const finetune::Transformer& model, const finetune::PackedRow& batch,
                    std::uint64_t seed) const override {
    return finetune::AnswerObjective().totals(model, batch, seed);
  }

 private:
  std::int64_t most_;
  std::function<void()> fail_;
};

// One of several processes, whose sum is what it has itself.
struct Alone final : finetune::Group {
  int place, count;
  Alone(int rank, int size) : place(rank), count(size) {}
  int rank() const override { return place; }
  int size() const override { return count; }
  void all_reduce(const at::Tensor&) const override {}
};

struct Made {
  at::Tensor gradient;
  finetune::StepMetrics metrics;
  std::vector<std::int64_t> splits;
};

class StepGradient : public testing::Test {
 protected:
  StepGradient() {
    for (std::size_t i = 0; i < 8; ++i) {
      Example example;
      for (std::size_t j = 0; j < 6 + 3 * i; ++j) {
        example.ids.push_back(static_cast<std::int32_t>((7 * i + j * j) % 250));
        example.trained.push_back(j > 2);
      }
      examples_.push_back(example);
      rows_.push_back({static_cast<std::uint32_t>(i)});
    }
  }
  Made make(const finetune::Objective& objective, std::int64_t rows_per_batch, double dropout = 0,
            const finetune::Group& group = finetune::OneProcess()) const {
    finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
    model.attach({"all-linear"}, 4, 8, dropout, false, 3);
    finetune::AdamW optimizer(model.parameters(), {});
    finetune::StepGradient gradient(objective, model, optimizer, group, 5, rows_per_batch);
    Made made;
    made.metrics = *gradient.compute(2, examples_, rows_, [&](std::int64_t rows) { made.splits.push_back(rows); });
    made.gradient = optimizer.gradient().clone();
    return made;
  }
  std::vector<Example> examples_;
  std::vector<RowPlan> rows_;
  const finetune::AnswerObjective answers_;
};

TEST_F(StepGradient, AStepThatDoesNotFitIsSplit) {
  const Made whole = make(answers_, 8, 0.2);
  EXPECT_TRUE(whole.splits.empty());
  const std::vector<std::function<void()>> failures = {
      [] { throw std::bad_alloc(); }, [] { TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory."); },
      [] { at::empty({std::int64_t{1} << 50}); }};  // what the CPU's allocator really says
  for (const auto& fail : failures) {
    const Made split = make(Scarce(51, fail), 8, 0.2);
    EXPECT_EQ(split.splits, (std::vector<std::int64_t>{4, 2}));
    EXPECT_LT(tiny_llama::relative(split.gradient, whole.gradient), 1e-5);
    EXPECT_NEAR(split.metrics.loss, whole.metrics.loss, 1e-5);
    EXPECT_EQ(split.metrics.tokens, whole.metrics.tokens);
    EXPECT_EQ(split.metrics.trained_tokens, whole.metrics.trained_tokens);
  }
  EXPECT_GT(tiny_llama::relative(make(answers_, 8, 0).gradient, whole.gradient), 1e-2) << "dropout is on";
  // Can the test fail? The gradient of a step that was not made again from its start.
  EXPECT_GT(tiny_llama::relative(whole.gradient * 1.01, whole.gradient), 1e-5);
}

TEST_F(StepGradient, OneRowThatDoesNotFitIsAnError) {
  EXPECT_THROW(make(Scarce(10, [] { throw std::bad_alloc(); }), 4), std::bad_alloc);
  EXPECT_THROW(make(Scarce(50, [] { throw std::runtime_error("something else"); }), 4), std::runtime_error);
}

// Each takes rows that no other takes, and masks of dropout do not depend on how many there are.
TEST_F(StepGradient, SharesAddUpToTheStep) {
  const Made whole = make(answers_, 1, 0.2);
  for (const int size : {2, 3, 8, 11}) {
    // Of one process alone the normaliser is its own: undone here.
    at::Tensor sum = at::zeros_like(whole.gradient);
    double trained{0};
    for (int rank = 0; rank < size; ++rank) {
      const Made part = make(answers_, 1, 0.2, Alone(rank, size));
      const auto own = static_cast<double>(part.metrics.trained_tokens);
      if (own > 0) sum += part.gradient * own;
      trained += own;
    }
    EXPECT_EQ(trained, static_cast<double>(whole.metrics.trained_tokens)) << size;
    EXPECT_LT(tiny_llama::relative(sum / trained, whole.gradient), 1e-5) << size;
  }
  EXPECT_LT(tiny_llama::relative(make(answers_, 3, 0.2).gradient, whole.gradient), 1e-5) << "larger batches";
  EXPECT_GT(tiny_llama::relative(make(answers_, 1, 0).gradient, whole.gradient), 1e-2) << "dropout is on";
}

// A step that a signal ends between two batches leaves nothing; made again it is the same.
TEST_F(StepGradient, EndsBetweenBatchesWhereItIsToldTo) {
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  model.attach({"all-linear"}, 4, 8, 0.2, false, 3);
  finetune::AdamW optimizer(model.parameters(), {});
  const finetune::OneProcess alone;
  finetune::StepGradient gradient(answers_, model, optimizer, alone, 5, 2);
  std::vector<std::size_t> asked;
  const auto no_split = [](std::int64_t) {};
  EXPECT_FALSE(gradient.compute(2, examples_, rows_, no_split, [&](std::size_t batch, std::size_t batches) {
    EXPECT_EQ(batches, 4U);
    asked.push_back(batch);
    return batch < 2;
  }));
  EXPECT_EQ(asked.back(), 2U);
  ASSERT_TRUE(gradient.compute(2, examples_, rows_, no_split));
  EXPECT_EQ(tiny_llama::relative(optimizer.gradient(), make(answers_, 2, 0.2).gradient), 0);
}

}  // namespace
