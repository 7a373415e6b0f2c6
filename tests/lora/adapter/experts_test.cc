// Models of experts in the forms in which they lie on disk, and adapters of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/stacked_experts.h"
#include "lora/adapter/start.h"
#include "lora/adapter/write_model.h"
#include "tests/error_of.h"
#include "tests/lora/whole.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using lora::Adapter;
using lora::AdapterModule;
using lora::MergedModel;
using lora::ModelFiles;
using lora_tests::whole;
using testing::HasSubstr;

const fs::path kTiny = fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/finetune/tiny_llama";

void copy_with_tokenizer(const std::string& name, const fs::path& folder) {
  for (const char* file : {"config.json", "model.safetensors"}) fs::copy(kTiny / name / file, folder);
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    fs::copy(fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/lora/base" / file, folder);
}

// The same weights as transformers 5 saves them with save_original_format=False.
void write_stacked(const ModelFiles& model, const fs::path& folder) {
  std::map<std::string, std::pair<std::vector<std::int64_t>, std::map<std::int64_t, std::string>>> stacks;
  for (const std::string& name : model.names()) {
    const lora::Stack& stack = model.tensor(name).stack;
    const bool has_stack{!stack.name.empty()};
    auto& [shape, parts] = stacks[has_stack ? stack.name : name];
    shape = has_stack ? stack.shape : model.shape(name);
    parts[stack.part] = name;
  }
  std::vector<base::SafetensorsWriter::Entry> entries;
  for (const auto& [name, stack] : stacks) entries.push_back({name, base::DType::kBF16, stack.first});
  base::SafetensorsWriter writer(folder / "model.safetensors", entries);
  for (const auto& [name, stack] : stacks)
    for (const auto& [part, own] : stack.second) writer.write_part(name, model.view(own).bytes);
  writer.commit();
  fs::copy(model.path() / "config.json", folder);
}

class ExpertsOnDisk : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, ExpertsOnDisk, testing::Values("mixtral", "qwen2_moe", "qwen3_moe"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(ExpertsOnDisk, StackedFoldersAreTheSameModel) {
  const ModelFiles model((kTiny / GetParam()).string());
  const TemporaryFolder folder;
  write_stacked(model, folder.path());
  const ModelFiles stacked(folder.path().string());
  ASSERT_EQ(stacked.names(), model.names());
  for (const std::string& name : model.names()) EXPECT_EQ(whole(stacked, name), whole(model, name)) << name;
  EXPECT_TRUE(std::ranges::none_of(base::SafetensorsReader(folder.path()).tensors(), [](const base::TensorView& view) {
    return view.name.find("experts.0.") != std::string::npos;
  }));
}

// bfloat16 -> a GGUF of bfloat16 with float32 routers -> bfloat16, byte for byte.
TEST_P(ExpertsOnDisk, GoThroughAGgufAndBack) {
  const TemporaryFolder folder, back;
  copy_with_tokenizer(GetParam(), folder.path());
  if (GetParam() == std::string("qwen2_moe")) {  // a layer without experts has no place there
    std::string config = base::read_file(folder.path() / "config.json");
    EXPECT_THAT(error_of([&] {
                  const ModelFiles model(folder.path().string());
                  lora::write_gguf(MergedModel(model, nullptr), folder.path() / "m.gguf", {base::DType::kBF16, 1, {}});
                }),
                HasSubstr("layers without experts"));
    return;
  }
  const ModelFiles model(folder.path().string());
  lora::write_gguf(MergedModel(model, nullptr), folder.path() / "m.gguf", {base::DType::kBF16, 1, {}});
  const base::GgufReader file(folder.path() / "m.gguf");
  const std::int64_t experts{model.config().experts}, inner{model.config().expert_size}, hidden{32};
  EXPECT_EQ(file.tensor("blk.1.ffn_gate_exps.weight")->shape, (std::vector<std::int64_t>{experts, inner, hidden}));
  EXPECT_EQ(file.tensor("blk.1.ffn_down_exps.weight")->shape, (std::vector<std::int64_t>{experts, hidden, inner}));
  EXPECT_EQ(file.tensor("blk.1.ffn_gate_inp.weight")->type, base::DType::kF32);
  EXPECT_EQ(file.integer(file.text("general.architecture") + ".expert_count"), experts);
  const ModelFiles gguf((folder.path() / "m.gguf").string());
  lora::write_hf_folder(MergedModel(gguf, nullptr), back.path(), {base::DType::kBF16, 1, {}});
  const ModelFiles again(back.path().string());
  lora::ModelConfig config = model.config(), read = again.config();
  EXPECT_EQ(read.experts, config.experts);
  EXPECT_EQ(read.chosen_experts, config.chosen_experts);
  EXPECT_EQ(read.expert_size, config.expert_size);
  EXPECT_EQ(read.renormalised_experts, config.renormalised_experts);
  EXPECT_EQ(read.sliding_window, config.sliding_window);
  for (const std::string& name : model.names())
    EXPECT_TRUE(std::ranges::equal(again.view(name).bytes, model.view(name).bytes)) << name;
}

TEST(Experts, OfAnotherNumberOrSizeAreRefused) {
  const auto with = [](const char* key, const nlohmann::json& value) {
    nlohmann::json config = nlohmann::json::parse(base::read_file(kTiny / "mixtral/config.json"));
    config[key] = value;
    return error_of([&] { lora::config_from_json(config.dump(), "config.json"); });
  };
  EXPECT_EQ(with("num_local_experts", 4), "no error");
  EXPECT_THAT(with("num_experts_per_tok", 5), HasSubstr("impossible number of experts"));
  EXPECT_THAT(with("num_local_experts", 1'000'000'000), HasSubstr("impossible number of experts"));
  EXPECT_THAT(with("num_local_experts", 0), HasSubstr("num_local_experts"));
  EXPECT_THAT(with("shared_expert_intermediate_size", 8), HasSubstr("shared_expert_intermediate_size"));
}

TEST(Experts, AdaptersAreWrittenAndReadWithSuffixes) {
  Adapter adapter;
  adapter.rank = 1, adapter.alpha = 2;
  for (int layer = 0; layer < 2; ++layer)
    for (int expert = 0; expert < 3; ++expert)
      for (const char* name : {"w1", "w3", "w2"})
        adapter.modules.push_back({"model.layers." + std::to_string(layer) + ".block_sparse_moe.experts." +
                                       std::to_string(expert) + "." + name,
                                   1,
                                   2,
                                   2,
                                   2,
                                   {1, 2},
                                   {3, 4}});
  const TemporaryFolder folder, other;
  lora::write_adapter(adapter, folder.path());
  const auto config = nlohmann::json::parse(base::read_file(folder.path() / "adapter_config.json"));
  EXPECT_EQ(config["target_modules"], (nlohmann::json{"w1", "w2", "w3"}));
  const Adapter read = lora::read_adapter(folder.path());
  ASSERT_EQ(read.modules.size(), adapter.modules.size());
  for (std::size_t i = 0; i < read.modules.size(); ++i) EXPECT_EQ(read.modules[i].name, adapter.modules[i].name);
  adapter.modules.pop_back();  // now w2 is not all of them
  lora::write_adapter(adapter, other.path());
  EXPECT_EQ(nlohmann::json::parse(base::read_file(other.path() / "adapter_config.json"))["target_modules"].size(), 17U);
}

// One that lacks an expert and has two ranks becomes whole stacks.
TEST(Experts, GgufAdaptersAreStacks) {
  const TemporaryFolder folder;
  copy_with_tokenizer("mixtral", folder.path());
  const ModelFiles model(folder.path().string());
  Adapter adapter;
  adapter.rank = 1, adapter.alpha = 2;
  const std::string name = "model.layers.1.block_sparse_moe.experts.";
  adapter.modules.push_back({name + "1.w1", 1, 32, 48, 2, std::vector<float>(32, 1), std::vector<float>(48, 3)});
  adapter.modules.push_back({name + "3.w1", 2, 32, 48, 1, std::vector<float>(64, 5), std::vector<float>(96, 7)});
  lora::write_gguf_adapter(adapter, model, folder.path() / "a.gguf");
  const base::GgufReader file(folder.path() / "a.gguf");
  const base::TensorView *a = file.tensor("blk.1.ffn_gate_exps.weight.lora_a"),
                         *b = file.tensor("blk.1.ffn_gate_exps.weight.lora_b");
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->shape, (std::vector<std::int64_t>{4, 2, 32}));
  EXPECT_EQ(b->shape, (std::vector<std::int64_t>{4, 48, 2}));
  std::vector<float> left(4 * 2 * 32), right(4 * 48 * 2);
  base::to_float(a->type, a->bytes, left);
  base::to_float(b->type, b->bytes, right);
  const double scale{file.number("adapter.lora.alpha") / 2};
  const auto delta = [&](std::size_t expert) {  // the first number of scale B A
    return scale * (right[expert * 96] * left[expert * 64] + right[expert * 96 + 1] * left[expert * 64 + 32]);
  };
  EXPECT_NEAR(delta(0), 0, 1e-6);
  EXPECT_NEAR(delta(1), 2 * 3, 1e-5);
  EXPECT_NEAR(delta(2), 0, 1e-6);
  EXPECT_NEAR(delta(3), 2 * 5 * 7, 1e-4);
}

TEST(StackedExperts, AreCutAsPeftStacksThem) {
  // Two experts of rank 2 with one input and one output: A rows expert by expert, B columns rank by rank.
  const AdapterModule stack{"model.layers.0.mlp.experts.down_proj", 4, 1, 1, 3, {1, 2, 3, 4}, {5, 6, 7, 8}};
  const std::vector<AdapterModule> modules = lora::split_by_expert(stack, 2);
  ASSERT_EQ(modules.size(), 2U);
  EXPECT_EQ(modules[1].name, "model.layers.0.mlp.experts.1.down_proj");
  EXPECT_EQ(modules[0].a, (std::vector<float>{1, 2}));
  EXPECT_EQ(modules[0].b, (std::vector<float>{5, 7}));
  EXPECT_EQ(modules[1].a, (std::vector<float>{3, 4}));
  EXPECT_EQ(modules[1].b, (std::vector<float>{6, 8}));
}

TEST(StackedExperts, AreReadOnlyWhole) {
  const fs::path golden = fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/lora/expert_parameters/mixtral";
  const auto with = [&](const char* key, const nlohmann::json& value) {
    const TemporaryFolder folder;
    fs::copy(golden / "adapter_model.safetensors", folder.path());
    nlohmann::json config = nlohmann::json::parse(base::read_file(golden / "adapter_config.json"));
    config[key] = value;
    std::ofstream(folder.path() / "adapter_config.json") << config;
    return error_of([&] { lora::read_adapter(folder.path()); });
  };
  EXPECT_EQ(with("r", 2), "no error");
  EXPECT_THAT(with("rank_pattern", {{"mlp.experts.down_proj", 3}}), HasSubstr("rank of a matrix"));
  EXPECT_THAT(with("rank_pattern", {{"mlp.experts.down_proj", 0}}), HasSubstr("rank of a matrix"));
  EXPECT_THAT(with("rank_pattern", {{"mlp.experts.down_proj", 1.5}}), HasSubstr("rank of a matrix"));
  EXPECT_THAT(with("target_parameters", {"mlp.experts.gate_up_proj"}), HasSubstr("experts.base_layer"));
  EXPECT_THAT(with("target_parameters", {"mlp.experts.gate_up_proj", "down_proj", "mlp.gate.weight"}),
              HasSubstr("has no tensor"));
  EXPECT_THAT(with("target_parameters", nullptr), HasSubstr("experts"));
  EXPECT_THAT(with("init_lora_weights", "pissa"), HasSubstr("target_parameters"));
}

}  // namespace
