// Models whose base is kept in fewer bits compute, train, resume and serve as a dense model of the same rounded weights
// does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "finetune/kernels/device.h"
#include "finetune/model/load.h"
#include "finetune/verify.h"
#include "finetune/weights/eight_bits.h"
#include "finetune/weights/four_bits.h"
#include "lora/locate.h"
#include "tests/error_of.h"
#include "tests/finetune/random_gguf.h"
#include "tests/finetune/train_fixture.h"
#include "tests/temporary_folder.h"

namespace {

using base::DType;
using finetune::Quantization;
using finetune::Transformer;
using testing::HasSubstr;

Transformer load(const fs::path& path, at::ScalarType dtype, Quantization quantization) {
  at::set_num_threads(1);
  return {lora::ModelFiles(path.string()), dtype, at::kCPU, quantization};
}

finetune::PackedRow some_row(std::int64_t vocab) {
  finetune::PackedRow row;
  row.ids = at::arange(40, at::kLong) * 7 % vocab;
  row.targets = at::arange(1, 41, at::kLong) * 5 % vocab;
  row.targets.narrow(0, 0, 5).fill_(-100);
  row.lengths = {25, 15};
  row.trained = 35;
  return row;
}

// Loss and gradients of one row with a LoRA of random numbers, dropout among it, and the next token's logits.
std::vector<at::Tensor> results(Transformer& model) {
  model.attach({"all-linear"}, 4, 8, 0.1, false, 7);
  at::manual_seed(8);
  {
    at::NoGradGuard no_gradient;
    for (at::Tensor& leaf : model.parameters()) leaf.normal_(0, 0.05);
  }
  const finetune::PackedRow row = some_row(model.config().vocab_size);
  const at::Tensor loss = model.loss_sum(row, 11);
  loss.backward();
  std::vector<at::Tensor> all = {loss.detach()};
  // An expert that no token went to has none.
  for (const at::Tensor& leaf : model.parameters())
    all.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
  finetune::KvCache cache;
  all.push_back(model.next_logits(row.ids, cache));
  return all;
}

void expect_same(const fs::path& kept, Quantization quantization, const fs::path& dense) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Transformer ours = load(kept, dtype, quantization), theirs = load(dense, dtype, Quantization::kNone);
    const std::vector<at::Tensor> got = results(ours), expected = results(theirs);
    EXPECT_TRUE(std::isfinite(expected[0].item<double>()));
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t i = 0; i + 1 < got.size(); ++i)
      EXPECT_TRUE(at::equal(got[i], expected[i])) << at::toString(dtype) << " " << i;
    // One row is multiplied with the kept bits, without the rounding of expanded numbers.
    EXPECT_LT(tiny_llama::relative(got.back(), expected.back()), dtype == at::kFloat ? 1e-5 : 2e-2);
  }
}

// The weights of a tiny model as `quantization` keeps them, as plain numbers.
tiny_llama::Changed rounded(const std::string& name, Quantization quantization, at::ScalarType dtype) {
  const lora::ModelFiles files(tiny_llama::folder(name).string());
  std::set<std::string> linears;
  for (const lora::BlockSpec& block : files.spec().blocks)
    for (const lora::LinearSpec& linear : block.linears)
      if (linear.role != lora::Role::kRouter && linear.role != lora::Role::kSharedGate)
        linears.insert(linear.name + ".weight");
  return {name, [&](const std::string& tensor, at::Tensor& weight) {
            if (!linears.contains(tensor)) return;
            at::Tensor out = at::empty(weight.sizes(), dtype);
            if (quantization == Quantization::kNf4) {
              finetune::FourBitRows(finetune::quantize_nf4(weight, dtype, ""), weight.size(0), weight.size(1))
                  .expand(0, 0, out, finetune::Passes::kAten);
            } else {
              const finetune::EightBits kept = finetune::quantize_int8(weight, "");
              finetune::EightBitRows(kept.bytes, kept.scales).expand(0, 0, out, finetune::Passes::kAten);
            }
            weight = out.to(at::kFloat);
          }};
}

class QuantizedFamily : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Families, QuantizedFamily,
                         testing::Values("tied", "bias", "qwen3", "gemma2", "phi", "phi3", "falcon_40b", "mixtral",
                                         "qwen2_moe"),
                         [](const auto& info) { return info.param; });

