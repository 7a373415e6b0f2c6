// Equal to transformers and peft on tiny random Llamas, and unequal as soon as one detail is wrong.
#include <gtest/gtest.h>

#include "finetune/train/optimizer.h"
#include "finetune/train/schedule.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::PackedRow;
using finetune::Transformer;
using tiny_llama::Golden;
using tiny_llama::relative;

constexpr double kLogits = 1e-5, kGradients = 1e-4, kTrained = 1e-3;

class TinyLlama : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Cases, TinyLlama, testing::ValuesIn(tiny_llama::cases()),
                         [](const auto& info) { return info.param; });

void attach(Transformer& model, const Golden& golden) {
  model.attach({"all-linear"}, static_cast<std::int64_t>(golden.number("rank")), golden.number("alpha"), 0,
               golden.rslora(), 1);
}

TEST_P(TinyLlama, LogitsAndLoss) {
  Golden golden(GetParam());
  Transformer model = tiny_llama::load(tiny_llama::folder(GetParam()));
  PackedRow row = golden.row(0);
  at::NoGradGuard no_gradient;
  EXPECT_LT(relative(model.logits(model.hidden(row)), golden.at("base/logits")), kLogits);
  std::vector<at::Tensor> states;
  EXPECT_LT(relative(model.hidden(row, 0, &states), golden.at("base/hidden")), kLogits);
  ASSERT_EQ(states.size(), golden.count("base/hidden/")) << "what every layer reads";
  for (std::size_t i = 0; i < states.size(); ++i)
    EXPECT_LT(relative(states[i], golden.at("base/hidden/" + std::to_string(i))), kLogits) << "before layer " << i;
  EXPECT_LT(relative(model.loss_sum(row) / row.trained, golden.at("base/loss")), kLogits);
  attach(model, golden);
  golden.set_adapter(model, "start");
  EXPECT_LT(relative(model.logits(model.hidden(row)), golden.at("adapter/logits")), kLogits);
  EXPECT_GT(relative(golden.at("base/logits"), golden.at("adapter/logits")), 0.05) << "the adapter does something";
}

TEST_P(TinyLlama, GradientsOfEveryTarget) {
  Golden golden(GetParam());
  Transformer model = tiny_llama::load(tiny_llama::folder(GetParam()));
  attach(model, golden);
  golden.set_adapter(model, "start");
  PackedRow row = golden.row(0);
  at::Tensor loss = model.loss_sum(row) / row.trained;
  EXPECT_LT(relative(loss.detach(), golden.at("adapter/loss")), kLogits);
  loss.backward();
  std::vector<at::Tensor> leaves = model.parameters();
  std::vector<lora::AdapterModule> modules = model.adapter().modules;
  ASSERT_EQ(modules.size(), golden.count("gradient/") / 2);
  for (std::size_t i = 0; i < modules.size(); ++i) {
    EXPECT_LT(relative(leaves[2 * i].grad(), golden.at("gradient/" + modules[i].name + "/a")), kGradients)
        << modules[i].name << " A";
    EXPECT_LT(relative(leaves[2 * i + 1].grad(), golden.at("gradient/" + modules[i].name + "/b")), kGradients)
        << modules[i].name << " B";
  }
}

// The longest document of the rows, token by token and in pieces, then a shorter one that begins alike.
TEST_P(TinyLlama, GenerationWithTheCacheIsTheForwardPassWithoutIt) {
  Golden golden(GetParam());
  Transformer model = tiny_llama::load(tiny_llama::folder(GetParam()));
  at::NoGradGuard no_gradient;
  const at::Tensor ids = golden.row(1).ids;
  finetune::KvCache cache;
  const auto expect_next = [&](std::int64_t count) {
    const at::Tensor last = model.next_logits(ids.narrow(0, cache.tokens, count), cache);
    const PackedRow row{ids.narrow(0, 0, cache.tokens), {}, {cache.tokens}, 0};
    EXPECT_LT(relative(last, model.logits(model.hidden(row))[cache.tokens - 1]), kLogits) << cache.tokens;
  };
  for (const std::int64_t count : {9, 1, 1, 7, 1, 10, 1}) expect_next(count);
  cache.tokens = 5;
  for (const std::int64_t count : {1, 8}) expect_next(count);
}

