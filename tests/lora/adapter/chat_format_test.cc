// The chat template that an adapter was trained with goes where models have theirs.
#include "lora/adapter/chat_format.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "lora/adapter/write_model.h"
#include "tests/byte_tokenizer.h"
#include "tests/temporary_folder.h"
#include "tokenizer/chat/template_source.h"

namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;

const std::string kBase = std::string(HORNBOOK_SOURCE_DIR) + "/tests/golden/lora/base";

// The golden base with a vocabulary of bytes: EOS 256, ChatML's marks 257 and 258, no template.
class ChatFormat : public testing::Test {
 protected:
  ChatFormat() {
    fs::copy(kBase, folder_.path() / "base");
    fs::remove(base() / "chat_template.jinja");
    base::write_file(base() / "tokenizer.json", byte_tokenizer_json({"</s>", "<|im_start|>", "<|im_end|>"}));
    base::write_file(base() / "tokenizer_config.json", R"({"eos_token":"</s>"})");
    base::write_file(base() / "generation_config.json", R"({"eos_token_id":256,"top_k":5})");
    auto config = nlohmann::json::parse(base::read_file(base() / "config.json"));
    config["eos_token_id"] = 256;
    base::write_file(base() / "config.json", config.dump());
    fs::create_directories(adapter());
  }
  fs::path base() const { return folder_.path() / "base"; }
  fs::path adapter() const { return folder_.path() / "adapter"; }

  TemporaryFolder folder_;
};

TEST_F(ChatFormat, TheChoiceWinsThenTheAdapterThenTheBase) {
  const lora::ModelFiles files(base().string());
  EXPECT_EQ(lora::tokenizer_of(files, adapter(), "")->chat_template, "");
  EXPECT_EQ(lora::changed_tokenizer_of(files, adapter(), ""), nullptr);
  const std::string chatml = tokenizer::named_templates().at("chatml");
  base::write_file(adapter() / "chat_template.jinja", chatml);
  const auto own = lora::tokenizer_of(files, adapter(), "");
  EXPECT_EQ(own->chat_template, chatml);
  EXPECT_THAT(own->end_ids(), ElementsAre(256, 258));
  EXPECT_EQ(lora::tokenizer_of(files, adapter(), "zephyr")->chat_template, tokenizer::named_templates().at("zephyr"));
  EXPECT_THROW(lora::tokenizer_of(files, adapter(), "llama3"), base::Error);  // its end is no token here
  // What is the base's own needs no change of a written model.
  base::write_file(base() / "chat_template.jinja", chatml);
  const lora::ModelFiles same(base().string());
  EXPECT_EQ(lora::changed_tokenizer_of(same, adapter(), ""), nullptr);
}

// An adapter of another tool may bring a template that cannot be used here: a merge carries it all the same.
TEST_F(ChatFormat, ATemplateThatCannotBeUsedIsCarried) {
  const lora::ModelFiles files(base().string());
  const std::string llama3 = tokenizer::named_templates().at("llama3");
  for (const std::string& jinja : {llama3, std::string("{{ nothing | sparkle }}")}) {
    base::write_file(adapter() / "chat_template.jinja", jinja);
    const auto own = lora::changed_tokenizer_of(files, adapter(), "");
    ASSERT_NE(own, nullptr);
    EXPECT_EQ(own->chat_template, jinja);
    EXPECT_THAT(own->end_ids(), ElementsAre(256));
  }
}

TEST_F(ChatFormat, AFolderGetsTemplateAndEnds) {
  const lora::ModelFiles files(base().string());
  const auto chosen = lora::tokenizer_of(files, {}, "chatml");
  const lora::MergedModel model(files, nullptr);
  const fs::path written = folder_.path() / "written";
  fs::create_directories(written);
  lora::WriteOptions options;
  options.tokenizer = chosen.get();
  lora::write_hf_folder(model, written, options);
  EXPECT_EQ(base::read_file(written / "chat_template.jinja"), chosen->chat_template);
  const auto json = [&](const char* name) { return nlohmann::json::parse(base::read_file(written / name)); };
  EXPECT_EQ(json("tokenizer_config.json")["chat_template"], chosen->chat_template);
  EXPECT_EQ(json("tokenizer_config.json")["eos_token"], "</s>");
  EXPECT_EQ(json("generation_config.json"), (nlohmann::json{{"eos_token_id", {256, 258}}, {"top_k", 5}}));
  EXPECT_EQ(tokenizer::load(written)->chat_template, chosen->chat_template);
  EXPECT_THAT(tokenizer::load(written)->end_ids(), ElementsAre(256, 258));
}

