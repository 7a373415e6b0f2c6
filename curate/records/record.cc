#include "curate/records/record.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/folder_fields.h"
#include "base/json_record.h"
#include "base/json_text.h"
#include "base/stream.h"
#include "base/text.h"
#include "base/unicode.h"

namespace curate {

namespace {

// The most parts (words, marks, lines) that a text may have: every one costs up to 90 bytes of memory while it is
// judged.
constexpr std::size_t kMostParts = std::size_t{1} << 26;

// Has the text more than kMostParts? Only asked where it could have.
bool has_too_many_parts(std::string_view text) {
  if (text.size() <= kMostParts) return false;
  std::size_t parts = 0;
  bool space = false;
  for (char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                        (static_cast<unsigned char>(c) >= 0x80 && c != '\xC2');
    parts += !letter && !(space && c == ' ');
    space = c == ' ';
  }
  return parts > kMostParts;
}

}  // namespace

struct RecordParser::State {
  base::JsonRecord record;
  std::string id, source, date;
};
RecordParser::RecordParser(bool nan_is_null)
    : state_(std::make_unique<State>(State{base::JsonRecord(nan_is_null), {}, {}, {}})) {}
RecordParser::~RecordParser() = default;

std::string RecordParser::parse(std::string_view line, std::size_t readable, const FieldNames& fields, Record& record) {
  State& state = *state_;
  if (std::string error = state.record.parse(line, readable); !error.empty()) return error;
  record.line = state.record.line();
  record.repeated_keys = state.record.repeated_keys();
  record.non_finite = state.record.non_finite();
  simdjson::dom::element text;
  if (!state.record.find(fields.text, text)) return fmt::format("no field \"{}\"", base::shortened(fields.text));
  if (text.get(record.text)) return fmt::format("field \"{}\" is not a string", base::shortened(fields.text));
  if (!simdjson::validate_utf8(record.text.data(), record.text.size()))
    return fmt::format("field \"{}\" holds a lone surrogate", base::shortened(fields.text));
  if (has_too_many_parts(record.text))
    return fmt::format("a text of more than {} words, marks and lines", base::human_count(kMostParts));
  auto other = [&](const std::string& name, std::string& scratch) -> std::string_view {
    if (name.empty()) return {};
    std::string_view found = state.record.scalar(name, scratch);
    return simdjson::validate_utf8(found.data(), found.size()) ? found : std::string_view{};
  };
  record.id = other(fields.id, state.id);
  record.source = other(fields.source, state.source);
  record.date = other(fields.date, state.date);
  return "";
}

std::string made_id(const std::string& name, std::uint64_t line) { return fmt::format("{}:{}", name, line); }

std::string made_source(const std::string& name) {
  return std::filesystem::path(base::without_compression_suffix(name)).replace_extension().string();
}

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

}  // namespace

