// Two answers to one prompt. Tested by tests/finetune/preferences_test.cc.
#include "finetune/data/pairs.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace finetune {
namespace {

bool is_text(const nlohmann::ordered_json& record, const char* key) {
  return record.contains(key) && record.at(key).is_string();
}

void append(Example& first, const Example& second) {
  first.ids.insert(first.ids.end(), second.ids.begin(), second.ids.end());
  first.trained.insert(first.trained.end(), second.trained.begin(), second.trained.end());
}

}  // namespace

void state_prompt(nlohmann::ordered_json& record) {
  if (!record.is_object() || !is_text(record, "chosen") || !is_text(record, "rejected")) return;
  for (const char* key : {"prompt", "conversations", "messages", "question", "instruction"})
    if (record.contains(key) && !record.at(key).is_null()) return;
  const std::string chosen = record["chosen"].get<std::string>(), rejected = record["rejected"].get<std::string>();
  auto common = static_cast<std::size_t>(std::ranges::mismatch(chosen, rejected).in1 - chosen.begin());
  const auto is_inside_letter = [&](const std::string& text) {
    return common < text.size() && (static_cast<unsigned char>(text[common]) & 0xC0) == 0x80;
  };
  while (common > 0 && (is_inside_letter(chosen) || is_inside_letter(rejected))) --common;
  if (common > 0 && chosen[common - 1] == ' ') --common;
  record["prompt"] = chosen.substr(0, common);
  record["chosen"] = chosen.substr(common);
  record["rejected"] = rejected.substr(common);
}

bool is_text_pair(const nlohmann::ordered_json& record, const tokenizer::Conversation& conversation) {
  return is_text(record, "prompt") && is_text(record, "chosen") && is_text(record, "rejected") &&
         conversation.messages.size() == 2;
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