TEST_P(QuantizedFamily, ComputesAsTheDenseModelOfTheRoundedWeights) {
  for (const Quantization quantization : {Quantization::kNf4, Quantization::kInt8})
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const tiny_llama::Changed dense = rounded(GetParam(), quantization, dtype);
      Transformer ours = load(tiny_llama::folder(GetParam()), dtype, quantization),
                  theirs = load(dense.path(), dtype, Quantization::kNone),
                  plain = load(tiny_llama::folder(GetParam()), dtype, Quantization::kNone);
      const std::vector<at::Tensor> got = results(ours), expected = results(theirs), other = results(plain);
      ASSERT_EQ(got.size(), expected.size());
      // What chooses experts is in 16 bits in one and in float32 in the other: see amx_products.h.
      const bool is_near{finetune::has_tiles() && dtype == at::kFloat};
      for (std::size_t i = 0; i < got.size(); ++i)
        EXPECT_TRUE(at::equal(got[i], expected[i]) || (is_near && tiny_llama::relative(got[i], expected[i]) < 2e-6))
            << static_cast<int>(quantization) << " " << i;
      EXPECT_FALSE(at::equal(got[0], other[0])) << "nothing was quantised";
    }
}

// Rows that a GGUF interleaves (llama), regroups (falcon) and stacks (experts).
class BlocksOfFamily : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Families, BlocksOfFamily,
                         testing::Values("tied", "bias", "qwen2", "qwen3", "gemma", "phi", "falcon_40b", "mixtral",
                                         "qwen3_moe"),
                         [](const auto& info) { return info.param; });

TEST_P(BlocksOfFamily, ComputesOnBlocksOfAGgufAsOnItsNumbers) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "blocks.gguf";
  const std::string config = (tiny_llama::folder(GetParam()) / "config.json").string();
  random_gguf::write(file, lora::spec_of(lora::config_from_json(base::read_file(config), config)),
                     {DType::kQ4_0, DType::kQ8_0, DType::kF16, DType::kQ4_1, DType::kIQ4_NL, DType::kQ5_0,
                      DType::kMXFP4, DType::kQ5_1});
  expect_same(file, Quantization::kKeep, file);
}

// Rows of 256 numbers, which blocks of 256 need; q and k are interleaved in the file.
TEST(QuantizedModel, ComputesOnBlocksOf256AsOnTheirNumbers) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "blocks.gguf";
  lora::ModelConfig config;
  config.vocab_size = 300, config.hidden_size = 256, config.intermediate_size = 512, config.layers = 2;
  config.heads = 4, config.kv_heads = 2, config.head_dim = 64, config.context_length = 128;
  random_gguf::write(file, lora::spec_of(config),
                     {DType::kQ6_K, DType::kQ4_K, DType::kQ2_K, DType::kQ3_K, DType::kQ5_K, DType::kIQ4_XS});
  EXPECT_EQ(lora::ModelFiles(file.string()).blocks("model.layers.0.self_attn.q_proj.weight").interleaved_heads, 4);
  expect_same(file, Quantization::kKeep, file);
}

TEST(QuantizedModel, KeepsTheNumbersOfBitsandbytes) {
  for (const char* name : {"nf4", "nf4_nested", "nf4_nested_half", "fp4", "fp4_nested", "int8", "int8_phi"}) {
    SCOPED_TRACE(name);
    const fs::path folder = fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/lora/bitsandbytes" / name;
    expect_same(folder, Quantization::kKeep, folder);
  }
}

const fs::path kMixture = fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/finetune/k_quants/q4_k_m.gguf";

