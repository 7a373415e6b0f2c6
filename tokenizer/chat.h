// A conversation as token ids, with a mask of the tokens that are trained.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace tokenizer {

struct Message {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

struct Rendered {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> trained;  ///< 1 where the token is a target: assistant text and its end token
};

/// One chat format. The interface behind which a Jinja engine for all models will stand.
///
/// Contents are data: a special token written out in one ("<|im_end|>") is encoded as ordinary characters, so that no
/// message can end its own turn or open another. Here the ids differ from transformers' apply_chat_template, which
/// renders to one string and parses special tokens anywhere in it; for all other contents they are equal.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  /// With `generation_prompt`, ends with the opening of an assistant turn. Throws Error for a role it does not know.
  virtual Rendered render(const std::vector<Message>& messages, bool generation_prompt) const = 0;
  /// The tokens at which generation of an answer stops.
  virtual std::vector<std::int32_t> stop_ids() const = 0;
};

/// ChatML as SmolLM2 writes it (with its default system message, which the template adds when the first message is not
/// a system message). Throws Error when `tokenizer` has another template. `tokenizer` must outlive the result.
std::unique_ptr<ChatTemplate> chat_template_of(const Tokenizer& tokenizer);

}  // namespace tokenizer
