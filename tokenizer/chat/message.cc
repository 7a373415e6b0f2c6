// One message of a conversation. Tested by tests/tokenizer/turns_test.cc and jinja_test.cc.
#include "tokenizer/chat/message.h"

#include <algorithm>
#include <array>

namespace tokenizer {

Meaning meaning_of(std::string_view name, Holder holder) {
  using enum Meaning;
  struct Row {
    std::string_view name;
    Meaning in_message, in_record;
  };
  // Flags: weight (OpenAI), train or training (axolotl), trainable, loss (ms-swift; of a record a number is a
  // measurement).
  static constexpr std::array kRows = {
      Row{"weight", kFlag, kFlag},
      Row{"train", kFlag, kFlag},
      Row{"training", kFlag, kFlag},
      Row{"trainable", kFlag, kFlag},
      Row{"loss", kFlag, kNone},
      Row{"train_detail", kPartFlag, kPartFlag},
      Row{"training_detail", kPartFlag, kPartFlag},
      Row{"tools", kTools, kTools},
      Row{"functions", kTools, kTools},
      Row{"tool_calls", kTools, kTools},
      Row{"function_call", kTools, kTools},
      Row{"tool_call_id", kTools, kTools},
      Row{"reasoning_content", kSaid, kSaid},
      Row{"reasoning", kSaid, kNone},
      Row{"thinking", kSaid, kNone},
      Row{"thought", kSaid, kNone},
      Row{"refusal", kSaid, kNone},
      Row{"audio", kSaid, kSaid},
      Row{"audios", kSaid, kSaid},
      Row{"image", kSaid, kSaid},
      Row{"images", kSaid, kSaid},
      Row{"video", kSaid, kSaid},
      Row{"videos", kSaid, kSaid},
      Row{"documents", kSaid, kSaid},
      Row{"chat_template_kwargs", kNone, kSaid},
      Row{"chosen", kNone, kAnswers},
      Row{"rejected", kNone, kAnswers},
      Row{"label", kNone, kVerdict},
      Row{"kto_tag", kNone, kVerdict},
  };
  const auto row = std::ranges::find(kRows, name, &Row::name);
  if (row == kRows.end()) return kNone;
  return holder == Holder::kMessage ? row->in_message : row->in_record;
}

}  // namespace tokenizer
