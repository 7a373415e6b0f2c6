// `tokenizer chat`: a conversation in the model's chat format, the trained tokens marked. Tested by
// tests/tokenizer/program_test.cc.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/json_fault.h"
#include "base/json_values.h"
#include "base/terminal.h"
#include "base/text.h"
#include "tokenizer/chat/chat.h"
#include "tokenizer/chat/conversation.h"
#include "tokenizer/commands.h"
#include "tokenizer/record_texts.h"

namespace tokenizer {
namespace {

using json = nlohmann::ordered_json;

struct ChatOptions : InputOptions {
  bool generation_prompt = false;
  TemplateOptions chat;
  TrainOnOptions train_on;
  std::vector<std::string> roles;
  void visit(base::OptionVisitor& v) {
    InputOptions::visit(v);
    chat.visit(v);
    v("generation_prompt", generation_prompt, "end with the opening of an assistant turn");
    train_on.visit(v);
    v("roles", roles, "what else the data call a role: NAME=ROLE, ROLE one of system, user, assistant, tool");
  }
};

// The conversation as text with the trained tokens marked.
void print_marked(const Tokenizer& model, const Rendered& rendered, base::Context& context) {
  const bool colour = base::shows_colour(context.out);
  const char* open = colour ? "\033[32m" : "\u27E6";  // green, or white square brackets
  const char* close = colour ? "\033[0m" : "\u27E7";
  std::size_t trained = 0;
  for (std::size_t begin = 0; begin < rendered.ids.size();) {
    std::size_t end = begin;
    while (end < rendered.ids.size() && rendered.trained[end] == rendered.trained[begin]) ++end;
    const std::string text = model.decode({rendered.ids.begin() + begin, rendered.ids.begin() + end});
    rendered.trained[begin] ? context.out << open << text << close : context.out << text;
    if (rendered.trained[begin]) trained += end - begin;
    begin = end;
  }
  if (!context.quiet) fmt::print(context.err, "{} tokens, {} of them trained\n", rendered.ids.size(), trained);
}

// What a person would not see in the ids: each a line.
std::vector<std::string> warnings_of(const Tokenizer& model, const RenderedChat& chat, const Rendered& rendered,
                                     const std::vector<Message>& messages) {
  std::vector<std::string> warnings;
  const auto& ids = rendered.ids;
  if (model.bos && ids.size() > 1 && ids[0] == *model.bos && ids[1] == *model.bos)
    warnings.push_back(fmt::format("the text begins with {} twice", model.token(*model.bos)));
  if (model.add_bos && model.bos && !ids.empty() && ids[0] != *model.bos)
    warnings.push_back(
        fmt::format("the model's texts begin with {}, and the template writes none", model.token(*model.bos)));
  for (const std::size_t i : chat.dropped)
    warnings.push_back(fmt::format("the template leaves out message {} ({})", i + 1, messages[i].role));
  for (const std::size_t i : chat.shortened)
    warnings.push_back(fmt::format("the template writes a part of message {} ({}) alone", i + 1, messages[i].role));
  for (const std::size_t i : chat.without_end)
    warnings.push_back(fmt::format("message {} ends without an end token: the model will not learn to stop", i + 1));
  for (const std::string& name : chat.left_out)
    warnings.push_back(fmt::format("the template leaves out the member '{}'", name));
  if (rendered.specials_as_text > 0)
    warnings.push_back(
        fmt::format("{} special tokens that messages write out are read as characters", rendered.specials_as_text));
  return warnings;
}

// One record after the other, as text or JSON.
class Shower {
 public:
  Shower(const ChatOptions& options, base::Context& context)
      : options_(options),
        context_(context),
        model_(load(options.model)),
        chat_(chat_template_of(*model_, options.chat.chat_template)),
        roles_(role_map(options.roles)) {
    if (!chat_->missing_tokens().empty() && !context.quiet)
      fmt::print(context.err, "note: {} writes {}, which the tokenizer has no token for: plain characters\n",
                 chat_->source().name, base::join(chat_->missing_tokens(), ", "));
  }

