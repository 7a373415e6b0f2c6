// What of a rendered chat is trained, for templates that open and end turns in different ways.
#include "tokenizer/chat/turns.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/json_values.h"
#include "tests/byte_tokenizer.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/chat/chat.h"
#include "tokenizer/models/bpe_tokenizer.h"
#include "tokenizer/read/readers.h"

namespace {

using namespace tokenizer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<std::string> kSpecials = {"<s>",
                                            "</s>",
                                            "<|im_start|>",
                                            "<|im_end|>",
                                            "<|start_header_id|>",
                                            "<|end_header_id|>",
                                            "<|eot_id|>",
                                            "<start_of_turn>",
                                            "<end_of_turn>",
                                            "<|user|>",
                                            "<|assistant|>",
                                            "<|system|>",
                                            "<|end|>"};

class Bytes : public BpeTokenizer {
 public:
  explicit Bytes(const std::vector<std::string>& specials = kSpecials)
      : BpeTokenizer(spec_from_tokenizer_json(byte_tokenizer_json(specials), "bytes")) {
    bos = id_of("<s>");
    eos = id_of("</s>");
  }
};

// The trained bytes, " / " between ranges.
std::string trained(const RenderedChat& chat) {
  std::string text;
  for (const ByteRange& range : chat.trained)
    text += (text.empty() ? "" : " / ") + chat.text.substr(range.begin, range.end - range.begin);
  return text;
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

std::string chatml(const std::string& answer) {
  return "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}" + answer +
         "{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
}

const std::vector<Message> kTalk = {
    {"system", "Be brief"}, {"user", "Hi"}, {"assistant", "Yes"}, {"user", "Why?"}, {"assistant", "So"}};

TEST(Turns, OfEveryTemplateOfOurs) {
  const Bytes model;
  const std::map<std::string, std::pair<std::string, std::string>> expected = {
      {"chatml", {"Yes<|im_end|> / So<|im_end|>", "<|im_end|>"}},
      {"llama2", {" Yes </s> /  So </s>", "</s>"}},
      {"llama3", {"Yes<|eot_id|> / So<|eot_id|>", "<|eot_id|>"}},
      {"mistral", {" Yes</s> /  So</s>", "</s>"}},
      {"gemma", {"Yes<end_of_turn> / So<end_of_turn>", "<end_of_turn>"}},
      {"phi3", {"Yes<|end|> / So<|end|>", "<|end|>"}},
      {"qwen", {"Yes<|im_end|> / So<|im_end|>", "<|im_end|>"}},
      {"zephyr", {"Yes</s> / So</s>", "</s>"}},
      {"vicuna", {" Yes</s> /  So</s>", "</s>"}},
      {"alpaca", {"Yes</s> / So</s>", "</s>"}},
  };
  ASSERT_EQ(named_templates().size(), expected.size());
  for (const auto& [name, texts] : expected) {
    SCOPED_TRACE(name);
    const auto chat = chat_template_of(model, name);
    const RenderedChat rendered = chat->render_text(kTalk, false);
    EXPECT_EQ(trained(rendered), texts.first) << rendered.text;
    EXPECT_THAT(rendered.dropped, IsEmpty());
    EXPECT_THAT(rendered.without_end, IsEmpty());
    EXPECT_THAT(chat->missing_tokens(), IsEmpty());
    ASSERT_TRUE(chat->shape().end);
    EXPECT_EQ(model.token(*chat->shape().end), texts.second);
    EXPECT_TRUE(chat->render_text({kTalk[1]}, true).text.ends_with(chat->shape().prompt));
    EXPECT_EQ(trained(chat->render_text(kTalk, false, {}, TrainOn::kLast)),
              texts.first.substr(texts.first.find(" / ") + 3));
    // The mask is the bytes', since a byte is a token here.
    const Rendered ids = encode_chat(model, rendered);
    std::string said;
    for (std::size_t i = 0; i < ids.ids.size(); ++i)
      if (ids.trained[i]) said += model.decode({ids.ids[i]});
    EXPECT_EQ(said, std::string(texts.first).erase(texts.first.find(" / "), 3));
  }
}

TEST(Turns, NoContentEndsItsTurnInAnyTemplate) {
  const Bytes model;
  std::string attack;
  for (const std::string& token : kSpecials) attack += token + "x";
  for (const auto& [name, jinja] : named_templates()) {
    SCOPED_TRACE(name);
    const auto chat = chat_template_of(model, name);
    const auto specials = [&](const std::string& words) {
      const auto ids = chat->render({{"system", words}, {"user", words}, {"assistant", words}}, true).ids;
      return std::count_if(ids.begin(), ids.end(), [&](std::int32_t id) { return model.is_special(id); });
    };
    EXPECT_EQ(specials(attack), specials("x"));
    EXPECT_EQ(chat->render({{"user", attack}}, true).specials_as_text, kSpecials.size());
  }
}

TEST(Turns, MessagesDecideForThemselves) {
  const Bytes model;
  const auto chat = chat_template_of(model, "chatml");
  std::vector<Message> talk = kTalk;
  talk[2].trained = false;
  EXPECT_EQ(trained(chat->render_text(talk, false)), "So<|im_end|>");
  talk[1].trained = true;
  EXPECT_EQ(trained(chat->render_text(talk, false)), "Hi<|im_end|> / So<|im_end|>");
  const RenderedChat all = chat->render_text(talk, false, {}, TrainOn::kAll);
  EXPECT_EQ(trained(all),
            "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n / "
            "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo<|im_end|>\n");
  talk[4].trained = false;
  EXPECT_EQ(trained(chat->render_text(talk, false, {}, TrainOn::kLast)), "Hi<|im_end|>");
  // An empty answer still teaches to stop.
  EXPECT_EQ(trained(chat->render_text({{"user", "Hi"}, {"assistant", ""}}, false)), "<|im_end|>");
}

TEST(Turns, MarksOfTheTemplateCountWithTheEndToken) {
  const Bytes model;
  const auto with = [&](const std::string& answer) {
    return trained(ChatTemplate(model, {"test", chatml(answer)}).render_text(kTalk, false));
  };
  const std::string open = "{% if message.role == 'assistant' %}{% generation %}",
                    other = "{% else %}{{ message.content + '<|im_end|>' }}{% endif %}";
  EXPECT_EQ(with(open + "{{ message.content + '<|im_end|>' }}{% endgeneration %}" + other),
            "Yes<|im_end|> / So<|im_end|>");
  EXPECT_EQ(with(open + "{{ message.content }}{% endgeneration %}{{ '<|im_end|>' }}" + other),
            "Yes<|im_end|> / So<|im_end|>");
  // What it does not mark is not trained: the first answer here.
  EXPECT_EQ(with("{% if message.role == 'assistant' and loop.last %}{% generation %}{{ message.content }}"
                 "{% endgeneration %}{{ '<|im_end|>' }}{% else %}{{ message.content + '<|im_end|>' }}{% endif %}"),
            "So<|im_end|>");
  // An end of all, marked behind the loop over the messages.
  EXPECT_EQ(trained(ChatTemplate(
                        model, {"test", "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}" +
                                            open + "{{ message.content + '<|im_end|>\n' }}{% endgeneration %}" + other +
                                            "{% endfor %}{% generation %}{{ '<|im_end|>' }}{% endgeneration %}"})
                        .render_text(kTalk, false)),
            "Yes<|im_end|>\n / So<|im_end|>\n<|im_end|>");
}

// What closes an answer without an end token is the model's to write too.
TEST(Turns, WhatClosesAnAnswerIsTrained) {
  const Bytes model;
  const ChatTemplate chat(
      model, {"test", chatml("{% if message.tool_calls %}{{ '{' + message.tool_calls[0].name + ': ' + "
                             "(message.tool_calls[0].value | string) + '}\n' }}{% else %}{{ message.content + "
                             "'<|im_end|>' }}{% endif %}")});
  std::vector<Message> talk = kTalk;
  talk[2].content.clear();
  talk[2].members = {{"tool_calls", R"([{"name":"f","value":null}])"}};
  EXPECT_EQ(trained(chat.render_text(talk, false)), "{f: None} / So<|im_end|>");
  EXPECT_EQ(chat.render_text(talk, false).without_end, std::vector<std::size_t>{2});
}

// The prompt may go further than the header: what it holds is given, what a turn has instead is written by the model.
TEST(Turns, TheAnswerBeginsBehindTheGenerationPrompt) {
  const Bytes model;
  const std::string head = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}",
                    tail =
                        "{{ message.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
                        "'<|im_start|>assistant\n<think>\n' }}{% endif %}";
  const ChatTemplate thinking(
      model, {"test", head + "{% if message.role == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}" + tail});
  EXPECT_EQ(trained(thinking.render_text(kTalk, false)), "\n</think>\n\nYes<|im_end|> / \n</think>\n\nSo<|im_end|>");
  const ChatTemplate plain(model, {"test", head + tail});
  EXPECT_EQ(trained(plain.render_text(kTalk, false)), "Yes<|im_end|> / So<|im_end|>");
  // Words that go on like the prompt have been given, as in TRL.
  EXPECT_EQ(trained(plain.render_text({{"user", "Q"}, {"assistant", "<think>\nA"}}, false)), "A<|im_end|>");
  EXPECT_EQ(trained(plain.render_text({{"user", "Q"}, {"assistant", "<think>A"}}, false)), "<think>A<|im_end|>");
}

// What a record sets may be written by the prompt too (Qwen3's empty thoughts).
TEST(Turns, ThePromptIsThatOfTheRecordsSettings) {
  const Bytes model;
  const std::string thoughts =
      "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}";
  const ChatTemplate chat(
      model, {"test", "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if loop.last %}" + thoughts +
                          "{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
                          "<|im_start|>assistant\n" +
                          thoughts + "{% endif %}"});
  EXPECT_EQ(trained(chat.render_text(kTalk, false)), "Yes<|im_end|> / So<|im_end|>");
  for (const char* off : {R"({"enable_thinking":false})", R"("{\"enable_thinking\": false}")"}) {
    const RenderedChat rendered = chat.render_text(kTalk, false, {{"chat_template_kwargs", off}});
    EXPECT_EQ(trained(rendered), "Yes<|im_end|> / So<|im_end|>") << off;
    EXPECT_THAT(rendered.text, HasSubstr("</think>\n\nSo"));
  }
  EXPECT_EQ(trained(chat.render_text(kTalk, false, {{"chat_template_kwargs", R"({"enable_thinking":true})"}})),
            "Yes<|im_end|> / So<|im_end|>");
  EXPECT_THAT(message_of([&] {
                chat.render_text(kTalk, false, {{"chat_template_kwargs", "[1]"}});
              }),
              HasSubstr("no object"));
}

// A template that writes the prompt whether it is asked for it or not; another that always ends in something else.
TEST(Turns, APromptThatIsAlwaysThereIsNoAnswer) {
  const Bytes model;
  const std::string body = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
  EXPECT_EQ(trained(ChatTemplate(model, {"test", body + "{{ '<|im_start|>assistant\n' }}"}).render_text(kTalk, false)),
            "Yes<|im_end|> / So<|im_end|>");
  // As Command R7B does, which opens and closes thoughts there that no answer of the past has.
  EXPECT_EQ(trained(ChatTemplate(model, {"test", body + "{{ '<|im_start|>assistant\n<think></think>' }}"})
                        .render_text(kTalk, false)),
            "Yes<|im_end|> / So<|im_end|>");
  EXPECT_EQ(trained(ChatTemplate(model, {"test", body + "</s>"}).render_text(kTalk, false)),
            "<|im_start|>assistant\nYes<|im_end|> / <|im_start|>assistant\nSo<|im_end|>");
}

TEST(Turns, AnEmptyAnswerIsItsEndAlone) {
  const Bytes model;
  const std::vector<Message> talk = {{"user", "Hi"}, {"assistant", ""}, {"user", "x"}, {"assistant", "ok"}};
  // The header's line end goes with the words (Seed-OSS); the prompt begins with lines that no answer has (alpaca).
  const std::string role = "{% for m in messages %}<|im_start|>{{ m.role }}";
  EXPECT_EQ(
      trained(ChatTemplate(model, {"test", role + "{{ '\n' + m.content if m.content }}<|im_end|>{% endfor %}"
                                                  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"})
                  .render_text(talk, false)),
      "<|im_end|> / ok<|im_end|>");
  EXPECT_EQ(trained(ChatTemplate(model, {"test",
                                         "{% for m in messages %}{{ '### ' + m.role + ':\n' + m.content }}</s>"
                                         "{% endfor %}{% if add_generation_prompt %}{{ '\n\n### assistant:\n' }}"
                                         "{% endif %}"})
                        .render_text(talk, false)),
            "</s> / ok</s>");
}

// Gemma 4 writes results of tools into the turn that called them, and the answer's own words behind them.
TEST(Turns, ResultsOfToolsInsideAnAnswerAreNotTrained) {
  const Bytes model({"<s>", "</s>", "<call>", "</call>", "<result>", "</result>", "<|im_start|>", "<|im_end|>"});
  const std::string jinja =
      "{% for m in messages %}{% if m.role != 'tool' %}<|im_start|>{{ m.role }}\n{% if m.tool_calls %}<call>"
      "{{ m.tool_calls[0].name }}</call>{% set ns = namespace(on=true) %}{% for k in range(loop.index0 + 1, messages | "
      "length) %}{% if messages[k].role == 'tool' and ns.on %}<result>was:{{ messages[k].content }}</result>{% else %}"
      "{% set ns.on = false %}{% endif %}{% endfor %}{% endif %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const ChatTemplate chat(model, {"test", jinja});
  std::vector<Message> talk = {
      {"user", "Q"}, {"assistant", "Let me look."}, {"tool", "SECRET"}, {"tool", "MORE"}, {"assistant", "ok"}};
  talk[1].members = {{"tool_calls", R"([{"name":"f"}])"}};
  EXPECT_EQ(trained(chat.render_text(talk, false)), "<call>f</call> / Let me look.<|im_end|> / ok<|im_end|>");
  talk[1].content.clear();
  EXPECT_EQ(trained(chat.render_text(talk, false)), "<call>f</call> / <|im_end|> / ok<|im_end|>");
  // Where a call alone is refused, all from the result's words on is left out.
  const ChatTemplate strict(
      model, {"test", "{% if messages[-1].tool_calls %}{{ raise_exception('no result') }}{% endif %}" + jinja});
  EXPECT_EQ(trained(strict.render_text(talk, false)), "<call>f</call><result>was: / ok<|im_end|>");
  talk.resize(2);
  EXPECT_EQ(trained(chat.render_text(talk, false)), "<call>f</call><|im_end|>");
}

// What else the template writes may depend on what follows: the call is found by its own words.
TEST(Turns, ResultsOfToolsAreFoundWhereTheTurnBeganOtherwise) {
  const Bytes model;
  const std::string head =
                        "{% for m in messages %}{% if m.role != 'tool' %}{% set next = messages[loop.index0 + 1] if "
                        "not loop.last else {} %}"
                        "<|im_start|>{{ m.role }}\n",
                    tail =
                        "{% if next.role == 'tool' %}[{{ next.content }}]{% endif %}<|im_end|>\n{% endif %}{% endfor %}"
                        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const std::vector<Message> talk = {
      {"user", "Q"}, {"assistant", "alpha beta"}, {"tool", "SECRET"}, {"assistant", "ok"}};
  EXPECT_EQ(trained(ChatTemplate(model, {"test", head + "{{ m.content }}" + tail}).render_text(talk, false)),
            "alpha beta / <|im_end|> / ok<|im_end|>");
  EXPECT_EQ(trained(ChatTemplate(model, {"test", head + "{{ messages | length }}) {{ m.content }}" + tail})
                        .render_text(talk, false)),
            "4) alpha beta / <|im_end|> / 4) ok<|im_end|>");
}

// A second call in the turn that is still open has no prompt of its own.
TEST(Turns, AnAnswerThatGoesOnBehindAResultIsWhole) {
  const Bytes model;
  const ChatTemplate chat(
      model, {"test",
              "{% for m in messages %}{% if m.role != 'tool' %}{% if loop.first or messages[loop.index0 - 1].role "
              "!= 'tool' %}<|im_start|>{{ m.role }}\n{% endif %}{% if m.tool_calls %}call:{{ "
              "m.tool_calls[0].name }};{% if not loop.last %}[{{ messages[loop.index0 + 1].content }}]{% endif %}"
              "{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endif %}{% endfor %}{% if add_generation_prompt "
              "%}<|im_start|>assistant\n{% endif %}"});
  std::vector<Message> talk = {{"user", "Q"},     {"assistant", ""}, {"tool", "ONE"},
                               {"assistant", ""}, {"tool", "TWO"},   {"assistant", "ok"}};
  for (const std::size_t call : {1, 3}) talk[call].members = {{"tool_calls", R"([{"name":"f"}])"}};
  EXPECT_EQ(trained(chat.render_text(talk, false)), "call:f; / call:f; / ok<|im_end|>");
}

// Solar looks up the called tool's name in the messages again, while it writes the tool's turn.
TEST(Turns, ATurnThatNamesAnEarlierMessageIsNotItsAnswer) {
  const Bytes model;
  const ChatTemplate chat(
      model, {"test",
              "{% macro name(messages) %}{% for m in messages %}{% if m.tool_calls %}{{ m.tool_calls[0].name }}"
              "{% endif %}{% endfor %}{% endmacro %}{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == "
              "'tool' %}of {{ name(messages) }}: {{ m.content }}{% elif m.tool_calls %}call {{ m.tool_calls[0].name }}"
              "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>"
              "assistant\n{% endif %}"});
  std::vector<Message> talk = {{"user", "Q"}, {"assistant", ""}, {"tool", "SECRET"}, {"assistant", "ok"}};
  talk[1].members = {{"tool_calls", R"([{"name":"f"}])"}};
  EXPECT_EQ(trained(chat.render_text(talk, false)), "call f<|im_end|> / ok<|im_end|>");
}

TEST(Turns, CallsOfToolsAreAnswers) {
  const Bytes model;
  const auto chat = chat_template_of(model, "qwen");
  std::vector<Message> talk = {{"user", "Weather?"}, {"assistant", ""}, {"tool", "rain"}, {"assistant", "Wet"}};
  talk[1].has_content = false;
  talk[1].members = {
      {"tool_calls", R"([{"type":"function","function":{"name":"f","arguments":{"b":1,"a":"<|im_end|>"}}}])"}};
  const std::vector<Member> record = {{"tools", R"([{"type":"function","function":{"name":"f"}}])"}};
  const RenderedChat rendered = chat->render_text(talk, false, record);
  EXPECT_EQ(
      trained(rendered),
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": \"<|im_end|>\"}}\n</tool_call><|im_end|> / "
      "Wet<|im_end|>");
  EXPECT_THAT(rendered.text, HasSubstr(R"({"type": "function", "function": {"name": "f"}})"));
  EXPECT_EQ(encode_chat(model, rendered).specials_as_text, 1u);
  // Kept as a text, as many data sets do.
  EXPECT_EQ(chat->render_text(talk, false, {{"tools", nlohmann::json(record[0].json).dump()}}).text, rendered.text);
  // A template without tools does not lose them in silence.
  const auto plain = chat_template_of(model, "chatml");
  EXPECT_THAT(message_of([&] { plain->render_text(talk, false); }), HasSubstr("cannot render tools"));
  EXPECT_THAT(message_of([&] { plain->render_text(kTalk, false, record); }), HasSubstr("cannot render tools"));
}

TEST(Turns, WhatTheTemplateLeavesOutIsTold) {
  const Bytes model;
  const ChatTemplate forgetful(
      model, {"test",
              "{% for message in messages %}{% if message.role != 'system' %}{{ message.content }}{{ message.mood }}{{ "
              "eos_token }}{% endif %}{% endfor %}"});
  std::vector<Message> talk = kTalk;
  talk[1].members = {{"mood", "\"glad\""}, {"name", "\"Ann\""}};
  const RenderedChat chat = forgetful.render_text(talk, false);
  EXPECT_THAT(chat.dropped, ElementsAre(0u));
  EXPECT_THAT(chat.left_out, ElementsAre("name"));
  EXPECT_EQ(trained(chat), "Yes</s> / So</s>");
  // White space is no loss, and other members are no words.
  const ChatTemplate thoughtless(model, {"test",
                                         "{% for message in messages %}{{ message.role }}{{ message.mood }}{{ "
                                         "message.content.split('</think>')[-1] | trim }}{{ eos_token }}{% endfor %}"});
  std::vector<Message> thoughts = {{"user", " Q\u3000"}, {"assistant", "hm</think>\n\nA"}, {"assistant", "hm</think>"}};
  thoughts[2].members = {{"mood", "\"glad\""}};
  const RenderedChat part = thoughtless.render_text(thoughts, false);
  EXPECT_THAT(part.dropped, ElementsAre(2u));
  EXPECT_THAT(part.shortened, ElementsAre(1u));
  const ChatTemplate endless(model, {"test", "{% for message in messages %}{{ message.content + '\n' }}{% endfor %}"});
  EXPECT_THAT(endless.render_text(kTalk, false).without_end, ElementsAre(2u, 4u));
  EXPECT_EQ(trained(endless.render_text(kTalk, false)), "Yes / So");
}

// transformers gives thoughts under the names that templates read, whatever the data call them.
TEST(Turns, ThoughtsHaveSeveralNames) {
  const Bytes model;
  for (const std::string read : {"thinking", "reasoning_content"}) {
    const ChatTemplate chat(model,
                            {"test", chatml("{{ message." + read + " or '' }}{{ message.content + '<|im_end|>' }}")});
    for (const std::string written : {"thinking", "reasoning_content", "reasoning"}) {
      std::vector<Message> talk = {{"user", "Q"}, {"assistant", "A"}};
      talk[1].members = {{written, "\"hm \""}};
      const RenderedChat rendered = chat.render_text(talk, false);
      EXPECT_EQ(trained(rendered), "hm A<|im_end|>") << read << " " << written;
      EXPECT_THAT(rendered.left_out, IsEmpty());
    }
  }
  std::vector<Message> talk = {{"user", "Q"}, {"assistant", "A"}};
  talk[1].members = {{"reasoning", "\"hm\""}};
  EXPECT_THAT(message_of([&] { chat_template_of(model, "chatml")->render_text(talk, false); }), HasSubstr("reasoning"));
}

TEST(Turns, SettingsOfARecordReachTheTemplate) {
  const Bytes model;
  const ChatTemplate chat(model, {"test", chatml("{{ message.content + (mood or '') + '<|im_end|>' }}")});
  EXPECT_THAT(chat.render_text(kTalk, false, {{"chat_template_kwargs", R"({"mood":"!"})"}}).text, HasSubstr("Yes!"));
  EXPECT_THAT(message_of([&] {
                chat.render_text(kTalk, false, {{"chat_template_kwargs", R"({"moot":"!"})"}});
              }),
              HasSubstr("moot"));
}

TEST(Turns, ATemplateMayAskForASystemMessage) {
  const Bytes model;
  const std::string source = "{% if messages[0].role != 'system' %}{{ raise_exception('system first') }}{% endif %}" +
                             chatml("{{ message.content + '<|im_end|>' }}");
  const ChatTemplate chat(model, {"test", source});
  const Rendered rendered = chat.render({{"system", "S"}, {"user", "Q"}, {"assistant", "A"}}, false);
  EXPECT_EQ(std::ranges::count(rendered.trained, 1), 2);  // the answer and its end
  EXPECT_THAT(message_of([&] { chat.render({{"user", "Q"}, {"assistant", "A"}}, false); }), HasSubstr("system first"));
  EXPECT_THAT(message_of([&] { ChatTemplate(model, {"test", "{{ raise_exception('never') }}"}); }), HasSubstr("never"));
}

TEST(Turns, ATemplateMustFitTheVocabulary) {
  const Bytes model({"<s>", "</s>"});
  EXPECT_THAT(message_of([&] { chat_template_of(model, "chatml"); }), HasSubstr("<|im_end|>"));
  EXPECT_THAT(message_of([&] { chat_template_of(model, "gemma"); }), HasSubstr("<end_of_turn>"));
  EXPECT_THAT(chat_template_of(model, "zephyr")->missing_tokens(), ElementsAre("<|user|>", "<|assistant|>"));
  EXPECT_THAT(message_of([&] { chat_template_of(model); }), HasSubstr("--chat-template"));
  EXPECT_THAT(message_of([&] { chat_template_of(model, "chatmll"); }), HasSubstr("alpaca, chatml"));
  EXPECT_THAT(message_of([&] { ChatTemplate(model, {"mine.jinja", "{% for %}"}); }), HasSubstr("mine.jinja"));
}

// Members go from their JSON texts to the template's values, and are the same as those of a tree of JSON.
TEST(Turns, MembersOfMessagesAndToolsAreWhatTheirJsonSays) {
  const Bytes model;
  const std::string show =
      "{{ message.x | tojson }}|{{ message.x }}|{{ message.x is mapping }}|{{ message | tojson }}|"
      "{% for key in message %}{{ key }},{% endfor %}|{{ tools | tojson if tools else tools }}";
  const std::string source =
      chatml("{% if message.x is defined %}" + show + "{% endif %}{{ (message.content or '') + '<|im_end|>' }}");
  const ChatTemplate chat(model, {"test", source});
  const jinja::Template bare(source);
  const std::string deep = std::string(1000, '[') + std::string(1000, ']');
  for (const std::string json :
       {R"({"b":1,"a":[true,false,null,1.5,-0.0,1e300,-7,12345678901,[],{}],"":{"é":"\u00e9\n\ud83d\ude00\"<"}})",
        R"({"a":1,"b":2,"a":3})", "9223372036854775807", "-9223372036854775808", "18446744073709551615",
        "123456789012345678901234567890", R"("text")", "[[1,2],[3]]", "0.1", "true", deep.c_str()}) {
    Message answer{"assistant", "So"};
    answer.members = {{"name", R"("n")"}, {"x", json}, {"weight", "1"}};
    std::string got, expected;
    const std::string error = message_of([&] {
      got = chat.render_text({kTalk[0], answer}, false, {{"tools", "[" + json + "]"}}).text;
    });
    const std::string error_of_tree = message_of([&] {
      using Json = jinja::Json;
      const Json messages = {
          {{"role", "system"}, {"content", "Be brief"}},
          {{"role", "assistant"}, {"content", "So"}, {"name", "n"}, {"x", base::lenient_ordered_json(json)}}};
      const Json tools = Json::array({base::lenient_ordered_json(json)}), no = false;
      expected = bare.render({{"messages", &messages, jinja::Role::kMessages},
                              {"tools", &tools, jinja::Role::kData},
                              {"add_generation_prompt", &no}})
                     .text;
    });
    EXPECT_EQ(got, expected) << json.substr(0, 60);
    EXPECT_EQ(error == "no error", error_of_tree == "no error") << json.substr(0, 60) << error << error_of_tree;
  }
}

// A template that some models have beside their own, for conversations with tools.
TEST(ChatTemplate, ThatNeedsToolsIsUsedWithThem) {
  const auto model = tokenizer::load(tokenizer_test::smollm2());
  const tokenizer::ChatTemplate chat(*model, {"tools", "{% for t in tools %}{{ t.function.name }} {% endfor %}" +
                                                           std::string(chatml("{{ message.content }}"))});
  EXPECT_EQ(chat.stop_ids(), std::vector<std::int32_t>{2});
  const std::string tools = R"([{"type":"function","function":{"name":"now"}}])";
  EXPECT_TRUE(chat.render_text({{"user", "a"}}, false, {{"tools", tools}}).text.starts_with("now <|im_start|>"));
  EXPECT_THROW(chat.render_text({{"user", "a"}}, false), base::Error);
}

}  // namespace
