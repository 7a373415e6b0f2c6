// One JSON record: read out of its line, and written again with a `hornbook` key and every other byte as it came.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/records.h"

namespace curate {

/// The names of the fields that matter; "" where there is none. "a.b" is the member of that very name or, where there
/// is none, member b of member a.
struct FieldNames {
  std::string text, id, source, date;
  bool operator==(const FieldNames&) const = default;
};

/// What the pipeline needs of one record. The views live until the parser's next call.
struct Record {
  std::string_view text;    ///< valid UTF-8
  std::string_view id;      ///< "" when the record has none
  std::string_view source;  ///< "" when the record has none
  std::string_view date;
  std::string_view line;       ///< what to deliver: the record as it came, of a key that was there twice the last
  bool repeated_keys = false;  ///< members were taken out
  bool non_finite = false;     ///< it held NaN or Infinity
};

/// Parses one line at a time, as base::JsonRecord does; keeps its buffers. One per thread.
class RecordParser {
 public:
  /// `nan_is_null`: what is not finite is delivered as null.
  explicit RecordParser(bool nan_is_null = false);
  ~RecordParser();
  /// Parses all of `line`: a JSON object and nothing after it, valid UTF-8, `fields.text` a string, `hornbook` an
  /// object, null or not there. Returns "" and fills `record`, or says what is wrong. Never throws for bad bytes.
  /// `readable` bytes after the line may be read (not used) by the parser; without 64 of them the line is copied first.
  std::string parse(std::string_view line, std::size_t readable, const FieldNames& fields, Record& record);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The id of a record that has none: FILE:LINE, or FILE:LINE#N of several in a line (base::line_text), FILE being what
/// base::input_names calls the file.
std::string made_id(const std::string& name, const base::Place& place);
/// The source of a record that has none: what base::input_names calls the file, without suffixes.
std::string made_source(const std::string& name);

/// Appends a number with six digits, null when not finite.
void append_json_number(std::string& out, double number);

/// The number that a record carries under its hornbook key by that name; NaN: none.
double carried_score(std::string_view record, const std::string& name);

/// What to say, where records are delivered, of those that had a key twice and of those with NaN or Infinity.
std::vector<std::string> record_notes(std::uint64_t repeated_keys, std::uint64_t non_finite, bool nan_is_null);

/// Appends scores and labels as members ("\"textbook\":0.8,\"language\":\"en\""), with commas between all members.
void append_scores(std::string& out, const std::vector<std::pair<std::string, double>>& scores,
                   const std::vector<std::pair<std::string, std::string>>& labels);

/// Appends `record` and a newline: `text_field`'s value is replaced when `new_text` is given, and `members`
/// ("\"a\":1,\"b\":2") join the `hornbook` object at the end of the record. Members that an earlier run put there stay
/// unless `members` has the same key. All other bytes are as they came. The record has no key twice.
void append_record(std::string& out, std::string_view record, std::string_view text_field,
                   const std::string_view* new_text, std::string_view members);

}  // namespace curate