TEST(QuantizedModel, RefusesWhatCannotBeKeptSo) {
  const auto refusal = [](const fs::path& path, Quantization quantization) {
    return error_of([&] { load(path, at::kFloat, quantization); });
  };
  EXPECT_THAT(refusal(tiny_llama::folder("tied"), Quantization::kKeep),
              testing::AllOf(HasSubstr("nothing of this model is quantised"), HasSubstr("BF16"), HasSubstr("nf4")));
  const TemporaryFolder folder;
  lora::ModelConfig config;
  config.vocab_size = 300, config.hidden_size = 64, config.intermediate_size = 96, config.layers = 1;
  config.heads = 2, config.kv_heads = 2, config.head_dim = 32, config.context_length = 128;
  random_gguf::write(folder.path() / "half.gguf", lora::spec_of(config), {DType::kF16});
  EXPECT_THAT(refusal(folder.path() / "half.gguf", Quantization::kKeep), HasSubstr("F16"));
  const fs::path packed = fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/lora/bitsandbytes/nf4";
  for (const Quantization again : {Quantization::kNf4, Quantization::kInt8})
    EXPECT_THAT(refusal(packed, again),
                testing::AllOf(HasSubstr("quantised already"), HasSubstr("NF4"), HasSubstr("keep")));
  EXPECT_EQ(refusal(kMixture, Quantization::kNf4), "no error") << "blocks may be quantised anew";
  EXPECT_THAT(error_of([] { finetune::quantization_named("int4"); }), HasSubstr("none, nf4, int8 or keep"));
}

TEST(QuantizedModel, ConfigsForUsersSayWhatTheOptionsKnow) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(HORNBOOK_SOURCE_DIR) / "configs")) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("finetune-")) continue;
    TrainOptions options;
    base::OptionSet set(options);
    set.read_yaml(base::read_file(entry.path()), entry.path());
    EXPECT_EQ(options.compute.quantization, name == "finetune-qlora.yaml" ? "nf4" : "none") << name;
    ++files;
  }
  EXPECT_GE(files, 3);
}

class QuantizedTrain : public Train {};

TEST_F(QuantizedTrain, TenStepsAreThoseOfTheRoundedWeights) {
  for (const auto& [word, quantization] : {std::pair{"nf4", Quantization::kNf4}, {"int8", Quantization::kInt8}}) {
    const tiny_llama::Changed dense = rounded("tied", quantization, at::kFloat);
    for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
      fs::copy(model_.path() / name, dense.path() / name);
    TrainOptions kept = options(std::string("kept_") + word), plain = options(std::string("plain_") + word);
    kept.plan.steps = plain.plan.steps = 10;
    kept.compute.quantization = word;
    plain.start.model = dense.path().string();
    run(kept);
    run(plain);
    lora::Adapter first = lora::read_adapter(lora::adapter_folder(kept.output.folder));
    lora::Adapter second = lora::read_adapter(lora::adapter_folder(plain.output.folder));
    EXPECT_EQ(first.rounded_base, word);
    EXPECT_EQ(second.rounded_base, "");
    ASSERT_EQ(first.modules.size(), second.modules.size());
    for (std::size_t i = 0; i < first.modules.size(); ++i) {
      EXPECT_TRUE(first.modules[i].a == second.modules[i].a) << word << first.modules[i].name;
      EXPECT_TRUE(first.modules[i].b == second.modules[i].b) << word << first.modules[i].name;
    }
    // Served as it was trained, and as one thing with the numbers.
    finetune::ModelOptions serve{kept.start.model, kept.output.folder, "float32", "cpu", 1, {}, word};
    const finetune::LoadedModel ours = finetune::load_model(serve);
    serve = {dense.path().string(), plain.output.folder, "float32", "cpu", 1};
    const finetune::LoadedModel theirs = finetune::load_model(serve);
    at::NoGradGuard no_gradient;
    const finetune::PackedRow row = some_row(257);
    EXPECT_TRUE(at::equal(ours.model.hidden(row), theirs.model.hidden(row))) << word;
  }
}

