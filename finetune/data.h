// Records -> token ids and the mask of what is trained.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace finetune {

/// One document. `trained[i]` is 1 when token i is one that the model learns to write.
struct Example {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> trained;
  /// Trained tokens that have a token before them: the ones that give a loss.
  std::int64_t targets() const;
};

struct DataOptions {
  std::int64_t max_length = 1024;  ///< tokens of one example
  std::string too_long =
      "truncate";               ///< "truncate" (keep the beginning), "drop" or "split" (the rest is an example too)
  std::uint64_t limit = 0;      ///< read at most so many records, 0 = all
  std::uint64_t max_bad = 100;  ///< more bad records than this is an error
  int threads = 0;              ///< 0 = all
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
  std::string first_bad;  ///< "file:line: why", of the first bad record
  /// "read 660 records: 655 used (12 truncated to 1024 tokens), 3 without trained tokens, 2 bad; 652 examples, ..."
  std::string to_text(const DataOptions& options) const;
};

struct Dataset {
  std::vector<Example> examples;  ///< input order
  DataReport report;
};

/// Turns one record into an example. Thread-safe. `tokenizer` must outlive it.
///   {"messages": [{"role", "content"}]}, {"conversations": [{"from", "value"}]} and {"instruction", "input", "output"}
///   go through the tokenizer's chat template: what the assistant says and its end token is trained;
///   {"prompt", "completion"} trains the completion and the end-of-text token, {"text"} all tokens and the end-of-text.
class ExampleMaker {
 public:
  explicit ExampleMaker(const tokenizer::Tokenizer& tokenizer);
  /// Throws base::Error for a bad record; base::UsageError when a conversation meets a tokenizer without a template.
  Example make(std::string_view record) const;

 private:
  Example from_chat(const std::vector<tokenizer::Message>& messages) const;
  Example from_text(const std::string& prompt, const std::string& completion) const;

  const tokenizer::Tokenizer& tokenizer_;
  std::unique_ptr<tokenizer::ChatTemplate> chat_;
  std::string chat_error_;  ///< why there is no template
};

/// Reads `files` (as from base::expand_inputs). Throws base::Error when more than max_bad records are bad, and when
/// nothing is left to train on.
Dataset read_dataset(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options);

/// Moves `share` (0..1) of the examples, at least one, chosen by `seed`, out of `examples`: the validation data.
/// Throws base::UsageError when nothing would be left on either side.
std::vector<Example> take_validation(std::vector<Example>& examples, double share, std::uint64_t seed);

/// A number that changes when any id, mask or order changes: a resumed run must see the same data.
std::uint64_t fingerprint(const std::vector<Example>& examples);

}  // namespace finetune
