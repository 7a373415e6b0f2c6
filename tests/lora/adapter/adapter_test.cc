#include "lora/adapter/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/safetensors.h"
#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/mlx_adapter.h"
#include "lora/model/model_files.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using lora::Adapter;
using testing::HasSubstr;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";

class AdapterFolder : public testing::Test {
 protected:
  // The plain adapter with one key of its config changed.
  std::string error_with(const std::string& key, const nlohmann::json& value) {
    fs::remove_all(folder_);
    fs::copy(kGolden + "plain", folder_);
    nlohmann::json config = nlohmann::json::parse(base::read_file(folder_ / "adapter_config.json"));
    config[key] = value;
    std::ofstream(folder_ / "adapter_config.json") << config.dump();
    return error();
  }
  std::string error() {
    try {
      lora::read_adapter(folder_);
    } catch (const base::Error& error) {
      return error.what();
    }
    return "no error";
  }
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

// The slow, obvious merge: W + scale * B * A in double. The largest difference to PEFT's merged weights.
double difference(const Adapter& adapter, const std::string& name) {
  lora::ModelFiles files(kGolden + "base");
  base::SafetensorsReader merged(kGolden + name + "/merged.safetensors");
  EXPECT_EQ(merged.tensors().size(), adapter.modules.size());
  double most = 0;
  for (const lora::AdapterModule& module : adapter.modules) {
    std::vector<float> weight(static_cast<std::size_t>(module.in * module.out)), expected(weight.size());
    files.read(module.name + ".weight", weight);
    base::to_float(base::DType::kF32, merged.at(module.name + ".weight").bytes, expected);
    for (std::int64_t row = 0; row < module.out; ++row)
      for (std::int64_t column = 0; column < module.in; ++column) {
        double sum = 0;
        for (std::int64_t k = 0; k < module.rank; ++k)
          sum += double{module.b[static_cast<std::size_t>(row * module.rank + k)]} *
                 module.a[static_cast<std::size_t>(k * module.in + column)];
        auto at = static_cast<std::size_t>(row * module.in + column);
        most = std::max(most, std::fabs(weight[at] + module.scale * sum - expected[at]));
      }
  }
  return most;
}

TEST(Adapter, MeansWhatPeftMeans) {
  for (const char* name : {"plain", "rslora", "pattern"}) {
    Adapter adapter = lora::read_adapter(kGolden + name);
    EXPECT_LT(difference(adapter, name), 1e-6) << name;
    // With one scale a tenth off, the comparison fails.
    adapter.modules[0].scale *= 1.1;
    EXPECT_GT(difference(adapter, name), 1e-4) << name;
  }
}

TEST(Adapter, ReadsTheConfig) {
  Adapter adapter = lora::read_adapter(kGolden + "rslora");
  EXPECT_EQ(adapter.base_model, "base");
  EXPECT_EQ(adapter.rank, 3);
  EXPECT_EQ(adapter.alpha, 7);
  EXPECT_TRUE(adapter.rslora);
  EXPECT_EQ(adapter.targets, (std::vector<std::string>{"q_proj", "v_proj", "down_proj"}));
  ASSERT_EQ(adapter.modules.size(), 6u);
  EXPECT_EQ(adapter.modules[0].name, "model.layers.0.self_attn.q_proj");
  EXPECT_EQ(adapter.modules[5].name, "model.layers.1.mlp.down_proj");
  EXPECT_DOUBLE_EQ(adapter.modules[0].scale, 7 / std::sqrt(3.0));
  Adapter pattern = lora::read_adapter(kGolden + "pattern");
  EXPECT_EQ(pattern.modules[0].rank, 2);
  EXPECT_DOUBLE_EQ(pattern.modules[0].scale, 5.0 / 2);
  EXPECT_DOUBLE_EQ(pattern.modules[13].scale, 11.0 / 3);
}

TEST_F(AdapterFolder, WritesWhatItReads) {
  for (const char* name : {"plain", "rslora", "pattern"}) {
    Adapter adapter = lora::read_adapter(kGolden + name);
    lora::write_adapter(adapter, folder_);
    Adapter again = lora::read_adapter(folder_);
    EXPECT_EQ(again.base_model, adapter.base_model);
    EXPECT_EQ(again.rank, adapter.rank);
    EXPECT_EQ(again.alpha, adapter.alpha);
    EXPECT_EQ(again.rslora, adapter.rslora);
    EXPECT_EQ(again.targets, adapter.targets);
    ASSERT_EQ(again.modules.size(), adapter.modules.size());
    for (std::size_t i = 0; i < adapter.modules.size(); ++i) {
      EXPECT_EQ(again.modules[i].name, adapter.modules[i].name);
      EXPECT_EQ(again.modules[i].rank, adapter.modules[i].rank);
      EXPECT_DOUBLE_EQ(again.modules[i].scale, adapter.modules[i].scale);
      EXPECT_EQ(again.modules[i].a, adapter.modules[i].a);
      EXPECT_EQ(again.modules[i].b, adapter.modules[i].b);
    }
  }
  nlohmann::json config = nlohmann::json::parse(base::read_file(folder_ / "adapter_config.json"));
  EXPECT_EQ(config["lora_alpha"], 6);
  EXPECT_TRUE(config["lora_alpha"].is_number_integer());
  EXPECT_EQ(config["rank_pattern"]["model.layers.0.self_attn.q_proj"], 2);
  EXPECT_EQ(config["target_modules"].size(), 7u);
  std::string text = base::read_file(folder_ / "adapter_config.json");
  EXPECT_EQ(text, config.dump(2) + "\n");  // sorted, two spaces
}

TEST_F(AdapterFolder, NamesModulesInFullWhereLayersDiffer) {
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  adapter.modules.resize(8);  // layer 0, and q_proj of layer 1
  lora::write_adapter(adapter, folder_);
  nlohmann::json config = nlohmann::json::parse(base::read_file(folder_ / "adapter_config.json"));
  EXPECT_EQ(config["target_modules"].size(), 8u);
  EXPECT_EQ(config["target_modules"][7], "model.layers.1.self_attn.q_proj");
}

TEST_F(AdapterFolder, RefusesWhatIsNotComputedExactly) {
  EXPECT_EQ(error_with("use_dora", false), "no error");
  // A key that is not known may change what is computed: only an unused one passes.
  for (const nlohmann::json& unused :
       {nlohmann::json(), nlohmann::json(false), nlohmann::json(""), nlohmann::json::array(), nlohmann::json::object()})
    EXPECT_EQ(error_with("a_key_of_tomorrow", unused), "no error") << unused;
  for (const nlohmann::json& used : {nlohmann::json(3), nlohmann::json(true), nlohmann::json("x"), nlohmann::json({1})})
    EXPECT_THAT(error_with("a_key_of_tomorrow", used), HasSubstr("\"a_key_of_tomorrow\"")) << used;
  const std::map<std::string, std::string> unsupported = {{"use_dora", "true"},  // without magnitudes
                                                          {"modules_to_save", R"(["lm_head"])"},
                                                          {"bias", R"("all")"},
                                                          {"lora_bias", "true"},
                                                          {"fan_in_fan_out", "true"},
                                                          {"layer_replication", "[[0,1]]"},
                                                          {"trainable_token_indices", "[1,1]"},
                                                          {"use_qalora", "true"},
                                                          {"use_bdlora", R"({"nblocks":2})"},
                                                          {"enable_lora", "[true,false]"},
                                                          {"target_parameters", R"(["w"])"},
                                                          {"alora_invocation_tokens", "[7]"},
                                                          {"arrow_config", R"({"top_k":2})"},
                                                          {"megatron_config", R"({"a":1})"},
                                                          {"velora_config", R"({"num_groups":4})"},
                                                          {"monteclora_config", R"({"num_samples":2})"},
                                                          {"kasa_config", R"({"a":1})"},
                                                          {"task_type", R"("SEQ_CLS")"},
                                                          {"init_lora_weights", R"("pissa_niter_4")"}};
  for (const auto& [key, value] : unsupported)
    EXPECT_THAT(error_with(key, nlohmann::json::parse(value)), HasSubstr(key)) << key;
  EXPECT_THAT(error_with("peft_type", "IA3"), HasSubstr("not a LoRA adapter"));
  EXPECT_THAT(error_with("r", 0), HasSubstr("\"r\""));
  EXPECT_THAT(error_with("r", 4.5), HasSubstr("\"r\""));
  EXPECT_THAT(error_with("r", "4"), HasSubstr("\"r\""));
  EXPECT_THAT(error_with("r", 5), HasSubstr("rank of a matrix"));
  EXPECT_THAT(error_with("lora_alpha", nullptr), HasSubstr("lora_alpha"));
  EXPECT_THAT(error_with("rank_pattern", {{"(?=q)", 3}}), HasSubstr("rank_pattern"));
  EXPECT_THAT(error_with("alpha_pattern", {{"q_proj", "3"}}), HasSubstr("alpha_pattern"));
  EXPECT_THAT(error_with("alpha_pattern", 3), HasSubstr("alpha_pattern"));
}

TEST_F(AdapterFolder, TakesWhatSaysNothingAboutTheWeights) {
  for (const auto& [key, value] : std::map<std::string, std::string>{{"peft_version", R"("0.99")"},
                                                                     {"eva_config", R"({"rho":2})"},
                                                                     {"lora_ga_config", R"({"scale":"unit"})"},
                                                                     {"loftq_config", R"({"loftq_bits":4})"},
                                                                     {"auto_mapping", R"({"unsloth_fixed":true})"},
                                                                     {"ensure_weight_tying", "true"},
                                                                     {"lorap_emb_lr", "1e-06"},
                                                                     {"qalora_group_size", "32"},
                                                                     {"use_rslora", "null"},
                                                                     {"target_modules", R"("all-linear")"},
                                                                     {"target_modules", R"("^(?!vision).*_proj$")"}})
    EXPECT_EQ(error_with(key, nlohmann::json::parse(value)), "no error") << key;
}

// As LoraLayer.update_layer of PEFT: what leaves the base alone is taken, what changes it by data is refused.
TEST_F(AdapterFolder, KnowsEveryInitialisation) {
  for (const char* value : {"true", "false", "null", R"("gaussian")", R"("Gaussian")", R"("eva")", R"("orthogonal")",
                            R"("mica")", R"("pissa")", R"("olora")", R"("OLoRA")"})
    EXPECT_EQ(error_with("init_lora_weights", nlohmann::json::parse(value)), "no error") << value;
  for (const char* name : {"pissa_niter_16", "pissa_of_tomorrow", "corda", "loftq", "lora_ga", "something"})
    EXPECT_THAT(error_with("init_lora_weights", name), testing::AllOf(HasSubstr(name), HasSubstr("was trained")))
        << name;
  EXPECT_THAT(error_with("init_lora_weights", 1), HasSubstr("init_lora_weights"));
}

TEST_F(AdapterFolder, RefusesTensorsThatTheConfigLeavesOut) {
  EXPECT_THAT(error_with("target_modules", {"q_proj", "v_proj"}), HasSubstr("target_modules"));
  EXPECT_THAT(error_with("target_modules", R"(.*\.q_proj)"), HasSubstr("target_modules"));
  EXPECT_THAT(error_with("exclude_modules", {"down_proj"}), HasSubstr("exclude_modules"));
  EXPECT_THAT(error_with("layers_to_transform", 0), HasSubstr("layers_to_transform"));
  EXPECT_EQ(error_with("layers_to_transform", {0, 1}), "no error");
  // layers_pattern counts beside layers_to_transform only.
  const auto with_pattern = [&](const nlohmann::json& pattern) {
    const fs::path file = folder_ / "adapter_config.json";
    error_with("layers_pattern", pattern);
    nlohmann::json config = nlohmann::json::parse(base::read_file(file));
    config["layers_to_transform"] = {0, 1};
    base::write_file(file, config.dump());
    return error();
  };
  EXPECT_THAT(with_pattern("h"), HasSubstr("layers_pattern"));
  EXPECT_THAT(with_pattern({"h", "blocks"}), HasSubstr("layers_pattern"));
  EXPECT_THAT(with_pattern(5), HasSubstr("layers_pattern"));
  for (const auto& pattern : {nlohmann::json("layers"), nlohmann::json({"h", "layers"}), nlohmann::json("")})
    EXPECT_EQ(with_pattern(pattern), "no error") << pattern;
  EXPECT_EQ(error_with("layers_pattern", "h"), "no error");
  auto targets =
      nlohmann::json::parse(base::read_file(fs::path(kGolden) / "plain/adapter_config.json"))["target_modules"];
  targets.push_back("c_attn");  // of another architecture
  EXPECT_EQ(error_with("target_modules", targets), "no error");
  targets.push_back("lm_head");
  EXPECT_THAT(error_with("target_modules", targets), HasSubstr("has no tensor"));
  EXPECT_THAT(error_with("base_model_name_or_path", 5), HasSubstr("base_model_name_or_path"));
  EXPECT_THAT(error_with("use_rslora", "yes"), HasSubstr("use_rslora"));
}

TEST_F(AdapterFolder, CarriesTheRevision) {
  error_with("revision", "abc123");
  Adapter adapter = lora::read_adapter(folder_);
  EXPECT_EQ(adapter.revision, "abc123");
  lora::write_adapter(adapter, folder_ / "again");
  EXPECT_EQ(lora::read_adapter(folder_ / "again").revision, "abc123");
}

TEST_F(AdapterFolder, KnowsWhatItsBaseWasRoundedTo) {
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  EXPECT_EQ(adapter.rounded_base, "");
  adapter.rounded_base = "nf4";
  lora::write_adapter(adapter, folder_);
  EXPECT_EQ(lora::read_adapter(folder_).rounded_base, "nf4");
  lora::write_mlx_adapter(adapter, folder_ / "mlx");
  EXPECT_EQ(lora::read_adapter(folder_ / "mlx").rounded_base, "nf4");
  const lora::ModelFiles base(kGolden + "base");
  lora::write_gguf_adapter(adapter, base, folder_ / "adapter.gguf", base::DType::kF32);
  EXPECT_EQ(lora::read_adapter(folder_ / "adapter.gguf").rounded_base, "nf4");
  adapter.rounded_base = "nf3";
  lora::write_adapter(adapter, folder_);
  EXPECT_THAT(error(), HasSubstr("nf3"));
}

TEST_F(AdapterFolder, RefusesUnknownTensors) {
  fs::create_directories(folder_);
  EXPECT_THAT(error(), HasSubstr("not an adapter"));
  std::ofstream(folder_ / "adapter_config.json") << R"({"peft_type":"LORA","r":2,"lora_alpha":2})";
  EXPECT_THAT(error(), HasSubstr("no weights"));
  auto with = [&](const std::vector<base::SafetensorsWriter::Entry>& entries) {
    std::vector<lora_tests::FileTensor> tensors;
    for (const auto& [name, type, shape] : entries) tensors.push_back(lora_tests::zeros(name, type, shape));
    lora_tests::write_tensors(folder_ / "adapter_model.safetensors", tensors);
    return error();
  };
  const std::string module = "base_model.model.model.layers.0.self_attn.q_proj";
  using base::DType;
  EXPECT_EQ(with({{module + ".lora_A.weight", DType::kF16, {2, 8}}, {module + ".lora_B.weight", DType::kBF16, {8, 2}}}),
            "no error");
  EXPECT_THAT(with({{module + ".lora_A.weight", DType::kF32, {2, 8}}}), HasSubstr("is missing"));
  EXPECT_THAT(with({{module + ".lora_A.weight", DType::kF32, {16}}}), HasSubstr("wrong shape"));
  EXPECT_THAT(with({{module + ".lora_A.weight", DType::kI32, {2, 8}}}), HasSubstr("integer type"));
  const std::vector<base::SafetensorsWriter::Entry> pair = {{module + ".lora_A.weight", DType::kF32, {2, 8}},
                                                            {module + ".lora_B.weight", DType::kF32, {8, 2}}};
  const auto beside = [&](const std::string& name, std::vector<std::int64_t> shape) {
    auto entries = pair;
    entries.push_back({name, DType::kF32, std::move(shape)});
    return with(entries);
  };
  EXPECT_THAT(beside(module + ".lora_magnitude_vector", {8}), HasSubstr("use_dora"));
  EXPECT_THAT(beside(module + ".lora_B.bias", {8}), HasSubstr("unknown tensor"));
  EXPECT_THAT(beside("base_model.model.model.norm.weight", {8}), HasSubstr("unknown tensor"));
  EXPECT_THAT(beside("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta", {2, 8}),
              HasSubstr("trainable_token_indices"));
  EXPECT_THAT(with({{module + ".lora_A.default.weight", DType::kF32, {2, 8}}}), HasSubstr("one of lora_A and lora_B"));
  EXPECT_EQ(with({{"base_model.model.model.embed_tokens.weight", DType::kF32, {2, 8}}}),
            "no error");  // as PEFT resizes
  EXPECT_THAT(with({{"model.layers.0.self_attn.q_proj.lora_A.weight", DType::kF32, {2, 8}}}),
              HasSubstr("unknown tensor"));
  for (const char* name : {"base_model.model.model.layers.0.self_attn", "base_model.model.model.layers.x.mlp.up_proj",
                           "base_model.model.model.layers."})
    EXPECT_THAT(with({{std::string(name) + ".lora_A.weight", DType::kF32, {2, 8}}}), HasSubstr("cannot carry LoRA"));
  EXPECT_THAT(with({}), HasSubstr("empty"));
  // Numbers, tokens and magnitudes must be those that the config speaks of.
  const auto configured = [&](const std::string& keys) {
    base::write_file(folder_ / "adapter_config.json", R"({"peft_type":"LORA","r":2,"lora_alpha":2,)" + keys + "}");
  };
  configured(R"("use_dora":true)");
  EXPECT_EQ(beside(module + ".lora_magnitude_vector", {8}), "no error");
  EXPECT_EQ(beside(module + ".lora_magnitude_vector.weight", {8, 1}), "no error") << "as PEFT once had it";
  EXPECT_THAT(beside(module + ".lora_magnitude_vector", {7}), HasSubstr("magnitude"));
  const auto embedding = [&](std::int64_t magnitudes) {
    const std::string table = "base_model.model.model.embed_tokens.";
    return with({{table + "lora_embedding_A", DType::kF32, {2, 9}},
                 {table + "lora_embedding_B", DType::kF32, {8, 2}},
                 {table + "lora_magnitude_vector", DType::kF32, {magnitudes}}});
  };
  EXPECT_EQ(embedding(8), "no error") << "of the columns";
  EXPECT_THAT(embedding(9), HasSubstr("lora_magnitude_vector of 8 numbers"));
  configured(R"("use_dora":true,"ensure_weight_tying":true)");
  EXPECT_THAT(embedding(8), HasSubstr("ensure_weight_tying"));
  configured(R"("trainable_token_indices":[3,4])");
  const std::string rows = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta";
  EXPECT_EQ(beside(rows, {2, 8}), "no error");
  EXPECT_THAT(beside(rows, {3, 8}), HasSubstr("3 rows"));
  configured(R"("modules_to_save":["norm","lm_head"])");
  EXPECT_THAT(beside("base_model.model.model.norm.weight", {8}), HasSubstr("'lm_head'"));
}

// As a state_dict names them, and as torch.compile does.
TEST_F(AdapterFolder, NamesOfAStateDictAreRead) {
  const Adapter plain = lora::read_adapter(kGolden + "plain");
  const auto renamed = [&](const std::function<std::string(std::string)>& rename) {
    std::vector<lora_tests::FileTensor> tensors = lora_tests::tensors_in(kGolden + "plain/adapter_model.safetensors");
    for (auto& tensor : tensors) tensor.name = rename(tensor.name);
    lora_tests::write_tensors(folder_ / "adapter_model.safetensors", tensors);
  };
  const auto put = [](std::string name, const std::string& before, const std::string& word) {
    return name.insert(name.find(before), word);
  };
  fs::copy(kGolden + "plain/adapter_config.json", folder_ / "adapter_config.json");
  const std::function<std::string(std::string)> ways[] = {
      [&](std::string name) { return put(name, ".weight", ".default"); },
      [&](std::string name) { return put(name, "base_model", "_orig_mod."); },
      [&](std::string name) { return put(put(name, "model.layers", "_orig_mod."), ".weight", ".default"); }};
  for (const auto& way : ways) {
    renamed(way);
    const Adapter again = lora::read_adapter(folder_);
    ASSERT_EQ(again.modules.size(), plain.modules.size());
    for (std::size_t i = 0; i < plain.modules.size(); ++i) {
      EXPECT_EQ(again.modules[i].name, plain.modules[i].name);
      EXPECT_EQ(again.modules[i].b, plain.modules[i].b);
    }
  }
  int count = 0;
  renamed([&](std::string name) { return put(name, ".weight", count++ % 2 == 0 ? ".one" : ".two"); });
  EXPECT_THAT(error(), HasSubstr("more than one adapter"));
}

}  // namespace
