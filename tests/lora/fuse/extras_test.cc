#include "lora/fuse/extras.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/error_of.h"

namespace {

using lora::Adapter;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::array<std::string, 2> kNames = {"a", "b"};

TEST(Extras, WhatOneHasOrAllHaveAlikeIsTakenOver) {
  std::array<Adapter, 2> adapters;
  Adapter into;
  EXPECT_THAT(lora::take_extras(adapters, kNames, into), IsEmpty());
  adapters[0].saved = {{"model.norm.weight", {2}, {1, 2}, true}};
  adapters[1].saved = {{"lm_head.weight", {1, 2}, {3, 4}, true}, {"model.norm.weight", {2}, {1, 2}, true}};
  adapters[1].tokens = {{"model.embed_tokens", {5}, 2, {7, 8}}};
  EXPECT_THAT(lora::take_extras(adapters, kNames, into),
              ElementsAre(HasSubstr("2 whole tensors"), HasSubstr("model.embed_tokens")));
  ASSERT_EQ(into.saved.size(), 2U);
  EXPECT_EQ(into.saved[0].name, "lm_head.weight");
  EXPECT_EQ(into.saved[1].values, (std::vector<float>{1, 2}));
  ASSERT_EQ(into.tokens.size(), 1U);
  for (const auto& change : {+[](Adapter& one) { one.saved.clear(); }, +[](Adapter& one) { one.tokens.clear(); }}) {
    Adapter one = adapters[1];
    change(one);
    EXPECT_THAT(error_of([&] { lora::refuse_trained_extras(one, "b", "scaled"); }), HasSubstr("cannot be scaled"));
  }
  lora::refuse_trained_extras(Adapter(), "c", "scaled");
  // A copy that PEFT saves beside a grown vocabulary is not trained: it comes along.
  Adapter copy;
  copy.saved = {{"model.embed_tokens.weight", {1, 2}, {1, 2}, false}};
  lora::refuse_trained_extras(copy, "d", "scaled");
}

TEST(Extras, DifferentOnesAreRefused) {
  std::array<Adapter, 2> adapters;
  Adapter into;
  adapters[0].saved = {{"model.norm.weight", {2}, {1, 2}, true}};
  adapters[1].saved = {{"model.norm.weight", {2}, {1, 3}, true}};
  EXPECT_THAT(error_of([&] { lora::take_extras(adapters, kNames, into); }), HasSubstr("different whole tensors"));
  adapters[1].saved.clear();
  adapters[0].tokens = {{"lm_head", {5}, 2, {7, 8}}};
  adapters[1].tokens = {{"lm_head", {6}, 2, {7, 8}}};
  EXPECT_THAT(error_of([&] { lora::take_extras(adapters, kNames, into = Adapter()); }), HasSubstr("rows of tokens"));
  adapters[1].tokens.clear();
  adapters[1].saved = {{"lm_head.weight", {1, 2}, {3, 4}, true}};
  EXPECT_THAT(error_of([&] { lora::take_extras(adapters, kNames, into = Adapter()); }), HasSubstr("rows and another"));
  adapters[1].modules.emplace_back().name = "lm_head";
  adapters[0] = Adapter();
  EXPECT_THAT(error_of([&] { lora::take_extras(adapters, kNames, into = Adapter()); }),
              HasSubstr("A and B and another"));
}

}  // namespace
