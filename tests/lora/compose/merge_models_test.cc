#include "lora/compose/merge_models.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "lora/adapter/write_model.h"
#include "tests/error_of.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using lora::MergeMethod;
using lora::MergeSettings;
using lora::ModelFiles;
using lora_tests::whole;
using lora_tests::write_changed;
using testing::HasSubstr;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/model_merges/";
const std::string kUntied = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/untied";

MergeSettings settings_of(const nlohmann::json& words, std::size_t models) {
  static const std::vector<std::string> kNames = {"linear", "slerp", "ties", "dare", "dare-ties", "task-arithmetic"};
  MergeSettings settings;
  settings.method =
      static_cast<MergeMethod>(std::ranges::find(kNames, words.at("method").get<std::string>()) - kNames.begin());
  settings.weights = lora::layer_curves(base::split(words.value("weights", "1"), ','), models, "weights");
  settings.densities = lora::layer_curves(base::split(words.value("density", "1"), ','), models, "density");
  for (const auto& text : words.value("t", nlohmann::json::array()))
    settings.t.push_back(lora::curve_of_part(text, "t"));
  settings.lambda = words.value("lambda", 1.0);
  settings.seed = words.value("seed", 42U);
  const bool divides{settings.method == MergeMethod::kLinear || settings.method == MergeMethod::kTies};
  settings.normalised = words.contains("normalize") ? words.at("normalize") == "yes" : divides;
  return settings;
}

lora::MadeModel merged(const ModelFiles* base, const std::vector<const ModelFiles*>& models,
                       const MergeSettings& settings, int threads = 2) {
  return lora::merged_models(base, models, *models[0], settings, base::DType::kF32, false, threads, {});
}

std::vector<float> numbers_of(const lora::MadeTensor& tensor) {
  std::int64_t count = 1;
  for (const std::int64_t size : tensor.shape) count *= size;
  std::vector<float> values(static_cast<std::size_t>(count));
  tensor.read(0, values);
  return values;
}

// All of a tensor of each name: mergekit's numbers.
TEST(MergeModels, GivesWhatMergekitGives) {
  const nlohmann::json cases = nlohmann::json::parse(base::read_file(kGolden + "cases.json"))["cases"];
  const base::SafetensorsReader expected(kGolden + "expected.safetensors");
  const ModelFiles base(kGolden + "base"), one(kGolden + "one"), two(kGolden + "two");
  EXPECT_EQ(cases.size(), 10U);
  for (const auto& [name, words] : cases.items()) {
    const lora::MadeModel made = merged(&base, {&one, &two}, settings_of(words, 2));
    EXPECT_EQ(made.tensors.size(), base.names().size());
    double moved = 0;
    for (const lora::MadeTensor& tensor : made.tensors) {
      const std::vector<float> found = numbers_of(tensor), before = whole(one, tensor.name);
      const base::TensorView& view = expected.at(name + "/" + tensor.name);
      std::vector<float> golden(found.size());
      base::to_float(view.type, view.bytes, golden);
      for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_NEAR(found[i], golden[i], 1e-6) << name << " " << tensor.name << " " << i;
        moved = std::max<double>(moved, std::fabs(found[i] - before[i]));
      }
    }
    EXPECT_GT(moved, 1e-3) << name;
  }
}

// A few rows at a time are the rows of the whole: what depends on the place does so whatever is read.
TEST(MergeModels, RowsAreThoseOfTheWhole) {
  const nlohmann::json cases = nlohmann::json::parse(base::read_file(kGolden + "cases.json"))["cases"];
  const ModelFiles base(kGolden + "base"), one(kGolden + "one"), two(kGolden + "two");
  for (const char* name : {"ties", "dare", "dare_ties", "slerp"}) {
    const lora::MadeModel made = merged(&base, {&one, &two}, settings_of(cases[name], 2));
    for (const lora::MadeTensor& tensor : made.tensors) {
      if (tensor.shape.size() != 2 || tensor.shape[0] < 16) continue;
      const std::vector<float> all = numbers_of(tensor);
      std::vector<float> rows(static_cast<std::size_t>(8 * tensor.shape[1]));
      tensor.read(8, rows);
      EXPECT_TRUE(std::ranges::equal(rows, std::span(all).subspan(rows.size(), rows.size()))) << name << tensor.name;
    }
  }
}

