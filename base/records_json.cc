// Records out of JSON files: lines, arrays, objects one after another. Tested by tests/base/records_test.cc.
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/json_values.h"
#include "base/records_format.h"

namespace base {
namespace {

// One JSON object a line: whole lines are copied as they are.
class JsonLines final : public RecordFormat {
 public:
  using RecordFormat::RecordFormat;
  bool fill(Block& block, std::vector<BadBytes>& bad) override {
    while (wants_more(block, bad)) {
      while (input_.window().size() < options_.block_bytes && input_.more()) {
      }
      std::size_t size = whole_lines();
      while (size == 0 && input_.window().size() <= options_.max_record_bytes && input_.more()) size = whole_lines();
      std::string_view window = input_.window();
      if (size == 0 && window.size() <= options_.max_record_bytes) {
        if (add_rest(bad, "") || window.empty()) return false;
        size = window.size();  // the last line lacks its newline
      }
      if (size == 0 || size > options_.max_record_bytes) size = short_lines(window.substr(0, size));
      if (size == 0) {
        skip_line(bad, too_long());
        continue;
      }
      block.bytes.reserve(size + 64);  // parsers like to read a little behind the end
      block.bytes.assign(window.substr(0, size));
      block.first = input_.place();
      input_.drop(size);
      return true;
    }
    return true;
  }

 private:
  // Bytes of the window up to its last newline.
  std::size_t whole_lines() const {
    std::string_view window = input_.window();
    const void* last = window.empty() ? nullptr : ::memrchr(window.data(), '\n', window.size());
    return last ? static_cast<std::size_t>(static_cast<const char*>(last) - window.data()) + 1 : 0;
  }
  // Bytes of `lines` before the first line that is too long.
  std::size_t short_lines(std::string_view lines) const {
    for (std::size_t begin = 0; begin < lines.size();) {
      std::size_t end = std::min(lines.find('\n', begin), lines.size());
      if (end - begin > options_.max_record_bytes) return begin;
      begin = std::min(end + 1, lines.size());
    }
    return lines.size();
  }
};

// Finds the end of one JSON value without judging the value: brackets and strings are all it knows, and it needs no
// stack, so that nesting costs nothing. Fed piecewise.
class ValueScanner {
 public:
  // `indented`: a line that begins with a brace begins the next value.
  explicit ValueScanner(bool indented = false) : indented_(indented) {}
  // Looks at `bytes` from `from` on. The value's end (one past its last byte) or npos when more bytes are needed.
  // `in_array`: it ends before a ',' or ']' outside brackets; else behind the bracket that closes its first one.
  std::size_t scan(std::string_view bytes, std::size_t from, bool in_array) {
    for (std::size_t i = from; i < bytes.size(); ++i) {
      const char c = bytes[i];
      if (c == '{' && indented_ && i > 0 && bytes[i - 1] == '\n') {
        cut_ = true;
        return i;
      }
      if (in_string_) {
        if (escaped_) {
          escaped_ = false;
        } else if (c == '\\') {
          escaped_ = true;
        } else if (c == '"') {
          in_string_ = false;
        }
        // No JSON string may hold a raw newline, yet careless writers make them; the string goes on behind it.
        if (c == '\n') broken_ = true;
        continue;
      }
      switch (c) {
        case '"':
          in_string_ = true;
          break;
        case '{':
        case '[':
          ++depth_;
          break;
        case '}':
          if (depth_ > 0 && --depth_ == 0 && !in_array) return i + 1;
          break;
        case ']':
          if (depth_ == 0 && in_array) return i;
          if (depth_ > 0 && --depth_ == 0 && !in_array) return i + 1;
          break;
        case ',':
          if (depth_ == 0 && in_array) return i;
          break;
      }
    }
    return std::string_view::npos;
  }
  // There was a line break inside a string.
  bool broken() const { return broken_; }
  // The value's end is where the next one begins.
  bool cut() const { return cut_; }

