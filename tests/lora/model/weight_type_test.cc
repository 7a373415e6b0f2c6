#include "lora/model/weight_type.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/stream.h"
#include "tests/error_of.h"

namespace {

using base::DType;
using lora::Mixture;
using lora::WeightType;
using testing::HasSubstr;

nlohmann::json golden() {
  const auto reader = base::open_reader(HORNBOOK_SOURCE_DIR "/tests/golden/lora/gguf_mixtures.json.gz");
  std::string text, part(1 << 16, '\0');
  while (const std::size_t size = reader->read(part.data(), part.size())) text.append(part, 0, size);
  return nlohmann::json::parse(text);
}

// scripts/oracle/gguf_mixtures.py, which compares the bytes of whole files too.
TEST(WeightType, MixturesAreThoseOfLlamaCppsQuantiser) {
  std::set<std::string> names;
  const nlohmann::json all = golden();
  for (const auto& model : all.at("models")) {
    const std::string name = model.at("name");
    names.insert(name);
    const lora::ModelConfig config = lora::config_from_json(model.at("config").dump(), name);
    const std::vector<lora::TensorSpec> tensors = lora::tensors_of(lora::spec_of(config));
    for (const auto& [option, expected] : model.at("types").items()) {
      const auto types = lora::gguf_types(config, tensors, lora::type_from_name(option));
      std::set<std::string> seen;
      for (const lora::TensorSpec& tensor : tensors) {
        if (tensor.shape.size() == 1 || (tensor.gguf_float && !expected.contains(tensor.gguf))) {
          EXPECT_EQ(types.at(tensor.name), DType::kF32);
          continue;
        }
        seen.insert(tensor.gguf);
        ASSERT_EQ(std::string(base::name_of(types.at(tensor.name))), expected.at(tensor.gguf))
            << name << ", " << option << ": " << tensor.gguf;
      }
      EXPECT_EQ(seen.size(), expected.size()) << name;
    }
  }
  EXPECT_GE(names.size(), 15U);
}

TEST(WeightType, RowsThatNoBlockFitsAreHalves) {
  lora::ModelConfig config;
  config.vocab_size = 8, config.hidden_size = 40, config.intermediate_size = 64, config.layers = 1;
  config.heads = config.kv_heads = 5, config.head_dim = 8;
  const auto types =
      lora::gguf_types(config, lora::tensors_of(lora::spec_of(config)), {DType::kQ4_K, Mixture::kMedium});
  EXPECT_EQ(types.at("model.layers.0.mlp.up_proj.weight"), DType::kF16);     // rows of 40
  EXPECT_EQ(types.at("model.layers.0.mlp.down_proj.weight"), DType::kQ8_0);  // rows of 64, Q6_K in whole blocks
}

TEST(WeightType, HasNamesBothWays) {
  for (const std::string& name : lora::type_names(true)) {
    const WeightType type = lora::type_from_name(name);
    EXPECT_EQ(lora::type_from_name(lora::name_of(type)), type) << name;
    lora::gguf_file_type(type);
  }
  EXPECT_EQ(lora::name_of(lora::type_from_name("q4_k_m")), "Q4_K_M");
  EXPECT_EQ(lora::gguf_file_type(lora::type_from_name("q5_k_m")), 17U);
  EXPECT_THAT(lora::type_names(false), testing::UnorderedElementsAre("float32", "bfloat16", "float16"));
  EXPECT_THAT(error_of([] { lora::type_from_name("q3_k_m"); }), HasSubstr("q4_k_m"));
  EXPECT_THAT(error_of([] { lora::hf_name(lora::type_from_name("q4_k_m")); }), HasSubstr("gguf"));
  EXPECT_THAT(error_of([] { lora::gguf_file_type(DType::kQ2_K); }), HasSubstr("Q2_K"));
}

}  // namespace
