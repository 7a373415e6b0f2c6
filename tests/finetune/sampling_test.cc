#include "finetune/model/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "finetune/generation_settings.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

using finetune::sample;
using finetune::SamplingOptions;
using testing::ElementsAre;
using testing::HasSubstr;

// scripts/oracle/sampling.py: what transformers' logits processors leave.
TEST(Sampling, KeepsWhatTransformersKeeps) {
  const auto golden =
      nlohmann::json::parse(base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/sampling.json"));
  ASSERT_GE(golden.at("cases").size(), 12u);
  const auto logits = golden.at("logits").get<std::vector<float>>();
  const auto text = golden.at("text").get<std::vector<std::int32_t>>();
  for (const auto& test : golden.at("cases")) {
    const auto& settings = test.at("settings");
    SamplingOptions options;
    options.temperature = settings.value("temperature", 1.0);
    options.top_k = settings.value("top_k", 0);
    options.top_p = settings.value("top_p", 1.0);
    options.min_p = settings.value("min_p", 0.0);
    options.repetition_penalty = settings.value("repetition_penalty", 1.0);
    options.no_repeat_ngram_size = settings.value("no_repeat_ngram_size", 0);
    const auto kept = finetune::candidates(logits, text, options);
    double total = 0;
    for (const auto& candidate : kept) total += candidate.weight;
    std::vector<std::int32_t> ids;
    const auto probabilities = test.at("probabilities").get<std::vector<double>>();
    for (const auto& candidate : kept) {
      if (ids.size() < probabilities.size()) {
        EXPECT_NEAR(candidate.weight / total, probabilities[ids.size()], 2e-6) << settings;
      }
      ids.push_back(candidate.id);
    }
    EXPECT_EQ(ids, test.at("ids").get<std::vector<std::int32_t>>()) << settings;
    options.temperature = 0;
    base::Random random(1);
    EXPECT_EQ(sample(logits, text, options, random), test.at("greedy").get<std::int32_t>()) << settings;
  }
}

TEST(Sampling, FollowsTheProbabilities) {
  std::vector<float> logits;
  for (double p : {0.1, 0.5, 0.15, 0.25}) logits.push_back(static_cast<float>(std::log(p)));
  SamplingOptions options;
  base::Random random(1);
  EXPECT_EQ(sample(logits, {}, options, random), 1) << "temperature 0";
  auto shares = [&](double temperature, double top_p) {
    options.temperature = temperature;
    options.top_p = top_p;
    std::vector<double> count(4);
    for (int i = 0; i < 20000; ++i) count[static_cast<std::size_t>(sample(logits, {}, options, random))] += 1 / 20000.0;
    return count;
  };
  std::vector<double> plain = shares(1, 1);
  EXPECT_NEAR(plain[0], 0.1, 0.01);
  EXPECT_NEAR(plain[1], 0.5, 0.015);
  EXPECT_NEAR(plain[3], 0.25, 0.015);
  std::vector<double> nucleus = shares(1, 0.7);  // 0.5 + 0.25 hold it
  EXPECT_EQ(nucleus[0] + nucleus[2], 0);
  EXPECT_NEAR(nucleus[1], 2.0 / 3, 0.015);
  std::vector<double> sharp = shares(0.5, 1);  // squares: 0.01, 0.25, 0.0225, 0.0625 of 0.345
  EXPECT_NEAR(sharp[1], 0.25 / 0.345, 0.015);
  EXPECT_NEAR(shares(1, 1e-9)[1], 1, 1e-9) << "at least one token is left";
}

TEST(Sampling, BadOptionsAreRefused) {
  SamplingOptions options;
  base::OptionSet set(options);
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"--max-tokens", "0"},
                                                                                     {"--temperature", "-1"},
                                                                                     {"--top-p", "0"},
                                                                                     {"--top-p", "1.5"},
                                                                                     {"--top-k", "-1"},
                                                                                     {"--min-p", "2"},
                                                                                     {"--repetition-penalty", "0"},
                                                                                     {"--no-repeat-ngram-size", "-1"}})
    EXPECT_THROW(set.read_words(words), base::UsageError) << words[0];
}

