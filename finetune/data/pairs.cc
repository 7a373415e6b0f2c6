// Two answers to one prompt, and answers with a verdict. Tested by tests/finetune/preferences_test.cc.
#include "finetune/data/pairs.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "finetune/data/record_checks.h"

namespace finetune {
namespace {

bool is_text(const nlohmann::ordered_json& record, const char* key) {
  return record.contains(key) && record.at(key).is_string();
}

void append(Example& first, const Example& second) {
  first.ids.insert(first.ids.end(), second.ids.begin(), second.ids.end());
  first.trained.insert(first.trained.end(), second.trained.begin(), second.trained.end());
}

bool is_verdict(const tokenizer::Member& member) {
  return tokenizer::meaning_of(member.name, tokenizer::Holder::kRecord) == tokenizer::Meaning::kVerdict;
}

std::size_t prompt_of(const Example& example) {
  const auto trains = [](std::uint8_t trained) { return trained != 0; };
  return static_cast<std::size_t>(std::ranges::find_if(example.trained, trains) - example.trained.begin());
}

bool have_same_prompt(const Example& a, const Example& b) {
  return std::ranges::equal(a.ids.begin(), a.ids.begin() + static_cast<std::ptrdiff_t>(prompt_of(a)), b.ids.begin(),
                            b.ids.begin() + static_cast<std::ptrdiff_t>(prompt_of(b)));
}

// The place of the answer that stands against the one at `place`.
std::size_t mismatched(const std::vector<Example>& answers, std::size_t place) {
  constexpr std::size_t kMost = 100;  // data of one prompt would cost a square
  const auto before = [&](std::size_t distance) { return (place + answers.size() - distance) % answers.size(); };
  for (std::size_t distance = 1; distance < std::min(kMost, answers.size()); ++distance)
    if (!have_same_prompt(answers[before(distance)], answers[place])) return before(distance);
  return before(1);
}

// Answers of pairs become answers of their own.
std::vector<Example> judged(const std::vector<Example>& examples) {
  std::vector<Example> answers;
  for (const Example& example : examples) {
    answers.push_back(example.second == 0 ? example : part_of(example, 0, example.second));
    if (example.second == 0) continue;
    answers.push_back(part_of(example, example.second, example.ids.size()));
    std::ranges::replace(answers.back().trained, std::uint8_t{1}, kUndesirable);
  }
  return answers;
}

}  // namespace

bool take_verdict(tokenizer::Conversation& conversation, RecordNotes& notes) {
  std::optional<bool> found;
  for (const tokenizer::Member& member : conversation.members) {
    if (!is_verdict(member)) continue;
    const std::optional<bool> said = yes_or_no(member.json);
    if (!said || found.value_or(*said) != *said)
      throw base::Error({said ? "two verdicts of one answer" : "no verdict of an answer", member.name,
                         base::shortened(member.json), said ? "one" : "true or false", ""});
    found = said;
    std::erase(notes.unused, member.name);
  }
  if (!found)
    throw base::Error({"an answer without a verdict", conversation.format, "",
                       "label: true or false, or chosen and rejected", "train on answers with --objective answers"});
  drop_verdicts(conversation);
  return *found;
}

void drop_verdicts(tokenizer::Conversation& conversation) { std::erase_if(conversation.members, is_verdict); }

void judge_last_answer(tokenizer::Conversation& conversation) {
  if (conversation.plain) return;
  auto& messages = conversation.messages;
  const auto is_users = [](const tokenizer::Message& message) { return message.role == "user"; };
  const auto last = std::find_if(messages.rbegin(), messages.rend(), is_users);
  if (last == messages.rend() || last == messages.rbegin())
    throw base::Error({"a verdict of no answer", conversation.format, "", "an answer behind a message of the user",
                       "leave the record out"});
  for (auto message = last; message != messages.rend(); ++message) message->trained = false;
}

std::vector<Example> with_mismatches(const std::vector<Example>& examples, std::size_t limit,
                                     const std::string& option) {
  const std::vector<Example> answers = judged(examples);
  if (answers.size() < 2)
    throw base::Error({"one answer alone", option, "", "two or more", "KTO compares an answer with others"});
  std::vector<Example> result;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Example& other = answers[mismatched(answers, i)];
    Example against = part_of(answers[i], 0, prompt_of(answers[i]));
    append(against, part_of(other, prompt_of(other), other.ids.size()));
    for (const std::uint8_t learned : {std::uint8_t{1}, kUndesirable})  // what is learned is the first document
      std::ranges::replace(against.trained, learned, kCompared);
    result.push_back(answers[i]);
    result.back().second = answers[i].ids.size();
    append(result.back(), part_of(against, 0, limit));
  }
  return result;
}

