// Records of training data in the shapes that people keep them in: the one reader of all programs. Tested by
// tests/curate/instruct_test.cc and tests/finetune/records_test.cc.
#include "tokenizer/chat/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json_text.h"
#include "base/json_values.h"
#include "base/text.h"
#include "tokenizer/chat/json_texts.h"

namespace tokenizer {
namespace {

using json = nlohmann::ordered_json;  // a template may write members in the order of the data
using Problem = std::optional<RecordProblem>;

Problem problem(const std::string& reason, const std::string& member, const std::string& what, const json& value,
                const std::string& expected, const std::string& advice = "") {
  return RecordProblem{member.empty() ? reason : reason + ":" + base::shortened(member, 40),
                       {what, member, base::shortened(base::json_line(value)), expected, advice}};
}

Problem not_text(const std::string& member, const json& value) {
  return problem("not_text", member, "a member of the record is not text", value, "a text");
}

bool holds(const json& object, std::string_view key) {
  const auto found = object.find(key);
  return found != object.end() && !found->is_null();
}

// A text, or the joined texts of a list of parts.
Problem read_content(const json& content, const std::string& member, std::string& text) {
  static const std::set<std::string> kTextTypes = {"text", "input_text", "output_text"};
  if (content.is_string()) {
    text = content.get<std::string>();
    return {};
  }
  if (!content.is_array() || content.empty()) return not_text(member, content);
  text.clear();
  // A list of texts is one text in a message; in a record, as an answer, it would be several answers.
  const bool in_message = member == "content" || member == "value";
  for (const json& part : content) {
    if (part.is_string() && in_message) {
      text += part.get_ref<const std::string&>();
      continue;
    }
    const bool is_text = part.is_object() && holds(part, "type") && part["type"].is_string() &&
                         kTextTypes.contains(part["type"]) && holds(part, "text") && part["text"].is_string();
    if (!is_text)
      return problem("not_text", member, "a message has a part that is not text", part, "parts of type text");
    text += part["text"].get_ref<const std::string&>();
    for (const auto& [key, value] : part.items())
      if (key != "type" && key != "text" && !value.is_null())
        return problem("part", key, "a part of a message has a member that has no place here", part, "type and text");
  }
  return {};
}

// The text of a member of the record; "" when it is not there.
Problem read_text(const json& record, const char* key, std::string& text) {
  text.clear();
  return holds(record, key) ? read_content(record[key], key, text) : Problem();
}

// Alpaca's ways to say that there is no input. Words such as "None" may be meant.
bool says_no_input(std::string_view input) {
  const std::string_view words = base::trim(input);
  return words.empty() || words == "<noinput>";
}

// What trainers write on a message to keep it out of the loss, or to put it there. OpenAI's weight is of answers only:
// of another message it can but say that the message stays out.
Problem read_flag(const std::string& name, const json& value, Message& message) {
  if (meaning_of(name, Holder::kMessage) != Meaning::kFlag) return {};
  if (value.is_boolean() && name != "weight") {
    message.trained = value.get<bool>() && message.trained.value_or(true);
    return {};
  }
  if (!value.is_number() && !value.is_boolean())
    return problem("bad_flag", name, "a message's flag is neither true nor false", value, "true, false, 0 or 1");
  const double weight = value.is_boolean() ? (value.get<bool>() ? 1 : 0) : value.get<double>();
  if (weight == 0 || name != "weight" || message.role == "assistant")
    message.trained = weight != 0 && message.trained.value_or(true);
  if (weight != 1) message.weight = weight;
  return {};
}

// ShareGPT writes a call of a tool as the text of a turn: {"name": ..., "arguments": ...}, or a list of them. It is
// carried as it is written.
Problem read_call(const std::string& key, Message& message) {
  bool repeated_keys = false;
  const json call = base::lenient_ordered_json(message.content, &repeated_keys);
  bool is_call = !repeated_keys;
  for (const json& one : call.is_array() ? call : json::array({call})) is_call &= one.is_object() && holds(one, "name");
  if (!is_call)
    return problem("not_a_call", key,
                   repeated_keys ? "the call of a tool has a key twice" : "the call of a tool is not one",
                   message.content, R"({"name": "...", "arguments": {...}})");
  std::string calls;
  const auto add = [&](std::string_view one) {
    calls += calls.empty() ? "[" : ",";
    calls += R"({"type":"function","function":)" + std::string(one) + "}";
  };
  if (call.is_array()) {
    base::for_each_element(message.content, add);
  } else {
    add(base::trim(message.content));
  }
  std::ranges::replace_if(
      calls, [](char c) { return c == '\n' || c == '\r'; }, ' ');  // a record is one line
  message.content.clear();  // but there: more templates ask for it than stumble over it
  message.has_content = true;
  message.members.push_back({"tool_calls", calls.empty() ? "[]" : calls + "]"});
  return {};
}

Problem read_turn(const json& turn, const RoleMap& roles, Message& message) {
  if (!turn.is_object()) return problem("unknown_format", "", "a message is not an object", turn, "{role, content}");
  const std::string role_key = holds(turn, "role") ? "role" : "from";
  const std::string content_key = turn.contains("content") ? "content" : "value";
  const bool calls = holds(turn, "tool_calls") || holds(turn, "function_call");
  if (!holds(turn, role_key) || (!holds(turn, content_key) && !calls)) {
    const std::string missing = holds(turn, role_key) ? content_key : "role";
    if (missing == content_key && turn.contains(content_key))
      return problem("not_text", missing, "a message without words, and no call of a tool", turn, "a text", "");
    return problem(missing == "role" ? "bad_roles" : "not_text", missing, "a message without its keys", turn,
                   "{role, content} or {from, value}");
  }
  if (!turn[role_key].is_string()) return not_text(role_key, turn[role_key]);
  const auto role = turn[role_key].get<std::string>();
  const bool is_call = role == "function_call" || role == "tool_call";
  const auto known = roles.find(role);
  if (!is_call && known == roles.end())
    return problem("bad_roles", "", "unknown role in a conversation", role, "system, user, assistant or tool",
                   "say what it stands for: --roles NAME=ROLE");
  message.role = is_call ? "assistant" : known->second;
  message.has_content = holds(turn, content_key);
  if (message.has_content)
    if (auto bad = read_content(turn[content_key], content_key, message.content)) return bad;
  if (is_call)
    if (auto bad = read_call(content_key, message)) return bad;
  for (const auto& [name, value] : turn.items()) {
    if (name == role_key || name == content_key || value.is_null()) continue;
    if (auto bad = read_flag(name, value, message)) return bad;
    message.members.push_back({name, base::json_line(value)});
  }
  return {};
}

// A list of messages, one message, or a text that `role` says; added to `messages`.
Problem read_turns(const json& turns, const std::string& member, const std::string& role, const RoleMap& roles,
                   std::vector<Message>& messages) {
  if (turns.is_string() && !role.empty()) {
    messages.push_back({role, turns.get<std::string>()});
    return {};
  }
  if (!turns.is_array() && !(turns.is_object() && !role.empty()))
    return problem("unknown_format", member, "the conversation is not a list of messages", turns,
                   "[{role, content}, ...]");
  for (const json& turn : turns.is_array() ? turns : json::array({turns})) {
    Message message;
    if (auto bad = read_turn(turn, roles, message)) return bad;
    messages.push_back(std::move(message));
  }
  return {};
}

bool is_message(const json& value) { return value.is_object() && (holds(value, "role") || holds(value, "from")); }
bool is_messages(const json& value) { return value.is_array() && !value.empty() && is_message(value[0]); }

// What a message says beside its words: calls of tools, thoughts.
std::vector<std::pair<std::string, std::string>> said_beside(const Message& message) {
  std::vector<std::pair<std::string, std::string>> said;
  for (const Member& member : message.members) {
    const Meaning meaning = meaning_of(member.name, Holder::kMessage);
    if (meaning == Meaning::kSaid || meaning == Meaning::kTools) said.emplace_back(member.name, member.json);
  }
  std::ranges::sort(said);
  return said;
}

bool same(const Message& a, const Message& b) {
  return a.role == b.role && a.content == b.content && said_beside(a) == said_beside(b);
}

// Whether an answer is one, and not a conversation with its question.
bool begins_with_question(const std::vector<Message>& messages, std::size_t from) {
  return messages[from].role == "user" || messages[from].role == "system";
}

// An answer that only belongs to a prompt.
void exclude(Message& message) {
  if (!message.trained.value_or(message.role == "assistant")) return;
  message.trained.reset();
  message.in_prompt = true;
  std::erase_if(message.members, [](const Member& member) {
    Message unused;
    return member.name != "weight" && !read_flag(member.name, true, unused) && unused.trained;
  });
  message.members.push_back({"train", "false"});
}

// Reads one record, and notes which members messages and texts came from: the others are carried.
class Reader {
 public:
  Reader(const json& record, const RoleMap& roles, Conversation& conversation)
      : record_(record), roles_(roles), conversation_(conversation), messages_(conversation.messages) {}

