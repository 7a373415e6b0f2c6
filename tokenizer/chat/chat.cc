// Renders conversations with a model's chat template and encodes them. Tested by tests/tokenizer/chat_test.cc and
// turns_test.cc.
#include "tokenizer/chat/chat.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <list>
#include <utility>

#include "base/error.h"
#include "base/json_values.h"
#include "base/text.h"
#include "base/unicode.h"

namespace tokenizer {
namespace {

using jinja::Json;
using jinja::Span;

// Members of a record that the template gets as variables, as in transformers.
constexpr std::array<std::string_view, 2> kVariables = {"tools", "documents"};
constexpr std::string_view kKeywords = "chat_template_kwargs";
constexpr const char* kTool =
    R"([{"type":"function","function":{"name":"f","description":"f","parameters":{"type":"object","properties":{},"required":[]}}}])";

bool says_nothing(const Member& member) {
  static constexpr std::array kNothing = {"[]", "{}", "\"\"", "\"[]\"", "\"{}\"", "null"};
  return std::ranges::find(kNothing, member.json) != kNothing.end();
}

bool has_tools(const Member& member) { return member.name == "tools" && !says_nothing(member); }

bool is_flag(const Member& member) {
  const Meaning meaning = meaning_of(member.name, Holder::kMessage);
  return meaning == Meaning::kFlag || meaning == Meaning::kPartFlag;
}

// Data sets keep tools as JSON or as a text of JSON.
std::string json_of(const Member& member) {
  if (!member.json.starts_with('"') || meaning_of(member.name, Holder::kRecord) != Meaning::kTools) return member.json;
  std::string text = Json::parse(member.json);
  const std::string_view first = base::trim(text).substr(0, 1);
  const bool is_json{(first == "[" || first == "{") && !base::lenient_ordered_json(text).is_discarded()};
  return is_json ? std::move(text) : member.json;
}

// As tools, which data sets keep as a text of JSON too (Parquet would unite the objects of its column).
Json keywords_of(const Member& member) {
  Json value = base::lenient_ordered_json(member.json);
  return value.is_string() ? base::lenient_ordered_json(value.get<std::string>()) : value;
}

// Names of an answer's thoughts. transformers gives them under two of them, whatever the data call them.
constexpr std::array<std::string_view, 3> kThoughts = {"reasoning_content", "thinking", "reasoning"};
bool is_thought(std::string_view name) { return std::ranges::find(kThoughts, name) != kThoughts.end(); }

const Member* thoughts_of(const Message& message) {
  if (message.members.empty()) return nullptr;
  for (const std::string_view name : kThoughts)
    for (const Member& member : message.members)
      if (member.name == name && member.json != "null") return &member;
  return nullptr;
}

// The messages as a template takes them. Valid until the thread's next rendering, and as long as the messages.
class GivenMessages {
 public:
  std::span<const jinja::GivenMessage> of(const std::vector<Message>& messages) {
    members_.clear();
    ends_.clear();
    for (const Message& message : messages) {
      add(message);
      ends_.push_back(members_.size());
    }
    messages_.clear();
    std::size_t begin = 0;
    for (const std::size_t end : ends_) {
      messages_.emplace_back(members_.data() + begin, end - begin);
      begin = end;
    }
    return messages_;
  }

 private:
  void add(const Message& message) {
    const Member* thoughts = thoughts_of(message);
    if (thoughts) members_.push_back({"thinking", thoughts->json, true});
    members_.push_back({"role", message.role});
    // Left out where it is null, as transformers 5.23 does: templates write "None" or fail.
    if (message.has_content) members_.push_back({"content", message.content});
    for (const Member& member : message.members)
      if (!is_flag(member)) members_.push_back({member.name, member.json, true});
    if (thoughts) members_.push_back({"reasoning_content", thoughts->json, true});
  }