 private:
  const bool indented_;
  std::size_t depth_ = 0;
  bool in_string_ = false, escaped_ = false, broken_ = false, cut_ = false;
};

// Arrays, element by element, and objects, one after another. An element with too few closing brackets takes in what
// follows it: there is no telling where it should have ended, but in `indented` objects, none of whose inner lines
// begins with a brace.
class JsonValues final : public RecordFormat {
 public:
  JsonValues(RecordInput& input, const RecordOptions& options, const std::string& file_name, bool indented)
      : RecordFormat(input, options, file_name), indented_(indented) {}
  bool fill(Block& block, std::vector<BadBytes>& bad) override {
    while (wants_more(block, bad)) {
      if (!skip_blank()) {
        add_rest(bad, in_array_ ? "the JSON array is cut off" : "");
        return false;
      }
      const char c = input_.window()[0];
      if (!in_array_) {
        if (c == '[') {
          in_array_ = true;
          error_ = "bytes after the end of the JSON array";
          input_.drop(1);
        } else if (c == '{') {
          if (!error_) error_ = "not a JSON object";
          if (!element(block, bad)) return false;
        } else if (!error_) {
          return drain(bad, "not a JSON array: it begins with neither '[' nor '{'");
        } else {
          skip_line(bad, error_);
        }
      } else if (c == ']') {
        in_array_ = false;  // behind a comma too: nothing is lost
        input_.drop(1);
      } else if (c == ',') {
        add_bad(bad, input_.place(), ",", "an element of the JSON array is missing");
        input_.drop(1);
      } else if (!element(block, bad)) {
        return false;
      } else if (skip_blank() && input_.window()[0] == ',') {
        input_.drop(1);
      }
    }
    return true;
  }

 private:
  // False at the end of the input.
  bool skip_blank() {
    for (;;) {
      std::string_view window = input_.window();
      std::size_t size = 0;
      while (size < window.size() && is_blank(window[size])) ++size;
      input_.drop(size);
      if (size < window.size()) return true;
      if (!input_.more()) return false;
    }
  }

  // Everything to the end of the file is bad.
  bool drain(std::vector<BadBytes>& bad, const std::string& error) {
    BadBytes rest{input_.place(), "", 0, error, true};
    do {
      std::string_view window = input_.window();
      append_bad(rest, window);
      input_.drop(window.size());
    } while (input_.more());
    bad.push_back(std::move(rest));
    add_rest(bad, "");
    return false;
  }

  // The element at the window's front; false when the input ended inside it.
  bool element(Block& block, std::vector<BadBytes>& bad) {
    ValueScanner scanner(indented_ && !in_array_);
    Place place = input_.place();
    nth_of_line_ = place.line == last_line_ ? nth_of_line_ + 1 : 1;
    last_line_ = place.line;
    place.record = nth_of_line_;
    BadBytes long_element{place, "", 0, too_long()};
    std::size_t end, seen = 0;
    for (;;) {
      end = scanner.scan(input_.window(), seen, in_array_);
      if (end != std::string_view::npos) break;
      seen = input_.window().size();
      if (seen > options_.max_record_bytes) {
        append_bad(long_element, input_.window());
        input_.drop(seen);
        seen = 0;
      }
      if (input_.more()) continue;
      std::string_view window = input_.window();
      const std::string cut = !input_.error().empty() ? input_.error()
                              : in_array_             ? "the JSON array is cut off"
                                                      : "the JSON object is cut off";
      if (long_element.size > 0) {
        append_bad(long_element, window);
        long_element.error += "; " + cut;
        long_element.lost = true;
        bad.push_back(std::move(long_element));
      } else {
        add_bad(bad, place, window, cut, true);
      }
      input_.drop(window.size());
      return false;
    }
    std::string_view value = input_.window().substr(0, end);
    while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
    if (long_element.size > 0 || value.size() > options_.max_record_bytes) {
      append_bad(long_element, value);
      bad.push_back(std::move(long_element));
    } else if (scanner.cut()) {
      add_bad(bad, place, value, "the JSON object is cut off");
    } else if (scanner.broken()) {
      add_bad(bad, place, value, "a line break inside a JSON string");
    } else {
      line_.assign(value);
      std::replace(line_.begin(), line_.end(), '\n', ' ');
      add_line(block, place, line_);
    }
    input_.drop(end);
    return true;
  }

