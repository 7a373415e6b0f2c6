// Logits of models whose weights stand otherwise on disk: packed by bitsandbytes, laid out as Phi's once were, or in
// the mixtures of blocks that llama.cpp's quantiser makes (scripts/oracle/k_quants.py).
#include <gtest/gtest.h>

#include <set>

#include "tests/finetune/tiny_llama.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using tiny_llama::relative;

const fs::path kGolden = fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/lora";

class PackedModel : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Cases, PackedModel,
                         testing::Values("nf4", "nf4_nested", "nf4_nested_half", "fp4", "fp4_nested", "int8",
                                         "int8_phi"),
                         [](const auto& info) { return info.param; });

TEST_P(PackedModel, ComputesWhatTransformersDoesWithTheWeightsOfBitsandbytes) {
  const fs::path folder = kGolden / "bitsandbytes" / GetParam();
  const base::SafetensorsReader expected(folder / "expected.safetensors");
  const finetune::Transformer model = tiny_llama::load(folder);
  finetune::PackedRow row;
  row.ids = tiny_llama::to_tensor(expected.at("ids"));
  row.lengths = {row.ids.size(0)};
  at::NoGradGuard no_gradient;
  EXPECT_LT(relative(model.logits(model.hidden(row)), tiny_llama::to_tensor(expected.at("logits"))), 1e-5);
}

TEST(EarlyPhi, ComputesWhatPhiDoes) {
  const tiny_llama::Golden golden("phi");
  at::NoGradGuard no_gradient;
  for (const char* layout : {"msft", "mixformer"}) {
    const finetune::Transformer model = tiny_llama::load(kGolden / "early_phi" / layout);
    EXPECT_LT(relative(model.logits(model.hidden(golden.row(0))), golden.at("base/logits")), 1e-5) << layout;
  }
}

class KQuants : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Mixtures, KQuants, testing::Values("q4_k_m", "q5_k_m", "q6_k"),
                         [](const auto& info) { return info.param; });

TEST_P(KQuants, ComputeWhatLlamaCppDoesWithTheirWeights) {
  const fs::path folder = fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/finetune/k_quants";
  const base::SafetensorsReader expected(folder / "expected.safetensors");
  const lora::ModelFiles files((folder / (GetParam() + ".gguf")).string());
  std::set<std::string> types;
  for (const std::string& name : files.names()) types.emplace(files.type_name(name));
  EXPECT_TRUE(types.contains("Q6_K"));
  EXPECT_EQ(types.size(), GetParam() == "q6_k" ? 2u : 3u) << "vectors are F32";
  const TemporaryFolder temporary;
  lora_tests::write_merged(files, nullptr, temporary.path());
  const finetune::Transformer model = tiny_llama::load(files.path()), converted = tiny_llama::load(temporary.path());
  at::NoGradGuard no_gradient;
  for (int i = 0; i < 10; ++i) {
    finetune::PackedRow row;
    row.ids = tiny_llama::to_tensor(expected.at("ids/" + std::to_string(i)));
    row.lengths = {row.ids.size(0)};
    const at::Tensor logits = model.logits(model.hidden(row));
    const at::Tensor theirs = tiny_llama::to_tensor(expected.at(GetParam() + "/" + std::to_string(i)));
    EXPECT_LT((logits[-1].log_softmax(0) - theirs).abs().max().item<double>(), 1e-3) << i;
    EXPECT_TRUE(at::equal(converted.logits(converted.hidden(row)), logits)) << "written as float32";
  }
}

}  // namespace
