// generate, eval and verify as a user runs them, on the real model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "finetune/data/data.h"
#include "finetune/eval.h"
#include "finetune/kernels/device.h"
#include "finetune/model/generate.h"
#include "finetune/model/load.h"
#include "finetune/verify.h"
#include "finetune/weigh.h"
#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/mlx_adapter.h"
#include "lora/adapter/write_model.h"
#include "tests/error_of.h"
#include "tests/finetune/byte_tokenizer.h"
#include "tests/finetune/tiny_llama.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string model_path() {
  if (const char* given = std::getenv("HORNBOOK_SMOLLM2")) return given;
  return HORNBOOK_SOURCE_DIR "/build/data/smollm2.gguf";
}

struct Result {
  int code = 0;
  std::string out, err;
};

Result run(const base::Command& command, const std::vector<std::string>& words, bool json = false) {
  std::ostringstream out, err;
  base::Command::Bound bound = command.bind();
  bound.set->read_words(words);
  bound.set->check_required();
  base::Context context{out, err, false, json, "", "finetune", bound.set.get()};
  Result result;
  result.code = bound.run(context);
  result.out = out.str();
  result.err = err.str();
  return result;
}

class Commands : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(fs::exists(model_path())) << model_path() << " is missing: run scripts/install.sh";
  }
  std::string file(const std::string& name, const std::string& bytes) {
    base::write_file(folder_ / name, bytes);
    return (folder_ / name).string();
  }
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

// The adapters whose start is taken out of the base give the logits of the merged model, which is PEFT's (lora's
// tests).
TEST_F(Commands, AnAdapterWithAStartComputesAsMerged) {
  const std::string golden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";
  const std::string text = file("text.txt", "A hornbook was a page of letters, and two pence paid for one.");
  lora::ModelFiles base(golden + "base");
  for (const std::string name : {"pissa", "olora"}) {
    const lora::Adapter adapter = finetune::load_adapter(golden + name, base, 1);
    lora_tests::write_merged(base, &adapter, folder_ / name);
    const std::vector<std::string> words = {golden + "base", (folder_ / name).string(), "--text", text};
    EXPECT_EQ(run(finetune::verify_command(), words).code, 1) << name;  // the base alone is another model
    std::vector<std::string> with = words;
    with.insert(with.end(), {"--adapter", golden + name});
    EXPECT_EQ(run(finetune::verify_command(), with).code, 0) << name;
  }
}

