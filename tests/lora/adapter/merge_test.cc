#include "lora/adapter/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/write_model.h"
#include "lora/model/gguf_metadata.h"
#include "lora/model/wrapper.h"
#include "tests/error_of.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using base::DType;
using lora::Adapter;
using lora::MergedModel;
using lora::ModelFiles;
using lora_tests::whole;
using testing::HasSubstr;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";

std::vector<float> whole(const MergedModel& model, const std::string& name) {
  std::vector<std::int64_t> shape = model.base().shape(name);
  std::vector<float> values(static_cast<std::size_t>(model.base().view(name).elements()));
  model.read_rows(name, 0, shape[0], values);
  return values;
}

double difference(const std::vector<float>& left, const std::vector<float>& right) {
  EXPECT_EQ(left.size(), right.size());
  double most = 0;
  for (std::size_t i = 0; i < left.size(); ++i) most = std::max(most, std::fabs(double{left[i]} - right[i]));
  return most;
}

class Merge : public testing::Test {
 protected:
  ModelFiles base_{kGolden + "base"};
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

TEST_F(Merge, EqualsPeft) {
  for (const char* name : {"plain", "rslora", "pattern"}) {
    Adapter adapter = lora::read_adapter(kGolden + name);
    MergedModel model(base_, &adapter);
    base::SafetensorsReader expected(kGolden + name + "/merged.safetensors");
    for (const base::TensorView& tensor : expected.tensors()) {
      ASSERT_TRUE(model.is_changed(tensor.name));
      std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
      base::to_float(tensor.type, tensor.bytes, values);
      EXPECT_LT(difference(whole(model, tensor.name), values), 1e-6) << name << " " << tensor.name;
    }
    // The comparison sees a wrong scale.
    adapter.modules[0].scale *= 1.01;
    const base::TensorView& first = expected.at(adapter.modules[0].name + ".weight");
    std::vector<float> values(static_cast<std::size_t>(first.elements()));
    base::to_float(first.type, first.bytes, values);
    EXPECT_GT(difference(whole(model, first.name), values), 1e-5);
  }
}

TEST_F(Merge, RowsAreThoseOfTheWhole) {
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  MergedModel model(base_, &adapter);
  for (const char* name : {"model.layers.1.self_attn.k_proj.weight", "model.layers.0.mlp.up_proj.weight"}) {
    std::vector<float> all = whole(model, name), some(16 * 64);
    model.read_rows(name, 16, 16, some);
    EXPECT_LT(difference(some, {all.begin() + 16 * 64, all.begin() + 32 * 64}), 1e-7);
    EXPECT_THROW(model.read_rows(name, 32, 16 * 64, some), base::Error);
  }
}

TEST_F(Merge, RefusesAnAdapterOfAnotherModel) {
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  adapter.modules[3].in = 32;
  EXPECT_THAT(error_of([&] { MergedModel(base_, &adapter); }), HasSubstr("does not fit"));
  adapter = lora::read_adapter(kGolden + "plain");
  adapter.modules[3].name = "model.layers.7.self_attn.q_proj";
  EXPECT_THAT(error_of([&] { MergedModel(base_, &adapter); }), HasSubstr("does not have"));
}

TEST_F(Merge, RefusesWhatIsNotANumber) {
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  adapter.modules[0].b[5] = std::numeric_limits<float>::quiet_NaN();
  MergedModel model(base_, &adapter);
  EXPECT_THAT(error_of([&] { lora::write_hf_folder(model, folder_, {DType::kF32, 2, {}}); }), HasSubstr("not finite"));
  EXPECT_FALSE(fs::exists(folder_ / "config.json"));  // nothing that looks whole
  EXPECT_FALSE(fs::exists(folder_ / "model.safetensors"));
}

TEST_F(Merge, WritesAHuggingFaceFolder) {
  Adapter adapter = lora::read_adapter(kGolden + "pattern");
  MergedModel model(base_, &adapter);
  double share = 0;
  lora::write_hf_folder(model, folder_, {DType::kF32, 2, [&](double s) { share = s; }});
  EXPECT_EQ(share, 1);
  ModelFiles written(folder_.string());
  EXPECT_EQ(written.config(), base_.config());
  for (const std::string& name : base_.names()) EXPECT_LT(difference(whole(written, name), whole(model, name)), 1e-7);
  EXPECT_EQ(whole(written, "model.embed_tokens.weight"), whole(base_, "model.embed_tokens.weight"));
  for (const char* file : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"})
    EXPECT_EQ(base::read_file(folder_ / file), base::read_file(base_.path() / file)) << file;
  EXPECT_EQ(fs::file_size(folder_ / "model.safetensors") / 1000, lora::hf_bytes(base_, DType::kF32) / 1000 + 3);
  // transformers 4 needs rope_theta and rope_scaling, which the base, written by transformers 5, does not have.
  auto config = nlohmann::json::parse(base::read_file(folder_ / "config.json"));
  EXPECT_EQ(config["rope_theta"], 500000.0);
  EXPECT_EQ(config["rope_scaling"]["rope_type"], "llama3");
  EXPECT_EQ(config["transformers_version"], "5.23.0");  // other keys are kept
}

TEST_F(Merge, RoundsOnce) {
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  MergedModel model(base_, &adapter);
  for (DType type : {DType::kBF16, DType::kF16}) {
    lora::write_hf_folder(model, folder_, {type, 1, {}});
    ModelFiles written(folder_.string());
    const std::string name = "model.layers.0.mlp.down_proj.weight";
    EXPECT_EQ(written.type(name), type);
    std::vector<std::byte> expected = base::from_float(type, whole(model, name));
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), written.view(name).bytes.begin()));
  }
}

