#include "lora/adapter/read_gguf_adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/gguf.h"
#include "lora/adapter/fresh.h"
#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/start.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

using base::DType;
using base::GgufValue;
using lora::Adapter;
using lora::ModelFiles;
using testing::HasSubstr;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";
const std::string kTiny = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/";

// The largest difference of two merged models.
double difference(const ModelFiles& base, const Adapter& left, const Adapter& right) {
  const lora::MergedModel one(base, &left), other(base, &right);
  double most = 0;
  for (const std::string& name : base.names()) {
    std::vector<float> a(static_cast<std::size_t>(base.view(name).elements())), b(a.size());
    one.read_rows(name, 0, base.shape(name)[0], a);
    other.read_rows(name, 0, base.shape(name)[0], b);
    for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(double{a[i]} - b[i]));
  }
  return most;
}

TEST(ReadGgufAdapter, WhatWasWrittenComesBack) {
  const ModelFiles base(kGolden + "base");
  const TemporaryFolder folder;
  for (const char* name : {"plain", "rslora", "pattern"}) {
    const Adapter adapter = lora::read_adapter(kGolden + name);
    const auto file = folder.path() / "a.gguf";
    lora::write_gguf_adapter(adapter, base, file, DType::kF32);
    EXPECT_TRUE(lora::is_gguf_adapter(file));
    const Adapter raw = lora::read_adapter(file);
    EXPECT_TRUE(raw.needs_base());
    EXPECT_THAT(error_of([&] { lora::MergedModel(base, &raw); }), HasSubstr("names of a base"));
    Adapter again = lora::plain_adapter(raw, base, 1);
    EXPECT_EQ(again.modules.size(), adapter.modules.size());
    EXPECT_LT(difference(base, adapter, again), 1e-6) << name;
    again.modules[0].b[0] += 0.1f;
    EXPECT_GT(difference(base, adapter, again), 1e-4) << name;
  }
}

// Joined matrices that a GGUF has in another order, and experts, which it stacks.
TEST(ReadGgufAdapter, OtherFamiliesToo) {
  for (const char* name : {"falcon_40b", "mixtral", "gemma2", "phi3", "qwen3_moe"}) {
    const ModelFiles base(kTiny + name);
    Adapter adapter;
    adapter.rank = 2, adapter.alpha = 3;
    float next = 0;
    for (const lora::BlockSpec& block : base.spec().blocks)
      for (const lora::LinearSpec& linear : block.linears) {
        if (linear.role == lora::Role::kRouter || linear.role == lora::Role::kSharedGate) continue;
        lora::AdapterModule module{linear.name, 2, linear.in, linear.out, 1.5, {}, {}};
        for (std::int64_t i = 0; i < 2 * linear.in; ++i) module.a.push_back(std::sin(next += 1) / 8);
        for (std::int64_t i = 0; i < 2 * linear.out; ++i) module.b.push_back(std::sin(next += 1) / 8);
        adapter.modules.push_back(std::move(module));
      }
    const TemporaryFolder folder;
    lora::write_gguf_adapter(adapter, base, folder.path() / "a.gguf", DType::kF32);
    const Adapter again = lora::plain_adapter(lora::read_adapter(folder.path() / "a.gguf"), base, 1);
    EXPECT_EQ(again.modules.size(), adapter.modules.size()) << name;
    EXPECT_LT(difference(base, adapter, again), 1e-6) << name;
  }
}

// Of the embedding llama.cpp picks rows of lora_a [tokens, rank].
TEST(ReadGgufAdapter, AnEmbeddingIsTurned) {
  const ModelFiles base(kGolden + "base");
  const std::int64_t tokens{base.config().vocab_size}, width{base.config().hidden_size};
  const TemporaryFolder folder;
  const auto file = folder.path() / "a.gguf";
  std::vector<float> a(static_cast<std::size_t>(tokens)), b(static_cast<std::size_t>(width));
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i);
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i) / 100;
  {
    base::GgufWriter writer(file,
                            {{"general.type", GgufValue::text("adapter")},
                             {"general.architecture", GgufValue::text("llama")},
                             {"adapter.type", GgufValue::text("lora")},
                             {"adapter.lora.alpha", GgufValue::f32(0)},
                             {"general.base_model.0.repo_url", GgufValue::text("https://huggingface.co/org/model")}},
                            {{"token_embd.weight.lora_a", DType::kF32, {tokens, 1}},
                             {"token_embd.weight.lora_b", DType::kF32, {width, 1}}});
    writer.write("token_embd.weight.lora_a", std::as_bytes(std::span<const float>(a)));
    writer.write("token_embd.weight.lora_b", std::as_bytes(std::span<const float>(b)));
    writer.commit();
  }
  const Adapter adapter = lora::plain_adapter(lora::read_adapter(file), base, 1);
  ASSERT_EQ(adapter.modules.size(), 1U);
  EXPECT_EQ(adapter.base_model, "org/model");
  EXPECT_EQ(adapter.modules[0].name, base.spec().embedding);
  EXPECT_EQ(adapter.modules[0].scale, 1);  // alpha 0
  EXPECT_EQ(adapter.modules[0].b, a);
  EXPECT_EQ(adapter.modules[0].a, b);
}

TEST(ReadGgufAdapter, AnotherBaseIsRefused) {
  const ModelFiles base(kGolden + "base");
  const TemporaryFolder folder;
  lora::write_gguf_adapter(lora::read_adapter(kGolden + "plain"), base, folder.path() / "a.gguf", DType::kF32);
  const Adapter adapter = lora::read_adapter(folder.path() / "a.gguf");
  EXPECT_THAT(error_of([&] { lora::plain_adapter(adapter, ModelFiles(kTiny + "qwen3_moe"), 1); }),
              HasSubstr("architecture"));
  EXPECT_THAT(error_of([&] { lora::plain_adapter(adapter, ModelFiles(kTiny + "tied"), 1); }), HasSubstr("fit"));
}

// llama.cpp has one tensor for both.
TEST(GgufAdapter, AHeadThatTheBaseTiesIsRefused) {
  const TemporaryFolder folder;
  const ModelFiles base(kTiny + "tied");
  lora::FreshOptions options;
  options.targets = {"q_proj", "lm_head"};
  const Adapter adapter = lora::fresh_adapter(base.spec(), options, 1);
  const auto file = folder.path() / "a.gguf";
  EXPECT_THAT(error_of([&] { lora::write_gguf_adapter(adapter, base, file, DType::kF32); }),
              testing::AllOf(HasSubstr("ties with its embedding"), HasSubstr("lora merge")));
  EXPECT_FALSE(std::filesystem::exists(file));
}

}  // namespace
