#include "lora/model/cost.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>

#include "lora/model/kept_type.h"
#include "lora/model/model_files.h"
#include "tests/lora/written_model.h"

namespace {

using lora::ModelSpec;
using lora::TrainingMemory;

ModelSpec golden(const char* name) {
  return lora::ModelFiles(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/" + std::string(name)).spec();
}

ModelSpec smollm2() {
  lora::ModelConfig config;
  config.vocab_size = 49152, config.hidden_size = 576, config.intermediate_size = 1536, config.layers = 30;
  config.heads = 9, config.kv_heads = 3, config.head_dim = 64, config.context_length = 8192;
  config.tied_embeddings = true;
  return lora::spec_of(config);
}

// What PEFT 0.21 counts for rank 16 and "all-linear".
TEST(Cost, ParametersOfALoraAreThosePeftCounts) { EXPECT_EQ(lora::lora_parameters(smollm2(), 16), 4'884'480); }

TEST(Cost, EachPartGrowsWithWhatItIsMadeOf) {
  const ModelSpec spec = smollm2();
  const TrainingMemory one = lora::training_memory(spec, 16, 512, 4), twice = lora::training_memory(spec, 16, 1024, 4);
  EXPECT_EQ(one.weights, 4U * 134'515'008);
  EXPECT_EQ(one.adapter, 16U * 4'884'480);
  // Of each token and layer: what two norms read, q k v, what attention gives, gate, up, seven times A x.
  EXPECT_EQ(one.activations, 512U * 4 * 30 * (2 * 576 + 2 * 576 + 2 * 192 + 2 * 1536 + 7 * 16));
  EXPECT_EQ(twice.activations, 2 * one.activations);
  EXPECT_EQ(twice.weights, one.weights);
  EXPECT_LT(twice.scratch, 2 * one.scratch);  // of the head a chunk lies in memory, not all rows
  const TrainingMemory half = lora::training_memory(spec, 16, 512, 2);
  EXPECT_EQ(2 * half.activations, one.activations);
  EXPECT_EQ(2 * half.weights, one.weights);
  EXPECT_EQ(half.adapter, one.adapter);
  EXPECT_EQ(one.total(), one.weights + one.adapter + one.activations + one.scratch + one.program);
}

TEST(Cost, WhatABlockIsShows) {
  const auto kept = [](const ModelSpec& spec) { return lora::training_memory(spec, 4, 64, 2).activations; };
  const auto changed = [&](const char* name, auto change) {
    ModelSpec spec = golden(name);
    const std::uint64_t before = kept(spec);
    for (lora::BlockSpec& block : spec.blocks) change(block);
    return std::pair{before, kept(spec)};
  };
  const auto [own_norm, shared] = changed("tied", [](auto& block) { block.parallel = true, block.mlp_norm = {}; });
  EXPECT_GT(own_norm, shared);
  const auto [gated, plain] = changed("tied", [](auto& block) { block.mlp.gated = false; });
  EXPECT_GT(gated, plain);
  const auto [silu, gelu] = changed("tied", [](auto& block) { block.mlp.activation = lora::Activation::kGelu; });
  EXPECT_EQ(silu, gelu);  // every activation and every norm keeps what it reads alone
  const auto [normed, without] = changed("qwen3", [](auto& block) { block.attention.q_norm = {}; });
  EXPECT_GT(normed, without);
  const auto [plus_one, rms] = changed("gemma", [](auto& block) { block.mlp_norm.kind = lora::NormKind::kRms; });
  EXPECT_EQ(plus_one, rms);
}

TEST(Cost, QuantisedWeightsTakeTheirBitsAndWhatAProductExpands) {
  const ModelSpec spec = smollm2();
  // Of 134,515,008 numbers 106,168,320 are linear layers'; the largest product is gate and up.
  const std::int64_t linear{106'168'320}, rest{134'515'008 - linear};
  const lora::WeightMemory nf4 = lora::weight_memory(spec, "nf4", 2), int8 = lora::weight_memory(spec, "int8", 2);
  // A byte for two, a byte of scale for 64, four bytes for 256 scales; of each layer less than four bytes more.
  const double expected = static_cast<double>(rest) * 2 + static_cast<double>(linear) * (0.5 + 1.0 / 64 + 4.0 / 16384);
  EXPECT_NEAR(static_cast<double>(nf4.kept), expected, 30 * 7 * 4);
  EXPECT_EQ(nf4.expanded, 2U * 2 * 1536 * 576);
  const std::int64_t rows{30 * (3 * 576 + 2 * 192 + 2 * 1536)};  // q, out, down; k, v; gate, up
  EXPECT_EQ(int8.kept, static_cast<std::uint64_t>(2 * rest + linear + 4 * rows));
  const TrainingMemory dense = lora::training_memory(spec, 16, 512, 2),
                       quantised = lora::training_memory(spec, 16, 512, 2, nf4);
  EXPECT_EQ(quantised.weights, nf4.kept);
  EXPECT_EQ(quantised.scratch, dense.scratch + nf4.expanded);
  EXPECT_EQ(quantised.activations, dense.activations);
}

TEST(Cost, WhatIsKeptIsWhatTheFileHolds) {
  const std::string golden = HORNBOOK_SOURCE_DIR "/tests/golden/";
  const lora::ModelFiles blocks(golden + "finetune/k_quants/q4_k_m.gguf");
  std::uint64_t bytes = 0;
  for (const std::string& name : blocks.names()) {
    const base::TensorView& view = blocks.view(name);
    bytes += view.shape.size() == 1 ? static_cast<std::uint64_t>(2 * view.elements()) : view.bytes.size();
  }
  EXPECT_EQ(lora::weight_memory(blocks, "keep", 2, false).kept, bytes);
  EXPECT_LT(bytes, lora::weight_memory(blocks.spec(), "none", 2).kept / 2);
  // The same layers in NF4, with and without scales of scales; what is beside them is in its type.
  const lora::ModelFiles plain(golden + "lora/bitsandbytes/nf4"), nested(golden + "lora/bitsandbytes/nf4_nested");
  for (const lora::ModelFiles* files : {&plain, &nested}) {
    const std::uint64_t kept = lora::weight_memory(*files, "keep", 2, false).kept;
    EXPECT_LT(kept, lora::weight_memory(files->spec(), "none", 2).kept) << files->path();
    EXPECT_GE(kept, files == &nested ? lora::weight_memory(files->spec(), "nf4", 2).kept : 0);
  }
}

// A file of 16 bits stays so on a CPU that computes in float32, but for a matrix with new rows, whose numbers have
// more.
TEST(Cost, MatricesOf16BitsAreKept) {
  const std::string golden = HORNBOOK_SOURCE_DIR "/tests/golden/";
  lora::ModelFiles narrow(golden + "finetune/tiny_llama/untied");
  const lora::ModelFiles wide(golden + "lora/base");
  const auto kept = [](const lora::ModelFiles& files, const char* quantization, bool keeps) {
    return lora::weight_memory(files, quantization, 4, keeps).kept;
  };
  const auto matrices = [&](auto is) {
    std::int64_t numbers = 0;
    for (const std::string& name : narrow.names())
      if (narrow.shape(name).size() == 2 && is(name)) numbers += narrow.shape(name)[0] * narrow.shape(name)[1];
    return static_cast<std::uint64_t>(numbers);
  };
  const auto type = [](const lora::ModelFiles& files, const char* name) {
    return lora::type_of_16_bits(files, name, lora::Look::kAll);
  };
  const auto any = [](const std::string&) { return true; };
  const auto is_layers = [](const std::string& name) { return name.find("proj") != std::string::npos; };
  EXPECT_EQ(kept(narrow, "none", false) - kept(narrow, "none", true), 2 * matrices(any));
  EXPECT_EQ(kept(narrow, "nf4", false) - kept(narrow, "nf4", true), 2 * (matrices(any) - matrices(is_layers)));
  EXPECT_EQ(kept(wide, "none", false), kept(wide, "none", true));
  EXPECT_EQ(type(narrow, "model.embed_tokens.weight"), narrow.type("model.embed_tokens.weight"));
  EXPECT_FALSE(type(wide, "model.embed_tokens.weight"));
  EXPECT_FALSE(type(narrow, "model.norm.weight"));
  narrow.grow({{static_cast<std::int32_t>(narrow.config().vocab_size), "<new>"}}, narrow.config().vocab_size + 1,
              lora::ModelFiles::NewRows::kMean);
  EXPECT_FALSE(type(narrow, "model.embed_tokens.weight"));
}

// What was saved in float32 with numbers of 16 bits is kept in those, as a file of them is.
TEST(Cost, Float32OfNumbersOf16BitsIsKeptInThose) {
  using base::DType;
  const lora::ModelFiles narrow(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/untied");
  const std::string embedding = "model.embed_tokens.weight";
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / fmt::format("kept_{}", getpid());
  const auto type_with = [&](const std::function<void(std::vector<float>&)>& change) {
    lora_tests::write_changed(narrow, folder, [&](const std::string& name, std::vector<float>& values) {
      if (name == embedding) change(values);
    });
    const lora::ModelFiles files(folder.string());
    EXPECT_EQ(files.type(embedding), DType::kF32);
    for (const std::string& name : files.names())
      if (name != embedding && files.shape(name).size() == 2) {
        EXPECT_EQ(lora::type_of_16_bits(files, name, lora::Look::kAll), DType::kBF16) << name;
      }
    return lora::type_of_16_bits(files, embedding, lora::Look::kAll);
  };
  const auto with = [&](float value) {
    return type_with([&](std::vector<float>& values) { values[values.size() / 2 + 1] = value; });
  };
  EXPECT_EQ(with(0.5f), DType::kBF16);
  EXPECT_EQ(lora::weight_memory(lora::ModelFiles(folder.string()), "none", 4, true).kept,
            lora::weight_memory(narrow, "none", 4, true).kept);
  EXPECT_EQ(with(-0.0f), DType::kBF16);
  EXPECT_EQ(with(std::numeric_limits<float>::infinity()), DType::kBF16);
  EXPECT_FALSE(with(1.001f));
  EXPECT_EQ(lora::weight_memory(lora::ModelFiles(folder.string()), "none", 4, true).kept,
            lora::weight_memory(narrow, "none", 4, true).kept +
                static_cast<std::uint64_t>(2 * narrow.shape(embedding)[0] * narrow.shape(embedding)[1]));
  // Numbers of float16, the small ones too; the last value would fit into neither.
  const auto in_float16 = [&](float last) {
    return type_with([&](std::vector<float>& values) {
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = base::half_to_float(static_cast<std::uint16_t>((i * 7) % 0x7C00 | (i % 2) << 15));
      values.back() = last;
    });
  };
  for (const float fits : {0.0f, -65504.0f, 0x1p-24f, 3 * 0x1p-24f, 0x1.ffcp-15f * 0.5f + 0x1p-24f, 1 + 0x1p-10f})
    EXPECT_EQ(base::half_to_float(base::float_to_half(fits)) == fits, in_float16(fits) == DType::kF16) << fits;
  for (const float not_one : {65536.0f, 0x1p-25f, 1 + 0x1p-11f, 0x1p-15f + 0x1p-25f, std::nanf("")})
    EXPECT_FALSE(in_float16(not_one)) << not_one;
  std::filesystem::remove_all(folder);
}

}  // namespace
