// What is said of adapters of experts that PEFT with transformers 5 does not take as they are.
#include "lora/adapter/peft_notes.h"

#include <gmock/gmock.h>

#include "lora/adapter/fresh.h"
#include "lora/model/model_files.h"

namespace {

using lora::FreshOptions;
using testing::HasSubstr;

std::string note(void (*change)(FreshOptions&), const char* base = "mixtral") {
  const lora::ModelFiles files(std::string(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/") + base);
  FreshOptions options;
  change(options);
  lora::Adapter adapter = lora::fresh_adapter(files.spec(), options, 1);
  lora::add_from_base(adapter, files, options, 1);
  return lora::stacked_experts_note(adapter, files.spec());
}

TEST(StackedExperts, WhatPeftDoesNotTakeIsSaid) {
  EXPECT_THAT(note([](FreshOptions& o) { o.dora = true; }), HasSubstr("DoRA"));
  EXPECT_THAT(note([](FreshOptions& o) { o.dropout = 0.1; }), HasSubstr("dropout"));
  EXPECT_THAT(note([](FreshOptions& o) { o.targets = {"w1", "w2"}; }), HasSubstr("w1 alone"));
  EXPECT_THAT(note([](FreshOptions& o) { o.modules_to_save = {"gate"}; }), HasSubstr("router"));
  EXPECT_THAT(note([](FreshOptions& o) { o.exclude_modules = {"experts.0.w2"}; }), HasSubstr("some experts"));
  EXPECT_THAT(note([](FreshOptions& o) { o.rank_pattern = {"w1=4"}; }), HasSubstr("does not take ranks"));
  EXPECT_THAT(note([](FreshOptions& o) { o.alpha_pattern = {"w1=4"}; }), HasSubstr("reads otherwise alphas"));
  EXPECT_THAT(note([](FreshOptions& o) { o.rslora = true; }), HasSubstr("rsLoRA"));
}

TEST(StackedExperts, WhatItTakesIsNot) {
  EXPECT_EQ(note([](FreshOptions&) {}), "");
  EXPECT_EQ(note([](FreshOptions& o) { o.layers_to_transform = {"0"}; }), "") << "whole layers";
  EXPECT_EQ(note([](FreshOptions& o) { o.targets = {"q_proj"}, o.dora = true, o.dropout = 0.1, o.rslora = true; }), "");
  EXPECT_EQ(note([](FreshOptions& o) { o.targets = {"w2"}, o.rslora = true; }), "");
  EXPECT_EQ(note([](FreshOptions& o) { o.dora = true; }, "untied"), "") << "no experts";
}

TEST(StackedExperts, AreFoundWithoutALookAtTheBase) {
  const auto has = [](const char* base, const std::vector<std::string>& targets) {
    const lora::ModelFiles files(std::string(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/") + base);
    FreshOptions options;
    options.targets = targets;
    return lora::has_experts(lora::fresh_adapter(files.spec(), options, 1));
  };
  EXPECT_TRUE(has("mixtral", {"w1"}));
  EXPECT_TRUE(has("mixtral", {"gate"}));
  EXPECT_FALSE(has("mixtral", {"q_proj"}));
  EXPECT_FALSE(has("untied", {"all-linear"}));
}

}  // namespace
