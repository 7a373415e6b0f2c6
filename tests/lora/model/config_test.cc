#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "lora/model/family.h"
#include "tests/error_of.h"

namespace {

using lora::ModelConfig;
using testing::HasSubstr;

std::string config_with(const std::string& changes) {
  return R"({"model_type":"llama","vocab_size":257,"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,)"
         R"("num_attention_heads":4,"num_key_value_heads":2)" +
         (changes.empty() ? "" : "," + changes) + "}";
}

ModelConfig parsed(const std::string& changes) { return lora::config_from_json(config_with(changes), "config.json"); }

TEST(ModelConfig, ReadsBothGenerationsOfRope) {
  ModelConfig five = parsed(
      R"("rope_parameters":{"rope_type":"llama3","rope_theta":500000.0,"factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64})");
  ModelConfig four = parsed(
      R"("rope_theta":500000.0,"rope_scaling":{"type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64})");
  EXPECT_EQ(five, four);
  EXPECT_EQ(five.rope.theta, 500000);
  EXPECT_EQ(five.rope.original_context, 64);
  EXPECT_EQ(parsed("").rope.theta, 10000);
  EXPECT_EQ(parsed(R"("rope_theta":1e6,"rope_scaling":null)").rope.theta, 1e6);
  ModelConfig linear = parsed(R"("rope_scaling":{"type":"linear","factor":2})");
  EXPECT_EQ(linear.rope.type, "linear");
  EXPECT_EQ(linear.rope.factor, 2);
  // Without a context of its own, llama3 scaling starts from the model's, as in transformers 5.
  EXPECT_EQ(
      parsed(
          R"("max_position_embeddings":512,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0})")
          .rope.original_context,
      512);
}

TEST(ModelConfig, WritesWhatItReads) {
  for (
      const char* changes :
      {"", R"("attention_bias":true,"mlp_bias":true,"tie_word_embeddings":true,"pad_token_id":3)",
       R"("rope_theta":5e5,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64})",
       R"("rope_scaling":{"type":"linear","factor":2.5},"head_dim":32,"bos_token_id":null)",
       R"("rope_scaling":{"type":"dynamic","factor":2.5},"max_position_embeddings":512,"hidden_act":"gelu")",
       R"("rope_scaling":{"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":64,"beta_fast":16,"truncate":false})",
       R"("rope_scaling":{"rope_type":"yarn","factor":4.0,"mscale":0.7,"mscale_all_dim":0.5,"attention_factor":1.5})",
       R"("model_type":"mistral","sliding_window":64)",
       R"("model_type":"qwen2","use_sliding_window":true,"sliding_window":64,"max_window_layers":1)",
       R"("model_type":"gemma2","layer_types":["full_attention","sliding_attention"],"final_logit_softcapping":null)",
       R"("model_type":"gemma3_text","sliding_window_pattern":2,"rope_scaling":{"factor":8.0,"rope_type":"linear"})",
       R"("model_type":"phi","partial_rotary_factor":0.25,"qk_layernorm":true)",
       R"("model_type":"phi3","max_position_embeddings":8192,"partial_rotary_factor":0.5,"rope_scaling":{"type":"longrope",
           "short_factor":[1,1,1,2],"long_factor":[1,2,3,4]})",
       R"("model_type":"smollm3","no_rope_layers":[0,1])"}) {
    ModelConfig config = parsed(changes);
    EXPECT_EQ(lora::config_from_json(lora::config_to_json(config, "bfloat16"), "written"), config) << changes;
  }
  std::string text = lora::config_to_json(parsed(R"("rope_theta":5e5)"), "bfloat16");
  for (const char* part : {"\"rope_theta\": 500000.0", "\"rope_parameters\": {", "\"torch_dtype\": \"bfloat16\"",
                           "\"dtype\": \"bfloat16\"", "\"architectures\": [\n    \"LlamaForCausalLM\""})
    EXPECT_THAT(text, HasSubstr(part));
}

