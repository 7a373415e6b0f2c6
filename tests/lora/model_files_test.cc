#include "lora/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using lora::ModelConfig;
using testing::HasSubstr;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";

std::string smollm2() {
  const char* path = std::getenv("HORNBOOK_SMOLLM2");
  return path ? path : HORNBOOK_SOURCE_DIR "/build/data/smollm2.gguf";
}

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
  EXPECT_EQ(five.rope_theta, 500000);
  EXPECT_EQ(five.rope_scaling.original_context, 64);
  EXPECT_EQ(parsed("").rope_theta, 10000);
  EXPECT_EQ(parsed(R"("rope_theta":1e6,"rope_scaling":null)").rope_theta, 1e6);
  ModelConfig linear = parsed(R"("rope_scaling":{"type":"linear","factor":2})");
  EXPECT_EQ(linear.rope_scaling.type, "linear");
  EXPECT_EQ(linear.rope_scaling.factor, 2);
  // Without a context of its own, llama3 scaling starts from the model's, as in transformers 5.
  EXPECT_EQ(parsed(R"("max_position_embeddings":512,"rope_scaling":{"rope_type":"llama3","factor":8.0})")
                .rope_scaling.original_context,
            512);
}

TEST(ModelConfig, WritesWhatItReads) {
  for (const char* changes :
       {"", R"("attention_bias":true,"mlp_bias":true,"tie_word_embeddings":true,"pad_token_id":3)",
        R"("rope_theta":5e5,"rope_scaling":{"rope_type":"llama3","factor":8.0,"original_max_position_embeddings":64})",
        R"("rope_scaling":{"type":"linear","factor":2.5},"head_dim":32,"bos_token_id":null)"}) {
    ModelConfig config = parsed(changes);
    EXPECT_EQ(lora::config_from_json(lora::config_to_json(config, "bfloat16"), "written"), config) << changes;
  }
  std::string text = lora::config_to_json(parsed(R"("rope_theta":5e5)"), "bfloat16");
  for (const char* part : {"\"rope_theta\": 500000.0", "\"rope_parameters\": {", "\"torch_dtype\": \"bfloat16\"",
                           "\"dtype\": \"bfloat16\"", "\"architectures\": [\n    \"LlamaForCausalLM\""})
    EXPECT_THAT(text, HasSubstr(part));
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
  EXPECT_EQ(mistral.architecture, "mistral");
  EXPECT_FALSE(mistral.attention_bias);  // transformers' Mistral has none whatever the config says
  EXPECT_EQ(parsed(R"("model_type":"mistral","max_position_embeddings":4096)").context_length, 4096);
}