  // Whether messages that are JSON text have a key twice.
  bool show(const json& record, const std::string& where) {
    const Conversation conversation = read(record, where);
    if (conversation.plain && !context_.quiet && !told_plain_) {
      told_plain_ = true;
      fmt::print(context_.err,
                 "note: {}: a prompt and its completion are trained as one text, without the template that is shown "
                 "here (finetune train --show-batch shows them)\n",
                 where);
    }
    const RenderedChat text = render(conversation, where);
    const Rendered rendered = encode_chat(*model_, text);
    const auto warnings = warnings_of(*model_, text, rendered, conversation.messages);
    if (context_.json) {
      json line = {{"ids", rendered.ids}, {"trained", rendered.trained}};
      if (!warnings.empty()) line["warnings"] = warnings;
      context_.out << base::json_dump(line) << "\n";
      return conversation.repeated_keys;
    }
    print_marked(*model_, rendered, context_);
    for (const std::string& warning : warnings) fmt::print(context_.err, "warning: {}: {}\n", where, warning);
    return conversation.repeated_keys;
  }

 private:
  Conversation read(const json& record, const std::string& where) const {
    Conversation conversation;
    const auto problem =
        read_conversation(record.is_array() ? json{{"messages", record}} : record, roles_, conversation);
    if (problem) throw placed(problem->facts, where);
    if (conversation.format == "text" || conversation.format == "preference")
      throw base::Error({"not one conversation", where, base::shortened(base::json_line(record)),
                         R"({"messages": [{"role": "user", "content": "..."}, ...]})", ""});
    return conversation;
  }

  RenderedChat render(const Conversation& conversation, const std::string& where) const {
    try {
      return chat_->render_text(conversation.messages, options_.generation_prompt, conversation.members,
                                options_.train_on.value());
    } catch (const base::Error& error) {
      throw placed(error.facts(), where);
    }
  }

  static base::Error placed(base::ErrorFacts facts, const std::string& where) {
    facts.where = facts.where.empty() ? where : where + ": " + facts.where;
    return base::Error(std::move(facts));
  }

  const ChatOptions& options_;
  base::Context& context_;
  std::unique_ptr<Tokenizer> model_;
  std::unique_ptr<ChatTemplate> chat_;
  RoleMap roles_;
  bool told_plain_ = false;
};

int run_chat(ChatOptions& options, base::Context& context) {
  const auto files = options.files(context);
  Shower shower(options, context);
  RepeatedKeys repeated_keys;
  for (const std::string& file : files) {
    // One JSON document (a conversation or its list of messages), else one record a line.
    const std::string text = base::read_text(file, "auto");
    bool repeated = false;
    const json whole = base::lenient_ordered_json(text, &repeated);
    if (!whole.is_discarded()) {
      const bool in_text = shower.show(whole, file);
      repeated_keys.add(repeated || in_text);
      continue;
    }
    std::size_t number = 0;
    for (const std::string& line : base::split(text, '\n')) {
      ++number;
      if (base::trim(line).empty()) continue;
      const std::string where = fmt::format("{}:{}", file, number);
      const json record = base::lenient_ordered_json(line, &repeated);
      if (record.is_discarded()) throw base::Error({"not valid JSON", where, base::json_fault(line), "", ""});
      const bool in_text = shower.show(record, where);
      repeated_keys.add(repeated || in_text);
    }
  }
  repeated_keys.say(context);
  return 0;
}

}  // namespace

base::Command chat_command() {
  return base::make_command<ChatOptions>(
      "chat", "a conversation in the model's chat format; trained tokens coloured or in \u27E6brackets\u27E7",
      "tokenizer chat --model smollm2.gguf conversations.jsonl", run_chat);
}

}  // namespace tokenizer