TEST_F(Commands, GenerateGivesTheGreedyTokensOfTransformers) {
  auto golden = nlohmann::json::parse(base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/smollm2.json"));
  std::string prompts;
  std::vector<nlohmann::json> expected;
  for (const auto& text : golden.at("texts")) {
    if (text.at("text").get<std::string>().starts_with("<|im_start|>")) continue;  // prompts are data, not markup
    prompts += nlohmann::json{{"prompt", text.at("text")}}.dump() + "\n";
    expected.push_back(text);
  }
  ASSERT_EQ(expected.size(), 4u);
  Result result = run(finetune::generate_command(),
                      {"--model", model_path(), "--prompts", file("prompts.jsonl", prompts), "--raw", "--max-tokens",
                       "20", "--repetition-penalty", "1"},
                      true);
  std::istringstream lines(result.out);
  std::string line;
  for (const auto& text : expected) {
    ASSERT_TRUE(std::getline(lines, line));
    auto record = nlohmann::json::parse(line);
    EXPECT_EQ(record.at("prompt"), text.at("text"));
    // transformers was told not to stop; ours stops at the end token, where the rest does not count.
    auto greedy = text.at("greedy").get<std::vector<int>>();
    greedy.erase(std::find(greedy.begin(), greedy.end(), 2), greedy.end());
    EXPECT_EQ(record.at("ids").get<std::vector<int>>(), greedy) << text.at("text");
  }
}

TEST_F(Commands, GenerateAnswersInTheChatTemplate) {
  Result chat =
      run(finetune::generate_command(), {"--model", model_path(), "--prompt", "What is gravity?", "--max-tokens", "8"});
  EXPECT_THAT(chat.out, HasSubstr("Gravity is a fundamental"));
  EXPECT_THAT(chat.err, HasSubstr("tokens/s"));
  Result raw = run(finetune::generate_command(),
                   {"--model", model_path(), "--prompts",
                    file("prompts.txt", "The capital of France is\nOne, two, three,\n"), "--raw", "--max-tokens", "3"});
  EXPECT_THAT(raw.out, HasSubstr("> The capital of France is\n Paris."));
  EXPECT_THAT(raw.out, HasSubstr("> One, two, three,\n four"));
}

TEST_F(Commands, GenerateRefusesWrongUsage) {
  auto command = finetune::generate_command();
  EXPECT_THROW(run(command, {"--prompt", "x"}), base::UsageError);
  EXPECT_THROW(run(command, {"--model", model_path()}), base::UsageError);
  EXPECT_THROW(run(command, {"--model", model_path(), "--prompt", "x", "--chat", "--raw"}), base::UsageError);
  EXPECT_THROW(run(command, {"--model", model_path(), "--prompt", "x", "--top-p", "2"}), base::UsageError);
  EXPECT_THROW(run(command, {"--model", model_path(), "--prompts", file("bad.jsonl", "{\"text\": \"x\"}\n")}),
               base::Error);
  EXPECT_THROW(run(command, {"--model", folder_.string() + "/none", "--prompt", "x"}), base::Error);
}

TEST_F(Commands, EvalGivesTheLossOfTheRecords) {
  std::string records = file("records.jsonl",
                             "{\"text\": \"The capital of France is Paris.\"}\n"
                             "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", "
                             "\"content\": \"Hello! How can I help you today?\"}]}\n");
  Result result = run(finetune::eval_command(), {"--model", model_path(), records}, true);
  auto json = nlohmann::json::parse(result.out);
  // The same by hand: one document after the other, logits of all positions.
  finetune::LoadedModel loaded = finetune::load_model({model_path(), "", "float32", "cpu", 0});
  finetune::ExampleMaker maker(*loaded.tokenizer);
  double sum = 0;
  std::int64_t count = 0;
  std::istringstream lines(base::read_file(records));
  at::NoGradGuard no_gradient;
  for (std::string line; std::getline(lines, line);) {
    finetune::Example example = maker.make(line);
    finetune::PackedRow row;
    row.ids = at::tensor(std::vector<std::int64_t>(example.ids.begin(), example.ids.end()));
    row.lengths = {row.ids.size(0)};
    at::Tensor logs = loaded.model.logits(loaded.model.hidden(row)).to(at::kDouble).log_softmax(1);
    for (std::size_t i = 1; i < example.ids.size(); ++i) {
      if (!example.trained[i]) continue;
      sum -= logs[static_cast<std::int64_t>(i) - 1][example.ids[i]].item<double>();
      ++count;
    }
  }
  EXPECT_EQ(json.at("trained_tokens"), count);
  EXPECT_EQ(json.at("examples"), 2);
  EXPECT_EQ(json.at("data").at("kept"), 2);
  EXPECT_NEAR(json.at("loss").get<double>(), sum / static_cast<double>(count), 1e-5);
  EXPECT_NEAR(json.at("perplexity").get<double>(), std::exp(sum / static_cast<double>(count)), 1e-4);
  EXPECT_THROW(run(finetune::eval_command(), {"--model", model_path()}), base::UsageError);
  const std::string mixed = file("mixed.jsonl", "{\"text\": \"one two three four five six\"}\n{\"other\": 1}\n");
  result = run(finetune::eval_command(), {"--model", model_path(), mixed, "--max-length", "3"}, true);
  json = nlohmann::json::parse(result.out).at("data");
  EXPECT_EQ(json.at("altered").at("truncated").at("first"), nlohmann::json::array({mixed + ":1"}));
  EXPECT_EQ(json.at("altered").at("bad").at("records"), 1);
  EXPECT_EQ(json.at("dropped"), 1);
}

TEST_F(Commands, EvalRefusesALossThatIsNoNumber) {
  const tiny_llama::Changed model("untied", [](const std::string& name, at::Tensor& tensor) {
    if (name.ends_with("o_proj.weight")) tensor.fill_(std::nan(""));
  });
  base::write_file(model.path() / "tokenizer.json", byte_tokenizer_json({"<|endoftext|>"}));
  base::write_file(model.path() / "tokenizer_config.json", R"({"eos_token":"<|endoftext|>"})");
  const std::vector<std::string> words = {"--model", model.path().string(), "--max-length", "32",
                                          file("text.jsonl", "{\"text\": \"a hornbook\"}\n")};
  EXPECT_THAT(error_of([&] { run(finetune::eval_command(), words); }),
              testing::AllOf(HasSubstr("loss is not a finite number"), HasSubstr(model.path().string())));
}

TEST_F(Commands, VerifyTellsAnAdapterFromNone) {
  std::string text = file("text.txt", "Photosynthesis is the process by which plants convert light into energy.\n");
  Result same = run(finetune::verify_command(), {model_path(), model_path(), "--text", text, "--bound", "1e-5"}, true);
  EXPECT_EQ(same.code, 0);
  auto json = nlohmann::json::parse(same.out);
  EXPECT_EQ(json.at("max_abs"), 0);
  EXPECT_EQ(json.at("bound"), 1e-5);
  EXPECT_EQ(json.at("equal"), true);

  finetune::Transformer model = tiny_llama::load(model_path());
  model.attach({"o_proj"}, 2, 4, 0, false, 1);
  {
    at::NoGradGuard no_gradient;
    for (at::Tensor leaf : model.parameters()) leaf.add_(0.001);
  }
  lora::write_adapter(model.adapter(), folder_ / "run" / "adapter");
  Result different = run(finetune::verify_command(), {model_path(), model_path(), "--text", text, "--bound", "1e-5",
                                                      "--adapter", (folder_ / "run").string()});
  EXPECT_EQ(different.code, 1);
  EXPECT_THAT(different.out, HasSubstr("DIFFER by more than the given bound (largest relative difference "));

  EXPECT_THROW(run(finetune::verify_command(), {model_path(), "--text", text}), base::UsageError);
}

// An adapter in each format beside its base, by the built-in prompts, and merged GGUFs of every kind of type; the base
// alone is another model.
TEST_F(Commands, VerifyReadsEveryExport) {
  const std::string base = HORNBOOK_SOURCE_DIR "/tests/golden/lora/base",
                    adapter = HORNBOOK_SOURCE_DIR "/tests/golden/lora/pattern";
  lora::ModelFiles files(base);
  const lora::Adapter read = finetune::load_adapter(adapter, files, 1);
  lora::write_gguf_adapter(read, files, folder_ / "a.gguf", base::DType::kF32);
  lora::write_mlx_adapter(read, folder_ / "mlx");
  lora::write_adapter(read, folder_ / "peft");
  for (const char* name : {"a.gguf", "mlx", "peft"}) {
    const Result same =
        run(finetune::verify_command(), {base, "--adapter", adapter, "--exported", (folder_ / name).string()}, true);
    EXPECT_EQ(same.code, 0) << name << same.out;
    const auto json = nlohmann::json::parse(same.out);
    EXPECT_EQ(json.at("texts"), 10) << name;
    EXPECT_EQ(json.at("same_texts"), 10) << name;
    EXPECT_EQ(json.at("same_best"), 1) << name;
    EXPECT_LT(json.at("mean_kl"), 1e-9) << name;
    EXPECT_EQ(json.at("bound_name"), "float32 rounding") << name;
    EXPECT_EQ(run(finetune::verify_command(), {base, "--exported", (folder_ / name).string()}).code, 1) << name;
  }
  const lora::MergedModel merged(files, &read);
  for (const char* type : {"float32", "float16", "bfloat16", "q8_0", "q5_1", "q4_0"}) {
    const std::string file = (folder_ / (std::string(type) + ".gguf")).string();
    lora::write_gguf(merged, file, {lora::type_from_name(type), 1, {}});
    const Result same = run(finetune::verify_command(), {base, file, "--adapter", adapter}, true);
    EXPECT_EQ(same.code, 0) << type << same.out;
    EXPECT_EQ(nlohmann::json::parse(same.out).at("weights").at("rounded"), 0) << type;
    EXPECT_EQ(run(finetune::verify_command(), {base, file}).code, 1) << type;
  }
}

TEST_F(Commands, AnAdapterNamesItsBase) {
  finetune::Transformer model = tiny_llama::load(model_path());
  model.attach({"q_proj"}, 2, 4, 0, false, 1);
  lora::write_adapter(model.adapter(), folder_ / "adapter");
  finetune::LoadedModel loaded = finetune::load_model({"", (folder_ / "adapter").string(), "auto", "cpu", 0});
  EXPECT_TRUE(fs::equivalent(loaded.path, model_path()));
  EXPECT_EQ(loaded.model.parameters().size(), 60u);
}

TEST(Bases, AreTwoByTheirNames) {
  for (const auto& [one, other] :
       std::vector<std::pair<const char*, const char*>>{{"HuggingFaceTB/SmolLM2-135M", "/models/SmolLM2-135M/"},
                                                        {"/a/SmolLM2-135M", "/b/smollm2-135m-Q8_0.gguf"},
                                                        {"org/llama", "/cache/models--org--llama/snapshots/0123abc"},
                                                        {"", "/a/llama"}})
    EXPECT_FALSE(finetune::are_two_bases(one, other)) << one << other;
  EXPECT_TRUE(finetune::are_two_bases("org/llama", "/models/qwen"));
  EXPECT_TRUE(finetune::are_two_bases("/models/llama", "/models/qwen"));
}

TEST_F(Commands, AnAdapterOfAnotherBaseIsSaid) {
  finetune::Transformer model = tiny_llama::load(model_path());
  model.attach({"q_proj"}, 2, 4, 0, false, 1);
  lora::Adapter adapter = model.adapter();
  const lora::ModelFiles files(model_path());
  lora::write_adapter(adapter, folder_ / "adapter");
  const std::string folder = (folder_ / "adapter").string();
  EXPECT_TRUE(finetune::notes_of(folder, adapter, files).empty());
  adapter.base_model = "org/quite-another";
  lora::write_adapter(adapter, folder_ / "adapter");
  const std::vector<std::string> notes = finetune::notes_of(folder, adapter, files);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("was trained on org/quite-another"));
  // Of a base with fewer layers.
  std::erase_if(adapter.modules, [](const auto& module) { return module.name.starts_with("model.layers.0."); });
  adapter.base_model = model_path();
  lora::write_adapter(adapter, folder_ / "adapter");
  lora::ModelFiles base(model_path());
  const std::vector<std::string> fewer = finetune::notes_of(folder, finetune::load_adapter(folder, base, 1), base);
  ASSERT_EQ(fewer.size(), 1u);
  EXPECT_THAT(fewer[0], HasSubstr("was it trained on a smaller model?"));
}