  Problem read() {
    if (auto bad = read_shape()) return bad;
    for (const auto& [name, value] : record_.items())
      if (!used_.contains(name) && !value.is_null()) conversation_.members.push_back({name, base::json_line(value)});
    return {};
  }

 private:
  bool has(std::string_view key) const { return holds(record_, key); }
  bool is_note(const char* key) const {
    if (!has(key)) return false;
    return record_[key].is_number() || record_[key].is_boolean() || record_[key].is_binary();  // see lenient_json
  }
  const json& use(const std::string& key) {
    used_.insert(key);
    return record_[key];
  }
  // An empty cell of a table: there, and nothing.
  bool is_blank(std::string_view key) const {
    return has(key) && record_[key].is_string() && base::trim(record_[key].get_ref<const std::string&>()).empty();
  }
  bool says(std::string_view key) const { return has(key) && !is_blank(key); }
  // The first of `keys` that says something, else the first that is there, "" when none is.
  template <class Keys>
  std::string first_of(const Keys& keys) const {
    for (const char* key : keys)
      if (says(key)) return key;
    for (const char* key : keys)
      if (has(key)) return key;
    return "";
  }

  Problem read_shape() {
    static constexpr std::array kQuestions = {"prompt", "question", "instruction"};
    static constexpr std::array kAnswers = {"completion", "response", "answer", "output"};
    const bool alpaca = has("instruction") && has("output");
    const std::string question = alpaca ? "instruction" : first_of(kQuestions);
    const std::string answer = alpaca ? "output" : first_of(kAnswers);
    // Numbers and verdicts may be notes on another shape.
    const bool is_pair{!question.empty() && !answer.empty()};
    const bool is_other{says("messages") || says("conversations") || is_pair || says("text")};
    const bool is_no_preference{is_note("chosen") || (is_blank("chosen") && is_blank("rejected"))};
    if (has("chosen") && has("rejected") && !(is_other && is_no_preference)) return read_preference();
    if (says("messages")) return read_list("messages", "messages");
    if (says("conversations")) return read_list("conversations", "sharegpt");
    const bool is_empty_pair{is_pair && is_blank(question) && is_blank(answer)};
    if (is_pair && !(is_empty_pair && says("text"))) return read_pair(question, answer, alpaca);
    if (has("text")) {
      conversation_.format = "text";
      if (!record_["text"].is_string()) return not_text("text", record_["text"]);
      conversation_.text = use("text").get<std::string>();
      return {};
    }
    std::vector<std::string> keys;
    for (const auto& item : record_.items()) keys.push_back(item.key() + (item.value().is_null() ? " (null)" : ""));
    return problem(
        "unknown_format", "", "the record has no known shape", base::join(keys, ", "),
        "messages, conversations, instruction and output, prompt and completion, chosen and rejected, or text");
  }

