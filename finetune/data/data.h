// Records -> token ids and the mask of what is trained.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "base/records.h"
#include "tokenizer/chat/chat.h"
#include "tokenizer/chat/conversation.h"
#include "tokenizer/spec/tokenizer.h"

namespace finetune {

/// One document, or a pair of them: a chosen and a rejected answer with their prompt. `trained[i]` is 1 when token i is
/// one that the model learns to write.
struct Example {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> trained;
  std::size_t second = 0;                 ///< where the second document of a pair begins; 0: there is none
  std::array<double, 2> reference{0, 0};  ///< of a pair: log-probabilities of the answers before the training
  /// Trained tokens that have a token before them: the ones that give a loss.
  std::int64_t targets() const;
};

struct DataOptions {
  std::int64_t max_length = 1024;  ///< tokens of one example
  std::string too_long =
      "truncate";                ///< "truncate" (keep the beginning), "drop" or "split" (the rest is an example too)
  std::uint64_t limit = 0;       ///< read at most so many records, 0 = all
  base::Tolerance max_bad{100};  ///< more bad records than this is an error
  int threads = 0;               ///< 0 = all
  base::TextOptions text{};
};

/// How records are read.
struct MakerOptions {
  bool allow_special = false;      ///< special tokens written out in a text, prompt or completion are tokens
  std::vector<std::string> roles;  ///< more names of roles (tokenizer::role_map)
  tokenizer::TrainOnOptions train_on{};
  base::TextOptions text{};
  bool pairs = false;  ///< records are preferences: chosen and rejected answers
  void visit(base::OptionVisitor& v);
};

/// What is worth saying of one record.
struct RecordNotes {
  bool specials_as_text = false;              ///< it writes special tokens that were read as characters
  std::size_t first_end = std::string::npos;  ///< the first end token that is trained
  std::vector<std::string> left_out;          ///< members of its messages that the chat template does not write
  bool drops_messages = false;                ///< the chat template writes nothing of a message that has words
  bool repeated_keys = false;                 ///< it had a key twice
  std::vector<std::string> unused;            ///< members of the record that nothing reads, but id and source
};

/// Where every record went: read = used + untrained + dropped + bad.
struct DataReport {
  std::uint64_t read = 0;
  std::uint64_t used = 0;       ///< gave at least one example
  std::uint64_t untrained = 0;  ///< nothing in it is trained (or nothing is left after the cut)
  std::uint64_t dropped = 0;    ///< too long, with too_long = "drop"
  std::uint64_t bad = 0;        ///< unreadable, or of no known shape
  std::uint64_t too_long = 0;   ///< longer than max_length, whatever was done about it
  std::uint64_t examples = 0, tokens = 0, trained_tokens = 0;
  std::uint64_t specials_as_text = 0;              ///< used records that write special tokens as text
  std::uint64_t drops_messages = 0;                ///< used records of which the template leaves out a message
  std::uint64_t ends = 0;                          ///< examples in which an end token is trained
  std::uint64_t repeated_keys = 0;                 ///< records that had a key twice, of which the last counts
  std::map<std::string, std::uint64_t> bad_kinds;  ///< what is wrong with bad records
  std::map<std::string, std::uint64_t> left_out;   ///< members of messages that no template wrote -> used records
  std::map<std::string, std::uint64_t> unused;     ///< members of records that nothing reads -> used records
  std::string first_bad;                           ///< "file:line: why", of the first bad record
  /// "read 660 records: 655 used (12 truncated to 1024 tokens), 3 without trained tokens, 2 bad; 652 examples, ..."
  std::string to_text(const DataOptions& options) const;
};

struct Dataset {
  std::vector<Example> examples;  ///< input order
  DataReport report;
};

/// Turns one record into an example. Thread-safe. `tokenizer` must outlive it.
///   Conversations (tokenizer/chat/conversation.h) go through the tokenizer's chat template: what the assistant says
///   and its end token is trained, but for messages that say otherwise (weight: 0, train: false);
///   {"prompt", "completion"} are one text, of which the completion is trained, with the token that holds its first
///   byte; {"text"} is trained whole. Both end with the end-of-text token, as TRL has it
/// (or the first end token, where the model names no EOS).
///   With `pairs`, records hold a chosen and a rejected answer: messages go through the chat template; prompt, chosen
///   and rejected that are texts are two texts, as TRL has it. Both answers are one example.
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

 private:
  Example from_chat(const tokenizer::Conversation& conversation, RecordNotes& notes) const;
  Example from_pair(tokenizer::Conversation& conversation, bool is_text, RecordNotes& notes) const;
  Example from_text(const std::string& prompt, const std::string& completion, RecordNotes& notes) const;

  const tokenizer::Tokenizer& tokenizer_;
  bool allow_special_, pairs_;
  tokenizer::RoleMap roles_;
  tokenizer::TrainOn train_on_;
  std::unique_ptr<tokenizer::ChatTemplate> chat_;
  std::string chat_error_;  // why there is no template
  std::vector<std::int32_t> end_ids_;
};

/// Reads `files` (as from base::expand_inputs). Throws base::Error when more than max_bad records are bad, when a
/// file gives nothing or is cut off, and when nothing is left to train on.
Dataset read_dataset(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options);

/// Moves `share` (0..1) of the examples, at least one, chosen by `seed`, out of `examples`: the validation data.
/// Throws base::UsageError when nothing would be left on either side.
std::vector<Example> take_validation(std::vector<Example>& examples, double share, std::uint64_t seed);

/// A number that changes when any id, mask or order changes: a resumed run must see the same data.
std::uint64_t fingerprint(const std::vector<Example>& examples);

}  // namespace finetune
