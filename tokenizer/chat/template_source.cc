// Finds the text of a chat template. Tested by tests/tokenizer/turns_test.cc.
#include "tokenizer/chat/template_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace tokenizer {
namespace {

std::string names() {
  std::vector<std::string> all;
  for (const auto& [name, jinja] : named_templates()) all.push_back(name);
  return base::join(all, ", ");
}

}  // namespace

void TemplateOptions::visit(base::OptionVisitor& v) {
  v("chat_template", chat_template,
    "a Jinja file, or a name: " + names() + "; without it, the template that the model has", base::PathKind::kModel);
}

std::chrono::system_clock::time_point noon_of(const std::string& date) {
  std::tm day{};
  const char* end = strptime(date.c_str(), "%Y-%m-%d", &day);
  std::tm real = day;
  real.tm_hour = 12;
  real.tm_isdst = -1;
  const std::time_t seconds = std::mktime(&real);
  if (end == nullptr || *end != '\0' || seconds == -1 || real.tm_mday != day.tm_mday)
    throw base::UsageError({"no day", "--template-date", base::shortened(date), "such as 2026-11-30", ""});
  return std::chrono::system_clock::from_time_t(seconds);
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm day{};
  localtime_r(&now, &day);
  return fmt::format("{:04}-{:02}-{:02}", day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
}

bool asks_for_date(const Tokenizer& tokenizer) {
  return (tokenizer.chat_template + tokenizer.tool_template).find("strftime_now") != std::string::npos;
}

TemplateSource template_source(const Tokenizer& tokenizer, const std::string& choice) {
  if (choice.empty()) {
    if (!base::trim(tokenizer.chat_template).empty())
      return {tokenizer.chat_template_name, tokenizer.chat_template, tokenizer.tool_template};
    throw base::Error({"the model has no chat template", "", "", "",
                       "choose one with --chat-template: a Jinja file, or " + names() +
                           "; or give plain text, or prompts rendered beforehand (with --allow-special)"});
  }
  if (const auto found = named_templates().find(choice); found != named_templates().end())
    return {.name = choice, .jinja = found->second};
  if (!std::filesystem::is_regular_file(choice))
    throw base::UsageError({"no such chat template", "--chat-template", choice, "a Jinja file, or " + names(), ""});
  std::string jinja = base::read_file(choice);
  if (base::trim(jinja).empty())
    throw base::UsageError({"the chat template is empty", "--chat-template", choice, "a Jinja file", ""});
  return {.name = choice, .jinja = std::move(jinja)};
}

}  // namespace tokenizer
