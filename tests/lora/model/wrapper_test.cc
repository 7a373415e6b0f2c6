// Models of texts and pictures: the text model is found in them, changed, and the rest comes through byte for byte.
// What their text models compute: tests/finetune/parity_test.cc, cases gemma3_vision, llava, mistral3, smolvlm.
#include "lora/model/wrapper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "base/file.h"
#include "lora/adapter/start.h"
#include "tests/error_of.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using lora_tests::write_tensors;
using lora_tests::zeros;
using nlohmann::json;
using testing::HasSubstr;

fs::path folder_of(const std::string& name) {
  return fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/finetune/tiny_llama" / name;
}

lora::ModelConfig parsed(const std::string& text) { return lora::config_from_json(text, "config.json"); }

// Published ones leave out what transformers' class means anyway.
TEST(WrapperConfig, TakesTheTextModelsDefaults) {
  const lora::ModelConfig gemma = parsed(
      R"({"model_type":"gemma3","eos_token_id":[1,106],"mm_tokens_per_image":256,"vision_config":{"hidden_size":1152},
          "text_config":{"hidden_size":2560,"intermediate_size":10240,"model_type":"gemma3_text","num_hidden_layers":34,
                         "rope_scaling":{"factor":8.0,"rope_type":"linear"},"sliding_window":1024}})");
  EXPECT_EQ(gemma.wrapper, "gemma3");
  EXPECT_EQ(gemma.model_type, "gemma3_text");
  EXPECT_EQ(gemma.heads, 8);
  EXPECT_EQ(gemma.kv_heads, 4);
  EXPECT_EQ(gemma.vocab_size, 262208);
  EXPECT_EQ(gemma.eos, 1);
  EXPECT_TRUE(gemma.tied_embeddings);
  const lora::ModelConfig llava = parsed(
      R"({"model_type":"llava","image_token_index":32000,"vision_config":{"model_type":"clip_vision_model"},
          "text_config":{"max_position_embeddings":4096,"rms_norm_eps":1e-05,"vocab_size":32064}})");
  EXPECT_EQ(llava.model_type, "llama");
  EXPECT_EQ(llava.hidden_size, 4096);
  EXPECT_EQ(llava.intermediate_size, 11008);
  EXPECT_EQ(llava.layers, 32);
  EXPECT_FALSE(llava.tied_embeddings);
}

TEST(WrapperConfig, MayHaveNoTextConfig) {
  for (const char* text : {R"({"model_type":"llava","text_config":null})", R"({"model_type":"llava"})"})
    EXPECT_EQ(parsed(text).hidden_size, 4096) << text;
}

TEST(WrapperConfig, WhatIsNotKnownIsRefusedByName) {
  for (const auto& [text, error] :
       {std::pair{R"({"model_type":"qwen2_vl","text_config":{"model_type":"qwen2_vl_text"}})", "qwen2_vl"},
        {R"({"model_type":"mllama","text_config":{"model_type":"mllama_text_model"}})", "pictures"},
        {R"({"model_type":"paligemma","text_config":{"model_type":"gemma"}})", "gemma3, got_ocr2"},
        {R"({"model_type":"llava","text_config":{"model_type":"cohere"}})", "cohere"},
        {R"({"model_type":"llava","text_config":7})", "text_config"},
        {R"({"model_type":"llava","text_config":{"clip_qkv":8}})", "clip_qkv"},
        {R"({"model_type":"llava","quantization_config":{"quant_method":"awq"},"text_config":{}})", "AWQ"}})
    EXPECT_THAT(error_of([&text = text] { parsed(text); }), HasSubstr(error)) << text;
}

TEST(WrapperNames, EarlierOnesAreToday) {
  EXPECT_EQ(lora::name_of_today("language_model.model.layers.0.mlp.up_proj"),
            "model.language_model.layers.0.mlp.up_proj");
  EXPECT_EQ(lora::name_of_today("model.language_model.layers.0"), "model.language_model.layers.0");
  EXPECT_EQ(lora::name_of_today("language_model.lm_head.weight"), "lm_head.weight");
  EXPECT_EQ(lora::name_of_today("vision_tower.layers.0"), "vision_tower.layers.0");
  EXPECT_EQ(lora::without_wrapper("model.text_model.norm"), "model.norm");
  EXPECT_EQ(lora::without_wrapper("transformer.h.0.mlp"), "transformer.h.0.mlp");
}

class Wrapped : public testing::TestWithParam<std::string> {
 protected:
  // One module of the text model, with random numbers.
  lora::Adapter adapter(const lora::ModelFiles& files) const {
    const lora::LinearSpec& linear = files.spec().blocks.at(1).linears.at(0);
    lora::Adapter made;
    made.rank = 1, made.alpha = 1;
    made.targets = {"q_proj"};
    made.modules = {{linear.name, 1, linear.in, linear.out, 1,
                     std::vector<float>(static_cast<std::size_t>(linear.in), 0.5F),
                     std::vector<float>(static_cast<std::size_t>(linear.out), 0.25F)}};
    return made;
  }
  TemporaryFolder temporary_;
  lora::ModelFiles files_{folder_of(GetParam()).string()};
};
INSTANTIATE_TEST_SUITE_P(Cases, Wrapped, testing::Values("gemma3_vision", "llava", "mistral3", "smolvlm"),
                         [](const auto& info) { return info.param; });

