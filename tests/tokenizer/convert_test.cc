// Vocabularies survive the way from GGUF to a Hugging Face folder and back. That Hugging Face and llama.cpp read the
// results with the same ids is checked live by scripts/oracle/check_tokenizer.py.
#include "tokenizer/write/convert.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/error_of.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/spec/bpe_spec.h"
#include "tokenizer/spec/tokenizer.h"

namespace {

using namespace tokenizer_test;
using base::GgufReader;
using base::GgufValue;
using nlohmann::json;
using testing::HasSubstr;

void write_gguf(const std::filesystem::path& path, std::vector<std::pair<std::string, GgufValue>> metadata) {
  metadata.insert(metadata.begin(), {"general.architecture", GgufValue::text("llama")});
  base::GgufWriter writer(path, metadata, {});
  writer.commit();
}

// `path` as a GGUF again, loaded.
std::unique_ptr<tokenizer::Tokenizer> through_gguf(const std::filesystem::path& folder,
                                                   const std::filesystem::path& file) {
  write_gguf(file, tokenizer::gguf_metadata_from_folder(folder));
  return tokenizer::load(file);
}

void expect_golden(const tokenizer::Tokenizer& model, const std::string& name) {
  const auto texts = golden("texts"), expected = golden(name);
  for (std::size_t i = 0; i < texts.size(); ++i)
    ASSERT_EQ(model.encode(texts[i].get<std::string>(), name == "smollm2"), expected["ids"][i].get<Ids>()) << texts[i];
}

TEST(Convert, AUnigramModelHasNoEqualInGguf) {
  const TemporaryFolder folder;
  base::write_file(folder / "tokenizer.json",
                   R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0]]}})");
  EXPECT_THAT(error_of([&] { tokenizer::gguf_metadata_from_folder(folder.path()); }), HasSubstr("a Unigram model"));
}

TEST(Convert, SmolLm2ToAFolderAndBack) {
  const TemporaryFolder folder;
  const GgufReader gguf(smollm2());
  base::write_file(folder / "tokenizer.json", tokenizer::tokenizer_json_from_gguf(gguf).dump());
  base::write_file(folder / "tokenizer_config.json", tokenizer::tokenizer_config_json_from_gguf(gguf).dump());
  const auto original = tokenizer::load(smollm2()), model = tokenizer::load(folder.path());
  expect_golden(*model, "smollm2");
  EXPECT_EQ(model->bos, original->bos);
  EXPECT_EQ(model->eos, original->eos);
  EXPECT_EQ(model->pad, original->pad);
  EXPECT_EQ(model->unknown, original->unknown);
  EXPECT_EQ(model->add_bos, original->add_bos);
  EXPECT_EQ(model->chat_template, original->chat_template);
  EXPECT_EQ(model->size(), original->size());

  // Every value of the original file comes back.
  for (const auto& [key, value] : tokenizer::gguf_metadata_from_folder(folder.path())) {
    if (key == "tokenizer.ggml.add_eos_token") continue;  // the original leaves it out
    const GgufValue* wanted = gguf.find(key);
    ASSERT_NE(wanted, nullptr) << key;
    EXPECT_EQ(value.type, wanted->type) << key;
    EXPECT_EQ(value.value, wanted->value) << key;
  }
  expect_golden(*through_gguf(folder.path(), folder / "x.gguf"), "smollm2");
}

TEST(Convert, TheTemplateForToolsComesAlong) {
  const TemporaryFolder folder;
  const GgufReader gguf(smollm2());
  base::write_file(folder / "tokenizer.json", tokenizer::tokenizer_json_from_gguf(gguf).dump());
  auto config = tokenizer::tokenizer_config_json_from_gguf(gguf);
  config["chat_template"] = {{{"name", "default"}, {"template", "one"}}, {{"name", "tool_use"}, {"template", "two"}}};
  base::write_file(folder / "tokenizer_config.json", config.dump());
  const auto again = through_gguf(folder.path(), folder / "x.gguf");
  EXPECT_EQ(again->chat_template, "one");
  EXPECT_EQ(again->tool_template, "two");
  const auto back = tokenizer::tokenizer_config_json_from_gguf(GgufReader(folder / "x.gguf"));
  EXPECT_EQ(back["chat_template"], config["chat_template"]);
}

