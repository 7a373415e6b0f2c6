#include "tokenizer/chat/chat.h"

#include <fmt/format.h>

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
      : ChatTemplate(tokenizer), default_system_(default_system), end_(special(tokenizer, kEnd)) {
    special(tokenizer, kStart);
  }

  RenderedChat render_text(const std::vector<Message>& messages, bool generation_prompt) const override {
    RenderedChat chat;
    if (!default_system_.empty() && !messages.empty() && messages[0].role != "system")
      chat.text = std::string(kStart) + "system\n" + default_system_ + kEnd + "\n";
    for (std::size_t i = 0; i < messages.size(); ++i) add_message(messages[i], i, chat);
    if (generation_prompt) chat.text += std::string(kStart) + "assistant\n";
    return chat;
  }

  std::vector<std::int32_t> stop_ids() const override {
    std::vector<std::int32_t> ids = tokenizer_.end_ids();
    if (std::ranges::find(ids, end_) == ids.end()) ids.push_back(end_);
    return ids;
  }

 private:
  static constexpr const char *kStart = "<|im_start|>", *kEnd = "<|im_end|>";

  static void add_message(const Message& message, std::size_t index, RenderedChat& chat) {
    static constexpr std::array<std::string_view, 3> kRoles = {"system", "user", "assistant"};
    if (message.role == "tool")
      throw base::Error({"the chat template cannot render tools", "role", "tool", "system, user or assistant",
                         "leave such conversations out, or take a model whose template knows tools"});
    if (std::ranges::find(kRoles, message.role) == kRoles.end())
      throw base::Error({"unknown role in a conversation", "", base::shortened(message.role, 40),
                         "system, user or assistant", "say what it stands for: --roles NAME=ROLE"});
    check_renderable(message.members, Holder::kMessage);
    const bool trained = message.trained.value_or(message.role == "assistant");
    chat.text += kStart + message.role + "\n";
    const auto add = [&](std::string_view text, bool data) {
      if (!text.empty()) chat.spans.push_back({chat.text.size(), chat.text.size() + text.size(), index, data, trained});
      chat.text += text;
    };
    add(message.content, true);
    // The end token is trained: the model must learn to stop. The line end after it is not: nothing ever asks for it,
    // generation has ended.
    add(kEnd, false);
    chat.text += '\n';
  }

  std::string default_system_;
  std::int32_t end_;
};

}  // namespace

void check_renderable(const std::vector<Member>& members, Holder holder) {
  static constexpr std::array kNothing = {"[]", "{}", "\"\"", "\"[]\"", "\"{}\""};
  for (const Member& member : members) {
    const Meaning meaning = meaning_of(member.name, holder);
    const bool tools = meaning == Meaning::kTools;
    if ((!tools && meaning != Meaning::kSaid) || std::ranges::find(kNothing, member.json) != kNothing.end()) continue;
    throw base::Error({tools ? "the chat template cannot render tools"
                             : fmt::format("the chat template cannot render a member of {}",
                                           holder == Holder::kMessage ? "a message" : "the record"),
                       member.name, base::shortened(member.json),
                       holder == Holder::kMessage ? "role and content" : "messages alone",
                       tools ? "leave such conversations out, or take a model whose template knows tools"
                             : "take it out, or write it into the content"});
  }
}

Rendered encode_chat(const Tokenizer& tokenizer, const RenderedChat& chat) {
  std::vector<ByteRange> data, trained;
  for (const RenderedChat::Span& span : chat.spans) {
    if (span.data) data.push_back({span.begin, span.end});
    if (span.trained) trained.push_back({span.begin, span.end});
  }
  Encoding encoding = tokenizer.encode_with_offsets(chat.text, data);
  Rendered rendered{std::move(encoding.ids), {}, encoding.specials_as_text};
  rendered.trained.reserve(rendered.ids.size());
  auto span = trained.begin();
  for (const ByteRange& offsets : encoding.offsets) {
    while (span != trained.end() && span->end <= offsets.begin) ++span;
    // A token of no byte ("▁" put in front) counts with what follows it.
    const std::size_t end = std::max(offsets.end, offsets.begin + 1);
    rendered.trained.push_back(span != trained.end() && span->begin < end);
  }
  return rendered;
}

std::unique_ptr<ChatTemplate> chat_template_of(const Tokenizer& tokenizer) {
  for (const KnownTemplate& known : kKnownTemplates)
    if (base::trim(tokenizer.chat_template) == base::trim(known.jinja))
      return std::make_unique<ChatMl>(tokenizer, known.default_system);
  throw base::Error(
      {tokenizer.chat_template.empty() ? "the model has no chat template"
                                       : "the model's chat template is not supported",
       "", base::shortened(tokenizer.chat_template, 120), "ChatML, as SmolLM2 Instruct writes it",
       "train on plain text, or on prompts rendered beforehand (with --allow-special, which reads their special "
       "tokens as such)"});
}

}  // namespace tokenizer
