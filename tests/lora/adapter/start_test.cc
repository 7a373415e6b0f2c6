// PiSSA and OLoRA adapters against the weights that PEFT merges, and what of them cannot be computed.
#include "lora/adapter/start.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "base/safetensors.h"
#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/write_model.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

using lora::Adapter;
using lora::MergedModel;
using lora::ModelFiles;
using testing::HasSubstr;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";

// The largest difference of the adapter's modules, merged, to PEFT's.
double difference(const ModelFiles& base, const Adapter& adapter, const std::string& name) {
  const MergedModel model(base, &adapter);
  const base::SafetensorsReader expected(kGolden + name + "/merged.safetensors");
  double most = 0;
  for (const base::TensorView& tensor : expected.tensors()) {
    std::vector<float> values(static_cast<std::size_t>(tensor.elements())), merged(values.size());
    base::to_float(tensor.type, tensor.bytes, values);
    model.read_rows(tensor.name, 0, tensor.shape[0], merged);
    for (std::size_t i = 0; i < values.size(); ++i) most = std::max(most, std::fabs(double{values[i]} - merged[i]));
  }
  return most;
}

// The golden base with its embedding as its head.
void make_tied_base(const std::filesystem::path& folder) {
  std::filesystem::copy(kGolden + "base", folder);
  const auto swap = [&](const char* file, std::string_view from, std::string_view to) {
    std::string text = base::read_file(folder / file);
    ASSERT_NE(text.find(from), std::string::npos) << file;
    base::write_file(folder / file, text.replace(text.find(from), from.size(), to));
  };
  swap("config.json", R"("tie_word_embeddings": false)", R"("tie_word_embeddings": true)");
  const base::SafetensorsReader reader(kGolden + "base/model.safetensors");
  std::string_view head, embedding;
  for (const base::TensorView& tensor : reader.tensors()) {
    const std::string_view bytes(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
    if (tensor.name == "lm_head.weight") head = bytes;
    if (tensor.name == "model.embed_tokens.weight") embedding = bytes;
  }
  swap("model.safetensors", head, embedding);
}

TEST(Start, EqualsPeft) {
  const ModelFiles base(kGolden + "base");
  for (const char* name : {"pissa", "olora"}) {
    const Adapter adapter = lora::read_adapter(kGolden + name);
    EXPECT_EQ(lora::name_of(adapter.start), name);
    EXPECT_THAT(error_of([&] { MergedModel(base, &adapter); }), HasSubstr(name));
    EXPECT_LT(difference(base, lora::plain_adapter(adapter, base, 2), name), 5e-6) << name;
    // Taken as a plain LoRA, it is far off.
    Adapter wrong = adapter;
    wrong.start = lora::Start::kNothing;
    EXPECT_GT(difference(base, wrong, name), 0.05) << name;
  }
}

// PEFT takes no start out of an embedding, and writes what is left of a head; where the two are one, of both.
TEST(Start, OfHeadAndEmbedding) {
  const TemporaryFolder temporary;
  const auto folder = temporary.path() / "base";
  make_tied_base(folder);
  for (const auto& [name, where] : {std::pair<const char*, std::string>{"pissa_tables", kGolden + "base"},
                                    {"olora_tied", folder.string()},
                                    {"pissa_unsaved", folder.string()}}) {
    ModelFiles base(where);
    const Adapter adapter = lora::read_adapter(kGolden + name);
    const Adapter before = lora::plain_adapter(adapter, base, 1);  // as a trainer takes it, the head the embedding's
    lora::give_own_head(base, adapter);
    EXPECT_LT(difference(base, lora::plain_adapter(adapter, base, 1), name), 5e-6) << name;
    EXPECT_LT(difference(base, before, name), 5e-6) << name;
    Adapter wrong = adapter;
    wrong.start = lora::Start::kNothing;
    EXPECT_GT(difference(base, wrong, name), 0.05) << name;
    lora::write_adapter(before, temporary.path() / name);
    EXPECT_LT(difference(base, lora::read_adapter(temporary.path() / name), name), 5e-6) << name;
  }
}

// PEFT has the start in the base, where it does not train.
TEST(Start, WhatWasTakenOutOfTheBaseDoesNotTrain) {
  const ModelFiles base(kGolden + "base");
  for (const char* name : {"pissa", "olora"})
    for (const lora::AdapterModule& module : lora::plain_adapter(lora::read_adapter(kGolden + name), base, 1).modules)
      EXPECT_EQ(module.frozen * 2, module.rank) << name << module.name;
}

TEST(Start, NothingIsTiedWhereTheBaseTiesNothing) {
  const ModelFiles untied(kGolden + "../finetune/tiny_llama/untied"), tied(kGolden + "../finetune/tiny_llama/tied");
  Adapter adapter = lora::read_adapter(kGolden + "../finetune/variants/saved_tied_ensured");
  ASSERT_TRUE(adapter.tied);
  EXPECT_TRUE(lora::plain_adapter(adapter, tied, 1).tied);
  EXPECT_FALSE(lora::plain_adapter(adapter, untied, 1).tied);
}

TEST(Start, ThePlainAdapterCanBeWrittenAndReadAgain) {
  const ModelFiles base(kGolden + "base");
  const TemporaryFolder temporary;
  for (const char* name : {"pissa", "olora"}) {
    const Adapter adapter = lora::read_adapter(kGolden + name);
    EXPECT_THAT(error_of([&] { lora::write_adapter(adapter, temporary.path() / name); }), HasSubstr(name));
    lora::write_adapter(lora::plain_adapter(adapter, base, 1), temporary.path() / name);
    const Adapter again = lora::read_adapter(temporary.path() / name);
    EXPECT_EQ(again.start, lora::Start::kNothing);
    EXPECT_LT(difference(base, again, name), 5e-6) << name;
  }
}

TEST(Start, RefusesWhatCannotBeComputedAgain) {
  const ModelFiles base(kGolden + "base");
  const TemporaryFolder temporary;
  Adapter adapter = lora::read_adapter(kGolden + "pissa");
  lora::write_gguf(MergedModel(base, nullptr), temporary.path() / "q8.gguf", {base::DType::kQ8_0, 1, {}});
  const ModelFiles quantised((temporary.path() / "q8.gguf").string());
  EXPECT_THAT(error_of([&] { lora::plain_adapter(adapter, quantised, 1); }), HasSubstr("quantised"));
  adapter.modules[0].scale = 0;
  EXPECT_THAT(error_of([&] { lora::plain_adapter(adapter, base, 1); }), HasSubstr("scale 0"));
  adapter = lora::read_adapter(kGolden + "pissa");
  adapter.modules[0].in = 32;
  EXPECT_THAT(error_of([&] { lora::plain_adapter(adapter, base, 1); }), HasSubstr("does not fit"));
}

}  // namespace
