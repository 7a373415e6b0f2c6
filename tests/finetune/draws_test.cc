// Random numbers by place: what is drawn for a token does not depend on what is computed with it.
#include "finetune/adapt/draws.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "finetune/data/packing.h"
#include "finetune/train/preference_objective.h"
#include "finetune/train/preferences.h"
#include "lora/adapter/fresh.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::Draws;
using finetune::Transformer;
using tiny_llama::relative;

using Numbers = at::Tensor (*)(const Draws&, std::int64_t, std::int64_t, const at::TensorOptions&);

Draws from(std::int64_t first, std::int64_t count) { return {7, at::arange(first, first + count, at::kLong)}; }

class NumbersOf : public testing::TestWithParam<Numbers> {
 protected:
  static at::Tensor numbers(const Draws& draws, std::int64_t width, std::int64_t index = 3) {
    return GetParam()(draws, index, width, at::TensorOptions(at::kFloat));
  }
};
INSTANTIATE_TEST_SUITE_P(Ways, NumbersOf, testing::Values(finetune::uniform_numbers, finetune::tiled_uniform_numbers));

TEST_P(NumbersOf, ATokenHasItsOwnWhereverItIsComputed) {
  for (const std::int64_t width : {64, 30, 1}) {
    const at::Tensor whole = numbers(from(0, 1000), width);
    EXPECT_TRUE(at::equal(numbers(from(0, 1000), width), whole));
    for (const std::int64_t cut : {1, 255, 256, 600})
      EXPECT_TRUE(at::equal(at::cat({numbers(from(0, cut), width), numbers(from(cut, 1000 - cut), width)}), whole));
    const at::Tensor some = at::tensor({5, 255, 256, 3, 999}, at::kLong);
    EXPECT_TRUE(at::equal(numbers(from(0, 1000).of(some), width), whole.index_select(0, some)));
  }
}

TEST_P(NumbersOf, OthersAreOthers) {
  const at::Tensor whole = numbers(from(0, 1000), 64);
  EXPECT_NEAR(whole.mean().item<double>(), 0.5, 0.005);
  EXPECT_FALSE(at::equal(numbers(from(0, 1000), 64, 4), whole));
  EXPECT_FALSE(at::equal(numbers({8, from(0, 1000).places}, 64), whole));
  // Neighbours in the list, in a tile and in the next one have nothing in common.
  for (const std::int64_t by : {1, 256})
    EXPECT_LT(whole.narrow(0, 0, 1000 - by).eq(whole.narrow(0, by, 1000 - by)).to(at::kFloat).mean().item<double>(),
              1e-3);
}

TEST(Dropped, IsTheMaskTimesTheNumbersInOnePass) {
  at::manual_seed(5);
  const Draws draws{7, at::tensor({5, 255, 256, 3, 99999}, at::kLong)};
  for (const std::int64_t width : {1, 30, 64, 255, 257, 1030}) {
    const at::Tensor x = at::randn({5, width}), before = at::randn({5, width});
    const at::Tensor mask = finetune::dropout_mask(draws, 3, 0.3, width, x.options());
    EXPECT_TRUE(at::equal(finetune::dropped(draws, 3, 0.3, x), x * mask)) << width;
    at::Tensor sum = before.clone();
    finetune::add_dropped(sum, draws, 3, 0.3, x);
    EXPECT_LT(relative(sum, before + x * mask), 1e-6) << width;
    const at::Tensor halves = x.to(at::kBFloat16);
    EXPECT_TRUE(at::equal(finetune::dropped(draws, 3, 0.3, halves), (halves.to(at::kFloat) * mask).to(at::kBFloat16)));
    at::Tensor half_sum = before.to(at::kBFloat16);
    finetune::add_dropped(half_sum, draws, 3, 0.3, halves);
    EXPECT_LT(relative(half_sum.to(at::kFloat), before + x * mask), 1e-2) << width;
    // What is no number stays none, dropped or not.
    EXPECT_TRUE(finetune::dropped(draws, 3, 0.3, x * NAN).isnan().all().item<bool>());
  }
}

