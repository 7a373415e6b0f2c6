// Ollama's Modelfile for a GGUF. Tested by tests/lora/adapter/modelfile_test.cc and tests/cli/lora/modelfile.
#include "lora/adapter/modelfile.h"

#include <fmt/format.h>

#include <vector>

#include "base/error.h"
#include "base/outputs.h"
#include "base/text.h"

namespace lora {
namespace {

using tokenizer::ChatTemplate;
using tokenizer::Message;
using tokenizer::Tokenizer;

// What stands before, between and behind the contents of a rendered conversation that ends with a question; nothing
// where one is missing or changed, or the template refuses it.
std::optional<std::vector<std::string>> around(const ChatTemplate& chat, const std::vector<Message>& messages) {
  std::string text;
  try {
    text = chat.render_text(messages, true).text;
  } catch (const base::Error&) {
    return std::nullopt;
  }
  std::vector<std::string> texts;
  std::size_t from = 0;
  for (const Message& message : messages) {
    const std::size_t place{text.find(message.content, from)};
    if (place == std::string::npos) return std::nullopt;
    texts.push_back(text.substr(from, place - from));
    from = place + message.content.size();
  }
  texts.push_back(text.substr(from));
  return texts;
}

// Questions and answers in turns, the last a question.
std::vector<Message> conversation(int questions, bool system) {
  std::vector<Message> messages;
  if (system) messages.push_back({"system", "Sy5tem w0rds"});
  for (int i = 0; i < questions; ++i) {
    if (i > 0) messages.push_back({"assistant", fmt::format("An5wer n{}", i)});
    messages.push_back({"user", fmt::format("Que5tion n{}", i)});
  }
  return messages;
}

// What `turns` would put there.
std::vector<std::string> expected(const TurnTexts& turns, int questions, bool system) {
  std::vector<std::string> texts;
  if (system) {
    texts = {turns.before_system, turns.after_system};
  } else {
    texts = {turns.begin};
  }
  for (int i = 1; i < questions; ++i) {
    texts.push_back(turns.before_answer);
    texts.push_back(turns.before_later);
  }
  texts.push_back(turns.before_new_answer);
  return texts;
}

bool holds(const TurnTexts& turns, const ChatTemplate& chat, int questions, bool system) {
  const auto texts = around(chat, conversation(questions, system));
  return texts && *texts == expected(turns, questions, system);
}

void without_bos(std::string& text, const Tokenizer& tokenizer) {
  if (!tokenizer.add_bos || !tokenizer.bos) return;
  const std::string bos = tokenizer.token(*tokenizer.bos);
  if (text.starts_with(bos)) text.erase(0, bos.size());
}

// An action that writes the text: nothing in it is trimmed or taken for an action.
std::string literal(const std::string& text) {
  if (text.empty()) return "";
  std::string quoted = "{{ \"";
  for (const char c : text) {
    if (c == '\n') {
      quoted += "\\n";
    } else if (static_cast<unsigned char>(c) < 32) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
  }
  return quoted + "\" }}";
}

// Runtimes put a BOS in front where the tokenizer asks for it, whatever the template does.
std::string bos_note(const ChatTemplate& chat, const Tokenizer& tokenizer) {
  if (!tokenizer.add_bos || !tokenizer.bos) return "";
  const std::string bos = tokenizer.token(*tokenizer.bos);
  const auto render = [&](const std::vector<Message>& messages, bool) {
    return tokenizer::jinja::Rendered{chat.render_text(messages, true).text, {}, {}};
  };
  if (render(tokenizer::question_for(render), true).text.starts_with(bos)) return "";
  return fmt::format(
      "note: llama.cpp and Ollama begin a conversation with {}, as the tokenizer asks, and the chat "
      "template, and so training, does not: a token more. Without it: llama-server --override-kv "
      "tokenizer.ggml.add_bos_token=bool:false\n",
      bos);
}

bool trims(const ChatTemplate& chat) { return !around(chat, {{"user", " padded \n"}}); }

}  // namespace

std::optional<TurnTexts> turn_texts(const ChatTemplate& chat, const Tokenizer& tokenizer, std::string& why) {
  const auto two = around(chat, conversation(2, false));
  if (!two) {
    why = "it does not write a question, an answer and another question one behind the other";
    return std::nullopt;
  }
  TurnTexts turns;
  turns.begin = (*two)[0], turns.before_answer = (*two)[1], turns.before_later = (*two)[2];
  turns.before_new_answer = (*two)[3];
  if (!holds(turns, chat, 1, false) || !holds(turns, chat, 4, false)) {
    why = "what it writes around a turn depends on the number of turns";
    return std::nullopt;
  }
  if (const auto system = around(chat, conversation(1, true))) {
    turns.has_system = true;
    turns.before_system = (*system)[0], turns.after_system = (*system)[1];
    for (const int questions : {1, 2, 3})
      if (!holds(turns, chat, questions, true)) {
        why = "what it writes for a system message depends on the number of turns";
        return std::nullopt;
      }
  }
  without_bos(turns.begin, tokenizer);
  without_bos(turns.before_system, tokenizer);
  return turns;
}

std::string go_template(const TurnTexts& turns) {
  const std::string begin = turns.has_system
                                ? "{{- if $.System }}" + literal(turns.before_system) + "{{ $.System }}" +
                                      literal(turns.after_system) + "{{ else }}" + literal(turns.begin) + "{{ end }}"
                                : literal(turns.begin);
  const std::string after = turns.before_answer == turns.before_new_answer
                                ? literal(turns.before_answer)
                                : "{{ if eq (len (slice $.Messages $i)) 1 }}" + literal(turns.before_new_answer) +
                                      "{{ else }}" + literal(turns.before_answer) + "{{ end }}";
  return "{{- $first := true }}\n{{- range $i, $_ := .Messages }}\n{{- if eq .Role \"user\" }}\n{{- if $first }}" +
         begin + "{{ $first = false }}{{ else }}" + literal(turns.before_later) + "{{ end }}{{ .Content }}" + after +
         "\n{{- else if eq .Role \"assistant\" }}{{ .Content }}\n{{- end }}\n{{- end }}";
}

Modelfile modelfile_of(const std::string& gguf, const Tokenizer& tokenizer) {
  Modelfile file{"FROM ./" + gguf + "\n", ""};
  if (tokenizer.chat_template.empty()) {
    file.text += "TEMPLATE \"\"\"{{ .Prompt }}\"\"\"\n";
    file.note =
        "note: the model has no chat template, and the Modelfile gives it the bare prompt; --chat-template names one\n";
    return file;
  }
  std::string why;
  std::optional<TurnTexts> turns;
  std::unique_ptr<ChatTemplate> chat;
  try {
    chat = tokenizer::chat_template_of(tokenizer);
    file.note = bos_note(*chat, tokenizer);
    turns = turn_texts(*chat, tokenizer, why);
  } catch (const base::Error& error) {
    why = error.what();
  }
  if (!turns) {
    file.note +=
        "note: Ollama's templates cannot say the model's (" + why +
        "): the Modelfile has none, and Ollama takes one that it thinks near. Exact: llama-server --jinja -m " + gguf +
        ", or train with one of ours, --chat-template chatml\n";
    return file;
  }
  file.text += "TEMPLATE \"\"\"" + go_template(*turns) + "\"\"\"\n";
  for (const std::int32_t id : chat->stop_ids()) {
    const std::string token = tokenizer.token(id);
    if (token.find('"') == std::string::npos) file.text += "PARAMETER stop \"" + token + "\"\n";
  }
  if (!turns->has_system)
    file.note += "note: the template has no place for a system message, and Ollama will drop one\n";
  if (trims(*chat)) file.note += "note: the template trims white space around a message, and Ollama's cannot\n";
  return file;
}

Modelfile modelfile_of_adapter(const std::string& adapter, const std::string& base, const Tokenizer& tokenizer) {
  Modelfile file = modelfile_of(adapter, tokenizer);
  const std::string from = base::is_gguf_name(base)
                               ? "FROM " + base + "\n"
                               : "# lora convert " + base::shell_word(base) + " --output BASE.gguf\nFROM ./BASE.gguf\n";
  file.text = from + "ADAPTER" + file.text.substr(std::string("FROM").size());
  return file;
}

}  // namespace lora
