#include "lora/model/module_names.h"

#include <gtest/gtest.h>

namespace {

TEST(ModuleNames, AreCutAtTheNumberOfTheBlock) {
  const std::string module = "model.layers.13.self_attn.q_proj";
  const lora::BlockName name = lora::block_name(module);
  EXPECT_EQ(name.block, 13);
  EXPECT_EQ(name.prefix, "model.layers.13");
  EXPECT_EQ(name.pattern, "model.layers.N.self_attn.q_proj");
  const lora::BlockName expert = lora::block_name("h.0.mlp.experts.7.up");
  EXPECT_EQ(expert.pattern, "h.N.mlp.experts.N.up");
  EXPECT_EQ(expert.prefix, "h.0");
  EXPECT_EQ(expert.block, 0);
  EXPECT_EQ(expert.expert, 7);
  EXPECT_EQ(name.expert, -1);
  for (const char* none :
       {"lm_head", "", "model.layers.x.q_proj", "model.layers.99999999.q_proj", "model.layers.01.q_proj", "a1.b2"}) {
    EXPECT_EQ(lora::block_name(none).block, -1) << none;
    EXPECT_EQ(lora::block_name(none).pattern, none);
  }
  EXPECT_EQ(lora::suffix_of(module), "q_proj");
  EXPECT_EQ(lora::suffix_of("lm_head"), "lm_head");
}

TEST(ModuleNames, StandInForwardOrder) {
  const lora::ModuleNames& llama = lora::known_module_names().at(1);  // behind Falcon
  ASSERT_EQ(llama.linears.size(), 7u);
  EXPECT_EQ(llama.linears.front(), "model.layers.N.self_attn.q_proj");
  EXPECT_EQ(llama.order.at("model.layers.N.mlp.down_proj"), 6u);
  EXPECT_TRUE(llama.suffixes.contains("gate_proj"));
  EXPECT_TRUE(llama.suffixes.contains("lm_head"));
  EXPECT_TRUE(llama.suffixes.contains("embed_tokens"));
  EXPECT_FALSE(llama.suffixes.contains("c_attn"));
  EXPECT_EQ(lora::known_module_names().size(), 6u + 2 * 5)
      << "families with the same names share one entry: Falcon, LLaMA's, Mixtral, Phi, Phi-3, Qwen's experts; all but "
         "Falcon in two wrappers";
}

}  // namespace
