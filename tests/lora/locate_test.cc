// Which base an adapter belongs to, what tells one base from another, names of files and folders, the model card.
#include "lora/locate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>

#include "base/file.h"
#include "base/output_folder.h"
#include "lora/adapter/model_card.h"
#include "lora/model/identity.h"
#include "tests/error_of.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using lora::Adapter;
using lora::ModelFiles;
using testing::HasSubstr;
using testing::Not;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";

std::string base64(const std::string& bytes) {
  return YAML::EncodeBase64(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

class Locate : public testing::Test {
 protected:
  void SetUp() override {
    setenv("HF_HUB_CACHE", (folder_ / "cache").c_str(), 1);
    fs::create_directories(folder_ / "run/adapter");
    fs::create_directories(folder_ / "run/checkpoints/step-3");
    fs::create_directories(folder_ / "run/other/adapter_of_mine");
    for (const char* name : {"A", "B"}) fs::create_directories(folder_ / name);
  }
  std::string path(const std::string& name) { return (folder_ / name).string(); }
  std::string base_of(const std::string& adapter, const std::string& named, const std::string& given = "") {
    Adapter made;
    made.base_model = named;
    made.revision = revision_;
    return lora::base_model_of(folder_ / adapter, given, "--base", made);
  }
  void write_run(const std::string& text) { base::write_file(folder_ / "run/run.yaml", text); }
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
  std::string revision_;
};

// A path of bytes that are no text: adapter_config.json cannot hold it, run.yaml does.
TEST_F(Locate, ABaseOfAnyBytes) {
  const std::string base = path("m\xFF");
  fs::create_directories(base);
  write_run("model: \"" + base + "\"\n");
  EXPECT_EQ(base_of("run/adapter", path("m\xEF\xBF\xBD")), base);
}

TEST_F(Locate, TheAdaptersOwnBaseComesFirst) {
  write_run("model: " + path("A") + "\n");
  for (const char* place : {"run/adapter", "run/checkpoints/step-3"}) {
    EXPECT_EQ(base_of(place, path("B")), path("B"));
    EXPECT_EQ(base_of(place, ""), path("A"));
    EXPECT_EQ(base_of(place, path("A"), "C"), "C");
    // Not on this machine, and the run's file means another one: nobody guesses.
    EXPECT_THAT(error_of([&] { base_of(place, "org/gone"); }),
                testing::AllOf(HasSubstr("org/gone"), HasSubstr("--base")));
  }
  // A folder that only lies somewhere below a run is not the run's.
  EXPECT_THAT(error_of([&] { base_of("run/other/adapter_of_mine", ""); }), HasSubstr("--base"));
  write_run("model: " + path("A") + "\nbase_name: org/name\n");
  EXPECT_EQ(base_of("run/adapter", "org/name"), path("A"));
  EXPECT_THAT(error_of([&] { base_of("run/adapter", "org/other"); }), HasSubstr("org/other"));
  for (const char* gone : {"", "/gone/model"}) {  // a base that was moved away
    write_run("model: /gone/model\n");
    EXPECT_THAT(error_of([&] { base_of("run/adapter", gone); }), HasSubstr("--base MODEL"));
  }
  write_run("");
  EXPECT_EQ(base_of("run/adapter", "org/name"), "org/name");  // opening it says how to get it
  EXPECT_THAT(error_of([&] { base_of("run/adapter", "/home/other/model"); }), HasSubstr("--base MODEL"));
}

TEST_F(Locate, ARevisionIsNotGuessed) {
  revision_ = "abc";
  const fs::path repository = folder_ / "cache/models--org--tiny";
  fs::create_directories(repository / "refs");
  fs::create_directories(repository / "snapshots/1");
  base::write_file(repository / "refs/main", "1");
  base::write_file(repository / "snapshots/1/config.json", "{}");
  EXPECT_THAT(error_of([&] { base_of("run/adapter", "org/tiny"); }), HasSubstr("--revision abc"));
  EXPECT_EQ(base_of("run/adapter", path("A")), path("A"));
  revision_ = "";
  EXPECT_EQ(base_of("run/adapter", "org/tiny"), "org/tiny");
}

TEST_F(Locate, AGgufHasItsName) {
  EXPECT_THAT(error_of([&] { lora::check_gguf_name("adapter"); }), HasSubstr("adapter.gguf"));
}

TEST_F(Locate, AFileOfTheOutputIsAFileWithANameOfOneLine) {
  ASSERT_EQ(::mkfifo(path("pipe.gguf").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { lora::check_file(path("pipe.gguf"), true); }), HasSubstr("a device or a pipe"));
  EXPECT_THAT(error_of([&] { lora::check_gguf_name(path("a\nb.gguf")); }), HasSubstr("a line break in the name"));
  lora::check_file(path("new.gguf"), false);
}

TEST_F(Locate, AFileBesideAnotherGoesWithIt) {
  { const lora::FileBeside lost(path("Modelfile"), "text"); }
  EXPECT_FALSE(fs::exists(path("Modelfile")));
  {
    lora::FileBeside kept(path("Modelfile"), "text");
    kept.keep();
  }
  {
    const lora::FileBeside again(path("Modelfile"), "another");
    EXPECT_THAT(error_of([&] { lora::FileBeside second(path("Modelfile"), "b"); }), HasSubstr("another run writes"));
  }
  EXPECT_EQ(base::read_file(path("Modelfile")), "text");
}

TEST_F(Locate, TwoCommandsDoNotShareAFolder) {
  const std::string yaml = base::run_head("lora", "merge") + "output: \"o\"\n";
  {
    lora::OutputFolder first(path("out"), false, yaml);
    base::write_file(path("out") + "/config.json", "{}");
    EXPECT_THAT(error_of([&] { lora::OutputFolder second(path("out"), true, yaml); }), HasSubstr("another run writes"));
    EXPECT_TRUE(fs::exists(path("out") + "/config.json"));
    first.finish();
  }
  lora::OutputFolder third(path("out"), true, yaml);
  EXPECT_FALSE(fs::exists(path("out") + "/config.json"));
}

// run.yaml has the base's path as base64 where it is not UTF-8.
TEST_F(Locate, ABaseOfAnyBytesIsFound) {
  const std::string base = path("caf\xe9");
  fs::create_directories(base);
  base::write_file(base + "/config.json", "{}");
  base::write_file(folder_ / "run/run.yaml", "model: !!binary \"" + base64(base) + "\"\n");
  EXPECT_EQ(base_of("run/adapter", ""), base);
}

TEST_F(Locate, AQuantisedCopyIsNotRecommended) {
  for (const char* name : {"unsloth/llama-3-8b-bnb-4bit", "a/llama-3-8b-unsloth-bnb-4bit", "TheBloke/llama-3-8b-GPTQ"})
    EXPECT_THAT(error_of([&] { ModelFiles files(name); }),
                testing::AllOf(HasSubstr("--base"), HasSubstr("/llama-3-8b"), Not(HasSubstr("download it"))))
        << name;
  EXPECT_THAT(error_of([&] { ModelFiles files("a/llama-3-8b-unsloth-bnb-4bit"); }),
              HasSubstr("or the copy itself: hf download a/llama-3-8b-unsloth-bnb-4bit"));
  EXPECT_THAT(error_of([&] { ModelFiles files("a/llama-3-8b-AWQ"); }), Not(HasSubstr("hf download")));
  EXPECT_THAT(error_of([&] { ModelFiles files("org/plain"); }), HasSubstr("hf download org/plain"));
}

// A fine-tune has the same header and the same sizes; the weights tell.
TEST_F(Locate, TheIdentityTellsAFineTuneFromItsBase) {
  const ModelFiles base(kGolden + "base");
  Adapter adapter = lora::read_adapter(kGolden + "plain");
  std::vector<std::string> identities = {lora::identity_of(base)};
  fs::copy(kGolden + "base", folder_ / "copy");
  EXPECT_EQ(lora::identity_of(ModelFiles(path("copy"))), identities[0]);
  adapter.modules.resize(1);
  for (const double scale : {0.0, 1e-3, 1.0}) {
    adapter.modules[0].scale = scale;
    const fs::path folder = folder_ / ("tuned" + std::to_string(identities.size()));
    lora_tests::write_merged(base, &adapter, folder);
    identities.push_back(lora::identity_of(ModelFiles(folder.string())));
    if (scale == 0) continue;
    const auto prefix = identities[1].find("weights");
    EXPECT_EQ(identities.back().substr(0, prefix), identities[1].substr(0, prefix));  // same header, same sizes
    EXPECT_NE(identities.back(), identities[1]);
  }
  std::string config = base::read_file(folder_ / "copy/config.json");
  base::write_file(folder_ / "copy/config.json", config.replace(config.find("500000.0"), 8, "600000.0"));
  EXPECT_NE(lora::identity_of(ModelFiles(path("copy"))), identities[0]);
}

TEST_F(Locate, AModelCardNamesTheBase) {
  Adapter adapter = lora::read_adapter(kGolden + "rslora");
  adapter.base_model = "org/model";
  lora::write_model_card(adapter, folder_);
  EXPECT_THAT(base::read_file(folder_ / "README.md"),
              testing::AllOf(HasSubstr("\nbase_model: org/model\n"), HasSubstr("library_name: peft"),
                             HasSubstr("q_proj, v_proj, down_proj")));
  adapter.base_model = "/home/me/models/Tiny";
  lora::write_model_card(adapter, folder_);
  EXPECT_THAT(base::read_file(folder_ / "README.md"),
              testing::AllOf(Not(HasSubstr("base_model:")), Not(HasSubstr("/home/me")), HasSubstr("`Tiny`")));
  EXPECT_THAT(error_of([] { lora::check_base_name("/home/me/Tiny"); }), HasSubstr("ORG/MODEL"));
}

// float64 stays as exact as float32; a tensor keeps its own type.
TEST_F(Locate, AutoKeepsTheTypesOfTheBase) {
  using base::DType;
  const ModelFiles base(kGolden + "base");
  fs::copy(kGolden + "base", folder_ / "mixed");
  auto type_of = [](const std::string& name) {
    return name.ends_with("norm.weight") ? DType::kF32 : name.find("mlp") != name.npos ? DType::kBF16 : DType::kF64;
  };
  std::vector<lora_tests::FileTensor> tensors;
  for (const std::string& name : base.names()) {
    tensors.push_back(lora_tests::zeros(name, type_of(name), base.shape(name)));
    const std::vector<float> values = lora_tests::whole(base, name);
    const std::vector<double> doubles(values.begin(), values.end());
    if (type_of(name) == DType::kF64)
      std::ranges::copy(std::as_bytes(std::span(doubles)), tensors.back().bytes.begin());
    else
      tensors.back().bytes = base::from_float(type_of(name), values);
  }
  lora_tests::write_tensors(folder_ / "mixed/model.safetensors", tensors);
  const ModelFiles mixed(path("mixed"));
  EXPECT_EQ(lora::natural_type(mixed), DType::kF32);
  fs::create_directories(folder_ / "out");
  lora::WriteOptions options{lora::natural_type(mixed), 1, {}, true};
  lora::write_hf_folder(lora::MergedModel(mixed, nullptr), folder_ / "out", options);
  const ModelFiles written(path("out"));
  for (const std::string& name : written.names())
    EXPECT_EQ(written.type(name), type_of(name) == DType::kF64 ? DType::kF32 : type_of(name)) << name;
  EXPECT_EQ(lora::natural_type(DType::kQ4_0), DType::kF16);
}

// Whatever else lies beside the weights goes along.
TEST_F(Locate, OtherFilesOfTheBaseAreCarried) {
  fs::copy(kGolden + "base", folder_ / "base");
  fs::create_directories(folder_ / "base/additional_chat_templates");
  for (const char* name : {"LICENSE", "vocab.txt", "tekken.json", "additional_chat_templates/tool.jinja"})
    base::write_file(folder_ / "base" / name, name);
  base::write_file(folder_ / "base/pytorch_model.bin", "old weights");
  fs::create_directories(folder_ / "out");
  lora::write_hf_folder(lora::MergedModel(ModelFiles(path("base")), nullptr), folder_ / "out",
                        {base::DType::kF32, 1, {}});
  for (const char* name : {"LICENSE", "vocab.txt", "tekken.json", "additional_chat_templates/tool.jinja"})
    EXPECT_EQ(base::read_file(folder_ / "out" / name), name);
  EXPECT_FALSE(fs::exists(folder_ / "out/pytorch_model.bin"));
}

}  // namespace
