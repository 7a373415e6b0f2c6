// Weights of adapters: their gradient against differences, and found again from texts that a known sum has written.
#include "finetune/train/adapter_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "finetune/data/packing.h"
#include "finetune/weigh.h"
#include "lora/adapter/fresh.h"
#include "lora/fuse/fuse.h"
#include "tests/error_of.h"
#include "tests/finetune/byte_tokenizer.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::Example;
using finetune::Examples;
using finetune::Transformer;
using testing::HasSubstr;

const std::array<double, 2> kTrue = {0.8, -0.5};

// Of different ranks and scales; the second one adapts other modules than the first.
std::vector<lora::Adapter> random_adapters(const lora::ModelSpec& spec) {
  std::vector<lora::Adapter> adapters;
  for (std::uint64_t i = 0; i < 2; ++i) {
    lora::FreshOptions options;
    options.rank = i == 0 ? 4 : 3, options.alpha = 6, options.rslora = i == 1;
    if (i == 1) options.targets = {"q_proj", "down_proj", "up_proj"};
    adapters.push_back(lora::fresh_adapter(spec, options, 10 + i));
    base::Random random(20 + i);
    for (lora::AdapterModule& module : adapters.back().modules)
      for (float& value : module.b) value = static_cast<float>(0.3 * (2 * random.uniform() - 1));
  }
  return adapters;
}

// Texts that the model draws as it is, token by token, from all of its distribution.
std::vector<Example> drawn(const Transformer& model, std::size_t count, std::size_t length) {
  const at::NoGradGuard no_gradient;
  base::Random random(77);
  std::vector<Example> texts(count);
  for (Example& text : texts) {
    finetune::KvCache cache;
    text.ids = {static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(model.config().vocab_size)))};
    while (text.ids.size() < length) {
      const at::Tensor chances =
          model.next_logits(at::tensor(std::vector<std::int64_t>{text.ids.back()}), cache).softmax(0).cumsum(0);
      const float* sums = chances.const_data_ptr<float>();
      const auto place = std::lower_bound(sums, sums + chances.numel() - 1, static_cast<float>(random.uniform()));
      text.ids.push_back(static_cast<std::int32_t>(place - sums));
    }
    text.trained.assign(length, 1);
  }
  return texts;
}

class AdapterWeights : public testing::Test {
 protected:
  AdapterWeights()
      : files_(tiny_llama::folder("untied").string()),
        model_(tiny_llama::load(tiny_llama::folder("untied"))),
        adapters_(random_adapters(files_.spec())) {}

  Examples texts_of(std::array<double, 2> weights, std::size_t count) {
    model_.attach(lora::fused(adapters_, weights, {lora::FuseMethod::kLinear}).adapter);
    return Examples(drawn(model_, count, 48));
  }

  lora::ModelFiles files_;
  Transformer model_;
  std::vector<lora::Adapter> adapters_;
};

bool always(double) { return true; }

TEST_F(AdapterWeights, TheGradientIsThatOfTheLoss) {
  const Examples texts = texts_of(kTrue, 4);
  finetune::WeightedAdapters weighted(model_, adapters_);
  const std::array<double, 2> at = {0.3, 0};  // a weight of 0 has a gradient too
  double loss = 0, above = 0, below = 0;
  std::vector<double> gradient, other;
  ASSERT_TRUE(weighted.evaluate(at, texts, 64, always, loss, gradient));
  for (std::size_t i = 0; i < 2; ++i) {
    constexpr double kStep = 5e-3;
    std::array<double, 2> near = at;
    near[i] = at[i] + kStep;
    ASSERT_TRUE(weighted.evaluate(near, texts, 64, always, above, other));
    near[i] = at[i] - kStep;
    ASSERT_TRUE(weighted.evaluate(near, texts, 64, always, below, other));
    EXPECT_NEAR(gradient[i], (above - below) / (2 * kStep), 2e-3 * std::fabs(gradient[i]) + 1e-4) << i;
    EXPECT_GT(std::fabs(gradient[i]), 0.01);
  }
  // The loss is that of the fused adapter, as `lora fuse` makes it.
  model_.attach(lora::fused(adapters_, at, {lora::FuseMethod::kLinear}).adapter);
  const at::NoGradGuard no_gradient;
  double sum = 0;
  std::int64_t trained = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::array<std::uint32_t, 1> one = {static_cast<std::uint32_t>(i)};
    const finetune::PackedRow row = finetune::make_row(texts, one);
    sum += model_.loss_sum(row).item<double>();
    trained += row.trained;
  }
  EXPECT_NEAR(loss, sum / static_cast<double>(trained), 2e-6 * loss);
}