  Problem read_list(const std::string& key, const char* format) {
    conversation_.format = format;
    const json& turns = use(key);
    if (auto bad = read_turns(turns, "", "", roles_, messages_)) return bad;
    if (messages_.empty()) return problem("empty", "", "the conversation has no messages", turns, "[{role, content}]");
    return read_system();
  }

  // `system` beside a conversation is its first message.
  Problem read_system() {
    std::string text;
    if (auto bad = read_text(record_, "system", text)) return bad;
    used_.insert("system");
    // Some records of a data set have one, others an empty one: all of them are conversations.
    if (record_.contains("system")) conversation_.plain = false;
    if (base::trim(text).empty()) return {};
    if (messages_.empty() || messages_[0].role != "system") {
      messages_.insert(messages_.begin(), {"system", text});
      if (conversation_.format == "preference") ++conversation_.prompt;
    } else if (messages_[0].content != text) {
      return problem("two_systems", "system", "the record has two system messages", text, "one");
    }
    return {};
  }

  // The user's side of a record without a list of messages: a text with its input, after the history.
  Problem read_question(const std::string& key) {
    const json& question = use(key);
    if (is_message(question) || is_messages(question)) return read_turns(question, key, "user", roles_, messages_);
    std::string text;
    if (auto bad = read_content(question, key, text)) return bad;
    if (key == "instruction") {
      if (auto bad = read_history()) return bad;
      const std::string input_key = has("input") || !has("context") ? "input" : "context";
      std::string input;
      if (auto bad = read_text(record_, input_key.c_str(), input)) return bad;
      used_.insert(input_key);
      if (!says_no_input(input)) text += (text.empty() ? "" : "\n") + input;
    }
    messages_.push_back({"user", text});
    return {};
  }