// transformers 4 reads torch_dtype, rope_theta and rope_scaling, 5 reads dtype and rope_parameters.
TEST(ModelConfig, WrittenForTransformers4And5) {
  const ModelConfig config = parsed(R"("rope_theta":5e5,"rope_scaling":{"rope_type":"linear","factor":2.0})");
  const auto json = nlohmann::json::parse(lora::config_to_json(config, "bfloat16"));
  EXPECT_EQ(json["torch_dtype"], "bfloat16");
  EXPECT_EQ(json["dtype"], "bfloat16");
  EXPECT_EQ(json["rope_theta"], 5e5);
  EXPECT_EQ(json["rope_scaling"]["factor"], 2.0);
  EXPECT_EQ(json["rope_scaling"]["rope_type"], "linear");
  EXPECT_EQ(json["rope_parameters"]["rope_theta"], 5e5);
  EXPECT_EQ(json["rope_parameters"]["factor"], 2.0);
}

// mlx-lm finds Gemma 3's layers without a window by a period, transformers 4 and mlx-lm experts by another word.
TEST(ModelConfig, WrittenForReadersOfOtherKeys) {
  const auto written = [](const std::string& changes) {
    return nlohmann::json::parse(lora::config_to_json(parsed(changes), "bfloat16"));
  };
  EXPECT_EQ(written(R"("model_type":"gemma3_text","layer_types":["sliding_attention","full_attention"])")
                ["sliding_window_pattern"],
            2);
  EXPECT_EQ(written(R"("model_type":"gemma3_text")")["sliding_window_pattern"], 6);
  const auto experts = written(R"("model_type":"qwen3_moe","num_local_experts":16)");
  EXPECT_EQ(experts["num_experts"], 16);
  EXPECT_EQ(experts["num_local_experts"], 16);
  EXPECT_EQ(experts["head_dim"], 16);
}

TEST(ModelConfig, DefaultsAreTransformers) {
  ModelConfig config = parsed("");
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.context_length, 2048);
  EXPECT_EQ(config.rms_norm_eps, 1e-6);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_EQ(config.bos, 1);
  EXPECT_EQ(config.eos, 2);
  EXPECT_EQ(config.pad, -1);
  EXPECT_EQ(parsed(R"("eos_token_id":[128001,128009])").eos, 128001);
  ModelConfig mistral = parsed(R"("model_type":"mistral","sliding_window":null,"attention_bias":true)");
  EXPECT_EQ(mistral.model_type, "mistral");
  EXPECT_FALSE(mistral.attention_bias);  // transformers' Mistral has none whatever the config says
  EXPECT_EQ(parsed(R"("model_type":"mistral","max_position_embeddings":4096)").context_length, 4096);
}

TEST(ModelConfig, WindowsHoldInTheLayersThatTransformersSays) {
  const auto windows = [](const std::string& changes) {
    const ModelConfig config = parsed(changes);
    return std::pair(config.slides(0), config.slides(1));
  };
  using Pair = std::pair<bool, bool>;
  EXPECT_EQ(windows(R"("model_type":"mistral")"), Pair(true, true));
  EXPECT_EQ(windows(R"("model_type":"mistral","sliding_window":null)"), Pair(false, false));
  EXPECT_EQ(windows(R"("model_type":"mistral","max_position_embeddings":4096)"), Pair(false, false));
  EXPECT_EQ(windows(R"("model_type":"qwen2","use_sliding_window":false,"max_window_layers":0)"), Pair(false, false));
  EXPECT_EQ(windows(R"("model_type":"qwen2","use_sliding_window":true,"max_window_layers":1)"), Pair(false, true));
  EXPECT_EQ(windows(R"("model_type":"qwen3","use_sliding_window":true)"), Pair(false, false));
  EXPECT_EQ(windows(R"("model_type":"gemma2")"), Pair(true, false));
  EXPECT_EQ(windows(R"("model_type":"gemma3_text")"), Pair(true, true));
  EXPECT_EQ(windows(R"("model_type":"gemma3_text","sliding_window_pattern":2)"), Pair(true, false));
  // A window as long as the context cuts nothing, but its layers have a rope of their own.
  EXPECT_EQ(windows(R"("model_type":"gemma3_text","max_position_embeddings":64,"sliding_window_pattern":2)"),
            Pair(true, false));
  const std::string smollm3 = R"("model_type":"smollm3","sliding_window":64,"use_sliding_window":)";
  EXPECT_EQ(windows(smollm3 + R"(true,"no_rope_layers":[1,0])"), Pair(false, true));
  EXPECT_EQ(windows(smollm3 + R"(false,"no_rope_layers":[1,0])"), Pair(false, false));
  EXPECT_EQ(windows(smollm3 + R"(false,"layer_types":["sliding_attention","full_attention"])"), Pair(true, false));
  const ModelConfig gemma3 = parsed(R"("model_type":"gemma3_text","rope_theta":2e6,"rope_local_base_freq":500)");
  EXPECT_EQ(gemma3.rope.theta, 2e6);
  EXPECT_EQ(gemma3.local_rope->theta, 500);
}

