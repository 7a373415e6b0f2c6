// Records of training data in the shapes that people keep them in: the one reader of all programs.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "tokenizer/chat/message.h"

namespace tokenizer {

/// What the data call a role -> "system", "user", "assistant" or "tool".
using RoleMap = std::map<std::string, std::string, std::less<>>;
/// The usual names (human, gpt, ai, model, developer, observation ...) and those of `options`, "name=role" each, also
/// several with commas. Throws UsageError for anything else.
RoleMap role_map(const std::vector<std::string>& options);

/// A record as the reader understands it. Nothing of it is lost: what is no message and no text is in `members`.
struct Conversation {
  /// "messages", "sharegpt", "alpaca", "prompt" (question and answer under some names), "preference" or "text".
  std::string format;
  std::vector<Message> messages;       ///< of a preference: the prompt and the chosen answer
  std::size_t prompt = 0;              ///< of a preference: so many of `messages` are the prompt
  std::vector<Message> rejected = {};  ///< of a preference: what stands against messages[prompt...]
  bool plain = false;                  ///< "prompt" and "completion" are texts: the messages are just these two
  std::string text = {};               ///< of a "text" record
  std::vector<Member> members = {};    ///< the record's other members (tools, label, id ...), null left out
  bool repeated_keys = false;          ///< messages that were JSON text had a key twice, of which the last counts
};

/// Why a record is no conversation.
struct RecordProblem {
  std::string reason;  ///< one word for reports, with the member at fault: "not_text:content", "unknown_format"
  base::ErrorFacts facts;
};

/// Reads a record; the first of these that is there:
///   chosen, rejected  texts, messages or lists of messages; with prompt, conversations, messages, or instruction and
///                     input, or without: then what both lists begin with is the prompt, and behind it come answers
///   messages          [{role, content}] (or from, value), content a text or a list of {type: text, text}
///   conversations     the same; `system` beside them is the first message
///   instruction       with output (Alpaca), input, system and history [[question, answer], ...]; the prompt is
///                     "instruction\ninput", without an input that is blank or "<noinput>"
///   prompt            or question, or instruction with input or context; with completion, response, answer or output:
///                     texts or lists of messages. Answers inside a prompt are trained with all of the text alone.
///   text
/// Of keys that stand for the same, one that says something goes before an empty text, as tables have it; a `system`
/// that is there, empty or not, makes a conversation of texts.
/// Lists may also be JSON text (tokenizer/chat/json_texts.h).
/// train, training, trainable or loss of a message, true or false, 1 or 0, say whether it is trained; so does weight, 1
/// or 0, of an answer, and of another message weight 0. Where one says no, it is not.
std::optional<RecordProblem> read_conversation(const nlohmann::ordered_json& record, const RoleMap& roles,
                                               Conversation& conversation);

}  // namespace tokenizer
