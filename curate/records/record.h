// One JSON record: read out of its line, and written again with a `hornbook` key and every other byte as it came.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/input_tally.h"
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
  /// Parses all of `line`: a JSON object and nothing after it, valid UTF-8, `fields.text` a string. Returns "" and
  /// fills `record`, or says what is wrong. Never throws for bad bytes. `readable` bytes after the line may be read
  /// (not used) by the parser; without 64 of them the line is copied first.
  std::string parse(std::string_view line, std::size_t readable, const FieldNames& fields, Record& record);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The id of a record that has none: FILE:LINE, FILE being what base::input_names calls the file.
std::string made_id(const std::string& name, std::uint64_t line);
/// The source of a record that has none: what base::input_names calls the file, without suffixes.
std::string made_source(const std::string& name);

/// What detect_fields found.
struct DetectedFields {
  FieldNames names;
  bool known = false;                ///< there was a JSON object to look at
  std::string lacks;                 ///< what to do when the text field is in none of them; "" when it is there
  std::vector<std::string> missing;  ///< other fields that were named and are in none of the first ones
};

/// Completes `wanted` ("" = find out) from the JSON objects of a decoded block: the first name of a list of usual ones
/// that is there. Where the block holds no JSON object, nothing in it can be read whatever the fields are called, and a
/// later block must be asked; the text is "text" then, and where no usual name is there.
/// Fields that a file's folders give (`of_folders`) are neither the text nor the id unless they are wanted.
DetectedFields detect_fields(const base::Block& block, const FieldNames& wanted,
                             const std::vector<std::string>& of_folders = {});

/// The names of the fields of some files.
struct FieldSet {
  FieldNames names;
  std::uint32_t number = 0;  ///< from 0: how many other ones were met before
};

/// A block, what its file calls the fields, and the bytes before it that could not be read.
struct DocumentBlock {
  base::Block block;
  std::vector<base::BadBytes> bad;
  std::shared_ptr<const FieldSet> fields;  ///< none: there is no block, only what could not be read at the very end
  std::string lacks;                       ///< as DetectedFields
};

/// Decodes the block and parses it: `use(record, place)` for every record whose text can be read, and
/// `refuse(place, bytes, size, error)` for all else, of which `bytes` are the first. `tally` counts both.
template <class Use, class Refuse>
void for_each_document(DocumentBlock& documents, RecordParser& parser, base::InputTally& tally, Use&& use,
                       Refuse&& refuse) {
  base::Block& block = documents.block;
  base::decode_block(block, documents.bad);
  for (const base::BadBytes& bad : documents.bad) {
    tally.refuse(bad);
    refuse(bad.place, std::string_view(bad.bytes), bad.size, bad.error);
  }
  if (!documents.fields) return;
  block.bytes.reserve(block.bytes.size() + 64);  // the parser may read behind the last line
  const char* const end = block.bytes.data() + block.bytes.capacity();
  base::FileCount& count = tally.of(block.file);
  count.advice = documents.lacks;
  base::for_each_line(block, [&](std::string_view line, const base::Place& place) {
    Record record;
    const auto readable = static_cast<std::size_t>(end - (line.data() + line.size()));
    const std::string error = parser.parse(line, readable, documents.fields->names, record);
    if (error.empty()) {
      ++count.used;
      use(record, place);
    } else {
      tally.refuse(place, error, base::is_cut_off(block, line));
      refuse(place, line, line.size(), error);
    }
  });
}

/// The blocks of files, each with the names that its file's first block in which anything can be read has for the
/// fields. Up to that one, blocks of a file come decoded.
class FieldReader {
 public:
  FieldReader(std::vector<std::string> files, base::RecordOptions options, FieldNames wanted)
      : reader_(std::move(files), std::move(options)), wanted_(std::move(wanted)) {}
  /// As base::BlockReader::next. Throws UsageError when the first file in which anything can be read lacks the text
  /// field: its name is wrong. One thread.
  std::optional<DocumentBlock> next();
  /// Whether the fields of the last block's file are known.
  bool detected() const { return detected_; }
  /// All that were met, by number; and of each the first file and how many there are.
  const std::vector<std::shared_ptr<const FieldSet>>& sets() const { return sets_; }
  /// What to say of them: a line each, "text: "body", id: FILE:LINE, source: the file's name".
  std::vector<std::string> notes() const;
  const std::vector<std::string>& names() const { return reader_.names(); }
  /// As base::BlockReader's. Any thread.
  double progress() const { return reader_.progress(); }

 private:
  std::shared_ptr<const FieldSet> set_of(const FieldNames& names);

  base::BlockReader reader_;
  FieldNames wanted_;
  std::vector<std::shared_ptr<const FieldSet>> sets_;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> files_of_;  // of each set: the first file, and how many
  std::shared_ptr<const FieldSet> fields_;                         // of the file that is read
  std::uint32_t file_ = 0;
  std::string lacks_;
  std::vector<std::string> missing_;  // of the first file
  bool detected_ = false;
};

/// Appends a number with six digits, null when not finite.
void append_json_number(std::string& out, double number);

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
