// Phi's two layouts of before it came to transformers are the same model (scripts/oracle/early_phi.py).
#include "lora/model/earlier_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "lora/adapter/write_model.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kGolden = fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden";

void expect_same(const lora::ModelFiles& files, const lora::ModelFiles& expected) {
  ASSERT_EQ(files.names(), expected.names());
  for (const std::string& name : files.names()) {
    EXPECT_EQ(files.shape(name), expected.shape(name)) << name;
    EXPECT_TRUE(std::ranges::equal(files.view(name).bytes, expected.view(name).bytes)) << name;
  }
}

class EarlyPhi : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Layouts, EarlyPhi, testing::Values("msft", "mixformer"),
                         [](const auto& info) { return info.param; });

TEST_P(EarlyPhi, IsPhi) {
  const lora::ModelFiles files((kGolden / "lora/early_phi" / GetParam()).string());
  const lora::ModelFiles today((kGolden / "finetune/tiny_llama/phi").string());
  expect_same(files, today);
  lora::ModelConfig config = files.config();
  EXPECT_EQ(config.turned_dim(), 4);
  config.bos = today.config().bos, config.eos = today.config().eos, config.pad = today.config().pad;
  EXPECT_EQ(config, today.config());
}

TEST_P(EarlyPhi, IsWrittenWithNamesOfToday) {
  const TemporaryFolder folder;
  const lora::ModelFiles files((kGolden / "lora/early_phi" / GetParam()).string());
  lora::write_hf_folder(lora::MergedModel(files, nullptr), folder.path(), {base::DType::kBF16, 1, {}, true});
  const lora::ModelFiles written(folder.path().string());
  expect_same(written, files);
  EXPECT_EQ(written.config(), files.config());
  const base::SafetensorsReader raw(folder.path());
  EXPECT_TRUE(raw.find("model.layers.1.self_attn.k_proj.bias"));
}

TEST(EarlyPhiConfig, SaysWhatIsWrong) {
  const auto error_with = [](const std::string& rest) {
    return error_of([&] { lora::config_from_json(R"({"model_type":"phi-msft","vocab_size":8,)" + rest + "}", "c"); });
  };
  EXPECT_EQ(error_with(R"("n_embd":64,"n_head":4,"n_layer":2,"rotary_dim":8)"), "no error");
  EXPECT_THAT(error_with(R"("n_embd":64,"n_head":4,"n_layer":2,"rotary_dim":18)"), HasSubstr("\"rotary_dim\""));
  EXPECT_THAT(error_with(R"("n_embd":64,"n_head":4,"n_layer":2,"mixer":"other")"), HasSubstr("\"mixer\""));
  EXPECT_THAT(error_with(R"("n_embd":64,"n_head":0)"), HasSubstr("num_attention_heads"));
  EXPECT_THAT(error_with(R"("n_embd":64,"n_head":4,"architecture":{"block_cls":"sequential"})"),
              HasSubstr("\"architecture\""));
  EXPECT_THAT(error_with(R"("n_embd":64,"n_head":4,"embd_layer":"position")"), HasSubstr("\"embd_layer\""));
}

TEST(EarlyPhiConfig, HasItsDefaults) {
  const lora::ModelConfig config = lora::config_from_json(
      R"({"model_type":"phi-msft","n_embd":2048,"n_head":32,"n_head_kv":null,"n_inner":null,"n_layer":24,
          "n_positions":2048,"rotary_dim":32,"vocab_size":51200,"activation_function":"gelu_new",
          "layer_norm_epsilon":1e-05})",
      "c");
  EXPECT_EQ(config.intermediate_size, 8192);
  EXPECT_EQ(config.kv_heads, 32);
  EXPECT_EQ(config.turned_dim(), 32);
  EXPECT_EQ(config.activation, lora::Activation::kGeluTanh);
}

}  // namespace
