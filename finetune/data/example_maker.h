// One record -> token ids and the mask of what is trained.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "base/records.h"
#include "finetune/data/example.h"
#include "tokenizer/chat/chat.h"
#include "tokenizer/chat/conversation.h"
#include "tokenizer/spec/tokenizer.h"

namespace finetune {

/// What is learned of: answers; pairs of a chosen and a rejected one; answers with a verdict, or such pairs.
enum class Wanted { kAnswers, kPairs, kVerdicts };

/// How records are read.
struct MakerOptions {
  bool allow_special = false;      ///< special tokens written out in a text, prompt or completion are tokens
  std::vector<std::string> roles;  ///< more names of roles (tokenizer::role_map)
  tokenizer::TrainOnOptions train_on{};
  base::TextOptions text{};
  Wanted wanted = Wanted::kAnswers;
  void visit(base::OptionVisitor& v);
};

/// What is worth saying of one record.
struct RecordNotes {
  bool try_round_trip = false;        ///< asked for: `round_trips` is found out
  bool round_trips = true;            ///< the text comes back from its tokens
  bool specials_as_text = false;      ///< it writes special tokens that were read as characters
  std::vector<std::string> left_out;  ///< members of its messages that the chat template does not write
  bool drops_messages = false;        ///< the chat template writes nothing of a message that has words
  bool cuts_messages = false;         ///< it writes a part of the words alone
  bool untrained_first = false;       ///< the answer begins with the first token of all, which nothing can teach
  bool is_chat = false;               ///< a conversation, which the chat template wrote
  bool is_plain = false;              ///< prompt and answer are one text, though the model has a chat template
  bool crosses = false;               ///< a token holds the end of the prompt and the beginning of the answer
  bool has_empty_answer = false;      ///< an answer without words teaches the end alone
  bool asks_again = false;            ///< a side of a pair goes on with questions, which TRL counts as answers
  bool has_nulls = false;             ///< a tool or a call of one has a member that is null
  bool repeated_keys = false;         ///< it had a key twice
  std::vector<std::string> unused;    ///< members of the record that nothing reads, but id and source
};

/// Turns one record into an example. Thread-safe. `tokenizer` must outlive it.
///   Conversations (tokenizer/chat/conversation.h) go through the tokenizer's chat template: what the assistant says
///   and its end token is trained, but for messages that say otherwise (weight: 0, train: false);
///   {"prompt", "completion"} are one text, of which the completion is trained, with the token that holds its first
///   byte, or with --train-on all the whole; {"text"} is trained whole. Both end with the end-of-text token, as TRL has
///   it
/// (or the first end token, where the model names no EOS).
///   Pairs are records with a chosen and a rejected answer: messages go through the chat template; prompt, chosen
///   and rejected that are texts are two texts, as TRL has it. Both answers are one example.
///   A verdict is `label` or `kto_tag`, true or false, of what stands behind the last message of the user.
/// Refused by name is what this training would lose: preferences, labels, weights between 0 and 1, tools and other
/// members that say something and that the template does not know.
class ExampleMaker {
 public:
  /// Throws UsageError for bad roles.
  explicit ExampleMaker(const tokenizer::Tokenizer& tokenizer, const MakerOptions& options = {});
  /// Throws base::Error for a bad record; base::UsageError when a conversation meets a tokenizer without a template.
  Example make(std::string_view record, RecordNotes* notes = nullptr) const;
  /// Null where the tokenizer has none that can be used.
  const tokenizer::ChatTemplate* chat_template() const { return chat_.get(); }
  /// Whether a token is trained that ends an answer or a text; of a pair, in the chosen one.
  bool trains_end(const Example& example) const;
  const tokenizer::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  Example from_chat(const tokenizer::Conversation& conversation, RecordNotes& notes) const;
  Example from_pair(tokenizer::Conversation& conversation, bool is_text, RecordNotes& notes) const;
  Example from_judged(tokenizer::Conversation& conversation, RecordNotes& notes) const;
  Example from_answer(const tokenizer::Conversation& conversation, RecordNotes& notes) const;
  Example from_text(const std::string& prompt, const std::string& completion, RecordNotes& notes,
                    bool trains_prompt) const;

  const tokenizer::Tokenizer& tokenizer_;
  bool allow_special_;
  Wanted wanted_;
  tokenizer::RoleMap roles_;
  tokenizer::TrainOn train_on_;
  std::unique_ptr<tokenizer::ChatTemplate> chat_;
  std::string chat_error_;  // why there is no template
  std::vector<std::int32_t> end_ids_;
};

}  // namespace finetune
