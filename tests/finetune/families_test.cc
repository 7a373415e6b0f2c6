// Every detail by which a family differs shows: with it taken out of the spec, logits are far from transformers'.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/finetune/tiny_llama.h"

namespace {

using lora::BlockSpec;
using lora::ModelSpec;
using tiny_llama::relative;
using Change = void (*)(ModelSpec&);

struct Spoiler {
  const char* model;
  const char* detail;
  Change change;
};

template <void (*change)(BlockSpec&)>
void of_blocks(ModelSpec& spec) {
  for (BlockSpec& block : spec.blocks) change(block);
}
void turn_all(BlockSpec& block) { block.attention.rotary_dim = block.attention.head_dim; }
void see_all(BlockSpec& block) { block.attention.window = 0; }
void see_one_more(BlockSpec& block) { block.attention.window += block.attention.window != 0 ? 1 : 0; }
void gelu_erf(BlockSpec& block) { block.mlp.activation = lora::Activation::kGelu; }
void usual_scale(BlockSpec& block) { block.attention.scale = 0; }
void uncapped(BlockSpec& block) { block.attention.softcap = 0; }
void plain_norm(BlockSpec& block) { block.attention_norm.kind = lora::NormKind::kRms; }
void plain_norm_behind(BlockSpec& block) { block.mlp_post_norm.kind = lora::NormKind::kRms; }
void plain_key_norm(BlockSpec& block) { block.attention.k_norm.kind = lora::NormKind::kRms; }
void scale_of_one(BlockSpec& block) { block.attention.scale = 1; }
void one_rope(BlockSpec& block) { block.attention.rope.theta = 10000, block.attention.rope.factor = 2; }
void short_factors(BlockSpec& block) { block.attention.rope.long_factors = block.attention.rope.factors; }
void no_attention_factor(BlockSpec& block) { block.attention.rope.attention_factor = 1; }
void plain_rope(BlockSpec& block) { block.attention.rope.type = "default"; }
void not_grouped(BlockSpec& block) { block.linears[0].rows = lora::Rows::kQkv; }
void no_alibi(BlockSpec& block) { block.attention.slopes.assign(block.attention.slopes.size(), 0); }
void slopes_of_eight(BlockSpec& block) {
  for (std::size_t i = 0; i < block.attention.slopes.size(); ++i)
    block.attention.slopes[i] = std::exp2(-static_cast<double>(i + 1));
}
void swap_norms(BlockSpec& block) { std::swap(block.attention_norm, block.mlp_norm); }
void gelu_tanh(BlockSpec& block) { block.mlp.activation = lora::Activation::kGeluTanh; }
void serial(BlockSpec& block) { block.parallel = false; }
void as_they_are(BlockSpec& block) { block.mlp.renormalised = false; }
void to_one(BlockSpec& block) { block.mlp.renormalised = true; }
void fewer_chosen(BlockSpec& block) { block.mlp.chosen -= block.mlp.experts != 0 ? 1 : 0; }
void more_chosen(BlockSpec& block) { block.mlp.chosen += block.mlp.experts != 0 ? 1 : 0; }

std::vector<Spoiler> spoilers() {
  return {
      {"qwen3", "scale_of_the_head", of_blocks<scale_of_one>},
      {"mistral", "no_window", of_blocks<see_all>},
      {"mistral", "window_of_one_more", of_blocks<see_one_more>},
      {"qwen2_window", "no_window", of_blocks<see_all>},
      {"qwen2_window", "window_in_all_layers", [](ModelSpec& spec) { spec.blocks[0].attention.window = 8; }},
      {"gemma", "norm_plus_one", of_blocks<plain_norm>},
      {"gemma", "last_norm_plus_one", [](ModelSpec& spec) { spec.norm.kind = lora::NormKind::kRms; }},
      {"gemma", "embedding_scale", [](ModelSpec& spec) { spec.embedding_scale = 1; }},
      {"gemma", "kind_of_gelu", of_blocks<gelu_erf>},
      {"gemma2", "attention_cap", of_blocks<uncapped>},
      {"gemma2", "logit_cap", [](ModelSpec& spec) { spec.logit_softcap = 0; }},
      {"gemma2", "query_scale", of_blocks<usual_scale>},
      {"gemma2", "windows", of_blocks<see_all>},
      {"gemma2", "norm_behind_plus_one", of_blocks<plain_norm_behind>},
      {"gemma3", "key_norm_plus_one", of_blocks<plain_key_norm>},
      {"gemma3", "two_ropes", of_blocks<one_rope>},
      {"gemma3", "windows", of_blocks<see_all>},
      {"phi3", "long_factors", of_blocks<short_factors>},
      {"phi3", "attention_factor", of_blocks<no_attention_factor>},
      {"phi3", "window", of_blocks<see_all>},
      {"phi", "parallel", of_blocks<serial>},
      {"phi", "partial_rotation", of_blocks<turn_all>},
      {"phi", "kind_of_gelu", of_blocks<gelu_erf>},
      {"smollm3", "layer_without_positions", of_blocks<turn_all>},
      {"falcon_7b", "parallel", of_blocks<serial>},
      {"falcon_7b", "kind_of_gelu", of_blocks<gelu_tanh>},
      {"falcon_40b", "group_order", of_blocks<not_grouped>},
      {"falcon_40b", "norm_of_each", of_blocks<swap_norms>},
      {"falcon_11b", "group_order", of_blocks<not_grouped>},
      {"falcon_rw", "group_order", of_blocks<not_grouped>},
      {"falcon_rw", "alibi", of_blocks<no_alibi>},
      {"falcon_rw", "slopes_of_six_heads", of_blocks<slopes_of_eight>},
      {"mixtral", "sum_of_weights", of_blocks<as_they_are>},
      {"mixtral", "number_chosen", of_blocks<fewer_chosen>},
      {"mixtral", "window", of_blocks<see_all>},
      {"qwen2_moe", "sum_of_weights", of_blocks<to_one>},
      {"qwen2_moe", "number_chosen", of_blocks<more_chosen>},
      {"qwen3_moe", "sum_of_weights", of_blocks<as_they_are>},
      {"qwen3_moe", "number_chosen", of_blocks<more_chosen>},
      {"qwen3_moe_step", "sum_of_weights", of_blocks<to_one>},
      {"dynamic_rope", "scaling", of_blocks<plain_rope>},
      {"yarn_rope", "scaling", of_blocks<plain_rope>},
      {"yarn_rope", "attention_factor", of_blocks<no_attention_factor>},
      {"longrope", "long_factors", of_blocks<short_factors>},
  };
}

void PrintTo(const Spoiler& spoiler, std::ostream* out) { *out << spoiler.detail; }

class FamilyDetails : public testing::TestWithParam<Spoiler> {};
INSTANTIATE_TEST_SUITE_P(Spoiled, FamilyDetails, testing::ValuesIn(spoilers()),
                         [](const auto& info) { return std::string(info.param.model) + "_" + info.param.detail; });

TEST_P(FamilyDetails, Show) {
  at::NoGradGuard no_gradient;
  at::set_num_threads(1);
  const std::filesystem::path folder = tiny_llama::folder(GetParam().model);
  const tiny_llama::Golden golden(GetParam().model);
  const finetune::PackedRow row = golden.row(0);
  const auto error_of = [&](const ModelSpec& spec) {
    const finetune::Transformer model(lora::ModelFiles(folder, spec), at::kFloat, at::kCPU);
    return relative(model.logits(model.hidden(row)), golden.at("base/logits"));
  };
  ModelSpec spec = lora::ModelFiles(folder.string()).spec();
  EXPECT_LT(error_of(spec), 1e-5);
  GetParam().change(spec);
  EXPECT_GT(error_of(spec), 1e-4) << "ten times the bound";
}

// The same of a weight, where a detail is one.
TEST(FamilyWeights, HeadBiasQueryNormAndBiasesShow) {
  const auto error_of = [](const std::string& name, const std::string& ending) {
    const tiny_llama::Changed changed(name, [&](const std::string& tensor, at::Tensor& weight) {
      if (tensor.ends_with(ending)) weight.fill_(ending.ends_with("bias") ? 0 : 1);
    });
    const tiny_llama::Golden golden(name);
    at::NoGradGuard no_gradient;
    const finetune::Transformer model = tiny_llama::load(changed.path());
    return relative(model.logits(model.hidden(golden.row(0))), golden.at("base/logits"));
  };
  EXPECT_GT(error_of("phi", "lm_head.bias"), 1e-3);
  EXPECT_GT(error_of("phi", "fc1.bias"), 1e-3);
  EXPECT_GT(error_of("phi", "final_layernorm.bias"), 1e-3);
  EXPECT_GT(error_of("qwen3", "q_norm.weight"), 1e-3);
  EXPECT_GT(error_of("qwen2", "v_proj.bias"), 1e-3);
  EXPECT_GT(error_of("qwen2_moe", "shared_expert_gate.weight"), 1e-3) << "one for all tokens, by that much";
  EXPECT_GT(error_of("qwen2_moe", "shared_expert.up_proj.weight"), 1e-3);
  EXPECT_GT(error_of("qwen2_moe", "layers.1.mlp.up_proj.weight"), 1e-3) << "the layer without experts";
  EXPECT_GT(error_of("qwen2_moe", "k_proj.bias"), 1e-3);
}

// Scores of other experts, or the same in another order, send tokens elsewhere.
TEST(FamilyWeights, OrderOfTheRoutersRowsShows) {
  for (const char* name : {"mixtral", "qwen2_moe", "qwen3_moe"}) {
    const tiny_llama::Changed changed(name, [&](const std::string& tensor, at::Tensor& weight) {
      if (tensor.ends_with(".gate.weight")) weight = weight.flip(0);
    });
    const tiny_llama::Golden golden(name);
    at::NoGradGuard no_gradient;
    const finetune::Transformer model = tiny_llama::load(changed.path());
    EXPECT_GT(relative(model.logits(model.hidden(golden.row(0))), golden.at("base/logits")), 1e-2) << name;
  }
}

}  // namespace