// The base's template for tools stays with its own, and goes with it.
TEST_F(ChatFormat, TheTemplateForTools) {
  const std::string chatml = tokenizer::named_templates().at("chatml"), tools = chatml + "{{ tools }}";
  base::write_file(
      base() / "tokenizer_config.json",
      nlohmann::json{
          {"eos_token", "</s>"},
          {"chat_template", {{{"name", "default"}, {"template", chatml}}, {{"name", "tool_use"}, {"template", tools}}}}}
          .dump());
  const lora::ModelFiles files(base().string());
  const auto own = lora::tokenizer_of(files, adapter(), "");
  EXPECT_EQ(own->tool_template, tools);
  const auto other = lora::tokenizer_of(files, adapter(), "zephyr");
  EXPECT_EQ(other->tool_template, "");

  const fs::path written = folder_.path() / "written";
  lora::write_tokenizer_files(files, *own, written);
  EXPECT_EQ(tokenizer::load(written)->chat_template, chatml);
  EXPECT_EQ(tokenizer::load(written)->tool_template, tools);
  EXPECT_THAT(lora::chat_files(written), Contains("additional_chat_templates/tool_use.jinja"));
  lora::use_chat_format(*other, written);
  EXPECT_EQ(tokenizer::load(written)->tool_template, "");

  lora::GgufMetadata metadata = {{"tokenizer.chat_templates", base::GgufValue::texts({"tool_use"})}};
  const auto has = [&](std::string_view key) {
    return std::ranges::count(metadata, key, &lora::GgufMetadata::value_type::first) == 1;
  };
  lora::use_chat_format(*own, metadata);
  EXPECT_TRUE(has("tokenizer.chat_template.tool_use") && has("tokenizer.chat_templates"));
  lora::use_chat_format(*other, metadata);
  EXPECT_FALSE(has("tokenizer.chat_template.tool_use") || has("tokenizer.chat_templates"));
}

TEST_F(ChatFormat, AGgufGetsTemplateAndEnds) {
  const lora::ModelFiles files(base().string());
  const auto chosen = lora::tokenizer_of(files, {}, "chatml");
  const auto eot = [](const lora::GgufMetadata& metadata, std::string_view key) {
    for (const auto& [name, value] : metadata)
      if (name == key) return std::get<std::int64_t>(value.value);
    return std::int64_t{-1};
  };
  lora::GgufMetadata metadata = {{"tokenizer.chat_template", base::GgufValue::text("old")}};
  lora::use_chat_format(*chosen, metadata);
  EXPECT_EQ(std::get<std::string>(metadata[0].second.value), chosen->chat_template);
  EXPECT_EQ(eot(metadata, "tokenizer.ggml.eot_token_id"), 258);
  lora::use_chat_format(*chosen, metadata);  // once
  EXPECT_EQ(metadata.size(), 2u);
  metadata = {{"tokenizer.ggml.eot_token_id", base::GgufValue::u32(7)}};
  lora::use_chat_format(*chosen, metadata);
  EXPECT_EQ(eot(metadata, "tokenizer.ggml.eot_token_id"), 7);
  EXPECT_EQ(eot(metadata, "tokenizer.ggml.eom_token_id"), 258);
}

TEST_F(ChatFormat, AnAdapterGetsTheTokenizersFiles) {
  const lora::ModelFiles files(base().string());
  lora::write_tokenizer_files(files, *lora::tokenizer_of(files, {}, "chatml"), adapter());
  EXPECT_FALSE(fs::exists(adapter() / "config.json"));
  EXPECT_FALSE(fs::exists(adapter() / "model.safetensors"));
  const auto again = tokenizer::load(adapter());
  EXPECT_EQ(again->chat_template, tokenizer::named_templates().at("chatml"));
  EXPECT_THAT(again->end_ids(), Contains(258));
  EXPECT_THAT(lora::chat_files(adapter()), testing::IsSupersetOf({"tokenizer.json", "chat_template.jinja"}));
  EXPECT_TRUE(lora::chat_files(adapter() / "tokenizer.json").empty()) << "a file: an adapter of another format";
}

}  // namespace
