// Lists of messages that stand in a record as JSON text, as in a cell of a table.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "tokenizer/chat/conversation.h"

namespace tokenizer {

/// Puts lists in the place of texts that hold them as JSON: of `messages`, `conversations` and `history`, which must be
/// lists, each text that begins with '['; of `prompt`, `chosen` and `rejected` of a preference record those that are
/// lists of messages, {role, content} or {from, value}; so also of `prompt` and `completion` (and their other names),
/// where both are. Other texts that begin with '[' stay texts. The problem is JSON that is broken.
/// `repeated_keys` becomes true where one had a key twice.
std::optional<RecordProblem> open_json_texts(nlohmann::ordered_json& record, bool* repeated_keys = nullptr);
/// Whether a text stands where open_json_texts looks that begins with '['.
bool has_json_texts(const nlohmann::ordered_json& record);

}  // namespace tokenizer
