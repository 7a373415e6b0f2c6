#include "lora/adapter/modelfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/byte_tokenizer.h"
#include "tests/temporary_folder.h"

namespace {

using lora::TurnTexts;
using testing::HasSubstr;
using testing::Not;
using tokenizer::Message;

std::unique_ptr<tokenizer::Tokenizer> bytes(const std::string& jinja, const std::string& bos = "") {
  const TemporaryFolder folder;
  base::write_file(
      folder.path() / "tokenizer.json",
      byte_tokenizer_json({"</s>", "<s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>",
                           "<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "<|end|>", "<|user|>", "<|assistant|>",
                           "<|system|>", "<|begin_of_text|>", "<bos>"}));
  base::write_file(folder.path() / "tokenizer_config.json", R"({"eos_token":"</s>","bos_token":")" +
                                                                (bos.empty() ? "<s>" : bos) + R"(","add_bos_token":)" +
                                                                (bos.empty() ? "false" : "true") + "}");
  auto made = tokenizer::load(folder.path());
  made->chat_template = jinja;
  return made;
}

// What the Go template writes: the texts in their places.
std::string written(const TurnTexts& turns, const std::vector<Message>& messages) {
  std::string text, system;
  bool first = true;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    if (message.role == "system") system = message.content;
    if (message.role == "assistant") text += message.content;
    if (message.role != "user") continue;
    if (!first) text += turns.before_later;
    if (first) text += system.empty() ? turns.begin : turns.before_system + system + turns.after_system;
    first = false;
    text += message.content + (i + 1 == messages.size() ? turns.before_new_answer : turns.before_answer);
  }
  return text;
}

// scripts/oracle/ollama_templates.py runs what go_template gives in Go itself.
TEST(Modelfile, EveryTemplateOfOursIsSaid) {
  const std::vector<std::vector<Message>> conversations = {{{"user", "Hello."}},
                                                           {{"system", "Be brief."},
                                                            {"user", "One?"},
                                                            {"assistant", "1"},
                                                            {"user", "Two?"},
                                                            {"assistant", "2"},
                                                            {"user", "Three?"}},
                                                           {{"user", "A?"}, {"assistant", "a"}, {"user", "B?"}}};
  for (const auto& [name, jinja] : tokenizer::named_templates()) {
    const auto words = bytes(jinja);
    const auto chat = tokenizer::chat_template_of(*words);
    std::string why;
    const auto turns = lora::turn_texts(*chat, *words, why);
    ASSERT_TRUE(turns) << name << ": " << why;
    EXPECT_TRUE(turns->has_system) << name;
    for (const auto& messages : conversations)
      EXPECT_EQ(written(*turns, messages), chat->render_text(messages, true).text) << name;
    const std::string file = lora::modelfile_of("m.gguf", *words).text;
    EXPECT_THAT(file, HasSubstr("FROM ./m.gguf\nTEMPLATE \"\"\"{{- $first := true }}")) << name;
    EXPECT_THAT(file, HasSubstr("PARAMETER stop \"")) << name;
  }
}

TEST(Modelfile, ABosThatTheRuntimeAddsIsLeftOut) {
  const std::string jinja =
      "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  std::string why;
  const auto adds = bytes(jinja, "<s>"), leaves = bytes(jinja);
  EXPECT_EQ(lora::turn_texts(*tokenizer::chat_template_of(*adds), *adds, why)->begin, "<|im_start|>user\n");
  EXPECT_EQ(lora::turn_texts(*tokenizer::chat_template_of(*leaves), *leaves, why)->begin, "<s><|im_start|>user\n");
  // Where the template has none, the runtime writes one that training did not.
  EXPECT_THAT(lora::modelfile_of("m.gguf", *adds).note, Not(HasSubstr("begin a conversation")));
  const auto without = bytes(jinja.substr(jinja.find("{% for")), "<s>");
  EXPECT_THAT(lora::modelfile_of("m.gguf", *without).note, HasSubstr("begin a conversation with <s>"));
}

TEST(Modelfile, WhatItCannotSayIsSaid) {
  const std::string turn = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n";
  const std::string end = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  // The number of the turn.
  auto words = bytes("{% for m in messages %}{{ loop.index }}" + turn + "{% endfor %}" + end);
  lora::Modelfile file = lora::modelfile_of("m.gguf", *words);
  EXPECT_THAT(file.text, Not(HasSubstr("TEMPLATE")));
  EXPECT_THAT(file.note, HasSubstr("number of turns"));
  EXPECT_THAT(file.note, HasSubstr("llama-server --jinja"));
  // No system message, contents trimmed.
  words = bytes(
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('none') }}{% endif %}<|im_start|>"
      "{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}" +
      end);
  file = lora::modelfile_of("m.gguf", *words);
  EXPECT_THAT(file.text, HasSubstr("TEMPLATE"));
  EXPECT_THAT(file.note, HasSubstr("system message"));
  EXPECT_THAT(file.note, HasSubstr("trims"));
  words->chat_template.clear();
  EXPECT_THAT(lora::modelfile_of("m.gguf", *words).text, HasSubstr("{{ .Prompt }}"));
}

TEST(Modelfile, TextsAreQuotedAsGoReadsThem) {
  TurnTexts turns;
  turns.begin = "a \"b\" \\ {{ c }}\n\t";
  turns.before_answer = "x", turns.before_new_answer = "y";
  const std::string text = lora::go_template(turns);
  EXPECT_THAT(text, HasSubstr(R"({{ "a \"b\" \\ {{ c }}\n\x09" }})"));
  EXPECT_THAT(text, HasSubstr(R"({{ if eq (len (slice $.Messages $i)) 1 }}{{ "y" }}{{ else }}{{ "x" }}{{ end }})"));
}

TEST(Modelfile, OfAnAdapterNamesItsBase) {
  const auto tokenizer = tokenizer::load(HORNBOOK_SOURCE_DIR "/tests/golden/lora/base");
  const std::string whole = lora::modelfile_of("a.gguf", *tokenizer).text;
  const std::string rest = whole.substr(whole.find('\n'));
  EXPECT_EQ(lora::modelfile_of_adapter("a.gguf", "/m/base.gguf", *tokenizer).text,
            "FROM /m/base.gguf\nADAPTER ./a.gguf" + rest);
  EXPECT_EQ(lora::modelfile_of_adapter("a.gguf", "/m/a base", *tokenizer).text,
            "# lora convert '/m/a base' --output BASE.gguf\nFROM ./BASE.gguf\nADAPTER ./a.gguf" + rest);
}

}  // namespace