TEST(ModelConfig, CodeOfTheFamilysOwnClassAndHarmlessKeysAreNoObstacle) {
  const ModelConfig config = parsed(
      R"("model_type":"phi3","auto_map":{"AutoModelForCausalLM":"microsoft/Phi-3--modeling_phi3.Phi3ForCausalLM"},)"
      R"("pretraining_tp":1,"resid_pdrop":0.1,"transformers_version":"4.41","unknown":null,"other":false,"more":[])");
  EXPECT_EQ(config.pad, 32000);
  EXPECT_EQ(config.rotary_dim, 0);
}

TEST(ModelConfig, WhatAGgufCannotSayIsRefused) {
  for (const char* changes :
       {R"("rope_scaling":{"type":"dynamic","factor":2.0})", R"("hidden_act":"gelu")",
        R"("model_type":"gemma2","attn_logit_softcapping":null)",
        R"("model_type":"gemma2","query_pre_attn_scalar":100)", R"("model_type":"phi","qk_layernorm":true)",
        R"("model_type":"smollm3","no_rope_layers":[0,1])", R"("model_type":"qwen3","attention_bias":true)",
        R"("model_type":"qwen3_moe","norm_topk_prob":false)", R"("model_type":"qwen2_moe","norm_topk_prob":true)",
        R"("model_type":"qwen3_moe","norm_topk_prob":true,"mlp_only_layers":[0])"})
    EXPECT_THAT(error_of([&] { lora::config_to_gguf(parsed(changes)); }), HasSubstr("cannot say this")) << changes;
}

TEST(ModelConfig, QuantisedKindsAreNamedWithAWayOut) {
  const auto error_with = [](const std::string& quantisation) {
    return error_of([&] { parsed((R"("quantization_config":{)" + quantisation + "}").c_str()); });
  };
  for (const auto& [method, name] : {std::pair{"gptq", "GPTQ"},
                                     {"awq", "AWQ"},
                                     {"fp8", "float8"},
                                     {"fbgemm_fp8", "float8 (FBGEMM)"},
                                     {"compressed-tensors", "compressed-tensors"},
                                     {"mxfp4", "MXFP4"},
                                     {"torchao", "torchao"},
                                     {"hqq", "HQQ"},
                                     {"aqlm", "AQLM"},
                                     {"quanto", "Quanto"},
                                     {"auto-round", "AutoRound"},
                                     {"modelopt", "ModelOpt"},
                                     {"vptq", "vptq"}})
    EXPECT_THAT(error_with(fmt::format(R"("quant_method":"{}")", method)),
                testing::AllOf(HasSubstr(fmt::format("weights quantised by {} are not read", name)),
                               HasSubstr("--base (finetune: --model)")))
        << method;
  EXPECT_THAT(error_with(R"("quant_method":"fp8")"), HasSubstr("FineGrainedFP8Config(dequantize=True)"));
  EXPECT_THAT(error_with(R"("quant_method":"mxfp4")"), HasSubstr("Mxfp4Config(dequantize=True)"));
  EXPECT_EQ(error_with(R"("quant_method":"bitsandbytes","load_in_4bit":true,"llm_int8_skip_modules":["lm_head"])"),
            "no error");
  EXPECT_EQ(error_with(R"("load_in_8bit":true,"llm_int8_threshold":6.0)"), "no error") << "of before quant_method";
}

