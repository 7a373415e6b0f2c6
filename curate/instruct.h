// Instruction data: Alpaca, ShareGPT, OpenAI messages or prompt/completion in; chat records out.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/program.h"
#include "curate/record.h"
#include "curate/run_options.h"

namespace curate {

struct Message {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// One conversation: perhaps a system message, then user and assistant in turn, the assistant last.
struct Conversation {
  std::vector<Message> messages;
  std::string format;  ///< "messages", "sharegpt", "alpaca", "prompt"
};

/// Reads a conversation out of a record; the first of these that is there:
///   messages       [{role, content}], content a text or a list of {type: text, text}
///   conversations  [{from: human|gpt|system, value}] (ShareGPT; also user|assistant and role/content)
///   instruction    with output (Alpaca), input, system and history [[question, answer], ...]; the prompt is
///                  "instruction\ninput"
///   prompt         with completion, response or output; or question with answer
/// Returns "", or the reason why there is none: "unknown_format", "bad_roles", "tool_use", "not_text", ...
std::string read_conversation(const nlohmann::json& record, Conversation& conversation);

struct InstructOptions {
  InputOptions reading;
  std::string output;
  std::uint64_t max_characters = 0, max_turns = 0, min_answer = 1;
  double validation_share = 0;
  std::uint64_t seed = 1;
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
