// Instruction data: Alpaca, ShareGPT, OpenAI messages, prompt/completion or preferences in; chat records out.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/program.h"
#include "curate/records/record.h"
#include "curate/stages/run_options.h"
#include "tokenizer/chat/conversation.h"

namespace curate {

using tokenizer::Conversation;
using tokenizer::Message;

/// Reads a conversation (tokenizer/chat/conversation.h) that can become a chat record: perhaps a system message, then
/// user and assistant in turn, the assistant last; tools may answer an assistant, who then goes on. Returns "", or the
/// reason why there is none: "unknown_format", "bad_roles", "not_text:content", ...
std::string read_chat(const nlohmann::ordered_json& record, const tokenizer::RoleMap& roles,
                      Conversation& conversation);

/// What makes two conversations the same question: the turns before the last trained answer, without regard to case
/// and white space, and the tools, documents, images and template arguments that go with them; of a preference or a
/// record with a label, all turns.
std::string question_key(const Conversation& conversation);

/// A hash of the first message of the user, without regard to case and white space, which decides between training and
/// validation: conversations that begin with the same question stay together, whatever the system message.
std::uint64_t opening_hash(const Conversation& conversation);

struct InstructOptions {
  InputOptions reading;
  std::string output;
  std::uint64_t max_characters = 0, max_turns = 0, min_answer = 1;
  double validation_share = 0;
  std::uint64_t seed = 1;
  std::vector<std::string> roles;
  std::string nan = "keep";  ///< what NaN and Infinity become
  bool clean = true, unique = true, overwrite = false;

  void visit(base::OptionVisitor& v);
};

/// What is wrong with a conversation as training data; "" when nothing is. The rules are those of AlpacaDataCleaned
/// that need no model: "empty_prompt", "empty_answer", "no_answer" (N/A, nan), "disclaimer" (As an AI language model),
/// "echo", "merged_instructions", "unseen_picture", and the limits of `options`.
std::string judge_conversation(const Conversation& conversation, const InstructOptions& options);

/// Writes OUTPUT/train.jsonl, validation.jsonl (with --validation-share), dropped.jsonl, report.json and run.yaml.
/// read = train + validation + dropped, checked.
int run_instruct(InstructOptions& options, base::Context& context);

}  // namespace curate
