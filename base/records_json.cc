#include <algorithm>
#include <cstring>

#include "base/records_format.h"

namespace base {
namespace {

// One JSON object a line: whole lines are copied as they are.
class JsonLines final : public RecordFormat {
 public:
  using RecordFormat::RecordFormat;
  bool fill(Block& block, std::vector<BadBytes>& bad) override {
    for (;;) {
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
        skip_long_line(bad);
        continue;
      }
      block.bytes.reserve(size + 64);  // parsers like to read a little behind the end
      block.bytes.assign(window.substr(0, size));
      block.first = input_.place();
      input_.drop(size);
      return true;
    }
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
  /// Looks at `bytes` from `from` on. The value's end (one past its last byte) or npos when more bytes are needed.
  /// `in_array`: it ends before a ',' or ']' outside brackets; else behind the bracket that closes its first one.
  std::size_t scan(std::string_view bytes, std::size_t from, bool in_array) {
    for (std::size_t i = from; i < bytes.size(); ++i) {
      const char c = bytes[i];
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
  bool broken() const { return broken_; }

 private:
  std::size_t depth_ = 0;
  bool in_string_ = false, escaped_ = false, broken_ = false;
};

// A top-level array, element by element; or objects one after another. An element with too few closing brackets takes
// in what follows it: there is no telling where it should have ended.
class JsonArray final : public RecordFormat {
 public:
  using RecordFormat::RecordFormat;
  bool fill(Block& block, std::vector<BadBytes>& bad) override {
    while (wants_more(block, bad)) {
      if (!skip_blank()) {
        add_rest(bad, state_ == State::kArray ? "the JSON array is cut off" : "");
        return false;
      }
      const char c = input_.window()[0];
      if (state_ == State::kStart) {
        if (c == '[') {
          state_ = State::kArray;
          input_.drop(1);
          element_expected_ = false;
          continue;
        }
        state_ = c == '{' ? State::kObjects : State::kDone;
        if (state_ == State::kDone) return drain(bad, "not a JSON array: it begins with neither '[' nor '{'");
      } else if (state_ == State::kDone) {
        return drain(bad, "bytes after the end of the JSON array");
      }
      if (state_ == State::kObjects) {
        if (c != '{') return drain(bad, "not a JSON object");
        if (!element(block, bad)) return false;
        continue;
      }
      if (c == ']') {
        if (element_expected_) add_bad(bad, input_.place(), "]", "a JSON array ends with a comma");
        state_ = State::kDone;
        input_.drop(1);
      } else if (c == ',') {
        add_bad(bad, input_.place(), ",", "an element of the JSON array is missing");
        input_.drop(1);
        element_expected_ = true;
      } else if (!element(block, bad)) {
        return false;
      } else if (skip_blank() && input_.window()[0] == ',') {
        input_.drop(1);
        element_expected_ = true;
      } else {
        element_expected_ = false;
      }
    }
    return true;
  }

 private:
  enum class State { kStart, kArray, kObjects, kDone };

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
    add_bad(bad, std::move(rest));
    add_rest(bad, "");
    return false;
  }

  // The element at the window's front; false when the input ended inside it.
  bool element(Block& block, std::vector<BadBytes>& bad) {
    ValueScanner scanner;
    BadBytes long_element{input_.place(), "", 0, too_long()};
    std::size_t end, seen = 0;
    for (;;) {
      end = scanner.scan(input_.window(), seen, state_ == State::kArray);
      if (end != std::string_view::npos) break;
      seen = input_.window().size();
      if (seen > options_.max_record_bytes) {
        append_bad(long_element, input_.window());
        input_.drop(seen);
        seen = 0;
      }
      if (input_.more()) continue;
      std::string_view window = input_.window();
      const std::string cut = input_.error().empty() ? "the JSON array is cut off" : input_.error();
      if (long_element.size > 0) {
        append_bad(long_element, window);
        long_element.error += "; " + cut;
        long_element.lost = true;
        add_bad(bad, std::move(long_element));
      } else {
        add_bad(bad, input_.place(), window, cut, true);
      }
      input_.drop(window.size());
      return false;
    }
    std::string_view value = input_.window().substr(0, end);
    while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
    if (long_element.size > 0 || value.size() > options_.max_record_bytes) {
      append_bad(long_element, value);
      add_bad(bad, std::move(long_element));
    } else if (scanner.broken()) {
      add_bad(bad, input_.place(), value, "a line break inside a JSON string");
    } else {
      const Place place = input_.place();
      line_.assign(value);
      std::replace(line_.begin(), line_.end(), '\n', ' ');
      add_line(block, place, line_);
    }
    input_.drop(end);
    return true;
  }

  State state_ = State::kStart;
  bool element_expected_ = false;  // a comma came last
  std::string line_;
};

// Many a .json file holds JSON lines: the first line is an object of its own. Such files are read by lines, so that one
// bad line costs one line.
bool looks_like_json_lines(RecordInput& input) {
  constexpr std::size_t kFar = 1 << 20;
  for (;;) {
    std::string_view window = input.window();
    std::size_t begin = 0;
    while (begin < window.size() && is_blank(window[begin])) ++begin;
    std::size_t end = window.find('\n', begin);
    if (begin < window.size() && window[begin] != '{') return false;
    if (begin < window.size() && end != window.npos) {
      std::string_view line = window.substr(begin, end - begin);
      std::size_t value = ValueScanner().scan(line, 0, false);
      return value != line.npos && std::all_of(line.begin() + static_cast<std::ptrdiff_t>(value), line.end(), is_blank);
    }
    if (window.size() > kFar || !input.more()) return false;
  }
}

}  // namespace

std::unique_ptr<RecordFormat> make_json_lines(RecordInput& input, const RecordOptions& options,
                                              const std::string& file_name) {
  return std::make_unique<JsonLines>(input, options, file_name);
}

std::unique_ptr<RecordFormat> make_json_array(RecordInput& input, const RecordOptions& options,
                                              const std::string& file_name) {
  if (looks_like_json_lines(input)) return make_json_lines(input, options, file_name);
  return std::make_unique<JsonArray>(input, options, file_name);
}

}  // namespace base
