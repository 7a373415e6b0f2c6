#include "curate/record.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/stream.h"
#include "base/text.h"
#include "base/unicode.h"

namespace curate {

struct RecordParser::State {
  simdjson::dom::parser parser;
  std::string padded, id, source, date;
};
RecordParser::RecordParser() : state_(std::make_unique<State>()) {}
RecordParser::~RecordParser() = default;

namespace {

// A string as it is, a number or truth value as JSON writes it.
std::string_view scalar(simdjson::dom::element element, std::string& scratch) {
  if (element.is_string()) return element.get_string().value_unsafe();
  if (element.is_object() || element.is_array() || element.is_null()) return {};
  scratch = simdjson::minify(element);
  return scratch;
}

}  // namespace

std::string RecordParser::parse(std::string_view line, std::size_t readable, const FieldNames& fields, Record& record) {
  State& state = *state_;
  constexpr std::size_t kLarge = 32 << 20;
  if (state.parser.capacity() > kLarge && line.size() < kLarge) state.parser = simdjson::dom::parser();
  if (readable < simdjson::SIMDJSON_PADDING) {
    state.padded.assign(line);
    state.padded.append(simdjson::SIMDJSON_PADDING, ' ');
    line = std::string_view(state.padded).substr(0, line.size());
  }
  simdjson::dom::element element;
  auto error = state.parser.parse(line.data(), line.size(), false).get(element);
  if (error) return fmt::format("not a JSON record: {}", simdjson::error_message(error));
  simdjson::dom::object object;
  if (element.get(object)) return "not a JSON object";
  simdjson::dom::element text;
  if (object.at_key(fields.text).get(text)) return fmt::format("no field \"{}\"", base::shortened(fields.text));
  if (text.get(record.text)) return fmt::format("field \"{}\" is not a string", base::shortened(fields.text));
  if (!simdjson::validate_utf8(record.text.data(), record.text.size()))
    return fmt::format("field \"{}\" holds a lone surrogate", base::shortened(fields.text));
  auto other = [&](const std::string& name, std::string& scratch) -> std::string_view {
    simdjson::dom::element value;
    if (name.empty() || object.at_key(name).get(value)) return {};
    std::string_view found = scalar(value, scratch);
    return simdjson::validate_utf8(found.data(), found.size()) ? found : std::string_view{};
  };
  record.id = other(fields.id, state.id);
  record.source = other(fields.source, state.source);
  record.date = other(fields.date, state.date);
  return "";
}

std::string made_id(const std::string& path, std::uint64_t line) {
  return base::valid_utf8(fmt::format("{}:{}", std::filesystem::path(path).filename().string(), line));
}

std::string made_source(const std::string& path) {
  return base::valid_utf8(std::filesystem::path(base::without_compression_suffix(path)).stem().string());
}

bool detect_fields(const base::Block& block, const FieldNames& wanted, FieldNames& names) {
  simdjson::dom::parser parser;
  std::set<std::string> strings, scalars;
  std::vector<std::string> seen;  // for the message, in order
  int records = 0;
  base::for_each_line(block, [&](std::string_view line, const base::Place&) {
    if (records >= 100) return;
    simdjson::dom::object object;
    if (parser.parse(line.data(), line.size(), true).get(object)) return;
    ++records;
    for (auto [key, value] : object) {
      std::string name(key);
      if (strings.count(name) + scalars.count(name) == 0 && seen.size() < 30) seen.push_back(name);
      if (value.is_string()) strings.insert(name);
      if (!value.is_object() && !value.is_array() && !value.is_null()) scalars.insert(name);
    }
  });
  auto find = [](std::string& field, const std::set<std::string>& present, std::initializer_list<const char*> usual) {
    for (const char* name : usual)
      if (field.empty() && present.count(name)) field = name;
  };
  names = wanted;
  find(names.text, strings, {"text", "content", "raw_content", "document", "body", "article", "markdown"});
  find(names.id, scalars, {"id", "_id", "uid", "uuid", "doc_id", "document_id", "url"});
  find(names.source, scalars, {"source", "dataset", "subset", "domain"});
  find(names.date, scalars, {"date", "timestamp", "created", "published", "year"});
  if (names.text.empty() && records > 0)
    throw base::UsageError({"no text field was found", "--text-field", "", "one of: " + base::join(seen, ", "),
                            "name the field that holds the text: --text-field NAME"});
  if (names.text.empty()) names.text = "text";
  return records > 0;
}

std::optional<base::Block> FieldReader::next(std::vector<base::BadBytes>& bad) {
  std::optional<base::Block> block = reader_.next(bad);
  if (block && !detected_) {
    base::decode_block(*block, bad);
    detected_ = detect_fields(*block, wanted_, fields_);
  }
  return block;
}

namespace {

std::size_t skip_space(std::string_view text, std::size_t i) {
  while (i < text.size() && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r')) ++i;
  return i;
}

// `i` stands on the opening quote; returns the offset after the closing one.
std::size_t skip_string(std::string_view text, std::size_t i) {
  for (++i; i < text.size(); ++i) {
    i = text.find('"', i);
    if (i == text.npos) return text.size();
    std::size_t slashes = 0;
    while (text[i - 1 - slashes] == '\\') ++slashes;
    if (slashes % 2 == 0) return i + 1;
  }
  return text.size();
}

std::size_t skip_value(std::string_view text, std::size_t i) {
  if (i >= text.size()) return i;
  if (text[i] == '"') return skip_string(text, i);
  if (text[i] != '{' && text[i] != '[') {
    while (i < text.size() && text[i] != ',' && text[i] != '}' && text[i] != ']' && skip_space(text, i) == i) ++i;
    return i;
  }
  for (int depth = 0; i < text.size();) {
    i = text.find_first_of("\"{}[]", i);
    if (i == text.npos) return text.size();
    if (text[i] == '"') {
      i = skip_string(text, i);
      continue;
    }
    depth += text[i] == '{' || text[i] == '[' ? 1 : -1;
    ++i;
    if (depth == 0) return i;
  }
  return text.size();
}

bool is_key(std::string_view written, std::string_view name) {
  if (written == name) return true;
  if (written.find('\\') == written.npos) return false;
  auto decoded = nlohmann::json::parse("\"" + std::string(written) + "\"", nullptr, false);
  return decoded.is_string() && decoded.get_ref<const std::string&>() == name;
}

}  // namespace

void for_each_member(std::string_view object,
                     const std::function<bool(std::string_view, std::string_view, std::size_t, std::size_t)>& f) {
  std::size_t i = skip_space(object, 0);
  if (i >= object.size() || object[i] != '{') return;
  i = skip_space(object, i + 1);
  while (i < object.size() && object[i] == '"') {
    std::size_t begin = i, key_end = skip_string(object, i);
    i = skip_space(object, key_end);  // ':'
    i = skip_space(object, i + 1);    // the value
    std::size_t value = i;
    i = skip_value(object, i);
    if (i > object.size()) return;
    if (!f(object.substr(begin + 1, key_end - begin - 2), object.substr(value, i - value), begin, i)) return;
    i = skip_space(object, i);
    if (i >= object.size() || object[i] != ',') return;
    i = skip_space(object, i + 1);
  }
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

void append_record(std::string& out, std::string_view record, std::string_view text_field,
                   const std::string_view* new_text, std::string_view members) {
  record = base::trim(record);
  std::size_t last = record.size() - 1;  // the closing brace
  std::size_t text_begin = record.npos, text_end = 0, old_begin = record.npos, old_end = 0;
  std::string_view old_members;
  std::string single;  // the record without the earlier ones of several hornbook keys
  std::size_t copied = 0;
  bool empty = true;
  // Written plainly, or with escapes: letters of "hornbook" are U+0062 to U+0072.
  const bool may_hold_hornbook =
      base::contains(record, "hornbook") || base::contains(record, "\\u006") || base::contains(record, "\\u007");
  if (new_text != nullptr || may_hold_hornbook) {
    for_each_member(record, [&](std::string_view key, std::string_view value, std::size_t begin, std::size_t end) {
      if (new_text != nullptr && text_begin == record.npos && is_key(key, text_field)) {
        text_begin = static_cast<std::size_t>(value.data() - record.data());
        text_end = end;
      } else if (is_key(key, "hornbook")) {
        if (old_begin != record.npos) {
          single.append(record, copied, old_begin - copied);
          copied = skip_space(record, skip_space(record, old_end) + 1);  // behind its comma
        }
        old_begin = begin;
        old_end = end;
        old_members = value;
      }
      return true;
    });
  }
  if (copied > 0) return append_record(out, single.append(record, copied), text_field, new_text, members);
  std::string merged;
  if (!old_members.empty() && old_members[0] == '{') {
    std::string wrapped = "{" + std::string(members) + "}";
    for_each_member(old_members, [&](std::string_view key, std::string_view value, std::size_t, std::size_t) {
      bool again = false;
      for_each_member(wrapped, [&](std::string_view fresh, std::string_view, std::size_t, std::size_t) {
        again |= is_key(key, fresh);
        return !again;
      });
      if (!again) merged += "\"" + std::string(key) + "\":" + std::string(value) + ",";
      return true;
    });
    merged += members;
    if (merged.ends_with(',')) merged.pop_back();
    members = merged;
  }
  // The pieces of the record that stay, in order, without the old hornbook member and one comma beside it.
  if (old_begin != record.npos) {
    std::size_t after = skip_space(record, old_end);
    if (record[after] == ',') {
      old_end = skip_space(record, after + 1);
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
  empty = base::trim(std::string_view(out).substr(start + 1)).empty();
  if (!members.empty()) {
    if (!empty) out += ',';
    out += "\"hornbook\":{";
    out += members;
    out += '}';
  }
  out += "}\n";
}

}  // namespace curate
