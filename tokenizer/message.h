// One message of a conversation.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tokenizer {

/// A member of a record or message that is none of its text, as JSON.
struct Member {
  std::string name, json;
};

struct Message {
  std::string role;  ///< "system", "user", "assistant" or "tool"
  std::string content;
  /// What the data say of it: false keeps an answer out of the loss, true puts another message into it.
  std::optional<bool> trained = {};
  double weight = 1;                 ///< of its loss, as the data say it
  std::vector<Member> members = {};  ///< all that it holds but role and content (weight, name, tool_calls ...)
};

}  // namespace tokenizer
