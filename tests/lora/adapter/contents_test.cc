#include "lora/adapter/contents.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace {

TEST(Contents, CountsAllThatAnAdapterHolds) {
  lora::Adapter adapter;
  adapter.modules.resize(2);
  EXPECT_EQ(lora::contents_text(adapter), "2 LoRA modules");
  adapter.dora = true;
  adapter.modules.resize(1);
  adapter.saved = {{"lm_head.weight", {2, 2}, {}}, {"lm_head.bias", {2}, {}}, {"model.norm.weight", {2}, {}}};
  adapter.tokens = {{"model.embed_tokens", {3, 5}, 2, {}}, {"lm_head", {7}, 2, {}}};
  EXPECT_EQ(lora::contents_text(adapter), "1 LoRA module (DoRA), 2 whole modules, 3 rows of tokens");
  nlohmann::ordered_json result;
  lora::add_contents(adapter, result);
  EXPECT_EQ(result.dump(), R"({"modules":1,"dora":true,"whole_modules":2,"token_rows":3})");
  adapter.modules.clear();
  adapter.tokens.clear();
  adapter.saved.resize(1);
  EXPECT_EQ(lora::contents_text(adapter), "1 whole module");
}

}  // namespace
