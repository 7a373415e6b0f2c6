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
#include "lora/adapter/merge.h"
#include "lora/adapter/write_model.h"
#include "tests/finetune/tiny_llama.h"
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
  const lora::ModelFiles base(golden + "base");
  for (const std::string name : {"pissa", "olora"}) {
    const lora::Adapter adapter = finetune::load_adapter(golden + name, base, 1);
    fs::create_directories(folder_ / name);
    lora::write_hf_folder(lora::MergedModel(base, &adapter), folder_ / name, {base::DType::kF32, 1, {}});
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
    at::Tensor logs = loaded.model.logits(loaded.model.hidden(row)).log_softmax(1);
    for (std::size_t i = 1; i < example.ids.size(); ++i) {
      if (!example.trained[i]) continue;
      sum -= logs[static_cast<std::int64_t>(i) - 1][example.ids[i]].item<double>();
      ++count;
    }
  }
  EXPECT_EQ(json.at("trained_tokens"), count);
  EXPECT_EQ(json.at("examples"), 2);
  EXPECT_NEAR(json.at("loss").get<double>(), sum / static_cast<double>(count), 1e-5);
  EXPECT_NEAR(json.at("perplexity").get<double>(), std::exp(sum / static_cast<double>(count)), 1e-4);
  EXPECT_THROW(run(finetune::eval_command(), {"--model", model_path()}), base::UsageError);
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

  // Q4_1 weights have no bound: nobody merges into them.
  EXPECT_THROW(run(finetune::verify_command(), {model_path(), model_path(), "--text", text}), base::Error);
  EXPECT_THROW(run(finetune::verify_command(), {model_path(), "--text", text}), base::UsageError);
}

TEST_F(Commands, AnAdapterNamesItsBase) {
  finetune::Transformer model = tiny_llama::load(model_path());
  model.attach({"q_proj"}, 2, 4, 0, false, 1);
  lora::write_adapter(model.adapter(), folder_ / "adapter");
  finetune::LoadedModel loaded = finetune::load_model({"", (folder_ / "adapter").string(), "auto", "cpu", 0});
  EXPECT_TRUE(fs::equivalent(loaded.path, model_path()));
  EXPECT_EQ(loaded.model.parameters().size(), 60u);
}

TEST(CheckIds, AnIdThatTheModelDoesNotHaveIsRefused) {
  lora::ModelConfig config;
  config.vocab_size = 10;
  EXPECT_NO_THROW(finetune::check_ids(std::vector<std::int32_t>{0, 9}, config));
  EXPECT_THROW(finetune::check_ids(std::vector<std::int32_t>{0, 10}, config), base::Error);
  EXPECT_THROW(finetune::check_ids(std::vector<std::int32_t>{-1}, config), base::Error);
}

TEST(Verify, NotANumberIsNotEqual) {
  finetune::Comparison comparison;
  comparison.bound = 1;
  at::Tensor good = at::arange(6, at::kFloat).view({2, 3}).square(), bad = good.clone();
  bad[0][1] = NAN;
  finetune::compare(good, good, comparison);
  EXPECT_TRUE(comparison.equal());
  finetune::compare(good, bad, comparison);
  finetune::compare(good, good, comparison);
  EXPECT_FALSE(comparison.equal());
  EXPECT_EQ(comparison.tokens, 6);
  EXPECT_THROW(finetune::compare(good, at::ones({2, 4}), comparison), base::Error);
}

TEST(Verify, MeasuresEachPositionAndNotTheCommonShift) {
  at::Tensor a = at::tensor({3.0f, 4.0f, -7.0f, 6.0f, -6.0f, 0.0f}).view({2, 3});
  finetune::Comparison comparison;
  finetune::compare(a, a + 10, comparison);
  EXPECT_NEAR(comparison.max_rel, 0, 1e-6);
  at::Tensor b = a.clone();
  b[1][0] += 0.6f;
  b[1][1] -= 0.6f;
  finetune::compare(a, b, comparison);
  EXPECT_NEAR(comparison.max_abs, 0.6, 1e-5);
  EXPECT_NEAR(comparison.max_rel, 0.1, 1e-5) << "0.6 sqrt(2) of 6 sqrt(2)";
}

TEST(Verify, SaysInWordsWhatItFound) {
  finetune::Comparison comparison;
  comparison.bound = 5e-3;
  comparison.bound_name = "float16 rounding";
  comparison.max_rel = 1.79e-3;
  comparison.tokens = 1024;
  EXPECT_EQ(
      finetune::to_text(comparison),
      "1,024 tokens: the logits agree within float16 rounding (largest relative difference 1.79e-03, bound 0.005)");
  comparison.max_rel = 0.4;
  EXPECT_THAT(finetune::to_text(comparison), HasSubstr("DIFFER by more than float16 rounding"));
}

TEST(Verify, TheBoundFollowsTheTypeOfTheWeights) {
  EXPECT_EQ(finetune::bound_of(lora::ModelFiles(tiny_llama::folder("tied").string())).value, 5e-2);
  EXPECT_EQ(finetune::bound_of(lora::ModelFiles(tiny_llama::folder("tied").string())).name, "bfloat16 rounding");
  tiny_llama::Changed wide("tied", [](const std::string&, at::Tensor&) {});
  EXPECT_EQ(finetune::bound_of(lora::ModelFiles(wide.path().string())).value, 2e-5);
}

TEST(Device, NamesAreChecked) {
  EXPECT_EQ(finetune::choose_device("cpu"), at::Device(at::kCPU));
  EXPECT_THROW(finetune::choose_device("gpu"), base::UsageError);
  EXPECT_EQ(finetune::choose_dtype("auto", at::kCPU), at::kFloat);
  EXPECT_EQ(finetune::choose_dtype("auto", at::Device(at::kCUDA, 0)), at::kBFloat16);
  EXPECT_THROW(finetune::choose_dtype("float16", at::kCPU), base::UsageError);
  if (fs::exists("/dev/nvidia0") || fs::exists("/dev/nvidiactl") || fs::exists("/dev/dxg")) return;
  EXPECT_EQ(finetune::choose_device("auto"), at::Device(at::kCPU));
  EXPECT_THROW(finetune::choose_device("cuda"), base::UsageError);
  EXPECT_THAT(finetune::libtorch_details(), HasSubstr("LibTorch 2.11"));
  std::ifstream maps("/proc/self/maps");  // the libraries of this process
  std::stringstream loaded;
  loaded << maps.rdbuf();
  EXPECT_THAT(loaded.str(), HasSubstr("libtorch_cpu.so"));
  EXPECT_THAT(loaded.str(), testing::Not(HasSubstr("libtorch_cuda"))) << "a CPU run must not load CUDA";
}

}  // namespace