// SentencePiece's BPE inside a GGUF is our own merge loop over scores: the same ids as libsentencepiece.
TEST(Convert, MistralToGgufAndToTokenizerJson) {
  const TemporaryFolder folder;
  std::filesystem::copy(mistral(), folder / "tokenizer.model");
  const auto model = through_gguf(folder.path(), folder / "mistral.gguf");
  expect_golden(*model, "mistral");
  EXPECT_EQ(model->bos, 1);
  EXPECT_TRUE(model->add_bos);
  EXPECT_EQ(model->encode("<s>a</s>", true), (Ids{1, 264, 2}));
  for (const auto& text : golden("texts")) {
    if (text.get<std::string>().find("\u2581") != std::string::npos) continue;
    ASSERT_EQ(model->decode(model->encode(text.get<std::string>())), text.get<std::string>());
  }

  const TemporaryFolder json_folder;
  const GgufReader gguf(folder / "mistral.gguf");
  base::write_file(json_folder / "tokenizer.json", tokenizer::tokenizer_json_from_gguf(gguf).dump());
  base::write_file(json_folder / "tokenizer_config.json", tokenizer::tokenizer_config_json_from_gguf(gguf).dump());
  expect_golden(*tokenizer::load(json_folder.path()), "mistral");
  EXPECT_TRUE(tokenizer::load(json_folder.path())->add_bos);
  // And back: the scores are made from the merges.
  expect_golden(*through_gguf(json_folder.path(), json_folder / "again.gguf"), "mistral");
}

TEST(Convert, PadsToTheRowsOfTheModel) {
  const TemporaryFolder folder;
  const GgufReader gguf(smollm2());
  base::write_file(folder / "tokenizer.json", tokenizer::tokenizer_json_from_gguf(gguf).dump());
  base::write_file(folder / "config.json", R"({"vocab_size": 49156})");
  const auto model = through_gguf(folder.path(), folder / "x.gguf");
  EXPECT_EQ(model->size(), 49156);
  EXPECT_EQ(model->token(49155), "[PAD49155]");
  EXPECT_EQ(GgufReader(folder / "x.gguf").integers("tokenizer.ggml.token_type").back(), 5);
  base::write_file(folder / "config.json", R"({"vocab_size": 40000})");
  EXPECT_THROW(tokenizer::gguf_metadata_from_folder(folder.path()), base::Error);
}

TEST(Convert, SmallVocabulariesOrAClearRefusal) {
  const json models = golden("small")["models"];
  const std::map<std::string, std::string> names = {
      {"llama3_ignore_merges", "llama-bpe"}, {"qwen2_nfc", "qwen2"}, {"removed_invert", "dbrx"}};
  for (const auto& [name, model] : models.items()) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    json file = model["tokenizer"];
    file["added_tokens"] = json::array();  // the strip flags have no place in GGUF
    base::write_file(folder / "tokenizer.json", file.dump());
    const auto direct = tokenizer::load(folder.path());
    if (!names.contains(name)) {
      try {
        tokenizer::gguf_metadata_from_folder(folder.path());
        ADD_FAILURE() << "not refused";
      } catch (const base::Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("cannot be written into a GGUF"));
      }
      continue;
    }
    const auto model_again = through_gguf(folder.path(), folder / "x.gguf");
    EXPECT_EQ(GgufReader(folder / "x.gguf").text("tokenizer.ggml.pre"), names.at(name));
    for (const auto& text : model["texts"])
      ASSERT_EQ(model_again->encode(text.get<std::string>()), direct->encode(text.get<std::string>()));
  }
}

// Ranks have no list of merges; a GGUF has.
TEST(Convert, RanksToGguf) {
  const TemporaryFolder folder;
  std::filesystem::copy(model_file("vocabularies/llama3.model"), folder / "tokenizer.model");
  const auto direct = tokenizer::load(folder.path()), model = through_gguf(folder.path(), folder / "x.gguf");
  EXPECT_EQ(GgufReader(folder / "x.gguf").texts("tokenizer.ggml.merges").size(), 280147u);
  for (const auto& text : golden("texts"))
    ASSERT_EQ(model->encode(text.get<std::string>()), direct->encode(text.get<std::string>())) << text;
}

TEST(Convert, BosIsWrittenAsAPostProcessor) {
  const TemporaryFolder folder;
  const auto file = folder / "x.gguf";
  write_gguf(file, {{"tokenizer.ggml.model", GgufValue::text("gpt2")},
                    {"tokenizer.ggml.pre", GgufValue::text("llama-bpe")},
                    {"tokenizer.ggml.tokens", GgufValue::texts({"a", "b", "ab", "<s>"})},
                    {"tokenizer.ggml.token_type", GgufValue::i32s({1, 1, 1, 3})},
                    {"tokenizer.ggml.merges", GgufValue::texts({"a b"})},
                    {"tokenizer.ggml.bos_token_id", GgufValue::u32(3)}});
  const json vocabulary = tokenizer::tokenizer_json_from_gguf(GgufReader(file));
  EXPECT_EQ(vocabulary["post_processor"]["type"], "TemplateProcessing");
  base::write_file(folder / "tokenizer.json", vocabulary.dump());
  const auto model = tokenizer::load(folder / "tokenizer.json");
  EXPECT_TRUE(model->add_bos);
  EXPECT_EQ(model->bos, 3);
  EXPECT_FALSE(model->add_eos);
  // tokenizer_config.json has the last word.
  base::write_file(folder / "tokenizer_config.json", R"({"bos_token": {"content": "<s>"}, "add_bos_token": false})");
  EXPECT_FALSE(tokenizer::load(folder.path())->add_bos);
}

}  // namespace
