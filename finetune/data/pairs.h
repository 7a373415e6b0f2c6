// Two answers to one prompt, of which one is better, or one answer with a verdict: an example of two documents that
// stay together.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "finetune/data/example_maker.h"
#include "tokenizer/chat/conversation.h"

namespace finetune {

/// {"chosen", "rejected"} that are texts without a prompt get what both begin with as "prompt"; a space before the
/// first difference belongs to the answers.
void state_prompt(nlohmann::ordered_json& record);

/// Whether prompt and answers are texts, which go through no chat template.
bool is_text_pair(const nlohmann::ordered_json& record, const tokenizer::Conversation& conversation);

/// Lays `rejected` behind `chosen`. Throws base::Error where they are the same.
Example joined(Example chosen, const Example& rejected);

/// Takes `label` or `kto_tag` out of the record: whether its answer is a good one. Throws base::Error where it does not
/// say so.
bool take_verdict(tokenizer::Conversation& conversation, RecordNotes& notes);

/// Leaves them out: `notes` of the record have them.
void drop_verdicts(tokenizer::Conversation& conversation);

/// Only what stands behind the last message of the user is trained. Throws base::Error where that is no answer.
void judge_last_answer(tokenizer::Conversation& conversation);

/// Examples for KTO: each answer with its verdict, behind it the same prompt with another one's answer, by which KTO
/// sees how far the model has moved. Pairs become two answers, one behind the other. The other answer is the one before
/// it, in a circle, that has another prompt (the one before it where 100 have the same); documents keep at most `limit`
/// tokens. Throws base::Error, which names the `option` of the data, for an answer alone.
std::vector<Example> with_mismatches(const std::vector<Example>& examples, std::size_t limit,
                                     const std::string& option = "--data");

/// Tokens of the longer document.
std::size_t longest(const Example& example);

/// Tokens [begin, end), which may be more than there are, as one document.
Example part_of(const Example& example, std::size_t begin, std::size_t end);

/// Keeps the first `limit` tokens of either document.
Example truncated(const Example& example, std::size_t limit);

/// Whether both documents have a trained token that gives a loss.
bool trains_both(const Example& example);

}  // namespace finetune
