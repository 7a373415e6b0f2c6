// A conversation as text and as token ids, with a mask of the tokens that are trained.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "tokenizer/chat/message.h"
#include "tokenizer/chat/template_source.h"
#include "tokenizer/chat/turns.h"
#include "tokenizer/jinja/jinja.h"
#include "tokenizer/spec/tokenizer.h"

namespace tokenizer {

/// A conversation as the template writes it.
struct RenderedChat {
  std::string text;
  std::vector<ByteRange> data;           ///< the conversation's own words: nothing in them is a special token
  std::vector<ByteRange> trained;        ///< what the model learns to write
  std::vector<std::size_t> dropped;      ///< messages of whose words the template wrote nothing
  std::vector<std::size_t> shortened;    ///< those of whose words it wrote a part; white space is no word
  std::vector<std::size_t> without_end;  ///< trained messages whose turn ends without an end token
  std::vector<std::string> left_out;     ///< members of messages and of the record that were not written
};

struct Rendered {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> trained;  ///< 1 where the token is a target: what an assistant says and its end token
  std::size_t specials_as_text = 0;   ///< special tokens that messages write out, read as characters
};

/// Is it a part of what is said (tools, images, thoughts ...), and not empty?
bool is_said(const Member& member, Holder holder);

/// One encoding of the whole text. A token is trained when it holds a byte of what is trained.
Rendered encode_chat(const Tokenizer& tokenizer, const RenderedChat& chat);

/// One chat format: a Jinja template and the tokenizer that it is for. Thread-safe once made.
///
/// Contents are data: a special token written out in one ("<|im_end|>") is encoded as ordinary characters, so that no
/// message can end its own turn or open another. Here the ids differ from transformers' apply_chat_template, which
/// renders to one string and parses special tokens anywhere in it; for all other contents they are equal.
class ChatTemplate {
 public:
  /// Throws base::Error for a template that is broken, that cannot render a question and its answer, or whose end of a
  /// turn is no token of `tokenizer`, which must outlive the result.
  ChatTemplate(const Tokenizer& tokenizer, TemplateSource source);

  /// A conversation with tools goes by the template that the model has for such, as in transformers.
  ///
  /// With `generation_prompt`, ends with the opening of an assistant turn. `record`: the members beside the messages,
  /// of which tools, documents and chat_template_kwargs are the template's to use. Throws base::Error for what the
  /// template refuses, and for a member that says something and that the template does not know.
  RenderedChat render_text(const std::vector<Message>& messages, bool generation_prompt,
                           const std::vector<Member>& record = {}, TrainOn train_on = TrainOn::kAssistant) const {
    RenderedChat chat;
    render_text(messages, generation_prompt, record, train_on, chat);
    return chat;
  }
  /// The same into `chat`, whose memory is used again.
  void render_text(const std::vector<Message>& messages, bool generation_prompt, const std::vector<Member>& record,
                   TrainOn train_on, RenderedChat& chat) const;
  Rendered render(const std::vector<Message>& messages, bool generation_prompt,
                  const std::vector<Member>& record = {}) const;
  /// The tokens at which generation of an answer stops.
  std::vector<std::int32_t> stop_ids() const;
  /// Token-like texts that the template writes and that are no tokens of the vocabulary: "<|im_start|>" ...
  const std::vector<std::string>& missing_tokens() const { return missing_; }
  const TurnShape& shape() const { return *shape_; }
  const TemplateSource& source() const { return source_; }

 private:
  void run(const std::vector<Message>& messages, bool generation_prompt, const std::vector<Member>& record,
           jinja::Rendered& rendered) const;
  std::shared_ptr<const TurnShape> shape_for(const std::vector<Member>& record) const;
  void check_known(const std::vector<Member>& members, Holder holder) const;
  void check_keywords(const std::vector<Member>& record) const;
  void find_missing_tokens(const RenderProbe& render);
  void take_tool_template();

  const Tokenizer& tokenizer_;
  TemplateSource source_;
  jinja::Template template_;
  jinja::Options clock_;
  std::vector<std::pair<std::string, jinja::Json>> settings_;  //< bos_token and the like, those that are read
  std::shared_ptr<const TurnShape> shape_;
  mutable std::mutex shapes_mutex_;
  mutable std::map<std::string, std::shared_ptr<const TurnShape>> shapes_;  //< by chat_template_kwargs
  std::vector<std::string> missing_;
  std::unique_ptr<ChatTemplate> for_tools_;         //< that of conversations with tools, where it is another
  std::optional<base::ErrorFacts> fault_of_tools_;  //< why it cannot be used: matters where there are tools
};

/// The template that `choice` names (template_source). `tokenizer` must outlive the result.
std::unique_ptr<ChatTemplate> chat_template_of(const Tokenizer& tokenizer, const std::string& choice = "");

}  // namespace tokenizer
