// Renders conversations with a model's chat template and encodes them. Tested by tests/tokenizer/chat_test.cc and
// turns_test.cc.
#include "tokenizer/chat/chat.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <deque>

#include "base/error.h"
#include "base/text.h"

namespace tokenizer {
namespace {

using jinja::Json;
using jinja::Span;

// Members of a record that the template gets as variables, as in transformers.
constexpr std::array<std::string_view, 2> kVariables = {"tools", "documents"};
constexpr std::string_view kKeywords = "chat_template_kwargs";

bool says_nothing(const Member& member) {
  static constexpr std::array kNothing = {"[]", "{}", "\"\"", "\"[]\"", "\"{}\"", "null"};
  return std::ranges::find(kNothing, member.json) != kNothing.end();
}

bool is_flag(const Member& member) {
  const Meaning meaning = meaning_of(member.name, Holder::kMessage);
  return meaning == Meaning::kFlag || meaning == Meaning::kPartFlag;
}

// Data sets keep tools as JSON or as a text of JSON.
Json value_of(const Member& member) {
  Json value = Json::parse(member.json);
  if (!value.is_string() || meaning_of(member.name, Holder::kRecord) != Meaning::kTools) return value;
  Json inner = Json::parse(value.get_ref<const std::string&>(), nullptr, false);
  return inner.is_array() || inner.is_object() ? inner : value;
}

// Names of an answer's thoughts. transformers gives them under two of them, whatever the data call them.
constexpr std::array<std::string_view, 3> kThoughts = {"reasoning_content", "thinking", "reasoning"};
bool is_thought(std::string_view name) { return std::ranges::find(kThoughts, name) != kThoughts.end(); }

Json with_thoughts(Json message) {
  for (const std::string_view name : kThoughts) {
    const auto found = message.find(name);
    if (found == message.end() || found->is_null()) continue;
    const Json thoughts = *found;
    Json named = {{"thinking", thoughts}};
    named.update(message);
    named["reasoning_content"] = thoughts;
    return named;
  }
  return message;
}

Json json_of(const Message& message) {
  Json one = {{"role", message.role}, {"content", message.has_content ? Json(message.content) : Json(nullptr)}};
  for (const Member& member : message.members)
    if (!is_flag(member)) one[member.name] = Json::parse(member.json);
  return with_thoughts(std::move(one));
}

// The messages as a template takes them: those that hold more than role and text as JSON, which `jsons` keeps.
std::vector<jinja::GivenMessage> given(const std::vector<Message>& messages, std::deque<Json>& jsons) {
  std::vector<jinja::GivenMessage> list;
  list.reserve(messages.size());
  for (const Message& message : messages) {
    list.push_back({message.role, message.content});
    if (!message.has_content || !std::ranges::all_of(message.members, is_flag))
      list.back().all = &jsons.emplace_back(json_of(message));
  }
  return list;
}

// What nothing is a special token in. The name of a role is not: it is one of four, and templates make tokens of it
// ("<|" + role + "|>").
std::vector<ByteRange> data_of(const jinja::Rendered& chat) {
  static constexpr std::array<std::string_view, 4> kRoles = {"system", "user", "assistant", "tool"};
  std::vector<ByteRange> data;
  for (const Span& span : chat.spans) {
    if (!span.data) continue;
    const std::string_view text = std::string_view(chat.text).substr(span.begin, span.end - span.begin);
    const bool is_role = span.member != Span::kNone && chat.members[span.member] == "role";
    if (is_role && std::ranges::find(kRoles, text) != kRoles.end()) continue;
    if (!data.empty() && data.back().end == span.begin)
      data.back().end = span.end;
    else
      data.push_back({span.begin, span.end});
  }
  return data;
}

// What of the messages was not written: whole messages, and members that were not.
void note_left_out(const jinja::Rendered& chat, const std::vector<Message>& messages, RenderedChat& result) {
  std::vector<bool> written(messages.size());
  std::vector<std::pair<std::int32_t, std::string_view>> members;
  for (const Span& span : chat.spans) {
    if (span.origin == Span::kNone) continue;
    const std::string_view name = span.member == Span::kNone ? "" : std::string_view(chat.members[span.member]);
    if (name != "role") written[span.origin] = true;
    if (name != "role" && name != "content") members.emplace_back(span.origin, name);
  }
  std::ranges::sort(members);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!written[i] && !messages[i].content.empty()) result.dropped.push_back(i);
    for (const Member& member : messages[i].members) {
      const auto is_written = [&](std::string_view name) {
        return std::ranges::binary_search(members, std::pair(static_cast<std::int32_t>(i), name));
      };
      const bool found = is_thought(member.name) ? std::ranges::any_of(kThoughts, is_written) : is_written(member.name);
      if (!is_flag(member) && !says_nothing(member) && !found) result.left_out.push_back(member.name);
    }
  }
  std::ranges::sort(result.left_out);
  result.left_out.erase(std::unique(result.left_out.begin(), result.left_out.end()), result.left_out.end());
}

}  // namespace