  std::vector<jinja::GivenMember> members_;
  std::vector<std::size_t> ends_;
  std::vector<jinja::GivenMessage> messages_;
};

// What nothing is a special token in. The name of a role is not: it is one of four, and templates make tokens of it
// ("<|" + role + "|>").
void find_data(const jinja::Rendered& chat, std::vector<ByteRange>& data) {
  static constexpr std::array<std::string_view, 4> kRoles = {"system", "user", "assistant", "tool"};
  data.clear();
  data.reserve(chat.spans.size() / 2 + 1);  // mostly every second span is the template's
  for (const Span& span : chat.spans) {
    if (!span.data) continue;
    const std::string_view text = std::string_view(chat.text).substr(span.begin, span.end - span.begin);
    const bool is_role = span.member == jinja::Rendered::kRole;
    if (is_role && std::ranges::find(kRoles, text) != kRoles.end()) continue;
    if (!data.empty() && data.back().end == span.begin)
      data.back().end = span.end;
    else
      data.push_back({span.begin, span.end});
  }
}

// Code points but white space, which templates trim.
std::size_t count_inked(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size();) count += !base::is_space(base::next_code_point(text, i));
  return count;
}

// What of the messages was not written: whole messages, parts of their words, and members that were not.
void note_left_out(const jinja::Rendered& chat, const std::vector<Message>& messages, RenderedChat& result) {
  constexpr std::size_t kAll = std::string_view::npos;
  static thread_local std::vector<std::size_t> written;  // of the words of each message; most are written as they are
  written.assign(messages.size(), 0);
  std::vector<std::pair<std::int32_t, std::string_view>> members;
  for (const Span& span : chat.spans) {
    if (span.origin == Span::kNone || span.member == jinja::Rendered::kRole) continue;
    if (span.member != jinja::Rendered::kContent) {
      members.emplace_back(span.origin, span.member == Span::kNone ? "" : std::string_view(chat.members[span.member]));
    } else if (std::size_t& words = written[span.origin]; words != kAll) {
      const std::string_view text = std::string_view(chat.text).substr(span.begin, span.end - span.begin);
      words = text == messages[span.origin].content ? kAll : words + count_inked(text);
    }
  }
  std::ranges::sort(members);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::size_t words = written[i] == kAll ? 0 : count_inked(messages[i].content);
    if (written[i] < words) (written[i] == 0 ? result.dropped : result.shortened).push_back(i);
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
  if (!tokenizer.template_date.empty()) clock_.now = noon_of(tokenizer.template_date);
  const auto add = [&](const char* name, const std::optional<std::int32_t>& id) {
    if (id && template_.reads(name)) settings_.emplace_back(name, tokenizer.token(*id));
  };
  add("bos_token", tokenizer.bos);
  add("eos_token", tokenizer.eos);
  add("pad_token", tokenizer.pad);
  add("unk_token", tokenizer.unknown);
  for (const std::string_view name : kVariables)
    if (template_.reads(name)) settings_.emplace_back(name, nullptr);
  std::vector<Member> record;
  const RenderProbe render = [&](const std::vector<Message>& messages, bool generation_prompt) {
    jinja::Rendered chat;
    run(messages, generation_prompt, record, chat);
    return chat;
  };
  const auto shape = [&] {
    return std::make_shared<TurnShape>(shape_of(render, template_.marks_generation(), tokenizer));
  };
  try {
    shape_ = shape();
  } catch (const base::Error&) {  // some are for conversations with tools alone
    if (!template_.reads("tools")) throw;
    record.push_back({"tools", kTool});
    try {
      shape_ = shape();
    } catch (const base::Error&) {
      record.clear();
    }
    if (record.empty()) throw;  // the first says more
  }
  find_missing_tokens(render);
  const std::string tail(base::trim(shape_->tail));
  if (!shape_->end && tail.starts_with('<') && tail.ends_with('>'))
    throw base::Error({"the chat template does not fit the tokenizer: what ends a turn is none of its special tokens",
                       source_.name, tail, "a special token of that name",
                       "take template and tokenizer from the same model, or a template that ends answers with the "
                       "end-of-text token: --chat-template zephyr, vicuna or alpaca"});
  if (!base::trim(source_.for_tools).empty()) take_tool_template();
}

void ChatTemplate::take_tool_template() {
  try {
    for_tools_ = std::make_unique<ChatTemplate>(
        tokenizer_, TemplateSource{.name = source_.name + " for tools", .jinja = source_.for_tools});
  } catch (const base::Error& error) {
    fault_of_tools_ = error.facts();
    return;
  }
  for (const std::string& token : for_tools_->missing_)
    if (std::ranges::find(missing_, token) == missing_.end()) missing_.push_back(token);
}

void ChatTemplate::find_missing_tokens(const RenderProbe& render) {
  static const re2::RE2 kTokenLike(R"((<\|[^|<>\s]{1,40}\|>|<(?:start|end)_of_turn>))");
  std::vector<Message> answered = question_for(render);
  answered.push_back({"assistant", "answer"});
  const jinja::Rendered chat = render(answered, true);
  std::string found;
  re2::StringPiece rest(chat.text);
  while (re2::RE2::FindAndConsume(&rest, kTokenLike, &found))
    if (!tokenizer_.id_of(found) && std::ranges::find(missing_, found) == missing_.end()) missing_.push_back(found);
}

void ChatTemplate::run(const std::vector<Message>& messages, bool generation_prompt, const std::vector<Member>& record,
                       jinja::Rendered& rendered) const {
  static const Json kTrue = true, kFalse = false;
  static thread_local GivenMessages given;
  static thread_local std::vector<jinja::Variable> variables;
  variables.clear();
  variables.push_back({.name = "messages", .role = jinja::Role::kMessages, .messages = given.of(messages)});
  variables.push_back({.name = "add_generation_prompt", .value = generation_prompt ? &kTrue : &kFalse});
  for (const auto& [name, value] : settings_) variables.push_back({.name = name, .value = &value});
  // What the record says comes last, and so counts.
  std::list<std::string> texts;
  std::list<Json> keywords;
  for (const Member& member : record) {
    if (says_nothing(member)) continue;
    if (std::ranges::find(kVariables, member.name) != kVariables.end())
      variables.push_back(
          {.name = member.name, .role = jinja::Role::kData, .json = texts.emplace_back(json_of(member))});
    if (member.name != kKeywords) continue;
    const Json& all = keywords.emplace_back(keywords_of(member));
    for (const auto& [name, value] : all.get_ref<const Json::object_t&>())
      variables.push_back({.name = name, .value = &value, .role = jinja::Role::kData});
  }
  try {
    template_.render(variables, clock_, rendered);
  } catch (const base::Error& error) {
    const auto silent = std::ranges::find(messages, false, &Message::has_content);
    if (silent == messages.end() || error.facts().what.find("'content'") == std::string::npos) throw;
    base::ErrorFacts facts = error.facts();
    facts.advice = fmt::format(
        "message {} ({}) has no content, or null, which transformers leaves out: give it "
        "\"content\": \"\"",
        silent - messages.begin() + 1, silent->role);
    throw base::Error(std::move(facts));
  }
}

// The generation prompt depends on settings ("enable_thinking"), and with it where an answer begins.
std::shared_ptr<const TurnShape> ChatTemplate::shape_for(const std::vector<Member>& record) const {
  const auto member = std::ranges::find(record, kKeywords, &Member::name);
  if (member == record.end() || says_nothing(*member)) return shape_;
  const std::lock_guard lock(shapes_mutex_);
  if (shapes_.size() > 1000) shapes_.clear();
  auto& known = shapes_[member->json];
  if (known) return known;
  // With tools where it asks for them, as in the constructor.
  for (const std::vector<Member>& settings : {std::vector<Member>{*member}, {*member, {"tools", kTool}}}) {
    const RenderProbe render = [&](const std::vector<Message>& messages, bool generation_prompt) {
      jinja::Rendered chat;
      run(messages, generation_prompt, settings, chat);
      return chat;
    };
    try {
      return known = std::make_shared<TurnShape>(shape_of(render, template_.marks_generation(), tokenizer_));
    } catch (const base::Error&) {
    }
  }
  return known = shape_;
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
    if (tools && !in_message && member.name != "tools" && template_.reads("tools"))
      throw base::Error({"the chat template knows tools by another name", member.name, base::shortened(member.json),
                         R"(tools: [{"type": "function", "function": {...}}])", "rename the member"});
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
    const Json keywords = keywords_of(member);
    if (!keywords.is_object())
      throw base::Error({"settings of the chat template are no object", member.name, base::shortened(member.json),
                         R"({"enable_thinking": false})", "give them as an object, or as the JSON text of one"});
    for (const auto& [name, value] : keywords.items())
      if (name == "messages" || name == "add_generation_prompt" || !template_.reads(name))
        throw base::Error({"the chat template has no such setting", std::string(kKeywords), name,
                           "a variable that the template reads", "take it out"});
  }
}