// A QLoRA run is served by default on the base that it trained on; run.yaml says which.
TEST_F(QuantizedTrain, IsServedOnTheBaseAsItTrained) {
  const TrainOptions all = options("rounded");
  const std::string output = all.output.folder;
  run_words({"--model", all.start.model, "--data", all.sources.data[0], "--output", output, "--steps", "3",
             "--quantization", "nf4", "--device", "cpu", "--threads", "1", "--max-length", "64"});
  EXPECT_EQ(lora::rounded_base_of(lora::adapter_folder(output)), "nf4");
  const std::filesystem::path alone = output + "_alone";  // without the run that knows
  std::filesystem::copy(output + "/adapter", alone);
  EXPECT_EQ(lora::rounded_base_of(lora::adapter_folder(alone.string())), "nf4");
  const auto logits = [&](const std::string& word, const std::string& adapter) {
    at::NoGradGuard no_gradient;
    finetune::ModelOptions serve{all.start.model, adapter, "float32", "cpu", 1};
    if (!word.empty()) serve.quantization = word;
    const finetune::LoadedModel loaded = finetune::load_model(serve);
    const bool says{!loaded.notes.empty() && loaded.notes[0].find("rounded to nf4") != std::string::npos};
    EXPECT_EQ(says, word.empty());
    return loaded.model.logits(loaded.model.hidden(some_row(257)));
  };
  const at::Tensor trained = logits("", output);
  EXPECT_TRUE(at::equal(trained, logits("nf4", output)));
  EXPECT_GT(tiny_llama::relative(logits("none", output), trained), 1e-3);
  const std::vector<std::string> words = {all.start.model, "--adapter", output, "--exported", output + "/adapter"};
  std::ostringstream out, err;
  base::Command::Bound verify = finetune::verify_command().bind();
  verify.set->read_words(words);
  base::Context context{out, err, false, false, "", "finetune", verify.set.get()};
  EXPECT_EQ(verify.run(context), 0) << out.str();
  EXPECT_THAT(err.str(), HasSubstr("rounded to nf4"));
  // And goes on so, or says that it does not.
  const std::vector<std::string> on = {"--adapter", output, "--data",       all.sources.data[0],
                                       "--steps",   "1",    "--device",     "cpu",
                                       "--threads", "1",    "--max-length", "64"};
  for (const std::string word : {"none", "nf4"}) {
    std::vector<std::string> go_on = on;
    go_on.insert(go_on.end(), {"--quantization", word, "--model", all.start.model, "--output", output + "_" + word});
    EXPECT_EQ(run_words(go_on).find("goes on here with --quantization none") != std::string::npos, word == "none");
  }
}

TEST_F(QuantizedTrain, AKilledRunEndsWithTheSameBytesAndNoOtherQuantisationGoesOn) {
  for (const std::string word : {"nf4", "int8"}) {
    TrainOptions unbroken = options("unbroken_" + word);
    unbroken.plan.steps = 10;
    unbroken.lora.dropout = 0.1;
    unbroken.intervals.save_every = 1;
    unbroken.intervals.keep_checkpoints = 100;
    unbroken.compute.quantization = word;
    run(unbroken);
    TrainOptions resumed = unbroken;
    resumed.output.folder += "_resumed";
    resumed.output.resume = true;
    const fs::path from = unbroken.output.folder, to = resumed.output.folder;
    fs::create_directories(to / "checkpoints");
    fs::copy(from / "checkpoints/step-4", to / "checkpoints/step-4");
    fs::copy(from / "metrics.jsonl", to / "metrics.jsonl");
    EXPECT_THAT(run(resumed), HasSubstr("going on after step 4"));
    EXPECT_EQ(adapter_bytes(resumed), adapter_bytes(unbroken)) << word;
    TrainOptions other = resumed;
    other.compute.quantization = word == "nf4" ? "none" : "nf4";
    EXPECT_THAT(error_of<base::UsageError>(other),
                testing::AllOf(HasSubstr("--quantization"), HasSubstr(other.compute.quantization),
                               HasSubstr(word + ", as when it was started")));
  }
}

// The adapter is trained against the very blocks that are served.
TEST_F(QuantizedTrain, BlocksOfAGgufTrainAndServeAsTheirNumbers) {
  TrainOptions kept = options("kept"), plain = options("plain");
  for (TrainOptions* each : {&kept, &plain}) each->start.model = kMixture.string();
  kept.compute.quantization = "keep";
  run(kept);
  run(plain);
  EXPECT_EQ(adapter_bytes(kept), adapter_bytes(plain));
  const auto logits = [&](const std::string& word) {
    at::NoGradGuard no_gradient;
    const finetune::LoadedModel loaded =
        finetune::load_model({kMixture.string(), kept.output.folder, "float32", "cpu", 1, {}, word});
    return loaded.model.logits(loaded.model.hidden(some_row(250)));
  };
  EXPECT_TRUE(at::equal(logits("keep"), logits("none")));
}

}  // namespace