  Problem read_history() {
    if (!says("history")) return {};
    const json& history = use("history");
    if (!history.is_array())
      return problem("not_text", "history", "the history is not a list of questions and answers", history,
                     R"([["question", "answer"], ...])");
    for (const json& pair : history) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
        return problem("not_text", "history", "the history is not a list of questions and answers", pair,
                       R"([["question", "answer"], ...])");
      messages_.push_back({"user", pair[0].get<std::string>()});
      messages_.push_back({"assistant", pair[1].get<std::string>()});
    }
    return {};
  }

  Problem read_pair(const std::string& question, const std::string& answer, bool alpaca) {
    conversation_.format = alpaca ? "alpaca" : "prompt";
    if (auto bad = read_question(question)) return bad;
    if (!record_[question].is_string())
      for (Message& message : messages_) exclude(message);
    conversation_.plain =
        question == "prompt" && answer == "completion" && record_[question].is_string() && record_[answer].is_string();
    if (auto bad = read_answer(answer, messages_)) return bad;
    return read_system();
  }

  Problem read_answer(const std::string& key, std::vector<Message>& messages) {
    const json& answer = use(key);
    if (is_message(answer) || is_messages(answer)) return read_turns(answer, key, "assistant", roles_, messages);
    Message message{"assistant", ""};
    if (auto bad = read_content(answer, key, message.content)) return bad;
    messages.push_back(std::move(message));
    return {};
  }

