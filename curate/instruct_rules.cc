// What instruct keeps and what it takes for the same question. Tested by tests/curate/instruct_test.cc.
#include <fmt/format.h>
#include <re2/re2.h>
#include <xxhash.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "base/text.h"
#include "curate/instruct.h"

namespace curate {
using json = nlohmann::ordered_json;

namespace {

bool has_member(const Message& message, std::string_view name) {
  return std::ranges::any_of(message.members, [&](const auto& member) { return member.name == name; });
}

bool is_trained(const Message& message) {
  return message.trained.value_or(message.role == "assistant" && !message.in_prompt);
}

std::string check_roles(const std::vector<Message>& messages) {
  const std::size_t first = !messages.empty() && messages[0].role == "system" ? 1 : 0;
  if (messages.size() <= first) return "empty";
  std::string_view before = "assistant";
  for (std::size_t i = first; i < messages.size(); ++i) {
    const std::string_view role = messages[i].role;
    const bool asks = role == "user" && before == "assistant";
    const bool answers = role == "assistant" && before != "assistant";
    const bool tool = role == "tool" && i > first && before != "user";
    if (!asks && !answers && !tool) return "bad_roles";
    before = role;
  }
  return before == "assistant" ? "" : "no_final_answer";
}

}  // namespace

std::string read_chat(const json& record, const tokenizer::RoleMap& roles, Conversation& conversation) {
  if (const auto problem = tokenizer::read_conversation(record, roles, conversation)) return problem->reason;
  if (conversation.format == "text") return "unknown_format";
  if (!conversation.rejected.empty()) {
    std::vector<Message> other(conversation.messages.begin(),
                               conversation.messages.begin() + static_cast<std::ptrdiff_t>(conversation.prompt));
    other.insert(other.end(), conversation.rejected.begin(), conversation.rejected.end());
    if (std::string reason = check_roles(other); !reason.empty()) return reason + ":rejected";
  }
  return check_roles(conversation.messages);
}

std::string judge_conversation(const Conversation& conversation, const InstructOptions& options) {
  static const RE2 kDisclaimer(R"((?i)\bas an? (?:ai|artificial intelligence)(?: language)? (?:language )?model\b)");
  static const RE2 kMerged(R"((?m)^#{0,3}\s*\d+\.\s*Instruction:)");
  static const RE2 kPicture(
      R"((?i)\b(?:attached|following|this|above|below) (?:image|picture|photo|photograph|painting|diagram)\b)");
  static const std::set<std::string> kNothing = {"n/a",  "na",        "nan",        "none",
                                                 "null", "no output", "<nooutput>", "no response"};
  std::uint64_t characters = 0, questions = 0;
  std::string_view question;
  for (const Message& message : conversation.messages) {
    characters += message.content.size();
    std::string_view content = base::trim(message.content);
    if (message.role == "user") {
      ++questions;
      question = content;
      if (content.empty()) return "empty_prompt";
      if (options.clean && RE2::PartialMatch(content, kPicture)) return "unseen_picture";
    }
    // An answer that is kept out of the loss may be anything, one that calls a tool empty.
    if (message.role != "assistant" || !is_trained(message) || has_member(message, "tool_calls")) continue;
    if (content.empty() || content == "```\n```" || content == "``````") return "empty_answer";
    if (content.size() < options.min_answer) return "short_answer";
    if (!options.clean) continue;
    std::string low = base::ascii_lower(content.substr(0, 40));
    if (low.ends_with('.')) low.pop_back();
    if (kNothing.count(low)) return "no_answer";
    if (content == question) return "echo";
    if (RE2::PartialMatch(content, kDisclaimer)) return "disclaimer";
    if (RE2::PartialMatch(content, kMerged)) return "merged_instructions";
  }
  if (options.max_characters > 0 && characters > options.max_characters) return "too_long";
  if (options.max_turns > 0 && questions > options.max_turns) return "too_many_turns";
  return "";
}

namespace {

// White space and case do not make another question.
void append_folded(std::string& key, std::string_view content) {
  bool blank = false;
  for (const char c : base::trim(content)) {
    if (std::isspace(static_cast<unsigned char>(c))) {
      blank = true;
      continue;
    }
    if (blank) key += ' ';
    blank = false;
    key += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
}

// What a model is shown beside the texts: where it differs, so does the question.
void append_shown(std::string& key, std::span<const tokenizer::Member> members) {
  static const std::set<std::string, std::less<>> kShown = {
      "tools", "functions", "documents", "tool_calls",          "images", "image", "videos",
      "video", "audios",    "audio",     "chat_template_kwargs"};
  for (const tokenizer::Member& member : members)
    if (kShown.contains(member.name)) key += member.name + member.json + '\n';
}

void append_message(std::string& key, const Message& message) {
  key += message.role + ':';
  append_folded(key, message.content);
  append_shown(key, message.members);
  key += '\n';
}

}  // namespace

std::string question_key(const Conversation& conversation) {
  std::string key;
  for (const auto& member : conversation.members)
    if (member.name == "label" || member.name == "kto_tag") key += member.name + member.json + '\n';
  const auto& messages = conversation.messages;
  std::size_t count = messages.size();
  if (conversation.rejected.empty() && key.empty()) {
    while (count > 0 && !is_trained(messages[count - 1])) --count;
    count = count > 0 ? count - 1 : messages.size();
  }
  append_shown(key, conversation.members);
  for (std::size_t i = 0; i < count; ++i) append_message(key, messages[i]);
  for (const Message& message : conversation.rejected) append_message(key, message);
  return key;
}

std::uint64_t opening_hash(const Conversation& conversation) {
  std::string key;
  const auto first = std::ranges::find(conversation.messages, "user", &Message::role);
  if (first != conversation.messages.end()) append_folded(key, first->content);
  return XXH3_64bits(key.data(), key.size());
}

}  // namespace curate
