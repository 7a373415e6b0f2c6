// What of a record a training would lose is refused by name. Tested by tests/finetune/records_test.cc.
#include "finetune/data/record_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_values.h"
#include "base/text.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;
using tokenizer::Conversation;
using tokenizer::Holder;
using tokenizer::Meaning;
using tokenizer::Member;
using tokenizer::Message;

[[noreturn]] void refuse(const std::string& what, const Member& member, const std::string& expected,
                         const std::string& advice) {
  throw base::Error({what, member.name, base::shortened(member.json), expected, advice});
}

bool has_null(const Json& json) {
  return std::ranges::any_of(json, [&](const Json& value) {
    return value.is_structured() ? has_null(value) : json.is_object() && value.is_null();
  });
}

// Of what is said beside words; most records have none, and most of these not even the letters.
bool has_null(const std::vector<Member>& members, Holder holder) {
  return std::ranges::any_of(members, [&](const Member& member) {
    return tokenizer::is_said(member, holder) && member.json.find("\":null") != std::string::npos &&
           has_null(base::lenient_ordered_json(member.json));
  });
}

}  // namespace

bool has_null_members(const Conversation& conversation) {
  return has_null(conversation.members, Holder::kRecord) ||
         std::ranges::any_of(conversation.messages,
                             [](const Message& message) { return has_null(message.members, Holder::kMessage); });
}

std::optional<bool> yes_or_no(const std::string& json) {
  const Json value = base::lenient_ordered_json(json);
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number() && (value == 0 || value == 1)) return value == 1;
  if (!value.is_string()) return std::nullopt;
  const std::string low = base::ascii_lower(base::trim(value.get_ref<const std::string&>()));
  if (low == "true" || low == "1" || low == "1.0") return true;
  if (low == "false" || low == "0" || low == "0.0") return false;
  return std::nullopt;
}

void check_flags(const Conversation& conversation, RecordNotes& notes) {
  for (const Member& member : conversation.members) {
    const Meaning meaning = tokenizer::meaning_of(member.name, Holder::kRecord);
    // Of a record `loss` is a measurement, but for true and false, in a table "True" and "False".
    const bool is_loss{member.name == "loss" && member.json.find_first_of("0123456789") == std::string::npos &&
                       yes_or_no(member.json)};
    const bool is_flag = meaning == Meaning::kFlag || meaning == Meaning::kPartFlag || is_loss;
    const std::optional<bool> said = is_flag ? yes_or_no(member.json) : std::nullopt;
    if (said == true || (is_flag && member.json == "\"\"")) continue;  // an empty cell of a table says nothing
    if (is_flag && (conversation.format != "text" || said == false))
      refuse("a flag of the whole record is not supported", member, "flags of its messages",
             "leave the record out, or set the flag on its messages");
    const bool is_said = meaning == Meaning::kSaid || meaning == Meaning::kTools;  // written, or refused
    if (!is_said && member.name != "id" && member.name != "source") notes.unused.push_back(member.name);
  }
}

void check_members(const Conversation& conversation) {
  const std::string only_answers = "only answers are learned and measured here";
  if (conversation.format == "preference")
    refuse(only_answers, {"rejected", ""}, "records with answers only",
           "keep the chosen answers as messages; finetune train --objective dpo learns of both");
  for (const Member& member : conversation.members) {
    if (member.json == "\"\"") continue;  // an empty cell of a table
    if (conversation.plain && tokenizer::is_said(member, Holder::kRecord))
      refuse("a prompt and its completion are one text, in which this has no place", member, "prompt and completion",
             "give messages, and a chat template that writes it");
    const Meaning meaning = tokenizer::meaning_of(member.name, Holder::kRecord);
    if (meaning == Meaning::kAnswers || (meaning == Meaning::kVerdict && yes_or_no(member.json)))
      refuse(only_answers, member, "records with answers only",
             "keep the good answers as messages, without it" +
                 std::string(meaning == Meaning::kVerdict ? "; finetune train --objective kto learns of both" : ""));
  }
}

void check_message(const Message& message) {
  if (message.weight != 0 && message.weight != 1)
    refuse("a weight that is neither 0 nor 1 is not supported", {"weight", fmt::format("{}", message.weight)}, "0 or 1",
           "");
  for (const Member& member : message.members) {
    const Meaning meaning = tokenizer::meaning_of(member.name, Holder::kMessage);
    if (meaning == Meaning::kPartFlag)
      refuse("flags for parts of a message are not supported", member, "train: true or false", "");
  }
}

}  // namespace finetune