// A batch of rows has the gradient of its rows by themselves, whatever of the model drops.
struct Kind {
  const char *name, *model;
  std::vector<std::string> targets;
  bool dora;
  double noise;
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class DropoutOf : public testing::TestWithParam<Kind> {
 protected:
  static Transformer model(double dropout = 0.2) {
    Transformer model = tiny_llama::load(tiny_llama::folder(GetParam().model));
    lora::FreshOptions options;
    options.targets = GetParam().targets;
    options.rank = 4, options.alpha = 8, options.dropout = dropout, options.dora = GetParam().dora;
    const lora::ModelFiles files(tiny_llama::folder(GetParam().model).string());
    lora::Adapter adapter = lora::fresh_adapter(files.spec(), options, 3);
    for (lora::AdapterModule& module : adapter.modules) {
      for (std::size_t i = 0; i < module.b.size(); ++i) module.b[i] = 0.1F * static_cast<float>(i % 7) - 0.3F;
      if (options.dora) module.magnitude.assign(static_cast<std::size_t>(module.out), 1);
    }
    model.attach(adapter);
    model.set_noise(GetParam().noise);
    return model;
  }
  static at::Tensor gradient(const Transformer& model, const std::vector<finetune::PackedRow>& batches) {
    std::vector<at::Tensor> parameters = model.parameters();
    for (at::Tensor& parameter : parameters) parameter.mutable_grad() = at::Tensor();
    for (const finetune::PackedRow& batch : batches) model.loss_sum(batch, 11).backward();
    std::vector<at::Tensor> all;
    for (const at::Tensor& parameter : parameters)
      all.push_back(parameter.grad().defined() ? parameter.grad().flatten() : at::zeros(parameter.numel()));
    return at::cat(all);
  }
};
INSTANTIATE_TEST_SUITE_P(Models, DropoutOf,
                         testing::Values(Kind{"linear", "untied", {"all-linear"}, false, 0},
                                         Kind{"head", "untied", {"q_proj", "embed_tokens", "lm_head"}, false, 0},
                                         Kind{"dora", "untied", {"q_proj", "down_proj"}, true, 0},
                                         Kind{"noise", "tied", {"q_proj"}, false, 5},
                                         Kind{"experts", "mixtral", {"all-linear"}, false, 0},
                                         Kind{"shared_expert", "qwen2_moe", {"all-linear"}, false, 0}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(DropoutOf, IsThatOfTheRowsByThemselves) {
  std::vector<finetune::Example> examples(5);
  for (std::size_t i = 0; i < examples.size(); ++i)
    for (std::size_t j = 0; j < 9 + 5 * i; ++j) {
      examples[i].ids.push_back(static_cast<std::int32_t>((7 * i + j * j) % 250));
      examples[i].trained.push_back(j > 2);
    }
  const std::vector<finetune::RowPlan> rows = {{0, 3}, {2}, {4, 1}};
  const auto batch = [&](std::int64_t first, std::size_t count) {
    return finetune::make_batch(examples, std::span(rows).subspan(static_cast<std::size_t>(first), count), first,
                                tiny_llama::device());
  };
  const Transformer trained = model();
  const at::Tensor whole = gradient(trained, {batch(0, 3)});
  EXPECT_LT(relative(gradient(trained, {batch(0, 1), batch(1, 2)}), whole), 1e-5);
  EXPECT_LT(relative(gradient(trained, {batch(0, 1), batch(1, 1), batch(2, 1)}), whole), 1e-5);
  // Can the test fail? Rows that stand elsewhere draw other numbers.
  const auto elsewhere = finetune::make_batch(examples, rows, 1, tiny_llama::device());
  EXPECT_GT(relative(gradient(trained, {elsewhere}), whole), 1e-3);
}

// Two pairs with dropout, at once or one after the other: every token keeps its place in the step.
TEST(DropoutOfPairs, IsThatOfTheStepHoweverItIsCut) {
  Transformer model = tiny_llama::load(tiny_llama::folder("untied"));
  model.attach({"all-linear"}, 4, 8, 0.2, false, 3);
  std::vector<at::Tensor> parameters = model.parameters();
  {
    const at::NoGradGuard no_gradient;
    at::manual_seed(5);
    for (at::Tensor& parameter : parameters) parameter.normal_(0, 0.1);
  }
  const auto pair = [](std::int64_t first, std::int64_t length, bool desirable) {
    finetune::PackedRow row;
    row.ids = at::arange(2 * length, at::kLong) * (first + 7) % 250;
    row.lengths = {length, length};
    row.places = {first, first + length};
    row.targets = at::full({2 * length}, -100, at::kLong);
    for (const std::int64_t begin : {std::int64_t{0}, length})
      row.targets.narrow(0, begin + 1, length - 2).copy_(row.ids.narrow(0, begin + 2, length - 2));
    row.trained = 2 * (length - 2);
    row.references = {-20, -21};
    row.desirable = {desirable};
    return row;
  };
  const finetune::PackedRow one = pair(0, 6, true), other = pair(12, 9, false), elsewhere = pair(40, 9, false);
  finetune::PackedRow both = one;
  both.ids = at::cat({one.ids, other.ids}), both.targets = at::cat({one.targets, other.targets});
  both.trained += other.trained;
  both.lengths.insert(both.lengths.end(), other.lengths.begin(), other.lengths.end());
  both.places.insert(both.places.end(), other.places.begin(), other.places.end());
  both.references.insert(both.references.end(), other.references.begin(), other.references.end());
  both.desirable.push_back(false);
  for (const char* name : {"dpo", "ipo", "simpo", "orpo", "kto"}) {
    finetune::PreferenceOptions options;
    options.objective = name;
    const auto objective = finetune::objective_of(options);
    const auto gradient = [&](const std::vector<finetune::PackedRow>& batches) {
      at::Tensor totals;
      for (const finetune::PackedRow& batch : batches) {
        const at::Tensor own = objective->totals(model, batch, 11);
        totals = totals.defined() ? totals + own : own;
      }
      for (at::Tensor& parameter : parameters) parameter.mutable_grad() = at::Tensor();
      for (const finetune::PackedRow& batch : batches) objective->loss(model, batch, 11, totals).backward();
      std::vector<at::Tensor> all;
      for (const at::Tensor& parameter : parameters) all.push_back(parameter.grad().flatten());
      return at::cat(all);
    };
    const at::Tensor whole = gradient({both});
    EXPECT_LT(relative(gradient({one, other}), whole), 1e-5) << name;
    finetune::PackedRow moved = elsewhere;  // can this fail? The same tokens at other places draw other masks
    moved.ids = other.ids, moved.targets = other.targets;
    EXPECT_GT(relative(gradient({one, moved}), whole), 1e-3) << name;
  }
}

}  // namespace
