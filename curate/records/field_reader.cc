// Which fields of which files matter, and the one loop over the records of a block. Tested by
// tests/curate/records/record_test.cc.
#include "curate/records/field_reader.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <initializer_list>
#include <set>

#include "base/error.h"
#include "base/folder_fields.h"
#include "base/json_record.h"
#include "base/text.h"

namespace curate {

namespace {

// Adds the paths of texts inside an object, for messages.
void find_nested_texts(simdjson::dom::object object, const std::string& path, std::vector<std::string>& found) {
  constexpr std::size_t kMost = 30, kLongest = 200;
  for (auto [key, value] : object) {
    const std::string name = path + "." + std::string(key);
    if (found.size() == kMost || name.size() > kLongest) return;
    simdjson::dom::object inner;
    if (!value.get(inner)) find_nested_texts(inner, name, found);
    if (value.is_string() && std::find(found.begin(), found.end(), name) == found.end()) found.push_back(name);
  }
}

// What the first records of a block hold.
struct SeenFields {
  std::set<std::string> strings, empty, scalars;  // names of members: texts, empty texts, all but objects and arrays
  std::set<std::string> wanted;                   // those of the wanted fields that are there
  std::vector<std::string> names, nested;         // for the message, in order
  int records = 0;
  bool has_text = false;  // the wanted text field is there
};

void add_members(const base::JsonRecord& record, SeenFields& seen) {
  constexpr std::size_t kMost = 30;
  for (auto [key, value] : record.object()) {
    const std::string name(key);
    if (seen.names.size() < kMost && std::ranges::find(seen.names, name) == seen.names.end())
      seen.names.push_back(name);
    if (value.is_string()) (std::string_view(value).empty() ? seen.empty : seen.strings).insert(name);
    if (simdjson::dom::object inner; !value.get(inner)) find_nested_texts(inner, name, seen.nested);
    if (!value.is_object() && !value.is_array() && !value.is_null()) seen.scalars.insert(name);
  }
}

SeenFields look_at_fields(const base::Block& block, const FieldNames& wanted) {
  constexpr int kLookedAt = 100;
  base::JsonRecord record;
  SeenFields seen;
  base::for_each_line(block, [&](std::string_view line, const base::Place&) {
    // A text field that was named is looked for in all of the block.
    if (seen.records >= kLookedAt && (seen.has_text || wanted.text.empty())) return;
    if (!record.parse(line).empty()) return;
    simdjson::dom::element text;
    seen.has_text |= !wanted.text.empty() && record.find(wanted.text, text) && text.is_string();
    if (seen.records++ >= kLookedAt) return;
    for (const std::string* field : {&wanted.id, &wanted.source, &wanted.date})
      if (!field->empty() && record.find(*field, text)) seen.wanted.insert(*field);
    add_members(record, seen);
  });
  return seen;
}

// The first of the usual names that is there, for a field that was not named.
void choose(std::string& field, const std::set<std::string>& present, std::initializer_list<const char*> usual) {
  for (const char* name : usual)
    if (field.empty() && present.contains(name)) field = name;
}

}  // namespace

DetectedFields detect_fields(const base::Block& block, const FieldNames& wanted,
                             const std::vector<std::string>& of_folders) {
  SeenFields seen = look_at_fields(block, wanted);
  DetectedFields found{wanted, seen.records > 0, "", {}};
  for (const std::string* field : {&wanted.id, &wanted.source, &wanted.date})
    if (found.known && !field->empty() && !seen.wanted.contains(*field)) found.missing.push_back(*field);
  std::set<std::string> ids = seen.scalars;
  for (const std::string& name : of_folders) seen.strings.erase(name), ids.erase(name);
  FieldNames& names = found.names;
  for (const std::set<std::string>* present :
       {&seen.strings, &seen.empty})  // one that holds something, if there is any
    choose(names.text, *present, {"text", "content", "raw_content", "document", "body", "article", "markdown"});
  choose(names.id, ids, {"id", "_id", "uid", "uuid", "doc_id", "document_id", "url"});
  choose(names.source, seen.scalars, {"source", "dataset", "subset", "domain"});
  choose(names.date, seen.scalars, {"date", "timestamp", "created", "published", "year"});
  if (found.known && (wanted.text.empty() ? names.text.empty() : !seen.has_text)) {
    const std::string nested =
        seen.nested.empty() ? "" : "; nested: " + base::shortened(base::join(seen.nested, ", "), 300);
    found.lacks = fmt::format("its fields are {}{}: name the one that holds the text, --text-field NAME",
                              base::shortened(base::join(seen.names, ", "), 300), nested);
  }
  if (names.text.empty()) names.text = "text";
  return found;
}

std::shared_ptr<const FieldSet> FieldReader::set_of(const FieldNames& names) {
  for (const auto& set : sets_)
    if (set->names == names) return set;
  return std::make_shared<FieldSet>(FieldSet{names, static_cast<std::uint32_t>(sets_.size())});
}

std::optional<DocumentBlock> FieldReader::next() {
  DocumentBlock documents;
  std::optional<base::Block> block = reader_.next(documents.bad);
  if (!block && documents.bad.empty()) return std::nullopt;
  if (!block) return documents;
  if (!fields_ || file_ != block->file) {
    file_ = block->file;
    detected_ = false;
    lacks_.clear();
  }
  if (!detected_) {
    base::decode_block(*block, documents.bad);
    std::vector<std::string> of_folders;
    for (const auto& [name, value] : base::folder_fields(reader_.files()[file_])) of_folders.push_back(name);
    const DetectedFields found = detect_fields(*block, wanted_, of_folders);
    if (found.known && sets_.empty()) missing_ = found.missing;
    detected_ = found.known;
    lacks_ = found.lacks;
    if (!lacks_.empty() && sets_.empty())
      throw base::UsageError({"no text field was found", reader_.files()[file_],
                              wanted_.text.empty() ? "" : "--text-field " + wanted_.text, "", lacks_});
    fields_ = set_of(found.names);
    if (found.known && fields_->number == sets_.size()) {
      sets_.push_back(fields_);
      files_of_.emplace_back(file_, 0);
    }
    if (found.known && lacks_.empty()) ++files_of_[fields_->number].second;
  }
  documents.block = std::move(*block);
  documents.fields = fields_;
  documents.lacks = lacks_;
  return documents;
}

std::vector<std::string> FieldReader::notes() const {
  std::vector<std::string> notes;
  for (std::size_t i = 0; i < sets_.size(); ++i) {
    if (files_of_[i].second == 0) continue;  // its files lack the text
    const FieldNames& names = sets_[i]->names;
    std::string files;
    if (sets_.size() > 1)
      files = fmt::format(" ({} file{}, the first: {})", base::human_count(files_of_[i].second),
                          files_of_[i].second == 1 ? "" : "s", reader_.files()[files_of_[i].first]);
    notes.push_back(fmt::format("text: \"{}\", id: {}, source: {}{}", names.text,
                                names.id.empty() ? "FILE:LINE" : "\"" + names.id + "\"",
                                names.source.empty() ? "the file's name" : "\"" + names.source + "\"", files));
  }
  for (const std::string& field : missing_)
    notes.push_back(fmt::format("\"{}\" is in none of the first records", base::shortened(field)));
  return notes;
}

}  // namespace curate