bool is_said(const Member& member, Holder holder) {
  const Meaning meaning = meaning_of(member.name, holder);
  return (meaning == Meaning::kTools || meaning == Meaning::kSaid) && !says_nothing(member);
}

ChatTemplate::ChatTemplate(const Tokenizer& tokenizer, TemplateSource source)
    : tokenizer_(tokenizer), source_(std::move(source)), template_(source_.jinja, source_.name) {
  const auto add = [&](const char* name, const std::optional<std::int32_t>& id) {
    if (id) settings_.emplace_back(name, tokenizer.token(*id));
  };
  add("bos_token", tokenizer.bos);
  add("eos_token", tokenizer.eos);
  add("pad_token", tokenizer.pad);
  add("unk_token", tokenizer.unknown);
  const auto render = [&](const std::vector<Message>& messages, bool generation_prompt) {
    return run(messages, generation_prompt, {});
  };
  shape_ = shape_of(render, template_.marks_generation(), tokenizer);
  find_missing_tokens();
  const std::string tail(base::trim(shape_.tail));
  if (!shape_.end && tail.starts_with('<') && tail.ends_with('>'))
    throw base::Error({"the chat template does not fit the tokenizer: what ends a turn is none of its special tokens",
                       source_.name, tail, "a special token of that name",
                       "take template and tokenizer from the same model, or a template that ends answers with the "
                       "end-of-text token: --chat-template zephyr, vicuna or alpaca"});
}

void ChatTemplate::find_missing_tokens() {
  static const re2::RE2 kTokenLike(R"((<\|[^|<>\s]{1,40}\|>|<(?:start|end)_of_turn>))");
  const jinja::Rendered chat = run({{"user", "question"}, {"assistant", "answer"}}, true, {});
  std::string found;
  re2::StringPiece rest(chat.text);
  while (re2::RE2::FindAndConsume(&rest, kTokenLike, &found))
    if (!tokenizer_.id_of(found) && std::ranges::find(missing_, found) == missing_.end()) missing_.push_back(found);
}

jinja::Rendered ChatTemplate::run(const std::vector<Message>& messages, bool generation_prompt,
                                  const std::vector<Member>& record) const {
  static const Json kTrue = true, kFalse = false, kNull = nullptr;
  std::deque<Json> jsons;
  const std::vector<jinja::GivenMessage> list = given(messages, jsons);
  std::vector<std::pair<std::string, Json>> extra;
  for (const Member& member : record) {
    if (says_nothing(member)) continue;
    if (std::ranges::find(kVariables, member.name) != kVariables.end())
      extra.emplace_back(member.name, value_of(member));
    if (member.name != kKeywords) continue;
    const Json keywords = Json::parse(member.json);
    for (const auto& [name, value] : keywords.items()) extra.emplace_back(name, value);
  }
  std::vector<jinja::Variable> variables;
  variables.reserve(2 + settings_.size() + kVariables.size() + extra.size());
  variables.push_back({"messages", nullptr, jinja::Role::kMessages, list});
  variables.push_back({"add_generation_prompt", generation_prompt ? &kTrue : &kFalse});
  for (const auto& [name, value] : settings_) variables.push_back({name, &value});
  for (const std::string_view name : kVariables)
    if (std::ranges::none_of(extra, [&](const auto& one) { return one.first == name; }))
      variables.push_back({name, &kNull});
  for (const auto& [name, value] : extra) variables.push_back({name, &value, jinja::Role::kData});
  return template_.render(variables);
}

