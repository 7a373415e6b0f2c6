#include "finetune/train/optimizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "finetune/train/schedule.h"

namespace {

using Json = nlohmann::json;

Json golden() { return Json::parse(base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/optimizer.json")); }

at::Tensor tensor(const Json& values, at::IntArrayRef shape) {
  std::vector<float> numbers = values.get<std::vector<float>>();
  return at::from_blob(numbers.data(), shape, at::kFloat).clone();
}

finetune::Schedule schedule_of(const std::string& kind, std::int64_t warmup, std::int64_t steps) {
  return {{.schedule = kind}, {warmup, 0, steps}};
}

struct Difference {
  double values = 0, norms = 0;  // largest relative difference
};

// Replays a run of scripts/oracle/optimizer.py. `options` and `schedule` are what the golden run had, or one detail
// off.
Difference replay(const Json& golden, const Json& run, finetune::OptimizerSettings options,
                  const finetune::Schedule& schedule) {
  std::vector<at::Tensor> parameters;
  for (std::size_t i = 0; i < golden["shapes"].size(); ++i) {
    parameters.push_back(tensor(run["start"][i], golden["shapes"][i].get<std::vector<std::int64_t>>()));
    parameters.back().set_requires_grad(true);
  }
  finetune::AdamW optimizer(parameters, options);
  Difference difference;
  for (std::size_t step = 0; step < run["gradients"].size(); ++step) {
    optimizer.zero_gradients();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      at::Tensor gradient = tensor(run["gradients"][step][i], parameters[i].sizes());
      (parameters[i] * gradient).sum().backward();  // through autograd: the flat gradient must be what it adds into
    }
    const double clip = run["clip"].get<double>(), norm = optimizer.clip(clip).item<double>();
    if (clip > 0) {
      const double expected = run["norms"][step].get<double>();
      difference.norms = std::max(difference.norms, std::abs(norm - expected) / expected);
    }
    optimizer.step(golden["rate"].get<double>() * schedule.factor(static_cast<std::int64_t>(step)));
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const at::Tensor expected = tensor(run["values"][step][i], parameters[i].sizes());
      const at::Tensor gap = (parameters[i].detach() - expected).abs() / expected.abs().clamp_min(1e-3);
      difference.values = std::max(difference.values, gap.max().item<double>());
    }
  }
  return difference;
}

TEST(AdamW, FiftyStepsEqualTorchToTheLastBit) {
  const Json file = golden();
  const finetune::Schedule schedule = schedule_of("cosine", file["warmup"], file["steps"]);
  const finetune::OptimizerSettings options{.weight_decay = file["weight_decay"]};
  EXPECT_EQ(replay(file, file["runs"][0], options, schedule).values, 0);
}

TEST(AdamW, FiftyStepsWithClipAndCosineEqualTorch) {
  // The norm of one flat buffer is summed in another order than the norm of the norms of its parts.
  const Json file = golden();
  const finetune::Schedule schedule = schedule_of("cosine", file["warmup"], file["steps"]);
  const finetune::OptimizerSettings options{.weight_decay = file["weight_decay"]};
  const Difference difference = replay(file, file["runs"][1], options, schedule);
  EXPECT_LT(difference.norms, 1e-6);
  EXPECT_LT(difference.values, 1e-5);
}

TEST(AdamW, TheParityTestSeesOneWrongDetail) {
  const Json file = golden();
  const finetune::Schedule schedule = schedule_of("cosine", file["warmup"], file["steps"]);
  const finetune::OptimizerSettings right{.weight_decay = file["weight_decay"]};
  auto difference = [&](finetune::OptimizerSettings options, const finetune::Schedule& rate) {
    return replay(file, file["runs"][1], options, rate).values;
  };
  finetune::OptimizerSettings epsilon = right, decay = right, beta = right;
  epsilon.epsilon = 1e-6;
  decay.weight_decay = 0;
  beta.beta2 = 0.99;
  EXPECT_GT(difference(epsilon, schedule), 1e-4);
  EXPECT_GT(difference(decay, schedule), 1e-4);
  EXPECT_GT(difference(beta, schedule), 1e-4);
  EXPECT_GT(difference(right, schedule_of("linear", file["warmup"], file["steps"])), 1e-4);
  EXPECT_GT(difference(right, schedule_of("cosine", 4, file["steps"])), 1e-4);
}

TEST(AdamW, RestoredGoesOnBitForBit) {
  auto gradient_of = [](int step) { return at::sin(at::arange(10, at::kFloat) * (step + 1)); };
  auto fresh = [] { return at::linspace(-1, 1, 10, at::kFloat).set_requires_grad(true); };
  at::Tensor unbroken = fresh(), first = fresh(), second = fresh();
  finetune::AdamW a({unbroken}, {}), b({first}, {}), c({second}, {});
  auto steps = [&](finetune::AdamW& optimizer, at::Tensor& parameter, int begin, int end) {
    for (int step = begin; step < end; ++step) {
      parameter.mutable_grad().copy_(gradient_of(step));
      optimizer.step(0.1);
    }
  };
  steps(a, unbroken, 0, 9);
  steps(b, first, 0, 4);
  c.restore(b.values(), b.state(), b.steps());
  steps(c, second, 4, 9);
  EXPECT_TRUE(at::equal(unbroken.detach(), second.detach()));
  EXPECT_FALSE(at::equal(unbroken.detach(), first.detach()));
}

}  // namespace
