// Lists of messages that stand in a record as JSON text, as in a cell of a table. Tested by
// tests/finetune/json_texts_test.cc.
#include "tokenizer/chat/json_texts.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/json_fault.h"
#include "base/json_values.h"
#include "base/text.h"

namespace tokenizer {
namespace {

using json = nlohmann::ordered_json;

constexpr std::array kLists = {"messages", "conversations", "history"};
constexpr std::array kQuestions = {"prompt", "question", "instruction"};
constexpr std::array kAnswers = {"completion", "response", "answer", "output"};
constexpr std::array kPair = {"chosen", "rejected"};

// The text of a member, or nullptr.
const std::string* text_of(const json& record, std::string_view key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_string() ? &found->get_ref<const std::string&>() : nullptr;
}

bool begins_list(std::string_view text) { return base::trim(text).starts_with('['); }

// Takes `words`, one after another with white space before each, from the front of `text`.
bool take(std::string_view& text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    text = base::trim(text);
    if (!text.starts_with(word)) return false;
    text.remove_prefix(word.size());
  }
  return true;
}

// Whether it begins as a list of messages, in quotes of JSON or of Python: [{"role".
bool begins_messages(std::string_view text) {
  if (!take(text, {"[", "{"})) return false;
  text = base::trim(text);
  if (!text.starts_with('"') && !text.starts_with('\'')) return false;
  const std::string_view key = text.substr(1, text.find(text[0], 1) - 1);
  return key == "role" || key == "from" || key == "content" || key == "value";
}

bool is_message(const json& value) {
  return value.is_object() && (value.contains("role") || value.contains("from")) &&
         (value.contains("content") || value.contains("value") || value.contains("tool_calls"));
}

bool is_messages(const json& value) {
  return value.is_array() && !value.empty() && std::ranges::all_of(value, is_message);
}

RecordProblem broken(std::string_view key, const std::string& text) {
  std::string_view rest = text;
  const bool is_python = take(rest, {"[", "{"}) && base::trim(rest).starts_with('\'');
  return {"broken_json:" + std::string(key),
          {"the messages are a text that is not JSON: " + base::json_fault(text), std::string(key),
           base::shortened(text), R"([{"role": "user", "content": "..."}, ...])",
           is_python ? "that is how Python prints a list: write it with json.dumps" : ""}};
}

class Opener {
 public:
  Opener(json& record, bool* repeated_keys) : record_(record), repeated_keys_(repeated_keys) {}

  // A member that must be a list.
  std::optional<RecordProblem> open_list(std::string_view key) {
    const std::string* text = text_of(record_, key);
    if (text == nullptr || !begins_list(*text)) return {};
    json list = parsed(*text);
    if (list.is_discarded()) return broken(key, *text);
    *record_.find(key) = std::move(list);
    return {};
  }

  // A member that may be a text.
  std::optional<RecordProblem> open_messages(std::string_view key) {
    const std::string* text = text_of(record_, key);
    if (text == nullptr || !begins_messages(*text)) return {};
    json list = parsed(*text);
    if (list.is_discarded()) return broken(key, *text);
    if (is_messages(list)) *record_.find(key) = std::move(list);
    return {};
  }

 private:
  json parsed(const std::string& text) {
    bool repeated_keys = false;
    json list = base::lenient_ordered_json(text, &repeated_keys);
    if (repeated_keys_ && repeated_keys) *repeated_keys_ = true;
    return list;
  }

  json& record_;
  bool* repeated_keys_;
};

}  // namespace

bool has_json_texts(const json& record) {
  if (!record.is_object()) return false;
  const auto is_any = [&](const auto& keys) {
    return std::ranges::any_of(keys, [&](const char* key) {
      const std::string* text = text_of(record, key);
      return text != nullptr && begins_list(*text);
    });
  };
  return is_any(kLists) || is_any(kQuestions) || is_any(kAnswers) || is_any(kPair);
}

std::optional<RecordProblem> open_json_texts(json& record, bool* repeated_keys) {
  if (!has_json_texts(record)) return {};
  Opener opener(record, repeated_keys);
  for (const char* key : kLists)
    if (auto bad = opener.open_list(key)) return bad;
  if (record.contains("chosen") && record.contains("rejected")) {
    for (const char* key : kQuestions)
      if (auto bad = opener.open_messages(key)) return bad;
    for (const char* key : kPair)
      if (auto bad = opener.open_messages(key)) return bad;
    return {};
  }
  // An answer alone may be meant to be JSON of messages.
  const auto first_of = [&](const auto& keys) -> std::string_view {
    for (const char* key : keys)
      if (const std::string* text = text_of(record, key)) return begins_messages(*text) ? key : "";
    return "";
  };
  const std::string_view question = first_of(kQuestions);
  const std::string_view answer = first_of(kAnswers);
  if (question.empty() || answer.empty()) return {};
  for (const std::string_view key : {question, answer})
    if (auto bad = opener.open_messages(key)) return bad;
  return {};
}

}  // namespace tokenizer