DetectedFields detect_fields(const base::Block& block, const FieldNames& wanted,
                             const std::vector<std::string>& of_folders) {
  constexpr int kLookedAt = 100;
  base::JsonRecord record;
  std::set<std::string> strings, empty, scalars, found_paths;
  std::vector<std::string> seen, nested;  // for the message, in order
  int records = 0;
  bool has_text = false;
  base::for_each_line(block, [&](std::string_view line, const base::Place&) {
    // A text field that was named is looked for in all of the block.
    if (records >= kLookedAt && (has_text || wanted.text.empty())) return;
    if (!record.parse(line).empty()) return;
    simdjson::dom::element text;
    has_text |= !wanted.text.empty() && record.find(wanted.text, text) && text.is_string();
    if (records++ >= kLookedAt) return;
    for (const std::string* field : {&wanted.id, &wanted.source, &wanted.date})
      if (!field->empty() && record.find(*field, text)) found_paths.insert(*field);
    for (auto [key, value] : record.object()) {
      std::string name(key);
      if (seen.size() < 30 && std::find(seen.begin(), seen.end(), name) == seen.end()) seen.push_back(name);
      if (value.is_string()) (std::string_view(value).empty() ? empty : strings).insert(name);
      if (simdjson::dom::object inner; !value.get(inner)) find_nested_texts(inner, name, nested);
      if (!value.is_object() && !value.is_array() && !value.is_null()) scalars.insert(name);
    }
  });
  auto find = [](std::string& field, const std::set<std::string>& present, std::initializer_list<const char*> usual) {
    for (const char* name : usual)
      if (field.empty() && present.count(name)) field = name;
  };
  DetectedFields found{wanted, records > 0, "", {}};
  for (const std::string* field : {&wanted.id, &wanted.source, &wanted.date})
    if (records > 0 && !field->empty() && !found_paths.contains(*field)) found.missing.push_back(*field);
  std::set<std::string> ids = scalars;
  for (const std::string& name : of_folders) strings.erase(name), ids.erase(name);
  FieldNames& names = found.names;
  for (const std::set<std::string>* present : {&strings, &empty})  // one that holds something, if there is any
    find(names.text, *present, {"text", "content", "raw_content", "document", "body", "article", "markdown"});
  find(names.id, ids, {"id", "_id", "uid", "uuid", "doc_id", "document_id", "url"});
  find(names.source, scalars, {"source", "dataset", "subset", "domain"});
  find(names.date, scalars, {"date", "timestamp", "created", "published", "year"});
  if (records > 0 && (wanted.text.empty() ? names.text.empty() : !has_text))
    found.lacks = fmt::format("its fields are {}{}: name the one that holds the text, --text-field NAME",
                              base::shortened(base::join(seen, ", "), 300),
                              nested.empty() ? "" : "; nested: " + base::shortened(base::join(nested, ", "), 300));
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

std::vector<std::string> record_notes(std::uint64_t repeated_keys, std::uint64_t non_finite, bool nan_is_null) {
  std::vector<std::string> notes;
  if (repeated_keys > 0) notes.push_back(base::repeated_keys_note(repeated_keys) + ", the others are taken out");
  if (non_finite > 0)
    notes.push_back(
        fmt::format("{} record{} held NaN or Infinity: {}", base::human_count(non_finite), non_finite == 1 ? "" : "s",
                    nan_is_null ? "null now (--nan null)" : "kept, though not JSON (--nan null writes null)"));
  return notes;
}

void append_json_number(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  fmt::format_to(std::back_inserter(out), "{:.6g}", number);
}

void append_scores(std::string& out, const std::vector<std::pair<std::string, double>>& scores,
                   const std::vector<std::pair<std::string, std::string>>& labels) {
  auto name = [&](std::string_view text) {
    if (!out.empty()) out += ',';
    base::append_json_string(out, text);
    out += ':';
  };
  for (const auto& [key, value] : scores) {
    name(key);
    append_json_number(out, value);
  }
  for (const auto& [key, value] : labels) {
    name(key);
    base::append_json_string(out, value);
  }
}

namespace {

// `members`, with those of an earlier hornbook object before them that they do not replace.
std::string merged_members(std::string_view earlier, std::string_view members) {
  std::string merged;
  const std::string wrapped = "{" + std::string(members) + "}";
  base::for_each_member(earlier, [&](std::string_view key, std::string_view value, std::size_t, std::size_t) {
    bool again = false;
    base::for_each_member(wrapped, [&](std::string_view fresh, std::string_view, std::size_t, std::size_t) {
      again |= base::is_key(key, fresh);
      return !again;
    });
    if (!again) merged += "\"" + std::string(key) + "\":" + std::string(value) + ",";
    return true;
  });
  merged += members;
  if (merged.ends_with(',')) merged.pop_back();
  return merged;
}

}  // namespace

void append_record(std::string& out, std::string_view record, std::string_view text_field,
                   const std::string_view* new_text, std::string_view members) {
  record = base::trim(record);
  std::size_t last = record.size() - 1;  // the closing brace
  std::size_t text_begin = record.npos, text_end = 0, old_begin = record.npos, old_end = 0;
  std::string_view old_members;
  if (new_text != nullptr) {
    if (const std::string_view text = base::find_member(record, text_field); text.data() != nullptr) {
      text_begin = static_cast<std::size_t>(text.data() - record.data());
      text_end = text_begin + text.size();
    }
  }
  // Written plainly, or with escapes: letters of "hornbook" are U+0062 to U+0072.
  if (base::contains(record, "hornbook") || base::contains(record, "\\u006") || base::contains(record, "\\u007")) {
    base::for_each_member(record,
                          [&](std::string_view key, std::string_view value, std::size_t begin, std::size_t end) {
                            if (!base::is_key(key, "hornbook")) return true;
                            old_begin = begin;
                            old_end = end;
                            old_members = value;
                            return false;
                          });
  }
  if (text_begin != record.npos && text_begin >= old_begin && text_begin < old_end) {  // the text is in that object
    std::string edited(record.substr(0, text_begin));
    base::append_json_string(edited, *new_text);
    edited += record.substr(text_end);
    return append_record(out, edited, text_field, nullptr, members);
  }
  const std::string merged = old_members.starts_with('{') ? merged_members(old_members, members) : std::string(members);
  // The pieces of the record that stay, in order, without the old hornbook member and one comma beside it.
  if (old_begin != record.npos) {
    std::size_t after = base::skip_json_space(record, old_end);
    if (record[after] == ',') {
      old_end = base::skip_json_space(record, after + 1);
    } else {
      std::size_t before = record.find_last_not_of(" \t\r\n", old_begin - 1);
      old_begin = record[before] == ',' ? before : before + 1;
      old_end = after;
    }
  }
  auto copy = [&](std::size_t begin, std::size_t end) {
    if (old_begin != record.npos && old_begin >= begin && old_begin < end) {
      out.append(record, begin, old_begin - begin);
      begin = std::min(end, old_end);
    }
    out.append(record, begin, end - begin);
  };
  const std::size_t start = out.size();
  if (text_begin != record.npos) {
    copy(0, text_begin);
    base::append_json_string(out, *new_text);
    copy(text_end, last);
  } else {
    copy(0, last);
  }
  const bool empty = base::trim(std::string_view(out).substr(start + 1)).empty();
  if (!merged.empty()) {
    if (!empty) out += ',';
    out += "\"hornbook\":{";
    out += merged;
    out += '}';
  }
  out += "}\n";
}

}  // namespace curate