void ChatTemplate::check_known(const std::vector<Member>& members, Holder holder) const {
  for (const Member& member : members) {
    // A link from an answer of a tool to its call: most templates go by order.
    if (!is_said(member, holder) || member.name == "tool_call_id") continue;
    const bool in_message = holder == Holder::kMessage;
    const bool is_variable = member.name == kKeywords || std::ranges::find(kVariables, member.name) != kVariables.end();
    const auto is_named = [&](std::string_view name) { return source_.jinja.find(name) != std::string::npos; };
    if (in_message ? is_named(member.name) || (is_thought(member.name) && std::ranges::any_of(kThoughts, is_named))
                   : is_variable && (member.name == kKeywords || template_.reads(member.name)))
      continue;
    const bool tools = meaning_of(member.name, holder) == Meaning::kTools;
    throw base::Error(
        {tools ? "the chat template cannot render tools"
               : fmt::format("the chat template cannot render a member of {}", in_message ? "a message" : "the record"),
         member.name, base::shortened(member.json), in_message ? "role and content" : "messages alone",
         tools ? "leave such conversations out, or take a template that knows tools (--chat-template)"
               : "take it out, or write it into the content"});
  }
}

void ChatTemplate::check_keywords(const std::vector<Member>& record) const {
  for (const Member& member : record) {
    if (member.name != kKeywords || says_nothing(member)) continue;
    const Json keywords = Json::parse(member.json);
    if (!keywords.is_object())
      throw base::Error({"chat_template_kwargs are no object", member.name, base::shortened(member.json),
                         R"({"enable_thinking": false})", ""});
    for (const auto& [name, value] : keywords.items())
      if (name == "messages" || name == "add_generation_prompt" || !template_.reads(name))
        throw base::Error({"the chat template has no such setting", std::string(kKeywords), name,
                           "a variable that the template reads", "take it out"});
  }
}

RenderedChat ChatTemplate::render_text(const std::vector<Message>& messages, bool generation_prompt,
                                       const std::vector<Member>& record, TrainOn train_on) const {
  check_known(record, Holder::kRecord);
  check_keywords(record);
  for (const Message& message : messages) check_known(message.members, Holder::kMessage);
  jinja::Rendered chat = run(messages, generation_prompt, record);
  RenderedChat result;
  result.data = data_of(chat);
  TrainedBytes trained = trained_bytes(chat, messages, shape_, tokenizer_, train_on);
  result.trained = std::move(trained.ranges);
  result.without_end = std::move(trained.without_end);
  note_left_out(chat, messages, result);
  result.text = std::move(chat.text);
  return result;
}

std::vector<std::int32_t> ChatTemplate::stop_ids() const {
  std::vector<std::int32_t> ids = tokenizer_.end_ids();
  if (shape_.end && std::ranges::find(ids, *shape_.end) == ids.end()) ids.push_back(*shape_.end);
  return ids;
}

Rendered encode_chat(const Tokenizer& tokenizer, const RenderedChat& chat) {
  Encoding encoding = tokenizer.encode_with_offsets(chat.text, chat.data);
  Rendered rendered{std::move(encoding.ids), {}, encoding.specials_as_text};
  rendered.trained.reserve(rendered.ids.size());
  auto range = chat.trained.begin();
  for (const ByteRange& offsets : encoding.offsets) {
    while (range != chat.trained.end() && range->end <= offsets.begin) ++range;
    // A token of no byte ("▁" put in front) counts with what follows it.
    const std::size_t end = std::max(offsets.end, offsets.begin + 1);
    rendered.trained.push_back(range != chat.trained.end() && range->begin < end);
  }
  return rendered;
}

std::unique_ptr<ChatTemplate> chat_template_of(const Tokenizer& tokenizer, const std::string& choice) {
  return std::make_unique<ChatTemplate>(tokenizer, template_source(tokenizer, choice));
}

}  // namespace tokenizer