// Runs the peers' training from their A and B = 0 and compares A and B after 1 and after 20 steps.
TEST_P(TinyLlama, TwentySteps) {
  Golden golden(GetParam());
  Transformer model = tiny_llama::load(tiny_llama::folder(GetParam()));
  attach(model, golden);
  golden.set_adapter(model, "zero_b");
  auto steps = static_cast<std::int64_t>(golden.number("steps"));
  finetune::OptimizerSettings options;
  options.weight_decay = golden.number("weight_decay");
  finetune::AdamW optimizer(model.parameters(), options);
  const finetune::Schedule schedule({.schedule = golden.file.metadata().at("schedule")}, {0, 0, steps});
  at::Tensor losses = golden.at("train/losses");
  for (std::int64_t step = 0; step < steps; ++step) {
    optimizer.zero_gradients();
    PackedRow row = golden.row(static_cast<int>(step % 4));
    at::Tensor loss = model.loss_sum(row) / row.trained;
    EXPECT_NEAR(loss.item<double>(), losses[step].item<double>(), 1e-4) << "step " << step;
    loss.backward();
    optimizer.clip(golden.number("clip"));
    optimizer.step(golden.number("rate") * schedule.factor(step));
    if (step != 0 && step != steps - 1) continue;
    std::string after = "after" + std::to_string(step + 1) + "/";
    for (const lora::AdapterModule& module : model.adapter().modules) {
      auto compare = [&](const std::vector<float>& values, const char* matrix) {
        at::Tensor expected = golden.at(after + module.name + matrix);
        at::Tensor ours = at::from_blob(const_cast<float*>(values.data()), expected.sizes(), at::kFloat);
        EXPECT_LT(relative(ours, expected), kTrained) << after << module.name << matrix;
      };
      compare(module.a, "/a");
      compare(module.b, "/b");
    }
  }
}

// One detail wrong in the weights, the config or the input must show far beyond the bound.
double logits_error(const std::filesystem::path& path, const std::string& name, bool extra_bos = false) {
  Golden golden(name);
  Transformer model = tiny_llama::load(path);
  PackedRow row = golden.row(0);
  at::NoGradGuard no_gradient;
  if (!extra_bos) return relative(model.logits(model.hidden(row)), golden.at("base/logits"));
  row.ids = at::cat({at::ones({1}, at::kLong), row.ids});
  row.lengths[0] += 1;
  at::Tensor logits = model.logits(model.hidden(row));
  return relative(logits.narrow(0, 1, logits.size(0) - 1), golden.at("base/logits"));
}

TEST(ParityCanFail, RopePairing) {
  tiny_llama::Changed interleaved("tied", [](const std::string& name, at::Tensor& weight) {
    std::int64_t heads = name.ends_with("q_proj.weight") ? 4 : name.ends_with("k_proj.weight") ? 2 : 0;
    if (heads == 0) return;
    lora::permute_rope_rows({weight.data_ptr<float>(), static_cast<std::size_t>(weight.numel())}, weight.size(0),
                            weight.size(1), heads, true);
  });
  EXPECT_GT(logits_error(interleaved.path(), "tied"), 100 * kLogits);
}

TEST(ParityCanFail, GroupedQueryOrder) {
  // Query head h reads key head h % 2 instead of h / 2: heads 1 and 2 trade places on both sides of the attention.
  tiny_llama::Changed swapped("tied", [](const std::string& name, at::Tensor& weight) {
    at::Tensor order = at::tensor(std::vector<std::int64_t>{0, 2, 1, 3});
    if (name.ends_with("q_proj.weight")) weight = weight.view({4, 16, 64}).index_select(0, order).reshape({64, 64});
    if (name.ends_with("o_proj.weight")) weight = weight.view({64, 4, 16}).index_select(1, order).reshape({64, 64});
  });
  EXPECT_GT(logits_error(swapped.path(), "tied"), 100 * kLogits);
}

TEST(ParityCanFail, EpsilonThetaAndScaling) {
  auto nothing = [](const std::string&, at::Tensor&) {};
  tiny_llama::Changed same("tied", nothing);
  EXPECT_LT(logits_error(same.path(), "tied"), kLogits) << "the copy itself changes nothing";
  tiny_llama::Changed eps("tied", nothing, "\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 1e-06");
  EXPECT_GT(logits_error(eps.path(), "tied"), 2 * kLogits);
  tiny_llama::Changed factor("llama3_rope", nothing, "\"factor\": 4.0", "\"factor\": 8.0");
  EXPECT_GT(logits_error(factor.path(), "llama3_rope"), 100 * kLogits);
  tiny_llama::Changed low("llama3_rope", nothing, "\"high_freq_factor\": 4.0", "\"high_freq_factor\": 2.0");
  EXPECT_GT(logits_error(low.path(), "llama3_rope"), 100 * kLogits);
  tiny_llama::Changed linear("linear_rope", nothing, "\"factor\": 2.0", "\"factor\": 1.0");
  EXPECT_GT(logits_error(linear.path(), "linear_rope"), 100 * kLogits);
}

TEST(ParityCanFail, BiasAndExtraBos) {
  tiny_llama::Changed no_bias("bias", [](const std::string& name, at::Tensor& weight) {
    if (name.ends_with("down_proj.bias")) weight.zero_();
  });
  EXPECT_GT(logits_error(no_bias.path(), "bias"), 100 * kLogits);
  EXPECT_GT(logits_error(tiny_llama::folder("tied"), "tied", true), 100 * kLogits);
}

}  // namespace
