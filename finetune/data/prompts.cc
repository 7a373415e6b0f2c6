// What a model is asked: one prompt a line of a .txt file, or records with a "prompt". Tested by
// tests/finetune/commands_test.cc and samples_test.cc.
#include "finetune/data/prompts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/inputs.h"
#include "base/json_values.h"
#include "base/text.h"
#include "finetune/data/data_report.h"
#include "tokenizer/chat/conversation.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPlainInput = "standard input is read as JSON lines; prompts as plain text: a .txt file";
constexpr const char* kExpected = "{\"prompt\": \"...\"}, or a list of messages that ends with a question";

// A list of messages, one message, or either as JSON text, as a cell of a table has it; nothing: a text.
std::optional<Json> messages_in(const Json& said) {
  const auto is_message = [](const Json& one) {
    return one.is_object() &&
           ((one.contains("role") && one.contains("content")) || (one.contains("from") && one.contains("value")));
  };
  if (is_message(said)) return Json::array({said});
  if (said.is_array()) return said;
  const std::string text = said.is_string() ? said.get<std::string>() : "";
  if (text.find_first_not_of(" \t\r\n") == std::string::npos || base::trim(text).front() != '[') return std::nullopt;
  const Json opened = base::lenient_ordered_json(text);
  const bool are_messages{opened.is_array() && !opened.empty() && std::ranges::all_of(opened, is_message)};
  return are_messages ? std::optional(opened) : std::nullopt;
}

// Throws base::Error, without the place.
Prompt prompt_of(Json record, const std::string& file, const tokenizer::RoleMap& roles, Prompts& prompts) {
  const auto no_prompt = [&](const Json& value) {
    return base::Error({"a record is not a prompt", "", base::shortened(base::json_line(value)), kExpected,
                        file == "-" ? kPlainInput : ""});
  };
  if (!record.is_object() || !record.contains("prompt")) throw no_prompt(record);
  const Json& said = record["prompt"];
  const std::optional<Json> messages = messages_in(said);
  if (!said.is_string() && !messages) throw no_prompt(said);
  Prompt prompt;
  prompt.shown = said.is_string() ? said.get<std::string>() : base::json_line(said);
  const Json turn = {{"role", "user"}, {"content", said}};
  Json asked = {{"messages", messages ? *messages : Json::array({turn})}};
  for (const auto& [name, value] : record.items()) {
    if (name == "prompt" || name == "id" || name == "source" || value.is_null()) continue;
    const tokenizer::Meaning meaning = tokenizer::meaning_of(name, tokenizer::Holder::kRecord);
    if (name == "system" || meaning == tokenizer::Meaning::kSaid || meaning == tokenizer::Meaning::kTools)
      asked[name] = value;
    else
      count(prompts.unused, name);
  }
  tokenizer::Conversation conversation;
  if (const auto problem = tokenizer::read_conversation(asked, roles, conversation)) throw base::Error(problem->facts);
  if (conversation.messages.back().role == "assistant") throw no_prompt(said);
  prompt.messages = std::move(conversation.messages);
  prompt.members = std::move(conversation.members);
  return prompt;
}

}  // namespace

std::string Prompts::notes() const {
  std::string text;
  if (repeated_keys > 0) text += base::repeated_keys_note(repeated_keys) + "\n";
  if (!unused.empty()) text += "members of prompts that nothing here reads: " + counted(unused) + "\n";
  if (!left_out.empty())
    text += "members of messages that the chat template does not write, and their prompts: " + counted(left_out) + "\n";
  return text;
}

Prompts read_prompts(const std::string& file, const base::TextOptions& text, const std::vector<std::string>& roles) {
  const tokenizer::RoleMap known = tokenizer::role_map(roles);
  base::RecordOptions records;
  records.split_text = "line";
  records.text_field = "prompt";
  records.text = text;
  records.bytes_are_text = true;
  base::BlockReader reader(base::expand_inputs({file}), records);
  Prompts prompts;
  std::vector<base::BadBytes> bad;
  auto place_of = [&](const base::Place& place) { return file + ":" + base::line_text(place); };
  while (auto block = reader.next(bad)) {
    base::for_each_line(*block, [&](std::string_view line, const base::Place& place) {
      bool repeated = false;
      try {
        Json record = base::lenient_ordered_json(line, &repeated);
        if (record.is_discarded()) record = std::string(line);
        prompts.all.push_back(prompt_of(std::move(record), file, known, prompts));
      } catch (const base::Error& error) {
        base::ErrorFacts facts = error.facts();
        facts.where = place_of(place) + (facts.where.empty() ? "" : ": " + facts.where);
        throw base::Error(facts);
      }
      prompts.repeated_keys += repeated;
      prompts.all.back().place = place_of(place);
    });
  }
  if (!bad.empty()) throw base::Error("a prompt cannot be read: " + bad[0].error, place_of(bad[0].place));
  if (prompts.all.empty()) throw base::Error({"no prompt in the file", file, "", "", ""});
  return prompts;
}

std::vector<std::int32_t> ids_of(const Prompt& prompt, const tokenizer::ChatTemplate* chat,
                                 const tokenizer::Tokenizer& tokenizer, bool allow_special,
                                 std::map<std::string, std::uint64_t>* left_out) {
  try {
    if (chat) {
      const tokenizer::RenderedChat text = chat->render_text(prompt.messages, true, prompt.members);
      if (left_out)
        for (const std::string& name : text.left_out) count(*left_out, name);
      return tokenizer::encode_chat(tokenizer, text).ids;
    }
  } catch (const base::Error& error) {
    base::ErrorFacts facts = error.facts();
    facts.where = prompt.place + (facts.where.empty() ? "" : ": " + facts.where);
    throw base::Error(facts);
  }
  if (prompt.messages.size() > 1 || prompt.messages[0].role != "user" || !prompt.members.empty())
    throw base::Error({"messages need a chat template", prompt.place, base::shortened(prompt.shown), "a text",
                       "prompts that are texts, or a chat template (not --raw; --chat-template)"});
  return tokenizer::encode_from_start(tokenizer, prompt.messages[0].content, allow_special);
}

}  // namespace finetune