TEST(ModelConfig, RefusesWhatIsNotComputedExactly) {
  struct Case {
    const char* changes;
    const char* error;
  };
  for (const Case& c : std::vector<Case>{
           {R"("model_type":"mamba")", "model_type"},
           {R"("model_type":"mistral","sliding_window":-1)", "sliding_window"},
           {R"("hidden_act":"xielu")", "hidden_act"},
           {R"("rope_scaling":{"rope_type":"proportional","factor":4.0})", "rope_scaling"},
           {R"("rope_scaling":{"rope_type":"default","mrope_section":[1,2]})", "mrope_section"},
           {R"("model_type":"qwen2","layer_types":["full_attention"])", "layer_types"},
           {R"("model_type":"qwen2","layer_types":["full_attention","linear_attention"])", "layer_types"},
           {R"("model_type":"smollm3","no_rope_layers":[1])", "no_rope_layers"},
           {R"("model_type":"phi","partial_rotary_factor":0.2)", "partial_rotary_factor"},
           {R"("sliding_window":4096)", "sliding_window"},
           {R"("logit_scale":0.5)", "logit_scale"},
           {R"("clip_qkv":8)", "clip_qkv"},
           {R"("rope_scaling":{"rope_type":"llama3","factor":-1,"low_freq_factor":1,"high_freq_factor":4})",
            "rope scaling"},
           {R"("rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1})", "high_freq_factor"},
           {R"("rope_scaling":{"rope_type":"linear"})", "factor"},
           {R"("rope_scaling":{"rope_type":"yarn","original_max_position_embeddings":64})", "factor"},
           {R"("partial_rotary_factor":0.5)", "partial_rotary_factor"},
           {R"("quantization_config":{"bits":4})", "quantization_config"},
           {R"("compression_config":{"bits":4})", "compression_config"},
           {R"("auto_map":{"AutoModelForCausalLM":"modeling.Model"})", "auto_map"},
           {R"("rope_scaling":{"rope_type":"longrope","short_factor":[1,1,1,1,1,1,1,1],"long_factor":[1,1,1,1]})",
            "rope_scaling"},
           {R"("hidden_size":-64)", "hidden_size"},
           {R"("hidden_size":"64")", "hidden_size"},
           {R"("hidden_size":64.5)", "hidden_size"},
           {R"("num_hidden_layers":99999999999)", "num_hidden_layers"},
           {R"("num_hidden_layers":999999)", "too many layers"},
           {R"("num_key_value_heads":3)", "key heads"},
           {R"("head_dim":15)", "odd head size"},
           {R"("rope_theta":0)", "rope_theta"},
           {R"("attention_bias":1)", "attention_bias"},
       })
    EXPECT_THAT(error_of([&] { parsed(c.changes); }), HasSubstr(c.error)) << c.changes;
  EXPECT_THAT(error_of([] { lora::config_from_json("[1]", "f"); }), HasSubstr("not a JSON object"));
  EXPECT_THAT(error_of([] { lora::config_from_json("{", "f"); }), HasSubstr("unexpected end of input"));
}

TEST(ModelConfig, EveryFamilyIsWrittenAndReadAgain) {
  ASSERT_GE(lora::families().size(), 2u);
  for (const lora::Family* family : lora::families()) {
    const std::string type = family->model_type;
    // llama.cpp knows no other routers of Qwen3.
    ModelConfig config = parsed("\"norm_topk_prob\":" + std::string(type == "qwen3_moe" ? "true" : "false") +
                                ",\"model_type\":\"" + type + "\"");
    EXPECT_EQ(config.model_type, type);
    EXPECT_EQ(lora::config_from_json(lora::config_to_json(config, "float32"), "written"), config) << type;
    EXPECT_EQ(lora::family_of_gguf(family->gguf)->gguf, std::string(family->gguf));
    const lora::GgufMetadata keys = lora::config_to_gguf(config);
    EXPECT_EQ(keys.front().first, std::string(family->gguf) + ".block_count");
  }
  EXPECT_EQ(lora::family_of_gguf("llama")->model_type, std::string("llama"));
  EXPECT_EQ(lora::family_of_gguf("mamba"), nullptr);
}

TEST(ModelConfig, OtherRopeFactorsAreWrittenAsLongropeWithOneList) {
  ModelConfig config = parsed("");
  config.rope.type = "factors";
  config.rope.factors = {1, 2, 1, 3, 5, 4, 4, 4};
  const std::string text = lora::config_to_json(config, "float32");
  EXPECT_THAT(text, HasSubstr("\"rope_type\": \"longrope\""));
  EXPECT_EQ(lora::config_from_json(text, "written"), config);
}

}  // namespace
