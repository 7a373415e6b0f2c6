// A conversation as text and as token ids, with a mask of the tokens that are trained.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tokenizer/chat/message.h"
#include "tokenizer/spec/tokenizer.h"

namespace tokenizer {

/// A conversation as the template writes it. Every byte belongs to the template but for those in spans of data.
struct RenderedChat {
  struct Span {
    std::size_t begin = 0, end = 0;  ///< bytes of the text
    std::size_t message = 0;         ///< index of the message that it belongs to
    bool data = false;               ///< a message's own words: nothing in them is a special token
    bool trained = false;            ///< what the model learns to write
  };
  std::string text;
  std::vector<Span> spans;  ///< sorted, disjoint
};

struct Rendered {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> trained;  ///< 1 where the token is a target: assistant text and its end token
  std::size_t specials_as_text = 0;   ///< special tokens that messages write out, read as characters
};

/// One encoding of the whole text. A token is trained when it holds a byte of a trained span.
Rendered encode_chat(const Tokenizer& tokenizer, const RenderedChat& chat);

/// Throws Error for a member of a record or message that changes what is said (tools, images ...), and that no template
/// of ours renders.
void check_renderable(const std::vector<Member>& members, Holder holder);

/// One chat format. The interface behind which a Jinja engine for all models will stand.
///
/// Contents are data: a special token written out in one ("<|im_end|>") is encoded as ordinary characters, so that no
/// message can end its own turn or open another. Here the ids differ from transformers' apply_chat_template, which
/// renders to one string and parses special tokens anywhere in it; for all other contents they are equal.
class ChatTemplate {
 public:
  explicit ChatTemplate(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  virtual ~ChatTemplate() = default;
  /// With `generation_prompt`, ends with the opening of an assistant turn. Throws Error for a role that it does not
  /// know, and for a member of a message that it cannot render (check_renderable).
  virtual RenderedChat render_text(const std::vector<Message>& messages, bool generation_prompt) const = 0;
  Rendered render(const std::vector<Message>& messages, bool generation_prompt) const {
    return encode_chat(tokenizer_, render_text(messages, generation_prompt));
  }
  /// The tokens at which generation of an answer stops.
  virtual std::vector<std::int32_t> stop_ids() const = 0;

 protected:
  const Tokenizer& tokenizer_;
};

/// ChatML as SmolLM2 writes it (with its default system message, which the template adds when the first message is not
/// a system message). Throws Error when `tokenizer` has another template. `tokenizer` must outlive the result.
std::unique_ptr<ChatTemplate> chat_template_of(const Tokenizer& tokenizer);

}  // namespace tokenizer