  Problem read_preference() {
    conversation_.format = "preference";
    std::vector<Message> chosen;
    std::vector<Message>& rejected = conversation_.rejected;
    if (auto bad = read_answer("chosen", chosen)) return bad;
    if (auto bad = read_answer("rejected", rejected)) return bad;
    // What both begin with is the prompt, where the lists are whole conversations.
    std::size_t common = 0;
    while (common + 1 < std::min(chosen.size(), rejected.size()) && same(chosen[common], rejected[common])) ++common;
    if (chosen[0].role == "assistant") common = 0;
    if (begins_with_question(chosen, common) || begins_with_question(rejected, common))
      return problem("two_prompts", "rejected", "chosen and rejected begin with different prompts", record_["rejected"],
                     "what chosen begins with, or answers alone beside a prompt",
                     "write the same messages before both answers");
    if (common > 0) {
      messages_.assign(chosen.begin(), chosen.begin() + static_cast<std::ptrdiff_t>(common));
      if (auto bad = check_prompt()) return bad;
    } else {
      static constexpr std::array kPrompts = {"prompt", "conversations", "messages", "question", "instruction"};
      const std::string key = first_of(kPrompts);
      if (key.empty())
        return problem("unknown_format", "prompt", "a preference record without a prompt", record_,
                       "prompt, or chosen and rejected as whole conversations");
      if (auto bad = key == "conversations" || key == "messages" ? read_turns(use(key), key, "", roles_, messages_)
                                                                 : read_question(key))
        return bad;
    }
    conversation_.prompt = messages_.size();
    messages_.insert(messages_.end(), chosen.begin() + static_cast<std::ptrdiff_t>(common), chosen.end());
    rejected.erase(rejected.begin(), rejected.begin() + static_cast<std::ptrdiff_t>(common));
    return read_system();
  }

  // A prompt beside whole conversations must be what they begin with.
  Problem check_prompt() {
    if (!has("prompt")) return {};
    const json& prompt = use("prompt");
    std::vector<Message> stated;
    if (auto bad = read_turns(prompt, "prompt", "user", roles_, stated)) return bad;
    const auto place = std::search(messages_.begin(), messages_.end(), stated.begin(), stated.end(), same);
    const bool found = place != messages_.end() || stated.empty();
    if (!found)
      return problem("two_prompts", "prompt", "the prompt is not what chosen begins with", prompt, "the same");
    return {};
  }

  const json& record_;
  const RoleMap& roles_;
  Conversation& conversation_;
  std::vector<Message>& messages_;
  std::set<std::string> used_;
};

}  // namespace

RoleMap role_map(const std::vector<std::string>& options) {
  RoleMap roles = {{"system", "system"},   {"developer", "system"},    {"user", "user"},        {"human", "user"},
                   {"prompter", "user"},   {"assistant", "assistant"}, {"gpt", "assistant"},    {"ai", "assistant"},
                   {"model", "assistant"}, {"chatgpt", "assistant"},   {"bing", "assistant"},   {"bard", "assistant"},
                   {"tool", "tool"},       {"function", "tool"},       {"observation", "tool"}, {"ipython", "tool"}};
  static const std::set<std::string> kTargets = {"system", "user", "assistant", "tool"};
  for (const std::string& option : options) {
    for (const std::string& entry : base::split(option, ',')) {
      const std::size_t sign = entry.find('=');
      const std::string name(base::trim(entry.substr(0, sign)));
      const std::string role(sign == std::string::npos ? "" : base::trim(entry.substr(sign + 1)));
      if (name.empty() || !kTargets.contains(role))
        throw base::UsageError({"not a role", "--roles", base::shortened(entry),
                                "NAME=ROLE, ROLE one of system, user, assistant, tool",
                                "for example --roles bot=assistant"});
      roles[name] = role;
    }
  }
  return roles;
}

std::optional<RecordProblem> read_conversation(const json& record, const RoleMap& roles, Conversation& conversation) {
  conversation = {};
  if (!record.is_object()) return problem("unknown_format", "", "the record is not a JSON object", record, "an object");
  if (!has_json_texts(record)) return Reader(record, roles, conversation).read();
  json opened = record;
  bool repeated_keys = false;
  if (auto bad = open_json_texts(opened, &repeated_keys)) return bad;
  auto bad = Reader(opened, roles, conversation).read();
  conversation.repeated_keys = repeated_keys;
  return bad;
}

}  // namespace tokenizer
