// Finds the text of a chat template. Tested by tests/tokenizer/turns_test.cc.
#include "tokenizer/chat/template_source.h"

#include <algorithm>
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

TemplateSource template_source(const Tokenizer& tokenizer, const std::string& choice) {
  if (choice.empty()) {
    if (!base::trim(tokenizer.chat_template).empty()) return {tokenizer.chat_template_name, tokenizer.chat_template};
    throw base::Error({"the model has no chat template", "", "", "",
                       "choose one with --chat-template: a Jinja file, or " + names() +
                           "; or give plain text, or prompts rendered beforehand (with --allow-special)"});
  }
  if (const auto found = named_templates().find(choice); found != named_templates().end())
    return {choice, found->second};
  if (!std::filesystem::is_regular_file(choice))
    throw base::UsageError({"no such chat template", "--chat-template", choice, "a Jinja file, or " + names(), ""});
  std::string jinja = base::read_file(choice);
  if (base::trim(jinja).empty())
    throw base::UsageError({"the chat template is empty", "--chat-template", choice, "a Jinja file", ""});
  return {choice, std::move(jinja)};
}

}  // namespace tokenizer
