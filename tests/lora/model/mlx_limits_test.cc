// What is known of mlx-lm; that mlx-lm is so is shown by scripts/oracle/check_mlx.py.
#include "lora/model/mlx_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/temporary_folder.h"

namespace {

using lora::ModelFiles;
using testing::HasSubstr;

const std::string kCases = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/";

lora::ModelConfig config(const std::string& name) { return ModelFiles(kCases + name).config(); }

TEST(MlxLimits, FamiliesThatItHasNot) {
  for (const char* name : {"falcon_7b", "falcon_rw", "smolvlm"})
    EXPECT_THAT(lora::not_in_mlx(config(name)), HasSubstr("it has no model")) << name;
  for (const char* name : {"tied", "bias", "gemma", "gemma2", "gemma3", "gemma3_vision", "llava", "mistral", "mistral3",
                           "mixtral", "phi", "qwen2", "qwen3", "qwen3_moe", "qwen3_moe_step", "smollm3"})
    EXPECT_EQ(lora::not_in_mlx(config(name)), "") << name;
}

TEST(MlxLimits, WhatItComputesOtherwise) {
  for (const char* name : {"dynamic_rope", "linear_rope", "llama3_rope", "yarn_rope"})
    EXPECT_EQ(lora::not_in_mlx(config(name)), "") << name;
  EXPECT_THAT(lora::not_in_mlx(config("longrope")), HasSubstr("long factors"));
  EXPECT_THAT(lora::not_in_mlx(config("phi3")), HasSubstr("long factors"));
  EXPECT_THAT(lora::not_in_mlx(config("qwen2_moe")), HasSubstr("layers without experts"));
  lora::ModelConfig changed = config("phi");
  changed.rope.type = "linear";
  EXPECT_THAT(lora::not_in_mlx(changed), HasSubstr("rope_type linear for phi"));
  changed = config("tied");
  changed.activation = lora::Activation::kGelu;
  EXPECT_THAT(lora::not_in_mlx(changed), HasSubstr("activation"));
  changed = config("gemma2");
  changed.attention_softcap = 0;
  EXPECT_THAT(lora::not_in_mlx(changed), HasSubstr("caps"));
  changed = config("gemma3");
  changed.logit_softcap = 30;
  EXPECT_THAT(lora::not_in_mlx(changed), HasSubstr("caps"));
}

TEST(MlxLimits, WindowsAreSaid) {
  for (const auto& [name, window] : {std::pair{"mistral", "mistral: beyond 8 tokens"},
                                     {"qwen2_window", "qwen2: beyond 8 tokens"},
                                     {"gemma2", "gemma2: beyond"},
                                     {"gemma3", ""},
                                     {"tied", ""}}) {
    EXPECT_EQ(lora::mlx_note(config(name)).empty(), *window == 0) << name;
    EXPECT_THAT(lora::mlx_note(config(name)), HasSubstr(window)) << name;
  }
}

TEST(MlxLimits, BasesThatItDoesNotReadAsTheyAre) {
  TemporaryFolder folder;
  const std::string whole = base::read_file(kCases + "tied/config.json");
  base::write_file(folder / "config.json", whole);
  base::write_file(folder / "model.safetensors", base::read_file(kCases + "tied/model.safetensors"));
  EXPECT_THAT(lora::not_as_mlx_base(ModelFiles(folder.path().string())), HasSubstr("does not read rope_parameters"));
  base::write_file(folder / "config.json", "{\"rope_theta\": 10000.0," + whole.substr(whole.find('{') + 1));
  EXPECT_EQ(lora::not_as_mlx_base(ModelFiles(folder.path().string())), "");
}

}  // namespace