TEST_F(Commands, AdaptersOfTwoBasesAreNotWeighed) {
  finetune::Transformer model = tiny_llama::load(model_path());
  model.attach({"q_proj"}, 2, 4, 0, false, 1);
  lora::Adapter adapter = model.adapter();
  lora::write_adapter(adapter, folder_ / "one");
  adapter.base_model = "org/quite-another";
  lora::write_adapter(adapter, folder_ / "other");
  const std::vector<std::string> words = {(folder_ / "one").string(), (folder_ / "other").string(), "--data",
                                          file("held.jsonl", "{\"text\":\"a hornbook\"}\n")};
  EXPECT_THAT(error_of([&] { run(finetune::weigh_command(), words); }),
              testing::AllOf(HasSubstr("adapters of two bases"), HasSubstr("org/quite-another")));
}

TEST(CheckIds, AnIdThatTheModelDoesNotHaveIsRefused) {
  lora::ModelConfig config;
  config.vocab_size = 10;
  EXPECT_NO_THROW(finetune::check_ids(std::vector<std::int32_t>{0, 9}, config));
  EXPECT_THROW(finetune::check_ids(std::vector<std::int32_t>{0, 10}, config), base::Error);
  EXPECT_THROW(finetune::check_ids(std::vector<std::int32_t>{-1}, config), base::Error);
}