// An evaluation leaves out what evens the experts out, and so do the losses that `finetune weigh` compares.
TEST(AdapterWeightsOfExperts, LeaveTheRoutersLossOut) {
  const std::string folder = tiny_llama::folder("mixtral_router_loss").string();
  Transformer model = tiny_llama::load(folder);
  lora::FreshOptions options;
  options.rank = 2, options.targets = {"q_proj"};
  const lora::ModelFiles files(folder);
  const std::vector<lora::Adapter> adapters = {lora::fresh_adapter(files.spec(), options, 1),
                                               lora::fresh_adapter(files.spec(), options, 2)};
  const std::vector<Example> text = {{{1, 5, 2, 9, 4, 7}, {0, 1, 1, 1, 1, 1}}};
  const Examples texts(text);
  const std::array<double, 2> half = {0.5, 0.5};
  double loss = 0;
  std::vector<double> gradient;
  finetune::WeightedAdapters weighted(model, adapters);
  ASSERT_TRUE(weighted.evaluate(half, texts, 64, always, loss, gradient));
  const at::NoGradGuard no_gradient;
  const std::array<std::uint32_t, 1> one = {0};
  const finetune::PackedRow row = finetune::make_row(texts, one);
  EXPECT_NEAR(loss, model.loss_sum(row).item<double>() / static_cast<double>(row.trained), 2e-6 * loss);
}

TEST_F(AdapterWeights, AreFoundAgainFromWhatTheirSumHasWritten) {
  const Examples texts = texts_of(kTrue, 80);
  const std::array<double, 2> start = {0.5, 0.5};
  const finetune::WeightFit fit = finetune::fit_weights(model_, adapters_, start, texts, {64, 40}, always);
  EXPECT_TRUE(fit.converged);
  EXPECT_LT(fit.loss, fit.start_loss - 0.05);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(fit.weights[i], kTrue[i], 0.1) << i;
    EXPECT_LT(std::fabs(fit.gradient[i]), 5e-3) << i;
  }
  // Few passes end early, and say so; the same every time.
  const finetune::WeightFit early = finetune::fit_weights(model_, adapters_, start, texts, {64, 2}, always);
  EXPECT_FALSE(early.converged);
  EXPECT_LE(early.evaluations, 2);
  EXPECT_LT(early.loss, early.start_loss);
  EXPECT_EQ(finetune::fit_weights(model_, adapters_, start, texts, {64, 2}, always).weights, early.weights);
  EXPECT_TRUE(
      finetune::fit_weights(model_, adapters_, start, texts, {64, 9}, [](double) { return false; }).weights.empty());
}

TEST_F(AdapterWeights, TheCommandPrintsWhatFuseTakes) {
  const tiny_llama::Changed folder("untied", [](const std::string&, at::Tensor&) {});
  base::write_file(folder.path() / "tokenizer.json", byte_tokenizer_json({"<|endoftext|>"}));
  base::write_file(folder.path() / "tokenizer_config.json", R"({"eos_token":"<|endoftext|>"})");
  base::write_file(folder.path() / "held.jsonl", "{\"text\":\"a hornbook was a page\"}\n{\"text\":\"of letters\"}\n");
  std::vector<std::string> words;
  for (std::size_t i = 0; i < 2; ++i) {
    words.push_back((folder.path() / ("adapter" + std::to_string(i))).string());
    lora::write_adapter(adapters_[i], words.back());
  }
  const std::vector<std::string> both = words;
  words.insert(words.end(), {"--model", folder.path().string(), "--data", (folder.path() / "held.jsonl").string(),
                             "--max-length", "64", "--device", "cpu", "--threads", "1"});
  const auto run = [](const std::vector<std::string>& given, std::ostringstream& out, std::ostringstream& err) {
    base::Command::Bound bound = finetune::weigh_command().bind();
    bound.set->read_words(given);
    base::Context context{out, err, false, true, "", "finetune", bound.set.get()};
    return bound.run(context);
  };
  std::ostringstream out, err;
  ASSERT_EQ(run(words, out, err), 0) << err.str();
  const auto json = nlohmann::json::parse(out.str());
  EXPECT_EQ(json["adapters"], both);
  EXPECT_EQ(json["weights"].size(), 2U);
  EXPECT_LT(json["loss"], json["start_loss"]);
  EXPECT_THAT(err.str(), HasSubstr("lora fuse " + both[0] + " " + both[1] + " --weights "));
  std::vector<std::string> alone = words;
  alone.erase(std::ranges::find(alone, both[1]));
  std::ostringstream out_alone, err_alone;
  ASSERT_EQ(run(alone, out_alone, err_alone), 0) << err_alone.str();
  EXPECT_THAT(err_alone.str(), HasSubstr("lora scale " + both[0] + " --by "));
  std::vector<std::string> one_weight = words;
  one_weight.insert(one_weight.end(), {"--start", "1"});
  EXPECT_THROW(run(one_weight, out, err), base::UsageError);
  // The data are written in one template for all of them.
  base::write_file(std::filesystem::path(both[1]) / "chat_template.jinja",
                   "{% for m in messages %}{{ m.content }}{% endfor %}");
  EXPECT_THAT(
      error_of([&] { run(words, out, err); }),
      ::testing::AllOf(HasSubstr("different chat templates"), HasSubstr(both[1]), HasSubstr("--chat-template")));
  words.insert(words.end(), {"--chat-template", both[1] + "/chat_template.jinja"});
  EXPECT_EQ(run(words, out, err), 0);
}

}  // namespace
