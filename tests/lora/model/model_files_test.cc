#include "lora/model/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "lora/adapter/write_model.h"
#include "lora/model/hub.h"
#include "tests/error_of.h"
#include "tests/lora/written_model.h"
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

TEST(ModelFiles, ReadsAHuggingFaceFolder) {
  lora::ModelFiles files(kGolden + "base");
  EXPECT_FALSE(files.is_gguf());
  EXPECT_TRUE(files.config().attention_bias);
  EXPECT_EQ(files.config().rope.type, "llama3");
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
  EXPECT_EQ(config.rope.theta, 100000);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.eos, 2);
  EXPECT_EQ(files.names().size(), 272u);
  EXPECT_EQ(files.type("model.layers.0.self_attn.q_proj.weight"), base::DType::kQ4_1);
  std::vector<float> weights(576 * 576);
  files.read("model.layers.0.self_attn.q_proj.weight", weights);
  for (float value : weights) ASSERT_TRUE(std::isfinite(value));
}

// What `lora merge --format gguf` makes is named by its folder too, where that holds one model.
TEST(ModelFiles, AFolderOfOneGgufIsThatFile) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "merged" / "model-q8_0.gguf", place = file.parent_path();
  const lora::ModelFiles base(kGolden + "base");
  fs::create_directory(place);
  lora::write_gguf(lora::MergedModel(base, nullptr), file, {base::DType::kQ8_0, 1, {}});
  base::write_file(place / "Modelfile", "FROM ./model-q8_0.gguf\n");
  base::write_file(place / "mmproj-f16.gguf", "of another kind");
  EXPECT_EQ(lora::find_model(place.string()), file);
  EXPECT_EQ(lora::ModelFiles(place.string()).path(), file);
  fs::copy(file, place / "model-f16.gguf");
  EXPECT_THAT(
      error_of([&] { lora::ModelFiles(place.string()); }),
      testing::AllOf(HasSubstr("name one of its models: "), HasSubstr("model-f16.gguf, "), HasSubstr(file.string())));
  fs::remove(place / "model-f16.gguf");
  base::write_file(place / "config.json", "{}");
  EXPECT_EQ(lora::find_model(place.string()), place) << "a Hugging Face folder";
}

// Rows of q come out in the file's order; put back as blocks they are the floats that read() gives.
TEST(ModelFiles, HandsOutBlocksAsTheyStand) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "q8.gguf";
  const lora::ModelFiles base(kGolden + "base");
  lora::write_gguf(lora::MergedModel(base, nullptr), file, {base::DType::kQ8_0, 1, {}});
  const lora::ModelFiles files(file.string());
  const base::GgufReader raw(file);
  for (const std::string& name : files.names()) {
    const lora::StoredBlocks blocks = files.blocks(name);
    const base::TensorView& stored = *raw.tensor(files.tensor(name).gguf);
    EXPECT_EQ(blocks.type, stored.type) << name;
    EXPECT_EQ(blocks.shape, stored.shape) << name;
    EXPECT_TRUE(std::ranges::equal(blocks.bytes, stored.bytes)) << name;
  }
  const std::string q = "model.layers.1.self_attn.q_proj.weight", v = "model.layers.1.self_attn.v_proj.weight";
  EXPECT_EQ(files.blocks(v).interleaved_heads, 0);
  EXPECT_EQ(base.blocks(q).interleaved_heads, 0) << "a Hugging Face folder's rows are in order";
  const lora::StoredBlocks blocks = files.blocks(q);
  ASSERT_EQ(blocks.type, base::DType::kQ8_0);
  ASSERT_EQ(blocks.interleaved_heads, files.config().heads);
  std::vector<std::byte> rows(blocks.bytes.begin(), blocks.bytes.end());
  std::vector<float> expected(static_cast<std::size_t>(blocks.shape[0] * blocks.shape[1])), values(expected.size());
  files.read(q, expected);
  base::to_float(blocks.type, rows, values);
  EXPECT_NE(values, expected);
  lora::permute_rope_rows(rows, blocks.shape[0], blocks.interleaved_heads, false);
  base::to_float(blocks.type, rows, values);
  EXPECT_EQ(values, expected);
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

TEST_F(Folder, ShardsWithoutAnIndexAreReadAndTold) {
  copy_base(folder_ / "m");
  const lora::ModelFiles whole((folder_ / "m").string());
  EXPECT_TRUE(whole.notes().empty());
  fs::rename(folder_ / "m/model.safetensors", folder_ / "m/model-00001-of-00001.safetensors");
  const lora::ModelFiles files((folder_ / "m").string());
  EXPECT_EQ(files.names(), whole.names());
  ASSERT_EQ(files.notes().size(), 1u);
  EXPECT_THAT(files.notes()[0], HasSubstr("1 files of weights and no model.safetensors.index.json"));
}

TEST_F(Folder, WhatItsConfigCannotMeanIsTold) {
  copy_base(folder_ / "m");
  auto config = nlohmann::json::parse(base::read_file(folder_ / "m/config.json"));
  config["eos_token_id"] = {1, 99999};
  config["torch_dtype"] = "float99";
  base::write_file(folder_ / "m/config.json", config.dump());
  const std::vector<std::string> notes = lora::ModelFiles((folder_ / "m").string()).notes();
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_THAT(notes[0], HasSubstr("eos_token_id 99999 is no token of the model"));
  EXPECT_THAT(notes[1], HasSubstr("'float99' is no type"));
}

TEST_F(Folder, RotaryTablesOfOldCheckpointsArePassedOverAndTold) {
  copy_base(folder_ / "m");
  const std::string table = "model.layers.0.self_attn.rotary_emb.inv_freq";
  std::vector<lora_tests::FileTensor> tensors = lora_tests::tensors_in(kGolden + "base");
  tensors.push_back(lora_tests::zeros(table, base::DType::kF32, {2}));
  lora_tests::write_tensors(folder_ / "m/model.safetensors", tensors);
  const lora::ModelFiles files((folder_ / "m").string());
  EXPECT_EQ(files.find(table), nullptr);
  ASSERT_EQ(files.notes().size(), 1u);
  EXPECT_THAT(files.notes()[0], HasSubstr("1 tensors rotary_emb.inv_freq were passed over"));
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
  fs::create_directories(folder_ / "run/adapter");
  EXPECT_THAT(error_of([&] { lora::ModelFiles files((folder_ / "run").string()); }), HasSubstr("lora merge"));
  fs::create_directories(folder_ / "empty");
  EXPECT_THAT(error_of([&] { lora::ModelFiles files((folder_ / "empty").string()); }),
              testing::Not(HasSubstr("lora merge")));
  EXPECT_THAT(error_of([&] { lora::ModelFiles files(kGolden + "base/config.json"); }), HasSubstr("not a GGUF file"));
}

}  // namespace