TEST(Device, NamesAreChecked) {
  EXPECT_EQ(finetune::choose_device("cpu"), at::Device(at::kCPU));
  EXPECT_THROW(finetune::choose_device("gpu"), base::UsageError);
  EXPECT_EQ(finetune::choose_dtype("auto", at::kCPU), at::kFloat);
  EXPECT_EQ(finetune::choose_dtype("auto", at::Device(at::kCUDA, 0)), at::kBFloat16);
  EXPECT_THROW(finetune::choose_dtype("float16", at::kCPU), base::UsageError);
  if (fs::exists("/dev/nvidia0") || fs::exists("/dev/nvidiactl") || fs::exists("/dev/dxg")) return;
  EXPECT_EQ(finetune::choose_device("auto"), at::Device(at::kCPU));
  EXPECT_THAT(error_of([] { finetune::choose_device("cuda"); }), HasSubstr("can be used: this machine has no NVIDIA"));
  EXPECT_THAT(finetune::libtorch_details(), HasSubstr("LibTorch 2.11"));
  std::ifstream maps("/proc/self/maps");  // the libraries of this process
  std::stringstream loaded;
  loaded << maps.rdbuf();
  EXPECT_THAT(loaded.str(), HasSubstr("libtorch_cpu.so"));
  EXPECT_THAT(loaded.str(), testing::Not(HasSubstr("libtorch_cuda"))) << "a CPU run must not load CUDA";
}

}  // namespace
