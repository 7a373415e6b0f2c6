// Where the records of a data set went, and what is worth saying of them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/records.h"
#include "base/tolerance.h"
#include "finetune/data/example.h"

namespace finetune {

struct DataOptions {
  std::int64_t max_length = 1024;  ///< tokens of one example
  std::string too_long =
      "truncate";                ///< "truncate" (keep the beginning), "drop" or "split" (the rest is an example too)
  std::uint64_t limit = 0;       ///< read at most so many records, 0 = all
  base::Tolerance max_bad{100};  ///< more bad records than this is an error
  int threads = 0;               ///< 0 = all
  base::TextOptions text{};
  bool can_split = true;  ///< false: "split" is none of the answers to examples that are too long
};

/// What became of a record that is not trained as it came.
enum class Fate : std::uint8_t {
  kTruncated,
  kSplit,
  kTooLong,
  kUntrained,
  kBad,
  kPartly,    ///< the chat template leaves out a message, a part of one, or a member
  kSpecials,  ///< special tokens that it writes out are read as characters
  kRepeated,  ///< it has a key twice, of which the last counts
  kEmpty,     ///< an answer of it has no words, so that its end alone is learned
  kCrosses,   ///< a token holds the end of the prompt and the beginning of the answer: generation will not meet it
};
inline constexpr std::array kAllFates = {Fate::kTruncated, Fate::kSplit,  Fate::kTooLong,  Fate::kUntrained,
                                         Fate::kBad,       Fate::kPartly, Fate::kSpecials, Fate::kRepeated,
                                         Fate::kEmpty,     Fate::kCrosses};
/// "truncated", "split", "too long", "without trained tokens", "bad", "written in part" ...
std::string name_of(Fate fate);

struct AlteredRecord {
  Fate fate = Fate::kBad;
  Origin origin;
  std::string why;  ///< of bad ones, and what is left out of those written in part
};

/// Where every record went: read = used + untrained + dropped + bad.
struct DataReport {
  static constexpr std::size_t kMostNamed = 10'000;  ///< records named of each fate: the first ones
  std::uint64_t read = 0;
  std::uint64_t used = 0;                  ///< gave at least one example
  std::uint64_t untrained = 0;             ///< nothing in it is trained (or nothing is left after the cut)
  std::uint64_t untrained_by_length = 0;   ///< of these, those that are too long
  std::uint64_t dropped = 0;               ///< too long, with too_long = "drop"
  std::uint64_t bad = 0;                   ///< unreadable, or of no known shape
  std::uint64_t too_long = 0;              ///< longer than max_length, whatever was done about it
  std::uint64_t truncated = 0, split = 0;  ///< of the used ones
  std::uint64_t untrained_pieces = 0;      ///< of the split ones, left out: nothing in them is trained
  std::uint64_t examples = 0, tokens = 0, trained_tokens = 0;
  std::uint64_t specials_as_text = 0;  ///< used records that write special tokens as text
  std::uint64_t drops_messages = 0;    ///< used records of which the template leaves out a message
  std::uint64_t cuts_messages = 0;     ///< ... or a part of one
  std::uint64_t partly = 0;            ///< ... or a member of one: all of Fate::kPartly
  std::uint64_t untrained_first = 0;   ///< used records whose answer begins the example: that token is never trained
  std::uint64_t chats = 0;             ///< used records that the chat template wrote
  std::uint64_t plain = 0;             ///< used records of a prompt and its answer without the chat template
  std::uint64_t empty = 0;             ///< used records with an answer without words
  std::uint64_t crosses = 0;           ///< used records with a token that holds prompt and answer
  std::uint64_t asks_again = 0;        ///< used pairs of which a side goes on with questions
  std::uint64_t nulls = 0;             ///< used records with a member of a tool or a call that is null
  std::uint64_t ends = 0;              ///< used records in which an end token is trained
  std::uint64_t repeated_keys = 0;     ///< records that had a key twice, of which the last counts
  std::uint64_t double_bos = 0;        ///< used records that begin with BOS twice
  std::uint64_t without_bos = 0;       ///< used records without the BOS that the model's texts begin with
  std::uint64_t tried = 0;             ///< records whose text was made again from its tokens ...
  std::uint64_t changed = 0;           ///< ... and those of which another came out
  std::map<std::string, std::uint64_t> bad_kinds;  ///< what is wrong with bad records
  std::map<std::string, std::uint64_t> left_out;   ///< members of messages that no template wrote -> used records
  std::map<std::string, std::uint64_t> unused;     ///< members of records that nothing reads -> used records
  std::vector<AlteredRecord> altered;              ///< in input order
  Origin first_changed;                            ///< of `changed`
  std::vector<std::string> files;                  ///< what origins mean
  std::string first_bad;                           ///< "file:line: why", of the first bad record

  void alter(Fate fate, const Origin& origin, std::string why = "");
  /// Records of that fate, those too that are not named.
  std::uint64_t count_of(Fate fate) const;
  /// Adds what a later part of the same input gave.
  void add(DataReport part);
  /// "data/chat.jsonl:12"
  std::string place(const Origin& origin) const;
  /// "read 660 records: 655 used (12 truncated to 1024 tokens), 3 without trained tokens, 2 bad; 652 examples, ..."
  std::string to_text(const DataOptions& options) const;
  /// All but `files` and what follows from them.
  nlohmann::ordered_json to_json() const;
  static DataReport from_json(const nlohmann::ordered_json& json, std::vector<std::string> files);
};

/// Counts `name`; data may invent any number of names, of which those beyond thirty are "others".
void count(std::map<std::string, std::uint64_t>& counts, const std::string& name, std::uint64_t number = 1);
/// "a (3), b (2)", the most frequent first.
std::string counted(const std::map<std::string, std::uint64_t>& counts);

}  // namespace finetune
