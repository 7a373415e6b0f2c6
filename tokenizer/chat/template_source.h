// Where a chat template comes from: the model itself, a file, or one of the templates that come with the program.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/options.h"
#include "tokenizer/spec/tokenizer.h"

namespace tokenizer {

struct TemplateSource {
  std::string name;  ///< "the model's", a name of ours, or a file: for messages
  std::string jinja;
  std::string for_tools = {};  ///< of conversations with tools, where these have a template of their own
};

/// The templates of configs/templates/ by name.
const std::map<std::string, std::string>& named_templates();

/// --chat-template, everywhere where a chat is rendered.
struct TemplateOptions {
  std::string chat_template;
  void visit(base::OptionVisitor& v);
};

/// Noon of a day as template_date has it, by the clock of this machine. Throws base::UsageError for what is no day.
std::chrono::system_clock::time_point noon_of(const std::string& date);
/// That of now.
std::string today();
/// Whether a template of the model writes the day.
bool asks_for_date(const Tokenizer& tokenizer);

/// What `choice` asks for: a name of ours or a file; "" the template of `tokenizer` itself. Throws base::Error where
/// there is none.
TemplateSource template_source(const Tokenizer& tokenizer, const std::string& choice = "");

}  // namespace tokenizer
