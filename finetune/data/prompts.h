// What a model is asked: one prompt a line of a .txt file, or records with a "prompt".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/records.h"
#include "tokenizer/chat/chat.h"

namespace finetune {

/// One question.
struct Prompt {
  std::string shown;                         ///< as people read it: the text, or the list of messages as JSON
  std::vector<tokenizer::Message> messages;  ///< a system message, if any, then turns that end with no answer
  std::vector<tokenizer::Member> members;    ///< of the record, what a template may write: tools ...
  std::string place;                         ///< "FILE:LINE"
};

struct Prompts {
  std::vector<Prompt> all;                          ///< at least one
  std::uint64_t repeated_keys = 0;                  ///< records that had a key twice
  std::map<std::string, std::uint64_t> unused;      ///< members of records that nothing reads -> records
  std::map<std::string, std::uint64_t> left_out{};  ///< members of messages that the template did not write -> prompts
  /// What people should know of them: lines.
  std::string notes() const;
};

/// Of `file`, "-": standard input: `prompt`, a text or a list of messages, `system`, a text, and what a chat template
/// writes of a record. `roles`: "NAME=ROLE". Throws base::Error for what is no prompt.
Prompts read_prompts(const std::string& file, const base::TextOptions& text,
                     const std::vector<std::string>& roles = {});

/// What the model reads: through `chat`, or where that is null as the text stands, special tokens in it as characters
/// but with `allow_special`. What the template does not write of the messages is counted in `left_out`. Throws
/// base::Error for messages that need a template.
std::vector<std::int32_t> ids_of(const Prompt& prompt, const tokenizer::ChatTemplate* chat,
                                 const tokenizer::Tokenizer& tokenizer, bool allow_special,
                                 std::map<std::string, std::uint64_t>* left_out = nullptr);

}  // namespace finetune
