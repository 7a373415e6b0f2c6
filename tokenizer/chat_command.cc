// `tokenizer chat`: a conversation in the model's chat format, the trained tokens marked.
#include <fmt/format.h>
#include <fmt/ostream.h>
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/json_text.h"
#include "base/text.h"
#include "tokenizer/chat/chat.h"
#include "tokenizer/chat/conversation.h"
#include "tokenizer/commands.h"
#include "tokenizer/record_texts.h"

namespace tokenizer {
namespace {

using nlohmann::json;

struct ChatOptions : InputOptions {
  bool generation_prompt = false;
  std::vector<std::string> roles;
  void visit(base::OptionVisitor& v) {
    InputOptions::visit(v);
    v("generation_prompt", generation_prompt, "end with the opening of an assistant turn");
    v("roles", roles, "what else the data call a role: NAME=ROLE, ROLE one of system, user, assistant, tool");
  }
};

// The conversation as text with the trained tokens marked.
void print_marked(const Tokenizer& model, const Rendered& rendered, base::Context& context) {
  const bool colour = &context.out == &std::cout && isatty(STDOUT_FILENO);
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

int run_chat(ChatOptions& options, base::Context& context) {
  const auto files = options.files(context);
  const auto model = load(options.model);
  const auto chat = chat_template_of(*model);
  const auto roles = role_map(options.roles);
  const auto show = [&](const json& record, const std::string& where) {
    Conversation conversation;
    const auto problem =
        read_conversation(record.is_array() ? json{{"messages", record}} : record, roles, conversation);
    if (problem) {
      base::ErrorFacts facts = problem->facts;
      facts.where = facts.where.empty() ? where : where + ": " + facts.where;
      throw base::Error(facts);
    }
    if (conversation.format == "text" || conversation.format == "preference")
      throw base::Error({"not one conversation", where, base::shortened(record.dump(-1, ' ', true)),
                         R"({"messages": [{"role": "user", "content": "..."}, ...]})", ""});
    check_renderable(conversation.members, Holder::kRecord);
    const auto rendered = chat->render(conversation.messages, options.generation_prompt);
    if (!context.json) return print_marked(*model, rendered, context);
    context.out << json{{"ids", rendered.ids}, {"trained", rendered.trained}}.dump() << "\n";
  };
  RepeatedKeys repeated_keys;
  for (const std::string& file : files) {
    // One JSON document (a conversation or its list of messages), else one record a line.
    const std::string text = base::read_text(file, "auto");
    bool repeated = false;
    const json whole = base::lenient_json(text, &repeated);
    if (!whole.is_discarded()) {
      repeated_keys.add(repeated);
      show(whole, file);
      continue;
    }
    std::size_t number = 0;
    for (const std::string& line : base::split(text, '\n')) {
      ++number;
      if (base::trim(line).empty()) continue;
      const std::string where = fmt::format("{}:{}", file, number);
      const json record = base::lenient_json(line, &repeated);
      if (record.is_discarded()) throw base::Error({"not valid JSON", where, base::shortened(line), "", ""});
      repeated_keys.add(repeated);
      show(record, where);
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
