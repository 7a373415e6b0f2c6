// One JSON record: read out of its line, and written again with a `hornbook` key and every other byte as it came.
// Tested by tests/curate/records/record_test.cc.
#include "curate/records/record.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "base/json_record.h"
#include "base/json_text.h"
#include "base/json_values.h"
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
  simdjson::dom::element hornbook;  // members join it
  if (!state.record.object().at_key("hornbook").get(hornbook) && !hornbook.is_object() && !hornbook.is_null())
    return "field \"hornbook\" is not an object, as curate writes there: rename it";
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

std::string made_id(const std::string& name, const base::Place& place) { return name + ":" + base::line_text(place); }

std::string made_source(const std::string& name) {
  return std::filesystem::path(base::without_compression_suffix(name)).replace_extension().string();
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

double carried_score(std::string_view record, const std::string& name) {
  const std::string_view value = base::find_member(record, "hornbook." + name);
  double number = std::nan("");
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  return value.empty() || error != std::errc() || end != value.data() + value.size() ? std::nan("") : number;
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
