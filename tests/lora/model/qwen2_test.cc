// What Qwen2 does not share with LLaMA; its numbers are in tests/golden/finetune/tiny_llama/qwen2.
#include <gtest/gtest.h>

#include "lora/model/spec.h"

namespace {

lora::ModelConfig parsed(const std::string& changes) {
  return lora::config_from_json(
      R"({"model_type":"qwen2","vocab_size":257,"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,)"
      R"("num_attention_heads":4,"num_key_value_heads":2)" +
          changes + "}",
      "config.json");
}

TEST(Qwen2, DefaultsAreTransformers) {
  const lora::ModelConfig config = parsed("");
  EXPECT_EQ(config.context_length, 32768);
  EXPECT_EQ(config.bos, -1);
  EXPECT_EQ(config.eos, -1);
  // The window is used only with use_sliding_window, and one that is as long as the context cuts nothing off.
  EXPECT_EQ(parsed(R"(,"sliding_window":4096)").sliding_window, 0);
  EXPECT_EQ(parsed(R"(,"use_sliding_window":true,"max_window_layers":1)").sliding_window, 4096);
  EXPECT_EQ(parsed(R"(,"use_sliding_window":true,"sliding_window":32768)").sliding_window, 0);
}

TEST(Qwen2, HasBiasesOfItsOwnAndRowsAsTheyAre) {
  const lora::ModelSpec spec = lora::spec_of(parsed(""));
  for (const lora::LinearSpec& linear : spec.blocks.at(1).linears) {
    const bool expected{linear.role == lora::Role::kQuery || linear.role == lora::Role::kKey ||
                        linear.role == lora::Role::kValue};
    EXPECT_EQ(linear.bias, expected) << linear.name;
    EXPECT_EQ(linear.interleaved_heads, 0) << linear.name;
  }
}

}  // namespace
