// Where a process stands among several. The processes themselves: tests/cli/processes_finetune.py.
#include "finetune/train/group.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <map>
#include <thread>

#include "finetune/train/run_facts.h"
#include "tests/error_of.h"

namespace {

using testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

std::optional<finetune::GroupPlace> place(const Variables& variables) {
  return finetune::place_of([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

const Variables kTorchrun = {{"RANK", "1"},           {"WORLD_SIZE", "4"},
                             {"LOCAL_RANK", "1"},     {"LOCAL_WORLD_SIZE", "2"},
                             {"MASTER_ADDR", "node"}, {"MASTER_PORT", "29500"}};

TEST(GroupPlace, IsWhatTorchrunSays) {
  EXPECT_FALSE(place({}));
  EXPECT_FALSE(place({{"MASTER_PORT", "x"}})) << "of no training";
  const auto found = place(kTorchrun);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 1);
  EXPECT_EQ(found->size, 4);
  EXPECT_EQ(found->local_rank, 1);
  EXPECT_EQ(found->local_size, 2);
  EXPECT_EQ(found->address, "node");
  EXPECT_EQ(found->port, 29500);
  EXPECT_FALSE(found->has_store);
  Variables agent = kTorchrun;
  agent["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  agent["TORCHELASTIC_RESTART_COUNT"] = "2";
  EXPECT_TRUE(place(agent)->has_store);
  EXPECT_EQ(place(agent)->attempt, "2");
  EXPECT_EQ(place({{"RANK", "0"}, {"WORLD_SIZE", "1"}})->size, 1) << "needs no address";
}

TEST(GroupPlace, MalformedIsRefusedByName) {
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"RANK", "4"},
                                                        {"RANK", "-1"},
                                                        {"RANK", "one"},
                                                        {"RANK", ""},
                                                        {"WORLD_SIZE", "0"},
                                                        {"WORLD_SIZE", "2.5"},
                                                        {"WORLD_SIZE", "99999999999999999999"},
                                                        {"LOCAL_RANK", "x"},
                                                        {"LOCAL_WORLD_SIZE", "5"},
                                                        {"MASTER_PORT", "0"},
                                                        {"MASTER_PORT", "65536"},
                                                        {"MASTER_ADDR", ""}}) {
    Variables wrong = kTorchrun;
    wrong[name] = value;
    EXPECT_THAT(error_of([&] { place(wrong); }), HasSubstr(name)) << value;
  }
  for (const char* name : {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}) {
    Variables missing = kTorchrun;
    missing.erase(name);
    EXPECT_THAT(error_of([&] { place(missing); }), testing::AllOf(HasSubstr(name), HasSubstr("not set"))) << name;
  }
}

TEST(Group, OneProcessIsItsOwnSum) {
  const finetune::OneProcess group;
  EXPECT_EQ(group.rank(), 0);
  EXPECT_EQ(group.size(), 1);
  EXPECT_TRUE(group.any(true));
  EXPECT_FALSE(group.any(false));
  const at::Tensor values = at::arange(5), before = values.clone();
  group.all_reduce(values);
  EXPECT_TRUE(at::equal(values, before));
}

TEST(Group, WaitsForThoseThatDoNotComeOnlySoLong) {
  finetune::GroupPlace alone;
  alone.size = 2;
  alone.address = "127.0.0.1";
  alone.port = 0;  // one that is free
  alone.to_come = std::chrono::seconds(1);
  EXPECT_THAT(error_of([&] { finetune::make_group(alone, nullptr); }),
              testing::AllOf(HasSubstr("a process of the training did not come"), HasSubstr("rank 0 of 2")));
  alone.rank = 1;
  alone.port = 9;  // where nobody listens
  EXPECT_THAT(error_of([&] { finetune::make_group(alone, nullptr); }),
              testing::AllOf(HasSubstr("rank 1 of 2"), HasSubstr("MASTER_PORT=9")));
}

// Two processes as threads: a sum is that of both.
class Pair {
 public:
  class Member final : public finetune::Group {
   public:
    Member(Pair& pair, int rank) : pair_(pair), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return 2; }
    void all_reduce(const at::Tensor& tensor) const override {
      pair_.given_[static_cast<std::size_t>(rank_)] = tensor.clone();
      pair_.both_.arrive_and_wait();
      tensor.copy_(pair_.given_[0] + pair_.given_[1]);
      pair_.both_.arrive_and_wait();
    }

   private:
    Pair& pair_;
    int rank_;
  };
  // What `work` gives in each.
  template <class F>
  std::vector<std::string> run(F work) {
    std::vector<std::string> results(2);
    std::thread other([&] { results[1] = work(Member(*this, 1)); });
    results[0] = work(Member(*this, 0));
    other.join();
    return results;
  }

 private:
  std::barrier<> both_{2};
  std::vector<at::Tensor> given_ = std::vector<at::Tensor>(2);
};

TEST(Group, TextsOfAllAreGathered) {
  const auto found = Pair().run([](const Pair::Member& group) {
    const auto texts = group.gather(group.rank() == 0 ? "one" : "the other");
    return texts[0] + "|" + texts[1];
  });
  EXPECT_EQ(found, std::vector<std::string>(2, "one|the other"));
}

TEST(Group, ProcessesOfOneRunHaveTheSameFacts) {
  const auto errors = [](finetune::RunFacts first, finetune::RunFacts second) {
    return Pair().run([&](const Pair::Member& group) {
      return error_of([&] { finetune::check_same_in_group(group.rank() == 0 ? first : second, group); });
    });
  };
  const finetune::RunFacts facts = {
      {"seed", "42"}, {"resume", "step 10"}, {"data", "a"}, {"model", "b"}, {"limit", "0"}};
  EXPECT_EQ(errors(facts, facts), std::vector<std::string>(2, "no error"));
  const auto with = [&](const char* key, const char* value) {
    finetune::RunFacts other = facts;
    other[key] = value;
    return errors(facts, other);
  };
  for (const std::string& error : with("seed", "43"))
    EXPECT_THAT(error, testing::AllOf(HasSubstr("--seed of rank 1"), HasSubstr("43"), HasSubstr("42, as in rank 0")));
  EXPECT_THAT(with("resume", "no checkpoint")[1], HasSubstr("on a disk that all share"));
  EXPECT_THAT(with("data", "c")[0], HasSubstr("--data of rank 1"));
  EXPECT_THAT(with("model", "c")[0], HasSubstr("--model of rank 1"));
  EXPECT_EQ(with("limit", "60")[0], "no error") << "the examples are the same";
}

}  // namespace