void ChatTemplate::render_text(const std::vector<Message>& messages, bool generation_prompt,
                               const std::vector<Member>& record, TrainOn train_on, RenderedChat& result) const {
  if ((for_tools_ || fault_of_tools_) && std::ranges::any_of(record, has_tools)) {
    if (fault_of_tools_) throw base::Error(*fault_of_tools_);
    return for_tools_->render_text(messages, generation_prompt, record, train_on, result);
  }
  check_known(record, Holder::kRecord);
  check_keywords(record);
  for (const Message& message : messages) check_known(message.members, Holder::kMessage);
  static thread_local jinja::Rendered chat;
  run(messages, generation_prompt, record, chat);
  result.dropped.clear();
  result.shortened.clear();
  result.without_end.clear();
  result.left_out.clear();
  find_data(chat, result.data);
  const RenderFirst render_first = [&](std::size_t count) {
    jinja::Rendered first;
    run({messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(count)}, false, record, first);
    return std::move(first.text);
  };
  find_trained_bytes(chat, messages, *shape_for(record), tokenizer_, train_on, render_first, result.trained,
                     result.without_end);
  note_left_out(chat, messages, result);
  result.text.swap(chat.text);
}

Rendered ChatTemplate::render(const std::vector<Message>& messages, bool generation_prompt,
                              const std::vector<Member>& record) const {
  static thread_local RenderedChat chat;
  render_text(messages, generation_prompt, record, TrainOn::kAssistant, chat);
  return encode_chat(tokenizer_, chat);
}

std::vector<std::int32_t> ChatTemplate::stop_ids() const {
  std::vector<std::int32_t> ids = tokenizer_.end_ids();
  const auto add = [&](const std::optional<std::int32_t>& end) {
    if (end && std::ranges::find(ids, *end) == ids.end()) ids.push_back(*end);
  };
  add(shape_->end);
  if (for_tools_) add(for_tools_->shape_->end);
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