TEST(Sampling, NoFiniteLogitIsAnError) {
  base::Random random(1);
  EXPECT_THROW(sample(std::vector<float>{NAN, NAN}, {}, {}, random), base::Error);
  EXPECT_THROW(sample(std::vector<float>{1, 2}, std::vector<std::int32_t>{0, 1}, {.no_repeat_ngram_size = 1}, random),
               base::Error);
}

TEST(Sampling, AWholeVocabularyIsNotSorted) {
  std::vector<float> logits(1 << 17);
  base::Random random(3);
  for (float& logit : logits) logit = static_cast<float>(random.uniform() * 0.01);  // the worst case: nearly flat
  SamplingOptions options{.temperature = 1, .top_p = 0.9};
  const std::clock_t start = std::clock();  // processor time: load does not count
  for (int i = 0; i < 20; ++i) sample(logits, {}, options, random);
  const double each = static_cast<double>(std::clock() - start) / 20;
  std::vector<float> copy = logits;
  const std::clock_t sort_start = std::clock();
  for (int i = 0; i < 5; ++i) {
    copy = logits;
    std::stable_sort(copy.begin(), copy.end(), std::greater<>());
  }
  const double sorted = static_cast<double>(std::clock() - sort_start) / 5;
  EXPECT_LT(each, 2 * sorted) << "a sort of pairs takes several times this";
}

finetune::GenerationSettings settings_of(const std::string& generation_config) {
  const TemporaryFolder folder;
  if (!generation_config.empty()) base::write_file(folder.path() / "generation_config.json", generation_config);
  return finetune::read_generation_settings(folder.path());
}

TEST(GenerationSettings, AreThoseOfTheModelUnlessGiven) {
  const auto llama = settings_of(R"({"do_sample": true, "temperature": 0.6, "top_p": 0.9, "num_beams": 4})");
  SamplingOptions options;
  finetune::complete(options, llama, nullptr);
  EXPECT_EQ(options.temperature, 0.6);
  EXPECT_EQ(options.top_p, 0.9);
  EXPECT_EQ(options.top_k, 50) << "transformers' default where it draws";
  EXPECT_EQ(options.repetition_penalty, finetune::kRepetitionPenalty) << "nobody says one";
  EXPECT_THAT(llama.unused, ElementsAre("num_beams: 4"));

  SamplingOptions given;
  base::OptionSet set(given);
  set.read_words({"--temperature", "0.2", "--repetition-penalty", "1"});
  finetune::complete(given, llama, &set);
  EXPECT_EQ(given.temperature, 0.2);
  EXPECT_EQ(given.top_p, 0.9);
  EXPECT_EQ(given.repetition_penalty, 1);

  SamplingOptions greedy;
  finetune::complete(greedy, settings_of(R"({"temperature": 0.6, "repetition_penalty": 1.2})"), nullptr);
  EXPECT_EQ(greedy.temperature, 0) << "transformers draws only with do_sample";
  EXPECT_EQ(greedy.repetition_penalty, 1.2);
}

TEST(GenerationSettings, WhatHasNoEffectOrNoMeaningIsRefused) {
  for (const std::string name : {"--top-k", "--top-p", "--min-p", "--seed"}) {
    SamplingOptions options;
    base::OptionSet set(options);
    set.read_words({name, "1"});
    EXPECT_THAT(error_of([&] { finetune::complete(options, {}, &set); }), HasSubstr(name));
    options.temperature = 1;
    EXPECT_NO_THROW(finetune::complete(options, {}, &set));
  }
  EXPECT_THROW(settings_of(R"({"do_sample": true, "top_p": 3})"), base::Error);
  EXPECT_THROW(settings_of(R"({"do_sample": "true"})"), base::Error);
  EXPECT_THROW(settings_of(R"({"top_k": "x"})"), base::Error) << "also where it is not read";
  EXPECT_EQ(settings_of(R"({"top_k": 5})").source, "");
  EXPECT_THAT(settings_of(R"({"token_healing": true})").unused, testing::ElementsAre("token_healing: true"));
  EXPECT_THROW(settings_of(R"({"repetition_penalty": "much"})"), base::Error);
  EXPECT_THROW(settings_of("[]"), base::Error);
}

}  // namespace