TEST(ModelConfig, RefusesWhatIsNotComputedExactly) {
  struct Case {
    const char* changes;
    const char* error;
  };
  for (const Case& c : std::vector<Case>{
           {R"("model_type":"qwen2")", "model_type"},
           {R"("model_type":"mistral","sliding_window":4096)", "sliding_window"},
           {R"("model_type":"mistral")", "sliding_window"},
           {R"("hidden_act":"gelu")", "hidden_act"},
           {R"("rope_scaling":{"rope_type":"yarn","factor":4.0})", "rope_scaling"},
           {R"("rope_scaling":{"rope_type":"dynamic","factor":4.0})", "rope_scaling"},
           {R"("rope_scaling":{"rope_type":"llama3","factor":-1})", "rope scaling"},
           {R"("partial_rotary_factor":0.5)", "partial_rotary_factor"},
           {R"("quantization_config":{"bits":4})", "quantization_config"},
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
  EXPECT_THAT(error_of([] { lora::config_from_json("{", "f"); }), HasSubstr("not a JSON object"));
}

TEST(ModelConfig, Llama3FactorsAreTheKnownRow) {
  // Head size 128, theta 500000, factor 8: the short waves are left alone, the longest is stretched by exactly 8.
  ModelConfig config = parsed(R"("head_dim":128,"rope_theta":5e5)");
  std::vector<float> factors = lora::rope_factors(config, {"llama3", 8, 1, 4, 8192});
  ASSERT_EQ(factors.size(), 64u);
  EXPECT_EQ(factors[0], 1);
  EXPECT_EQ(factors[28], 1);
  EXPECT_GT(factors[31], 1);
  EXPECT_LT(factors[31], 8);
  EXPECT_EQ(factors[63], 8);
}

TEST(Targets, AreExpandedInForwardOrder) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(lora::expand_targets({"up_proj", "q_proj", "q_proj"}), (Names{"q_proj", "up_proj"}));
  EXPECT_EQ(lora::expand_targets({"all-linear"}).size(), 7u);
  EXPECT_THAT(error_of([] { lora::expand_targets({"q_porj"}); }), HasSubstr("did you mean 'q_proj'"));
  EXPECT_THAT(error_of([] { lora::expand_targets({}); }), HasSubstr("no module"));
}

TEST(RopeRows, PermuteAndBackIsTheIdentity) {
  base::Random random(5);
  std::vector<float> matrix(24 * 5);
  for (float& value : matrix) value = static_cast<float>(random.uniform());
  std::vector<float> original = matrix;
  lora::permute_rope_rows(matrix, 24, 5, 3, true);
  EXPECT_NE(matrix, original);
  lora::permute_rope_rows(matrix, 24, 5, 3, false);
  EXPECT_EQ(matrix, original);
}

TEST(RopeRows, FollowTheConvertersMap) {
  // new[h*hd + 2j + p] = old[h*hd + p*hd/2 + j]: two heads of eight rows.
  std::vector<float> rows(16);
  std::iota(rows.begin(), rows.end(), 0.0f);
  lora::permute_rope_rows(rows, 16, 1, 2, true);
  EXPECT_EQ(rows, (std::vector<float>{0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15}));
  EXPECT_THROW(lora::permute_rope_rows(rows, 16, 1, 3, true), base::Error);
  EXPECT_THROW(lora::permute_rope_rows(rows, 16, 1, 16, true), base::Error);
}

TEST(Names, HaveTheirGgufNames) {
  EXPECT_EQ(lora::gguf_name("model.layers.13.self_attn.q_proj.weight"), "blk.13.attn_q.weight");
  EXPECT_EQ(lora::gguf_name("model.layers.0.mlp.down_proj.bias"), "blk.0.ffn_down.bias");
  EXPECT_EQ(lora::gguf_name("model.layers.0.post_attention_layernorm.weight"), "blk.0.ffn_norm.weight");
  EXPECT_EQ(lora::gguf_name("lm_head.weight"), "output.weight");
  EXPECT_THROW(lora::gguf_name("model.layers.0.mlp.weight"), base::Error);
  EXPECT_THROW(lora::gguf_name("model.layers."), base::Error);
  EXPECT_THROW(lora::gguf_name(""), base::Error);
}

TEST(ModelFiles, ReadsAHuggingFaceFolder) {
  lora::ModelFiles files(kGolden + "base");
  EXPECT_FALSE(files.is_gguf());
  EXPECT_TRUE(files.config().attention_bias);
  EXPECT_EQ(files.config().rope_scaling.type, "llama3");
  EXPECT_EQ(files.names().size(), 3u + 2 * (2 + 7 + 4));
  EXPECT_EQ(files.names().front(), "model.embed_tokens.weight");
  EXPECT_EQ(files.names().back(), "lm_head.weight");
  EXPECT_EQ(files.shape("model.layers.1.mlp.down_proj.weight"), (std::vector<std::int64_t>{64, 96}));
  std::vector<float> bias(64);
  files.read("model.layers.0.self_attn.q_proj.bias", bias);
  EXPECT_GT(std::fabs(bias[0]), 0);
  EXPECT_THROW(files.shape("model.layers.2.mlp.down_proj.weight"), base::Error);
}

TEST(ModelFiles, ReadsSmolLM2FromItsGguf) {
  if (!fs::exists(smollm2())) FAIL() << "run scripts/install.sh";
  lora::ModelFiles files(smollm2());
  const ModelConfig& config = files.config();
  EXPECT_EQ(config.layers, 30);
  EXPECT_EQ(config.hidden_size, 576);
  EXPECT_EQ(config.intermediate_size, 1536);
  EXPECT_EQ(config.heads, 9);
  EXPECT_EQ(config.kv_heads, 3);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.vocab_size, 49152);
  EXPECT_EQ(config.context_length, 8192);
  EXPECT_EQ(config.rms_norm_eps, 1e-5);  // not 9.99999974e-06
  EXPECT_EQ(config.rope_theta, 100000);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.eos, 2);
  EXPECT_EQ(files.names().size(), 272u);
  EXPECT_EQ(files.type("model.layers.0.self_attn.q_proj.weight"), base::DType::kQ4_1);
  std::vector<float> weights(576 * 576);
  files.read("model.layers.0.self_attn.q_proj.weight", weights);
  for (float value : weights) ASSERT_TRUE(std::isfinite(value));
}