  const bool indented_;
  bool in_array_ = false;
  const char* error_ = nullptr;  // of what is no value: set once there was one
  std::string line_;
  std::uint64_t last_line_ = 0;  // in which the last value began, and which of that line it was
  std::uint32_t nth_of_line_ = 0;
};

enum class Layout { kLines, kValues };

constexpr std::size_t kFar = 1 << 20;  // nobody looks farther ahead to tell a layout

std::size_t first_of_value(std::string_view text, std::size_t from = 0) {
  return std::min(text.find_first_not_of(" \t\r\n", from), text.size());
}

// Whether a file named .jsonl that begins with '[' is an array of objects; nothing: more of it must be seen. Of
// anything else that begins so, the lines are looked at one by one.
std::optional<Layout> layout_of_array(std::string_view text, bool all) {
  const std::size_t first = first_of_value(text, 1);
  if (first == text.size()) return all ? std::optional(Layout::kValues) : std::nullopt;
  if (text[first] == ']') return Layout::kValues;
  if (text[first] != '{') return Layout::kLines;
  const std::size_t end = ValueScanner().scan(text.substr(first), 0, false);
  if (end == text.npos && !all) return std::nullopt;
  if (end != text.npos) {
    const std::size_t next = first_of_value(text, first + end);
    if (next == text.size()) return all ? std::optional(Layout::kValues) : std::nullopt;
    return text[next] == ',' || text[next] == ']' ? Layout::kValues : Layout::kLines;
  }
  const std::size_t line_end = text.find('\n');
  const bool cut_line = line_end > first && text.substr(std::min(line_end, text.size() - 1) + 1).starts_with('{');
  return cut_line ? Layout::kLines : Layout::kValues;
}

// How the objects of a text that begins with '{' lie: each on a line of its own, so that one bad line costs one line,
// or over lines or several on one. `usual` where there is no telling.
std::optional<Layout> layout_of_objects(std::string_view text, bool all, Layout usual) {
  ValueScanner scanner;
  const std::size_t end = scanner.scan(text, 0, false), line_end = text.find('\n');
  if (end != text.npos && end <= line_end) {  // the first line holds the first value: what is behind it?
    const std::size_t next = std::min(text.find_first_not_of(" \t\r", end), text.size());
    if (next == text.size()) return all ? std::optional(Layout::kLines) : std::nullopt;
    return text[next] == '{' ? Layout::kValues : Layout::kLines;
  }
  if (!all && (end == text.npos || line_end == text.npos)) return std::nullopt;
  if (line_end == text.npos) return usual;
  if (end != text.npos && !lenient_json(text.substr(0, end)).is_discarded()) return Layout::kValues;
  const std::size_t second = first_of_value(text, line_end);
  if (second < text.size() && text[second] == '{' && text[second - 1] == '\n') return Layout::kLines;
  const bool printed = second < text.size() && (text[second] == '"' || text[second] == '}') && !scanner.broken();
  return printed ? Layout::kValues : usual;
}

std::optional<Layout> layout_of(std::string_view text, bool all, Layout usual) {
  text.remove_prefix(first_of_value(text));
  if (text.empty()) return all ? std::optional(usual) : std::nullopt;
  if (text[0] == '{') return layout_of_objects(text, all, usual);
  return text[0] == '[' && usual == Layout::kLines ? layout_of_array(text, all) : usual;
}

std::unique_ptr<RecordFormat> make_json(RecordInput& input, const RecordOptions& options, const std::string& file_name,
                                        Layout usual) {
  input.look_ahead(1);
  constexpr char kRecordSeparator = '\x1E';  // RFC 7464: before every value
  if (input.window().starts_with(kRecordSeparator)) input.replace(kRecordSeparator, ' ');
  std::optional<Layout> layout = layout_of(input.window(), false, usual);
  while (!layout) {
    const bool all = input.window().size() >= kFar || !input.more();
    layout = layout_of(input.window(), all, usual);
  }
  if (layout == Layout::kLines) return std::make_unique<JsonLines>(input, options, file_name);
  const std::string_view text = input.window();
  const std::size_t second = text.find('\n', first_of_value(text)) + 1;  // the second line
  const bool indented = second > 0 && second < text.size() && (text[second] == ' ' || text[second] == '\t');
  return std::make_unique<JsonValues>(input, options, file_name, indented);
}

}  // namespace

bool ends_early(std::string_view line) {
  line.remove_prefix(first_of_value(line));
  return line.starts_with('{') && ValueScanner().scan(line, 0, false) == line.npos;
}

std::unique_ptr<RecordFormat> make_json_lines(RecordInput& input, const RecordOptions& options,
                                              const std::string& file_name) {
  return make_json(input, options, file_name, Layout::kLines);
}

std::unique_ptr<RecordFormat> make_json_array(RecordInput& input, const RecordOptions& options,
                                              const std::string& file_name) {
  return make_json(input, options, file_name, Layout::kValues);
}

}  // namespace base