TEST_P(Wrapped, AMergeCarriesAllElseByteForByte) {
  const lora::Adapter adapter = this->adapter(files_);
  lora::write_hf_folder(lora::MergedModel(files_, &adapter), temporary_.path(), {base::DType::kBF16, 1, {}, true});
  const base::SafetensorsReader before(folder_of(GetParam()) / "model.safetensors"), after(temporary_.path());
  ASSERT_EQ(after.tensors().size(), before.tensors().size());
  std::size_t changed = 0;
  for (const base::TensorView& view : before.tensors()) {
    const base::TensorView& written = after.at(view.name);
    EXPECT_EQ(written.shape, view.shape);
    EXPECT_EQ(written.type, view.type);
    changed += std::ranges::equal(written.bytes, view.bytes) ? 0 : 1;
  }
  EXPECT_EQ(changed, 1u) << "the one matrix of the adapter";
  json of_before = json::parse(base::read_file(folder_of(GetParam()) / "config.json")),
       of_after = json::parse(base::read_file(temporary_.path() / "config.json"));
  for (json* config : {&of_after, &of_after["text_config"], &of_before, &of_before["text_config"]})
    for (const char* key : {"dtype", "torch_dtype"}) config->erase(key);
  EXPECT_TRUE(of_after["text_config"].contains("rope_theta")) << "transformers 4 and mlx-lm would take one of theirs";
  for (const char* key : {"rope_theta", "rope_scaling", "rope_local_base_freq", "sliding_window_pattern"})
    if (!of_before["text_config"].contains(key)) of_after["text_config"].erase(key);
  EXPECT_EQ(of_after, of_before);
  EXPECT_FALSE(files_.carried().empty());
  ASSERT_EQ(files_.notes().size(), 1u);
  EXPECT_THAT(files_.notes()[0],
              HasSubstr(std::to_string(files_.carried().size()) + " other tensors are kept byte for"));
}

TEST_P(Wrapped, AnAdapterGoesBetweenTheWholeAndItsTextModel) {
  const lora::Adapter adapter = this->adapter(files_);
  const std::map<std::string, std::string> alone = {
      {"gemma3_vision", "gemma3"}, {"llava", "untied"}, {"mistral3", "mistral"}, {"smolvlm", "tied"}};
  const lora::ModelFiles text(folder_of(alone.at(GetParam())).string());
  const lora::Adapter on_text = lora::plain_adapter(adapter, text, 1);
  EXPECT_EQ(on_text.modules.at(0).name, "model.layers.1.self_attn.q_proj");
  EXPECT_EQ(lora::plain_adapter(on_text, files_, 1).modules.at(0).name, adapter.modules.at(0).name);
}

TEST_P(Wrapped, WrittenAdaptersNameModulesOfTheTextModelAlone) {
  const lora::Adapter adapter = this->adapter(files_);
  lora::write_adapter(adapter, temporary_.path());
  const json config = json::parse(base::read_file(temporary_.path() / "adapter_config.json"));
  EXPECT_EQ(config["target_modules"], json::array({adapter.modules.at(0).name}))
      << "\"q_proj\" would be the vision model's too";
  EXPECT_EQ(lora::read_adapter(temporary_.path()).modules.at(0).name, adapter.modules.at(0).name);
}

// As PEFT saved them around earlier transformers; and one of the vision model's modules.
TEST(WrapperAdapters, OfEarlierNamesAreRead) {
  const auto read_with = [](const std::string& module) {
    const TemporaryFolder folder;
    base::write_file(folder.path() / "adapter_config.json",
                     R"({"peft_type":"LORA","r":1,"lora_alpha":3,"target_modules":["q_proj"],"alpha_pattern":{")" +
                         module + R"(":5}})");
    const std::string name = "base_model.model." + module;
    write_tensors(folder.path() / "adapter_model.safetensors",
                  {zeros(name + ".lora_A.weight", base::DType::kF32, {1, 4}),
                   zeros(name + ".lora_B.weight", base::DType::kF32, {4, 1})});
    return lora::read_adapter(folder.path());
  };
  const lora::AdapterModule module = read_with("language_model.model.layers.3.self_attn.q_proj").modules.at(0);
  EXPECT_EQ(module.name, "model.language_model.layers.3.self_attn.q_proj");
  EXPECT_EQ(module.scale, 5) << "the pattern names it as the file does";
  EXPECT_THAT(error_of([&] { read_with("model.vision_tower.encoder.layers.0.self_attn.q_proj"); }),
              HasSubstr("a module outside the text model"));
}

// A folder of plain numbers cannot carry them.
TEST(WrapperRest, ThatIsPackedIsNotWrittenAsAFolder) {
  const TemporaryFolder folder;
  fs::copy(folder_of("llava") / "config.json", folder.path() / "config.json");
  const std::string scales = "vision_tower.layers.0.self_attn.q_proj.SCB";
  std::vector<lora_tests::FileTensor> tensors = lora_tests::tensors_in(folder_of("llava") / "model.safetensors");
  tensors.push_back(zeros(scales, base::DType::kF32, {1}));
  write_tensors(folder.path() / "model.safetensors", tensors);
  const lora::ModelFiles files(folder.path().string());
  EXPECT_THAT(error_of([&] { lora::check_can_write(files, base::DType::kF32, false); }),
              testing::AllOf(HasSubstr("outside of the text model"), HasSubstr(scales)));
}

// Under config.json's tie, another head in the file counts, as in transformers 5.
TEST(WrapperHead, OfItsOwnIsNotTied) {
  const TemporaryFolder folder;
  std::string config = base::read_file(folder_of("llava") / "config.json");
  json object = json::parse(config);
  object["tie_word_embeddings"] = true;
  base::write_file(folder.path() / "config.json", object.dump());
  fs::copy(folder_of("llava") / "model.safetensors", folder.path() / "model.safetensors");
  EXPECT_FALSE(lora::ModelFiles(folder.path().string()).config().tied_embeddings);
}

}  // namespace
