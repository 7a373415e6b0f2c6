// What of a record a training would lose is refused by name.
#pragma once

#include <optional>

#include "finetune/data/example_maker.h"
#include "tokenizer/chat/conversation.h"

namespace finetune {

/// Flags of a whole record. Of a text only those that keep it out: its weight may be of any kind. What else is in it is
/// noted.
void check_flags(const tokenizer::Conversation& conversation, RecordNotes& notes);

/// Refuses by name what training on the messages alone would lose.
void check_members(const tokenizer::Conversation& conversation);

/// A flag, or KTO's mark of a good or bad answer: true or false, 1 or 0, also as a text, which is all that a cell of a
/// table can hold; nothing where the value (JSON) is another, such as the name of some class.
std::optional<bool> yes_or_no(const std::string& json);

/// Whether a tool or the call of one has a member that is null. A table of Parquet gives every object of a column the
/// members of all the others, and templates write them (TRL's remove_none_values is for these).
bool has_null_members(const tokenizer::Conversation& conversation);

/// Refuses by name what training on this message would lose.
void check_message(const tokenizer::Message& message);

}  // namespace finetune