class Folder : public testing::Test {
 protected:
  ~Folder() override { unsetenv("HF_HUB_CACHE"); }
  void copy_base(const fs::path& to) { fs::copy(kGolden + "base", to, fs::copy_options::recursive); }
  void edit(const fs::path& file, const std::string& from, const std::string& to) {
    std::string text = base::read_file(file);
    ASSERT_NE(text.find(from), std::string::npos);
    text.replace(text.find(from), from.size(), to);
    std::ofstream(file, std::ios::binary) << text;
  }
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

TEST_F(Folder, ConfigAndWeightsMustAgree) {
  copy_base(folder_ / "m");
  fs::path config = folder_ / "m/config.json";
  auto error = [&] { return error_of([&] { lora::ModelFiles files((folder_ / "m").string()); }); };
  EXPECT_EQ(error(), "no error");
  edit(config, "\"attention_bias\": true", "\"attention_bias\": false");
  EXPECT_THAT(error(), HasSubstr("a tensor this model does not have"));
  edit(config, "\"attention_bias\": false", "\"attention_bias\": true");
  edit(config, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
  EXPECT_THAT(error(), HasSubstr("lacks a tensor"));
  edit(config, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
  edit(config, "\"intermediate_size\": 96", "\"intermediate_size\": 95");
  EXPECT_THAT(error(), HasSubstr("another shape"));
  edit(config, "\"intermediate_size\": 95", "\"intermediate_size\": 96");
  edit(config, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
  EXPECT_THAT(error(), HasSubstr("ties the head"));
  fs::remove(config);
  EXPECT_THAT(error(), HasSubstr("config.json"));
}

TEST_F(Folder, HubNamesAreLookedUpInTheCache) {
  setenv("HF_HUB_CACHE", folder_.c_str(), 1);
  EXPECT_THAT(error_of([] { lora::ModelFiles files("org/tiny"); }), HasSubstr("hf download org/tiny"));
  EXPECT_THAT(error_of([] { lora::ModelFiles files("org/../tiny"); }), HasSubstr("no such model"));
  EXPECT_THAT(error_of([] { lora::ModelFiles files("tiny"); }), HasSubstr("no such model"));
  fs::path repository = folder_ / "models--org--tiny";
  fs::create_directories(repository / "refs");
  fs::create_directories(repository / "snapshots");
  std::ofstream(repository / "refs/main") << "abc123\n";
  copy_base(repository / "snapshots/abc123");
  lora::ModelFiles files("org/tiny");
  EXPECT_EQ(files.path(), repository / "snapshots/abc123");
  EXPECT_EQ(files.config().layers, 2);
}

TEST_F(Folder, WrongFilesAreNamed) {
  EXPECT_THAT(error_of([&] { lora::ModelFiles files(kGolden + "base/model.safetensors"); }), HasSubstr("config.json"));
  EXPECT_THAT(error_of([&] { lora::ModelFiles files(kGolden + "plain"); }), HasSubstr("LoRA adapter"));
  EXPECT_THAT(error_of([&] { lora::ModelFiles files(kGolden + "base/config.json"); }), HasSubstr("not a GGUF file"));
}

}  // namespace
