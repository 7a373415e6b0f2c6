// One message of a conversation.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tokenizer {

/// A member of a record or message that is none of its text, as JSON.
struct Member {
  std::string name, json;
};

/// What a member means for training.
enum class Meaning {
  kNone,      ///< nothing that is known here: a name, an id, a note
  kFlag,      ///< whether a message is trained
  kPartFlag,  ///< whether parts of it are
  kSaid,      ///< a part of what is said: a template that does not know it would leave it out
  kTools,     ///< the same, of tools
  kAnswers,   ///< answers to be compared
  kVerdict,   ///< whether the answer is a good one, where it says yes or no
};
/// The one table of all members with a meaning. A name can mean one thing in a message and another in a record.
enum class Holder { kMessage, kRecord };
Meaning meaning_of(std::string_view name, Holder holder);

struct Message {
  std::string role;  ///< "system", "user", "assistant" or "tool"
  std::string content;
  /// What the data say of it: false keeps an answer out of the loss, true puts another message into it.
  std::optional<bool> trained = {};
  double weight = 1;                 ///< of its loss, as the data say it
  std::vector<Member> members = {};  ///< all that it holds but role and content (weight, name, tool_calls ...)
  bool has_content = true;           ///< false: null, as beside calls of tools
  bool in_prompt = false;            ///< an answer that belongs to the prompt of another: trained with all text alone
};

}  // namespace tokenizer