TEST_F(Merge, TheBytesDoNotDependOnTheThreads) {
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  MergedModel model(base_, &adapter);
  std::vector<std::string> bytes;
  for (int threads : {1, 2, 5}) {
    lora::write_gguf(model, folder_ / "m.gguf", {DType::kF32, threads, {}});
    bytes.push_back(base::read_file(folder_ / "m.gguf"));
  }
  EXPECT_EQ(bytes[0], bytes[1]);
  EXPECT_EQ(bytes[0], bytes[2]);
}

TEST_F(Merge, GgufAndBackGivesTheSameWeights) {
  MergedModel model(base_, nullptr);
  lora::write_gguf(model, folder_ / "base.gguf", {DType::kF32, 2, {}});
  ModelFiles gguf((folder_ / "base.gguf").string());
  EXPECT_EQ(lora::as_llama3(gguf.config().rope, 16), base_.config().rope);
  for (const std::string& name : base_.names()) EXPECT_EQ(whole(gguf, name), whole(base_, name)) << name;
  // In the file itself q_proj's rows lie in another order.
  EXPECT_FALSE(std::equal(gguf.view("model.layers.0.self_attn.q_proj.weight").bytes.begin(),
                          gguf.view("model.layers.0.self_attn.q_proj.weight").bytes.end(),
                          base_.view("model.layers.0.self_attn.q_proj.weight").bytes.begin()));
  MergedModel from_gguf(gguf, nullptr);
  fs::create_directories(folder_ / "hf");
  lora::write_hf_folder(from_gguf, folder_ / "hf", {DType::kF32, 2, {}});
  ModelFiles again((folder_ / "hf").string());
  lora::ModelConfig config = base_.config();
  config.pad = 2;  // the GGUF has the tokenizer's padding token, the config had none
  EXPECT_EQ(again.config(), config);
  for (const std::string& name : base_.names()) EXPECT_EQ(whole(again, name), whole(base_, name)) << name;
  for (const char* file : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"})
    EXPECT_TRUE(fs::exists(folder_ / "hf" / file));
  // GGUF to GGUF keeps every key but the file type.
  lora::write_gguf(from_gguf, folder_ / "half.gguf", {DType::kF16, 2, {}});
  base::GgufReader half(folder_ / "half.gguf");
  ASSERT_EQ(half.metadata().size(), gguf.gguf()->metadata().size());
  for (std::size_t i = 0; i < half.metadata().size(); ++i) {
    const auto& [key, value] = half.metadata()[i];
    EXPECT_EQ(key, gguf.gguf()->metadata()[i].first);
    if (key != "general.file_type") {
      EXPECT_EQ(value.value, gguf.gguf()->metadata()[i].second.value) << key;
    }
  }
  EXPECT_EQ(half.integer("general.file_type"), 1);
}

TEST_F(Merge, EveryEndTokenIsWritten) {
  using nlohmann::json;
  const fs::path copy = folder_ / "base";
  fs::copy(kGolden + "base", copy);
  const auto set = [&](const char* file, const json& ends) {
    json config = json::parse(base::read_file(copy / file));
    config["eos_token_id"] = ends;
    base::write_file(copy / file, config.dump());
  };
  set("generation_config.json", {2, 5});
  lora::write_gguf(MergedModel(ModelFiles(copy.string()), nullptr), folder_ / "m.gguf", {DType::kF32, 2, {}});
  const ModelFiles gguf((folder_ / "m.gguf").string());
  EXPECT_EQ(gguf.gguf()->integer("tokenizer.ggml.eos_token_id"), 2);
  EXPECT_EQ(gguf.gguf()->integer("tokenizer.ggml.eot_token_id"), 5);
  const auto written = [&](const ModelFiles& files, const char* file) {
    fs::remove_all(folder_ / "hf");
    fs::create_directories(folder_ / "hf");
    lora::write_hf_folder(MergedModel(files, nullptr), folder_ / "hf", {DType::kF32, 2, {}});
    return json::parse(base::read_file(folder_ / "hf" / file))["eos_token_id"];
  };
  EXPECT_EQ(written(gguf, "generation_config.json"), json({2, 5}));
  EXPECT_EQ(written(gguf, "config.json"), json({2, 5}));
  // A list that only config.json has; transformers reads generation_config.json alone once it is there.
  fs::remove(copy / "generation_config.json");
  set("config.json", {2, 7});
  EXPECT_EQ(written(ModelFiles(copy.string()), "generation_config.json"), json({2, 7}));
}

TEST_F(Merge, AWeightThatIsTooLargeIsNamedBeforeAnythingIsWritten) {
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  const std::string name = adapter.modules[2].name + ".weight";
  adapter.modules[2].scale = 1e9;
  const MergedModel model(base_, &adapter);
  for (const DType type : {DType::kF16, DType::kQ8_0})
    EXPECT_THAT(error_of([&] {
                  lora::check_values(model, true, {type, 2, {}});
                }),
                testing::AllOf(HasSubstr(name + ": a weight is too large for "), HasSubstr("got '"),
                               HasSubstr("--dtype bfloat16 or --dtype float32")));
  EXPECT_THAT(error_of([&] { lora::check_values(model, false, {DType::kF16, 2, {}}); }), HasSubstr(name));
  lora::check_values(model, true, {DType::kBF16, 2, {}});
  for (const DType type : {DType::kF16, DType::kQ8_0})
    EXPECT_THAT(error_of([&] { lora::write_gguf(model, folder_ / "new/m.gguf", {type, 2, {}}); }), HasSubstr(name));
  EXPECT_FALSE(fs::exists(folder_ / "new"));
  const std::vector<float> huge = {1, -3.4e38F}, infinite = {1, std::numeric_limits<float>::infinity()};
  EXPECT_THAT(error_of([&] { lora::check_range("x", huge, DType::kBF16); }), HasSubstr("too large for bfloat16"));
  EXPECT_THROW(lora::check_range("x", infinite, DType::kF32), base::Error);
  lora::check_range("x", huge, DType::kF32);
  // An adapter as a GGUF has a limit too.
  adapter.modules[2].b[0] = 1e6F;
  EXPECT_THAT(error_of([&] { lora::write_gguf_adapter(adapter, base_, folder_ / "new/a.gguf", DType::kF16); }),
              testing::AllOf(HasSubstr("too large for float16"), testing::Not(HasSubstr("bfloat16"))));
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

// Of every family that has a golden model.
TEST_F(Merge, EveryFamilyGoesThroughGguf) {
  std::set<std::string> families;
  for (const auto& entry : fs::directory_iterator(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama")) {
    const std::string name = entry.path().filename();
    const fs::path folder = folder_ / name;
    fs::copy(entry.path(), folder);
    for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
      fs::copy(kGolden + "base/" + file, folder / file);
    std::string config = base::read_file(folder / "config.json");
    const std::string scalar = "\"query_pre_attn_scalar\": 24";  // llama.cpp takes the size of a head
    if (const auto place = config.find(scalar); place != std::string::npos)
      base::write_file(folder / "config.json", config.replace(place, scalar.size(), "\"query_pre_attn_scalar\": 16"));
    const ModelFiles model(folder.string());
    const auto write = [&] {
      lora::write_gguf(MergedModel(model, nullptr), folder / "model.gguf", {DType::kF32, 1, {}});
    };
    families.insert(model.config().model_type);
    const std::set<std::string> without_words = {"dynamic_rope", "smollm3", "falcon_rw", "qwen2_moe", "qwen3_moe_step"};
    if (without_words.contains(name)) {  // what a GGUF cannot say
      EXPECT_THAT(error_of(write), HasSubstr("cannot say this")) << name;
      continue;
    }
    write();
    const ModelFiles gguf((folder / "model.gguf").string());
    EXPECT_EQ(gguf.config().model_type, model.config().model_type);
    const lora::RopeSpec &rope = gguf.config().rope, &before = model.config().rope;
    const std::int64_t dim{model.config().turned_dim()};
    EXPECT_NEAR(lora::rotation_scale(rope), lora::rotation_scale(before), 1e-6) << name;
    for (const std::int64_t length : {8, 100})
      EXPECT_LT(
          difference(lora::inverse_frequencies(rope, dim, length), lora::inverse_frequencies(before, dim, length)),
          1e-6)
          << name;
    EXPECT_EQ(gguf.config().local_rope, model.config().local_rope) << name;
    EXPECT_EQ(gguf.config().sliding_window, model.config().sliding_window) << name;
    EXPECT_EQ(gguf.config().sliding_layers, model.config().sliding_layers) << name;
    ASSERT_EQ(gguf.names().size(), model.names().size());
    for (const std::string& tensor : model.names()) {  // Gemma's norms are one more there, which rounds
      const std::string plain = lora::without_wrapper(tensor);
      EXPECT_LE(difference(whole(gguf, plain), whole(model, tensor)), model.tensor(tensor).gguf_added * 1e-6)
          << name << " " << tensor;
    }
  }
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi", "phi3",
                             "falcon", "mixtral", "qwen3_moe"})
    EXPECT_TRUE(families.contains(family)) << family;
}

TEST(GgufNote, WindowsThatLlamaCppDoesNotComputeAreSaid) {
  const std::string cases = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/";
  for (const auto& [name, window] : {std::pair{"mistral", "beyond 8 tokens"},
                                     {"qwen2_window", "beyond 8 tokens"},
                                     {"phi3", "beyond 12 tokens"},
                                     {"gemma2", ""},
                                     {"gemma3", ""},
                                     {"tied", ""}}) {
    const std::string note = lora::gguf_note(ModelFiles(cases + name).config());
    EXPECT_EQ(note.empty(), *window == 0) << name;
    EXPECT_THAT(note, HasSubstr(window)) << name;
  }
}

TEST_F(Merge, GgufTypesFollowTheRules) {
  MergedModel model(base_, nullptr);
  lora::write_gguf(model, folder_ / "q8.gguf", {DType::kQ8_0, 2, {}});
  base::GgufReader file(folder_ / "q8.gguf");
  EXPECT_EQ(file.integer("general.file_type"), 7);
  EXPECT_EQ(file.tensor("blk.0.ffn_down.weight")->type, DType::kQ8_0);
  EXPECT_EQ(file.tensor("blk.0.attn_norm.weight")->type, DType::kF32);
  EXPECT_EQ(file.tensor("blk.0.attn_q.bias")->type, DType::kF32);
  EXPECT_EQ(file.tensor("rope_freqs.weight")->shape, (std::vector<std::int64_t>{8}));
  ModelFiles q8((folder_ / "q8.gguf").string());
  std::vector<float> coarse = whole(q8, "model.layers.1.self_attn.q_proj.weight");
  EXPECT_LT(difference(coarse, whole(base_, "model.layers.1.self_attn.q_proj.weight")), 0.5 / 254 + 1e-3);
  // Blocks that stay are copied: a second rounding would change them.
  lora::write_gguf(MergedModel(q8, nullptr), folder_ / "again.gguf", {DType::kQ8_0, 2, {}});
  EXPECT_EQ(base::read_file(folder_ / "again.gguf"), base::read_file(folder_ / "q8.gguf"));
  EXPECT_EQ(lora::gguf_bytes(base_, DType::kQ8_0), lora::gguf_bytes(q8, DType::kQ8_0));
  EXPECT_LT(lora::gguf_bytes(base_, DType::kQ8_0), lora::gguf_bytes(base_, DType::kF16));
}

TEST_F(Merge, RowsThatAreNoWholeBlocksAreHalves) {
  lora::ModelConfig config = base_.config();
  config.hidden_size = 40;
  config.rope = {};
  fs::copy(base_.path(), folder_ / "narrow");
  std::ofstream(folder_ / "narrow/config.json") << lora::config_to_json(config, "float32");
  std::vector<lora_tests::FileTensor> ones;
  for (const lora::TensorSpec& tensor : lora::tensors_of(lora::spec_of(config)))
    ones.push_back(lora_tests::tensor_of(tensor.name, DType::kF32, tensor.shape,
                                         std::vector<float>(base::byte_size(DType::kF32, tensor.shape) / 4, 1)));
  lora_tests::write_tensors(folder_ / "narrow/model.safetensors", ones);
  ModelFiles narrow((folder_ / "narrow").string());
  lora::write_gguf(MergedModel(narrow, nullptr), folder_ / "q8.gguf", {DType::kQ8_0, 2, {}});
  base::GgufReader file(folder_ / "q8.gguf");
  EXPECT_EQ(file.tensor("blk.0.attn_q.weight")->type, DType::kF16);        // rows of 40
  EXPECT_EQ(file.tensor("blk.0.attn_output.weight")->type, DType::kQ8_0);  // rows of 64
}

TEST_F(Merge, RefusesALargeWeightAsHalf) {
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  adapter.modules[0].scale = 1e8;
  MergedModel model(base_, &adapter);
  EXPECT_THAT(error_of([&] { lora::write_hf_folder(model, folder_, {DType::kF16, 1, {}}); }), HasSubstr("bfloat16"));
  EXPECT_THAT(error_of([&] { lora::write_hf_folder(model, folder_, {DType::kQ8_0, 1, {}}); }), HasSubstr("gguf"));
}

TEST_F(Merge, BakedScalesGiveTheSameDeltas) {
  for (const char* name : {"plain", "rslora", "pattern"}) {
    Adapter adapter = lora::read_adapter(kGolden + name);
    Adapter baked = lora::bake_scale(adapter);
    EXPECT_FALSE(baked.rslora);
    MergedModel before(base_, &adapter), after(base_, &baked);
    for (const lora::AdapterModule& module : baked.modules) {
      EXPECT_EQ(module.rank, baked.rank);
      EXPECT_DOUBLE_EQ(module.scale, baked.alpha / static_cast<double>(baked.rank));
      EXPECT_LT(difference(whole(before, module.name + ".weight"), whole(after, module.name + ".weight")), 1e-6);
    }
    lora::write_adapter(baked, folder_);
    auto config = nlohmann::json::parse(base::read_file(folder_ / "adapter_config.json"));
    EXPECT_TRUE(config["rank_pattern"].empty());
    EXPECT_TRUE(config["alpha_pattern"].empty());
  }
}

// Reads a GGUF adapter as llama.cpp does: scale = alpha / rank, rows of q and k in GGUF's order.
TEST_F(Merge, AGgufAdapterGivesTheSameDeltas) {
  for (const char* name : {"plain", "rslora", "pattern"}) {
    Adapter adapter = lora::read_adapter(kGolden + name);
    lora::write_gguf_adapter(adapter, base_, folder_ / "a.gguf");
    base::GgufReader file(folder_ / "a.gguf");
    EXPECT_EQ(file.text("general.type"), "adapter");
    EXPECT_EQ(file.text("general.architecture"), "llama");
    EXPECT_EQ(file.text("adapter.type"), "lora");
    EXPECT_EQ(file.tensors().size(), adapter.modules.size() * 2);
    Adapter read = adapter;
    for (lora::AdapterModule& module : read.modules) {
      const std::string& weight = base_.tensor(module.name + ".weight").gguf;
      const base::TensorView* a = file.tensor(weight + ".lora_a");
      const base::TensorView* b = file.tensor(weight + ".lora_b");
      ASSERT_TRUE(a && b);
      EXPECT_EQ(a->shape, (std::vector<std::int64_t>{module.rank, module.in}));
      EXPECT_EQ(b->shape, (std::vector<std::int64_t>{module.out, module.rank}));
      base::to_float(a->type, a->bytes, module.a);
      base::to_float(b->type, b->bytes, module.b);
      const std::int64_t heads{base_.tensor(module.name + ".weight").interleaved_heads};
      if (heads > 0) lora::permute_rope_rows(module.b, module.out, module.rank, heads, false);
      module.scale = file.number("adapter.lora.alpha") / static_cast<double>(module.rank);
    }
    MergedModel before(base_, &adapter), after(base_, &read);
    for (const lora::AdapterModule& module : adapter.modules)
      EXPECT_LT(difference(whole(before, module.name + ".weight"), whole(after, module.name + ".weight")), 1e-6)
          << name << " " << module.name;
  }
}

TEST(GgufMetadata, NamesForPeople) {
  EXPECT_EQ(lora::model_name("/a/b/SmolLM2/"), "SmolLM2");
  EXPECT_EQ(lora::model_name("/a/b/smol.Q8_0.gguf"), "smol.Q8_0");
  EXPECT_EQ(lora::model_name("/c/models--org--tiny-1/snapshots/abc"), "org/tiny-1");
  // gguf.utility.model_weight_count_rounded_notation of the package 0.19.
  EXPECT_EQ(lora::size_label(134515008), "135M");
  EXPECT_EQ(lora::size_label(1235814400), "1.2B");
  EXPECT_EQ(lora::size_label(8030261248), "8.0B");
  EXPECT_EQ(lora::size_label(70553706496), "71B");
  EXPECT_EQ(lora::size_label(12345), "12K");
  EXPECT_EQ(lora::size_label(999), "1.0K");
}

}  // namespace
