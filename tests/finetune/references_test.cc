// What the model says of preferences before it trains: only what a run will read, shared out, kept, gone on with.
#include "finetune/train/references.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "finetune/data/pairs.h"
#include "tests/finetune/train_fixture.h"
#include "tests/finetune/with_references.h"
#include "tests/temporary_folder.h"

namespace {

using finetune::Example;
using finetune::References;
using testing::HasSubstr;
using testing::Not;

std::vector<Example> pairs() {
  std::vector<Example> made;
  for (std::int32_t i = 0; i < 7; ++i) {
    const auto answer = [&](std::int32_t id) { return Example{{3, i, id, 7}, {0, 0, 1, 1}}; };
    made.push_back(finetune::joined(answer(20 + i), answer(40)));
  }
  return made;
}

// One of two processes, whose sum is what both have.
class OneOfTwo final : public finetune::Group {
 public:
  OneOfTwo(int rank, std::vector<at::Tensor>& sent) : rank_(rank), sent_(sent) {}
  int rank() const override { return rank_; }
  int size() const override { return 2; }
  void all_reduce(const at::Tensor& tensor) const override { sent_.push_back(tensor.clone()); }

 private:
  int rank_;
  std::vector<at::Tensor>& sent_;
};

TEST(References, AreSharedOutAmongProcesses) {
  const finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  finetune::Examples examples = pairs();
  const std::vector<double> all = tiny_llama::add_references(model, examples).values;
  std::vector<at::Tensor> first, second;
  tiny_llama::add_references(model, examples, OneOfTwo(0, first));
  tiny_llama::add_references(model, examples, OneOfTwo(1, second));
  ASSERT_EQ(first.size(), 4U) << "a pair each, and the last one alone";
  ASSERT_EQ(second.size(), 4U);
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const auto place = static_cast<std::int64_t>(2 * (i % 2));
    for (std::int64_t side = 0; side < 2; ++side) {
      const auto& [own, other] = i % 2 == 0 ? std::tie(first, second) : std::tie(second, first);
      EXPECT_EQ(own[i / 2][place + side].item<double>(), all[2 * i + static_cast<std::size_t>(side)]);
      EXPECT_EQ(other[i / 2][place + side].item<double>(), 0) << "pair " << i << " was computed by both";
    }
  }
}

TEST(References, AreKeptWhereTheyWereEnded) {
  const TemporaryFolder folder;
  const finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  finetune::Examples examples = pairs();
  const References whole = tiny_llama::add_references(model, examples);
  References part = finetune::read_references("/nowhere", "key", examples.size());
  const std::vector<std::size_t> wanted = {0, 1, 2, 4, 6};
  EXPECT_FALSE(finetune::compute_references(part, wanted, model, {&examples}, finetune::OneProcess(),
                                            [](std::size_t done) { return done < 2; }));
  finetune::write_references(folder.path() / "kept.json", part);
  References again = finetune::read_references(folder.path() / "kept.json", "key", examples.size());
  const std::vector<std::size_t> left = finetune::missing_in(again, wanted, finetune::OneProcess());
  EXPECT_THAT(left, testing::ElementsAre(2, 4, 6));
  EXPECT_TRUE(finetune::compute_references(again, left, model, {&examples}, finetune::OneProcess(),
                                           [](std::size_t) { return true; }));
  for (std::size_t i = 0; i < examples.size(); ++i)
    for (std::size_t side = 0; side < 2; ++side)
      EXPECT_TRUE(i == 3 || i == 5 ? std::isnan(again.values[2 * i + side])
                                   : again.values[2 * i + side] == whole.values[2 * i + side]);
  EXPECT_EQ(finetune::missing_in(finetune::read_references(folder.path() / "kept.json", "another", examples.size()),
                                 wanted, finetune::OneProcess())
                .size(),
            wanted.size());
}

class ReferenceRun : public Train {
 protected:
  TrainOptions pairs(const std::string& output) const {
    std::string records;
    for (int i = 0; i < 12; ++i)
      records += R"({"prompt":"say )" + std::to_string(i) + R"(: ","chosen":"good)" + std::string(20, 'a') +
                 R"(","rejected":"bad"})" + "\n";
    base::write_file(model_.path() / "pairs.jsonl", records);
    TrainOptions made = options(output);
    made.sources.data = {(model_.path() / "pairs.jsonl").string()};
    made.sources.validation_share = 0.25;
    made.preferences.objective = "dpo";
    made.optimizer.schedule = "constant";
    made.optimizer.warmup_ratio = 0;
    return made;
  }
  static std::vector<bool> known(const TrainOptions& options) {
    const auto json = nlohmann::json::parse(base::read_file(fs::path(options.output.folder) / "references.json"));
    std::vector<bool> known;
    for (std::size_t i = 0; i < json["log_probabilities"].size(); i += 2)
      known.push_back(json["log_probabilities"][i].is_number());
    return known;
  }
};

// Of 9 pairs that train and 3 that validate; a row holds one pair.
TEST_F(ReferenceRun, OnlyThoseOfTheStepsToComeAreComputed) {
  TrainOptions whole = pairs("whole"), half = pairs("half");
  whole.plan.steps = 9;
  EXPECT_THAT(run(whole), HasSubstr("references: what the model says of 12 examples before it trains, about "));
  half.plan.steps = 2;
  EXPECT_THAT(run(half), HasSubstr("of 5 examples"));
  EXPECT_EQ(std::ranges::count(known(half), true), 5);
  half.plan.steps = 9;
  half.output.resume = true;
  EXPECT_THAT(run(half), HasSubstr("of 7 examples"));
  EXPECT_EQ(adapter_bytes(half), adapter_bytes(whole));
  EXPECT_EQ(base::read_file(fs::path(half.output.folder) / "references.json"),
            base::read_file(fs::path(whole.output.folder) / "references.json"));
  EXPECT_THAT(run(half), Not(HasSubstr("references:")));
}

// The base, or the adapter that training goes on from, stands for a while in the place of what trains.
TEST_F(ReferenceRun, WhatTrainsIsAsItWasBehindThem) {
  TrainOptions first = pairs("first");
  first.plan.steps = 3;
  run(first);
  for (const std::string kind : {"adapter", "pissa", "dora", "saved", "full"}) {
    TrainOptions whole = pairs("whole-" + kind), half = pairs("half-" + kind);
    for (TrainOptions* one : {&whole, &half}) {
      if (kind == "adapter") one->start.adapter = first.output.folder;
      if (kind == "pissa") one->lora.start = "pissa";
      if (kind == "dora") one->lora.dora = true;
      if (kind == "saved") one->lora.modules_to_save = {"lm_head"};
      if (kind == "full") one->start.method = "full";
      one->plan.steps = 5;
    }
    run(whole);
    EXPECT_NEAR(metrics(whole)[0].at("validation_loss").get<double>(), std::log(2), kind == "pissa" ? 1e-4 : 1e-6)
        << kind;
    half.plan.steps = 2;
    run(half);
    half.plan.steps = 5;
    half.output.resume = true;
    EXPECT_THAT(run(half), HasSubstr("of 3 examples")) << kind;
    if (kind != "full") {
      EXPECT_EQ(adapter_bytes(half), adapter_bytes(whole)) << kind;
    }
    EXPECT_EQ(metrics(half).back(), metrics(whole).back()) << kind;
  }
}

}  // namespace
