// Two answers to one prompt, of which one is better: an example of two documents that stay together.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "finetune/data/example.h"
#include "tokenizer/chat/conversation.h"

namespace finetune {

/// {"chosen", "rejected"} that are texts without a prompt get what both begin with as "prompt"; a space before the
/// first difference belongs to the answers.
void state_prompt(nlohmann::ordered_json& record);

/// Whether prompt and answers are texts, which go through no chat template.
bool is_text_pair(const nlohmann::ordered_json& record, const tokenizer::Conversation& conversation);

/// Lays `rejected` behind `chosen`. Throws base::Error where they are the same.
Example joined(Example chosen, const Example& rejected);

/// Tokens of the longer document.
std::size_t longest(const Example& example);

/// Tokens [begin, end), which may be more than there are, as one document.
Example part_of(const Example& example, std::size_t begin, std::size_t end);

/// Keeps the first `limit` tokens of either document.
Example truncated(const Example& example, std::size_t limit);

/// Whether both documents have a trained token that gives a loss.
bool trains_both(const Example& example);

}  // namespace finetune
