#include "lora/model/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/error_of.h"

namespace {

using testing::HasSubstr;

lora::ModelConfig tiny(const std::string& model_type) {
  lora::ModelConfig config;
  config.model_type = model_type;
  config.vocab_size = 257, config.hidden_size = 64, config.intermediate_size = 96;
  config.layers = 14, config.heads = 4, config.kv_heads = 2, config.head_dim = 16;
  return config;
}

const lora::TensorSpec* find(const std::vector<lora::TensorSpec>& tensors, const std::string& name) {
  for (const lora::TensorSpec& tensor : tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

TEST(Spec, TensorsHaveNamesShapesAndOrder) {
  lora::ModelConfig config = tiny("llama");
  config.attention_bias = config.mlp_bias = true;
  std::vector<lora::TensorSpec> tensors = lora::tensors_of(lora::spec_of(config));
  ASSERT_EQ(tensors.size(), 3u + 14 * (2 + 7 + 7));
  EXPECT_EQ(tensors.front().name, "model.embed_tokens.weight");
  EXPECT_EQ(tensors.front().gguf, "token_embd.weight");
  EXPECT_EQ(tensors.back().gguf, "output.weight");
  EXPECT_EQ(tensors[1].name, "model.layers.0.input_layernorm.weight");
  const lora::TensorSpec* q = find(tensors, "model.layers.13.self_attn.q_proj.weight");
  ASSERT_TRUE(q);
  EXPECT_EQ(q->gguf, "blk.13.attn_q.weight");
  EXPECT_EQ(q->interleaved_heads, 4);
  EXPECT_EQ(find(tensors, "model.layers.0.self_attn.k_proj.bias")->interleaved_heads, 2);
  EXPECT_EQ(find(tensors, "model.layers.0.self_attn.v_proj.weight")->interleaved_heads, 0);
  EXPECT_EQ(find(tensors, "model.layers.0.mlp.down_proj.bias")->gguf, "blk.0.ffn_down.bias");
  EXPECT_EQ(find(tensors, "model.layers.0.post_attention_layernorm.weight")->gguf, "blk.0.ffn_norm.weight");
  EXPECT_EQ(find(tensors, "model.layers.0.mlp.down_proj.weight")->shape, (std::vector<std::int64_t>{64, 96}));
  config.tied_embeddings = true;
  EXPECT_FALSE(find(lora::tensors_of(lora::spec_of(config)), "lm_head.weight"));
}

TEST(Targets, AreExpandedInForwardOrder) {
  const lora::ModelSpec spec = lora::spec_of(tiny("llama"));
  using Names = std::vector<std::string>;
  EXPECT_EQ(lora::expand_targets(spec, {"up_proj", "q_proj", "q_proj"}), (Names{"q_proj", "up_proj"}));
  EXPECT_EQ(lora::expand_targets(spec, {"all-linear"}).size(), 7u);
  EXPECT_THAT(error_of([&] { lora::expand_targets(spec, {"q_porj"}); }), HasSubstr("did you mean 'q_proj'"));
  EXPECT_THAT(error_of([&] { lora::expand_targets(spec, {}); }), HasSubstr("no module"));
}

}  // namespace
