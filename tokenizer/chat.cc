#include "tokenizer/chat.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text.h"

namespace tokenizer {
namespace {

// The templates that ChatMl renders, as the models write them, and the system message that they add of themselves.
struct KnownTemplate {
  std::string_view jinja;
  std::string_view default_system;  // empty: none
};
constexpr std::array kKnownTemplates = {
    KnownTemplate{
        // SmolLM2 Instruct
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
        "'<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% "
        "endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% "
        "if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
    KnownTemplate{
        // ChatML as transformers' setup_chat_format and many fine-tunes write it
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
        "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        ""},
};

std::int32_t special(const Tokenizer& tokenizer, const char* token) {
  const auto id = tokenizer.id_of(token);
  if (!id || !tokenizer.is_special(*id))
    throw base::Error({"the chat template does not fit the tokenizer", "", token, "a special token of that name",
                       "take template and tokenizer from the same model"});
  return *id;
}

class ChatMl : public ChatTemplate {
 public:
  ChatMl(const Tokenizer& tokenizer, std::string_view default_system)
      : tokenizer_(tokenizer),
        default_system_(default_system),
        start_(special(tokenizer, "<|im_start|>")),
        end_(special(tokenizer, "<|im_end|>")),
        newline_(tokenizer.encode("\n")) {}

  Rendered render(const std::vector<Message>& messages, bool generation_prompt) const override {
    Rendered rendered;
    if (!default_system_.empty() && !messages.empty() && messages[0].role != "system")
      add_message({"system", default_system_}, rendered);
    for (const Message& message : messages) add_message(message, rendered);
    if (generation_prompt) add_text(start_, "assistant\n", std::string::npos, rendered);
    return rendered;
  }

  std::vector<std::int32_t> stop_ids() const override {
    std::vector<std::int32_t> ids = {end_};
    if (tokenizer_.eos && *tokenizer_.eos != end_) ids.push_back(*tokenizer_.eos);
    return ids;
  }

 private:
  void add_message(const Message& message, Rendered& rendered) const {
    static constexpr std::array<std::string_view, 3> kRoles = {"system", "user", "assistant"};
    if (std::ranges::find(kRoles, message.role) == kRoles.end())
      throw base::Error(
          {"unknown role in a conversation", "", base::shortened(message.role, 40), "system, user or assistant", ""});
    const bool trained = message.role == "assistant";
    const std::string header = message.role + "\n";
    add_text(start_, header + message.content, trained ? header.size() : std::string::npos, rendered);
    // The end token is trained: the model must learn to stop. The line end after it is not: nothing ever asks for it,
    // generation has ended.
    rendered.ids.push_back(end_);
    rendered.trained.push_back(trained);
    rendered.ids.insert(rendered.ids.end(), newline_.begin(), newline_.end());
    rendered.trained.resize(rendered.ids.size(), 0);
  }

  // Role and content are encoded as one text, as in the template: a token may hold the end of one and the beginning of
  // the other (a content that begins with a line end). Such a token counts as content.
  void add_text(std::int32_t start, const std::string& text, std::size_t trained_from, Rendered& rendered) const {
    rendered.ids.push_back(start);
    rendered.trained.push_back(0);
    const std::vector<std::int32_t> ids = tokenizer_.encode(text, /*parse_special=*/false);
    std::size_t header_tokens = ids.size();
    if (trained_from != std::string::npos) {
      std::vector<std::int32_t> head;
      for (header_tokens = 0; header_tokens < ids.size(); ++header_tokens) {
        head.push_back(ids[header_tokens]);
        if (tokenizer_.decode(head).size() > trained_from) break;
      }
    }
    rendered.ids.insert(rendered.ids.end(), ids.begin(), ids.end());
    rendered.trained.resize(rendered.trained.size() + header_tokens, 0);
    rendered.trained.resize(rendered.ids.size(), 1);
  }

  const Tokenizer& tokenizer_;
  std::string default_system_;
  std::int32_t start_, end_;
  std::vector<std::int32_t> newline_;
};

}  // namespace

std::unique_ptr<ChatTemplate> chat_template_of(const Tokenizer& tokenizer) {
  for (const KnownTemplate& known : kKnownTemplates)
    if (base::trim(tokenizer.chat_template) == base::trim(known.jinja))
      return std::make_unique<ChatMl>(tokenizer, known.default_system);
  throw base::Error({tokenizer.chat_template.empty() ? "the model has no chat template"
                                                     : "the model's chat template is not supported",
                     "", base::shortened(tokenizer.chat_template, 120), "ChatML, as SmolLM2 Instruct writes it",
                     "train on plain text, or on prompts rendered beforehand"});
}

}  // namespace tokenizer
