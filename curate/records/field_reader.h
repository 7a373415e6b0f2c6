// Which fields of which files matter, and the one loop over the records of a block.
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
#include "curate/records/record.h"

namespace curate {

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

}  // namespace curate
