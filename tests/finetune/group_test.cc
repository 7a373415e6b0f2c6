// Where a process stands among several. The processes themselves: tests/cli/processes_finetune.py.
#include "finetune/train/group.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

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

}  // namespace