// Folders of "untied" whose numbers are `value(model, place)`.
class ByHand : public testing::Test {
 protected:
  const ModelFiles& made(const std::function<float(std::size_t place)>& value) {
    const fs::path folder = temporary_.path() / std::to_string(models_.size());
    write_changed(source_, folder, [&](const std::string&, std::vector<float>& values) {
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(i);
    });
    return *models_.emplace_back(std::make_unique<ModelFiles>(folder.string()));
  }
  static std::vector<float> first_of(const lora::MadeModel& model) { return numbers_of(model.tensors.at(3)); }

 private:
  TemporaryFolder temporary_;
  ModelFiles source_{kUntied};
  std::vector<std::unique_ptr<ModelFiles>> models_;
};

TEST_F(ByHand, SlerpOfParallelTensorsIsTheLine) {
  const ModelFiles &one = made([](std::size_t i) { return 1.0F + static_cast<float>(i % 3); }),
                   &two = made([](std::size_t i) { return 2.0F + static_cast<float>(2 * (i % 3)); });
  const std::vector<float> found =
      first_of(merged(nullptr, {&one, &two}, settings_of({{"method", "slerp"}, {"t", {"0.25"}}}, 2)));
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], 1.25 * (1 + static_cast<double>(i % 3)), 1e-6) << i;
}

TEST_F(ByHand, SlerpOfTensorsAtRightAnglesIsTheArc) {
  const ModelFiles &one = made([](std::size_t i) { return i % 2 == 0 ? 1.0F : 0.0F; }),
                   &two = made([](std::size_t i) { return i % 2 == 0 ? 0.0F : 3.0F; });
  const std::vector<float> found =
      first_of(merged(nullptr, {&one, &two}, settings_of({{"method", "slerp"}, {"t", {"0.5"}}}, 2)));
  EXPECT_NEAR(found[0], std::sqrt(0.5), 1e-6);
  EXPECT_NEAR(found[1], 3 * std::sqrt(0.5), 1e-6);
}

// As mergekit has it: what has no direction stands at right angles to all.
TEST_F(ByHand, SlerpOfNothingHasARightAngle) {
  const ModelFiles &one = made([](std::size_t) { return 0.0F; }), &two = made([](std::size_t) { return 2.0F; });
  const MergeSettings settings = settings_of({{"method", "slerp"}, {"t", {"0.5"}}}, 2);
  EXPECT_NEAR(first_of(merged(nullptr, {&one, &two}, settings))[0], 2 * std::sqrt(0.5), 1e-6);
}

// The sum of 0.3, -0.2 and -0.2 is negative: the first model has no say there.
TEST_F(ByHand, TiesElectsTheSignOfTheSum) {
  const ModelFiles &base = made([](std::size_t) { return 0.5F; }), &one = made([](std::size_t) { return 0.8F; }),
                   &two = made([](std::size_t) { return 0.3F; }),
                   &three = made([](std::size_t i) { return i == 1 ? 0.5F : 0.3F; });
  const std::vector<const ModelFiles*> models = {&one, &two, &three};
  const std::vector<float> mean = first_of(merged(&base, models, settings_of({{"method", "ties"}}, 3)));
  EXPECT_NEAR(mean[0], 0.5 - 0.2, 1e-6);
  EXPECT_NEAR(mean[1], 0.5 + 0.3, 1e-6);  // 0.3 - 0.2 + 0
  const std::vector<float> sum =
      first_of(merged(&base, models, settings_of({{"method", "ties"}, {"normalize", "no"}}, 3)));
  EXPECT_NEAR(sum[0], 0.5 - 0.4, 1e-6);
  const std::vector<float> weighed =
      first_of(merged(&base, models, settings_of({{"method", "ties"}, {"weights", "2,1,1"}}, 3)));
  EXPECT_NEAR(weighed[0], 0.5 + 0.3, 1e-6);  // 0.6 - 0.2 - 0.2; divided by its weight again
}

