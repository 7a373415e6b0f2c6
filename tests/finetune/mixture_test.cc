// Mixtures by weight: who gives how much of an epoch, what repeats, what is left out.
#include "finetune/data/mixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"

namespace {

using finetune::Examples;
using finetune::MixturePart;
using testing::ElementsAre;
using testing::HasSubstr;

// `counts[f]` examples of file f, which begin with the token 1000 f + i.
Examples examples_of(const std::vector<int>& counts) {
  finetune::MemoryWriter memory;
  for (std::uint32_t file = 0; file < counts.size(); ++file)
    for (int i = 0; i < counts[file]; ++i)
      memory.writer().add({{static_cast<std::int32_t>(1000 * file) + i, 7}, {1, 1}}, {file, 1});
  return Examples(memory.finish(""));
}

// How often each example stands in the mixture.
std::map<std::int32_t, int> times(const Examples& examples) {
  std::map<std::int32_t, int> times;
  for (std::size_t i = 0; i < examples.size(); ++i) ++times[examples[i].ids[0]];
  return times;
}

TEST(Mixture, EachPartGivesItsShare) {
  // Two files are one part, as a glob is.
  const Examples all = examples_of({60, 30, 110});
  std::vector<MixturePart> parts = {{"a", 3}, {"b", 1}};
  const Examples mix = finetune::mixed(all, {0, 0, 1}, 1, parts);
  EXPECT_EQ(mix.size(), 200u);
  EXPECT_EQ(parts[0].available, 90u);
  EXPECT_EQ(parts[0].taken, 150u);
  EXPECT_EQ(parts[1].taken, 50u);
  std::map<int, int> of_a, of_b;
  for (const auto& [id, count] : times(mix)) ++(id < 2000 ? of_a : of_b)[count];
  EXPECT_THAT(of_a, ElementsAre(std::pair(1, 30), std::pair(2, 60))) << "all of them, some once more";
  EXPECT_THAT(of_b, ElementsAre(std::pair(1, 50))) << "none twice";
  EXPECT_EQ(parts[0].to_text(200),
            "a: 150 of 200 examples of an epoch (75.0%): all of its 90, 60 of them 2 times and 30 once");
  EXPECT_EQ(parts[1].to_text(200), "b: 50 of 200 examples of an epoch (25.0%): some of its 110, 60 are left out");
}

TEST(Mixture, DependsOnTheSeedAlone) {
  const Examples all = examples_of({50, 50});
  const auto with = [&](std::uint64_t seed) {
    std::vector<MixturePart> parts = {{"a", 1}, {"b", 3}};
    return times(finetune::mixed(all, {0, 1}, seed, parts));
  };
  EXPECT_EQ(with(1), with(1));
  EXPECT_NE(with(1), with(2));
}

TEST(Mixture, CountsAddUpForAnyWeights) {
  const Examples all = examples_of({3, 5, 9});
  for (const std::vector<double>& weights :
       std::vector<std::vector<double>>{{1, 1, 1}, {0.7, 0.2, 0.1}, {1e-9, 1, 1}, {1e9, 1, 1e-9}}) {
    std::vector<MixturePart> parts = {{"a", weights[0]}, {"b", weights[1]}, {"c", weights[2]}};
    EXPECT_EQ(finetune::mixed(all, {0, 1, 2}, 1, parts).size(), 17u);
    EXPECT_EQ(parts[0].taken + parts[1].taken + parts[2].taken, 17u);
  }
  std::vector<MixturePart> parts = {{"a", 1e-9}, {"b", 1}, {"c", 1}};
  finetune::mixed(all, {0, 1, 2}, 1, parts);
  EXPECT_EQ(parts[0].to_text(17), "a: its weight is too small for one of 17 examples, nothing of it is trained");
  parts = {{"a", 6}, {"b", 5}, {"c", 6}};
  finetune::mixed(all, {0, 1, 2}, 1, parts);
  EXPECT_EQ(parts[0].to_text(17), "a: 6 of 17 examples of an epoch (35.3%): all of its 3, each 2 times");
  EXPECT_EQ(parts[1].to_text(17), "b: 5 of 17 examples of an epoch (29.4%): all of its 5");
}

TEST(Mixture, WeightsAreOneForEachSource) {
  const auto error_of = [](const std::vector<double>& weights, std::size_t count) -> std::string {
    try {
      finetune::check_weights(weights, count);
    } catch (const base::UsageError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(error_of({0.7, 0.3}, 2), "no error");
  EXPECT_THAT(error_of({0.5}, 2), HasSubstr("not one weight for each of --data"));
  EXPECT_THAT(error_of({1, 1, 1}, 2), HasSubstr("2 numbers"));
  EXPECT_THAT(error_of({0, 0}, 2), HasSubstr("every weight is 0"));
  EXPECT_THAT(error_of({0.5}, 1), HasSubstr("there is one source"));
}

TEST(Mixture, APartWithoutExamplesIsAnError) {
  std::vector<MixturePart> parts = {{"empty.jsonl", 1}, {"b", 1}};
  try {
    finetune::mixed(examples_of({0, 4}), {0, 1}, 1, parts);
    FAIL() << "no error";
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("empty.jsonl"));
  }
}

}  // namespace