void state_prompt(nlohmann::ordered_json& record) {
  if (!record.is_object() || !is_text(record, "chosen") || !is_text(record, "rejected")) return;
  for (const char* key : {"prompt", "conversations", "messages", "question", "instruction"})
    if (record.contains(key) && !record.at(key).is_null()) return;
  const std::string chosen = record["chosen"].get<std::string>(), rejected = record["rejected"].get<std::string>();
  auto common = static_cast<std::size_t>(std::ranges::mismatch(chosen, rejected).in1 - chosen.begin());
  // Where one goes on where the other ends, an answer keeps the last character, as TRL's extract_prompt has it.
  const bool is_beginning{common > 0 && common == std::min(chosen.size(), rejected.size())};
  if (is_beginning) --common;
  const auto is_inside_letter = [&](const std::string& text) {
    return common < text.size() && (static_cast<unsigned char>(text[common]) & 0xC0) == 0x80;
  };
  while (common > 0 && (is_inside_letter(chosen) || is_inside_letter(rejected))) --common;
  if (common > 0 && chosen[common - 1] == ' ' && !is_beginning) --common;
  record["prompt"] = chosen.substr(0, common);
  record["chosen"] = chosen.substr(common);
  record["rejected"] = rejected.substr(common);
}

bool is_text_pair(const nlohmann::ordered_json& record, const tokenizer::Conversation& conversation) {
  return is_text(record, "prompt") && is_text(record, "chosen") && is_text(record, "rejected") &&
         conversation.messages.size() == 2 && !record.contains("system");
}

Example joined(Example chosen, const Example& rejected) {
  if (chosen.ids == rejected.ids)
    throw base::Error(
        {"chosen and rejected are the same", "rejected", "", "two answers that differ", "leave the record out"});
  chosen.second = chosen.ids.size();
  append(chosen, rejected);
  return chosen;
}

std::size_t longest(const Example& example) {
  return example.second == 0 ? example.ids.size() : std::max(example.second, example.ids.size() - example.second);
}

Example part_of(const Example& example, std::size_t begin, std::size_t end) {
  const auto from = static_cast<std::ptrdiff_t>(begin);
  const auto to = static_cast<std::ptrdiff_t>(std::min(end, example.ids.size()));
  return {{example.ids.begin() + from, example.ids.begin() + to},
          {example.trained.begin() + from, example.trained.begin() + to}};
}

Example truncated(const Example& example, std::size_t limit) {
  if (example.second == 0) return part_of(example, 0, limit);
  Example result = part_of(example, 0, std::min(limit, example.second));
  result.second = result.ids.size();
  append(result, part_of(example, example.second, example.second + limit));
  return result;
}

bool trains_both(const Example& example) {
  const auto trains = [&](std::size_t begin, std::size_t end) {
    return std::any_of(example.trained.begin() + static_cast<std::ptrdiff_t>(begin + 1),
                       example.trained.begin() + static_cast<std::ptrdiff_t>(end), [](auto t) { return t != 0; });
  };
  return example.second > 0 && trains(0, example.second) && trains(example.second, example.ids.size());
}

}  // namespace finetune