TEST_F(ByHand, DareKeepsTheShareAndTheSizeOfIt) {
  const ModelFiles &base = made([](std::size_t) { return 1.0F; }),
                   &one = made([](std::size_t i) { return 1.25F + static_cast<float>(i % 4); });
  MergeSettings settings = settings_of({{"method", "dare"}, {"density", "0.3"}}, 1);
  double kept = 0, sum = 0, before = 0, places = 0;
  for (const lora::MadeTensor& tensor : merged(&base, {&one}, settings).tensors)
    if (tensor.shape.size() == 2)
      for (const float value : numbers_of(tensor)) kept += value != 1, sum += value - 1, ++places;
  for (const std::string& name : one.names())
    if (one.shape(name).size() == 2)
      for (const float value : whole(one, name)) before += value - 1;
  EXPECT_NEAR(kept / places, 0.3, 0.01);
  EXPECT_NEAR(sum / before, 1, 1e-5);
  settings.rescale = lora::Rescale::kDensity;
  for (const float value : first_of(merged(&base, {&one}, settings)))
    EXPECT_NEAR(std::fmod((value - 1) * 0.3 + 1e-4, 0.25), 0, 3e-4);  // a multiple of what was there
  settings.rescale = lora::Rescale::kNone;
  for (const float value : first_of(merged(&base, {&one}, settings))) EXPECT_LE(value, 4.25F);
}

TEST_F(ByHand, WhatIsNotFiniteHasNoLargestNumbers) {
  const ModelFiles &base = made([](std::size_t) { return 1.0F; }),
                   &one = made([](std::size_t i) { return i == 5 ? std::numeric_limits<float>::quiet_NaN() : 2.0F; });
  EXPECT_THAT(error_of([&] {
                merged(&base, {&one}, settings_of({{"method", "ties"}, {"density", "0.5"}}, 1));
              }),
              HasSubstr("not finite numbers"));
}

TEST(MergeModels, ChanceIsThatOfTheSeedWhateverTheThreads) {
  const ModelFiles base(kGolden + "base"), one(kGolden + "one"), two(kGolden + "two");
  TemporaryFolder temporary;
  const auto bytes = [&](std::uint64_t seed, int threads) {
    const fs::path folder = temporary.path() / fmt::format("{}-{}", seed, threads);
    MergeSettings settings = settings_of({{"method", "dare-ties"}, {"density", "0.4"}}, 2);
    settings.seed = seed;
    const lora::MadeModel model = merged(&base, {&one, &two}, settings, threads);
    lora_tests::write_made(model, base, base::DType::kF32, folder, threads);
    return base::read_file(folder / "model.safetensors");
  };
  const std::string first = bytes(1, 1);
  EXPECT_EQ(first, bytes(1, 4));
  EXPECT_NE(first, bytes(2, 1));
}

// One model with a head of its own among tied ones.
TEST(MergeModels, TiedAndPartedHeadsGiveAPartedOne) {
  const std::string tied_folder = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/tied";
  ModelFiles tied(tied_folder), parted(tied_folder);
  parted.give_own_head();
  tied.give_own_head();
  TemporaryFolder temporary;
  const lora::MadeModel model = merged(nullptr, {&tied, &parted}, settings_of({{"method", "linear"}}, 2));
  lora_tests::write_made(model, tied, base::DType::kF32, temporary.path());
  const ModelFiles read(temporary.path().string());
  EXPECT_FALSE(read.config().tied_embeddings);
  EXPECT_EQ(whole(read, "lm_head.weight"), whole(tied, "model.embed_tokens.weight"));
  EXPECT_FALSE(nlohmann::json::parse(base::read_file(temporary / "config.json"))["tie_word_embeddings"].get<bool>());
}

TEST(MergeModels, WeightsThatAddUpToNothingAreRefused) {
  const ModelFiles one(kGolden + "one"), two(kGolden + "two");
  EXPECT_THAT(error_of([&] {
                merged(nullptr, {&one, &two}, settings_of({{"method", "linear"}, {"weights", "1,-1"}}, 2));
              }),
              HasSubstr("add up to 0"));
}

}  // namespace
