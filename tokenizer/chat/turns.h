// Which bytes of a rendered chat the model learns to write.
//
// The answer of a turn is what the model itself would have to write: all behind the generation prompt (the header that
// the template writes for add_generation_prompt), up to the end token of the turn and with it. Where the template marks
// it with {% generation %}, what is marked, and the end token. Results of tools that a template writes into an answer
// are no part of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "tokenizer/chat/message.h"
#include "tokenizer/jinja/jinja.h"
#include "tokenizer/spec/tokenizer.h"

namespace tokenizer {

/// Of which messages the words are trained, where they do not say so themselves.
enum class TrainOn {
  kAssistant,  ///< every answer
  kLast,       ///< the last answer
  kAll,        ///< the whole text, with what the template writes around the messages
};

/// --train-on.
struct TrainOnOptions {
  std::string train_on = "assistant";
  TrainOn value() const;
  void visit(base::OptionVisitor& v);
};

/// What a template writes around answers, found out by rendering short conversations.
struct TurnShape {
  std::string prompt;               ///< the generation prompt; "" when the template writes none
  std::string tail;                 ///< what stands behind the words of an answer
  std::optional<std::int32_t> end;  ///< the end token in it
  std::size_t tail_size = 0;        ///< bytes of it up to the end token, and with it
  bool marks = false;               ///< the template has {% generation %}
};

using RenderProbe = std::function<jinja::Rendered(const std::vector<Message>& messages, bool generation_prompt)>;
/// A question that the template takes: some ask for a system message. Throws what `render` throws for one without.
std::vector<Message> question_for(const RenderProbe& render);
/// Throws what `render` throws for a question with its answer.
TurnShape shape_of(const RenderProbe& render, bool marks, const Tokenizer& tokenizer);

/// The text of the first `count` messages. Throws base::Error where the template refuses them.
using RenderFirst = std::function<std::string(std::size_t count)>;
/// `chat`: as the template of `shape` rendered `messages`, and renders the first of them. Sets `trained`, sorted and
/// disjoint, and adds to `without_end` the trained messages whose turn ends without an end token.
void find_trained_bytes(const jinja::Rendered& chat, const std::vector<Message>& messages, const TurnShape& shape,
                        const Tokenizer& tokenizer, TrainOn train_on, const RenderFirst& render_first,
                        std::vector<ByteRange>& trained, std::vector<std::size_t>& without_end);

}  // namespace tokenizer
