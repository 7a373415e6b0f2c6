// Records out of .csv, .tsv and .txt files. Tested by tests/base/record_formats_test.cc.
#include <algorithm>
#include <set>

#include "base/delimiter.h"
#include "base/encoding.h"
#include "base/records_format.h"
#include "base/text.h"
#include "base/unicode.h"

namespace base {
namespace {

// A column costs far more memory than its one comma in the file.
constexpr std::size_t kMostColumns = 1'000'000;

// Whether rows end with \r although there are \n in quotes.
bool ends_rows_with_returns(std::string_view text) {
  bool quoted = false, found = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (c == '\n' && !quoted) return false;
    found = found || (c == '\r' && !quoted);
  }
  return found;
}

// RFC 4180, with whatever separates the fields. The first row names the keys; a row with another number of fields, a
// quote left open or bytes behind a closing quote are bad bytes, and reading goes on with the next line: a stray quote
// costs its line, not all lines up to the next quote. Of tab-separated rows such a line is taken as it stands if it
// fits.
class Separated final : public RecordFormat {
 public:
  Separated(RecordInput& input, const RecordOptions& options, const std::string& file_name)
      : RecordFormat(input, options, file_name), delimiter_(delimiter_of(options.text.delimiter)) {
    char named = 0;
    input_.look_ahead(kDelimiterBytes);
    if (ends_rows_with_returns(input_.window().substr(0, kDelimiterBytes))) input_.replace('\r', '\n');
    input_.drop(separator_line(input_.window(), named));
    if (delimiter_ == 0) delimiter_ = named;
    if (delimiter_ != 0) return;
    const bool is_whole = input_.window().size() < kDelimiterBytes;
    delimiter_ = find_delimiter(input_.window().substr(0, kDelimiterBytes), is_whole,
                                record_format(file_name) == "tsv" ? '\t' : ',');
  }
  bool fill(Block& block, std::vector<BadBytes>& bad) override {
    while (wants_more(block, bad)) {
      const Place place = input_.place();
      std::string error;
      std::size_t size = read_row(error);
      if (size == 0) {
        add_rest(bad, "");
        return false;
      }
      if (size > options_.max_record_bytes) {
        skip_line(bad, too_long(), size);  // all of it: the next line, read for itself, may be as long
        continue;
      }
      std::string_view row = input_.window().substr(0, size);
      while (!row.empty() && (row.back() == '\n' || row.back() == '\r')) row.remove_suffix(1);
      if (!row.empty()) {
        if (error.empty() && find_invalid_utf8(row) != row.npos) error = std::string("not valid UTF-8") + kNameEncoding;
        const bool is_header = keys_.empty();
        const std::size_t whole = size;
        if (is_header) {
          if (error.empty()) error = set_keys();
          if (!error.empty()) return drop_file(bad, error);
        } else {
          if (error.empty() && columns_ != keys_.size()) error = wrong_columns();
          if (!error.empty()) take_first_line(row, size, error);
        }
        if (!error.empty()) {
          add_bad(bad, place, row, error, size == whole ? cut_off() : at_end_ && quote_open_);
        } else if (!is_header) {
          std::string_view line = object();
          if (line.size() > options_.max_record_bytes) {
            add_bad(bad, place, row, too_long());
          } else {
            add_line(block, place, line);
          }
        }
      }
      input_.drop(size);
    }
    return true;
  }

 private:
  std::string wrong_columns() const {
    return std::to_string(columns_) + " fields where the header has " + std::to_string(keys_.size());
  }

  // A row that is wrong becomes its first line: what follows is read for itself. With tabs, a line that fits when its
  // quotes mean nothing is none that is wrong. Lines that are read again and again cost no more than 16 times the file.
  void take_first_line(std::string_view& row, std::size_t& size, std::string& error) {
    const std::size_t end = row.find('\n');
    if (end != row.npos && read_again_ <= 16 * (input_.place().offset + (1 << 20))) {
      read_again_ += size;
      size = end + 1;
      row = row.substr(0, end);
      if (row.ends_with('\r')) row.remove_suffix(1);
    }
    if (delimiter_ != '\t' || row.find('\n') != row.npos || find_invalid_utf8(row) != row.npos) return;
    fields_ = split(row, '\t');
    columns_ = fields_.size();
    if (columns_ == keys_.size()) error.clear();
  }

  // Whether the end of the file ended the row in fields_ too early.
  bool cut_off() const { return at_end_ && (quote_open_ || columns_ < keys_.size()); }

  // Reads the row at the window's front into fields_ and returns its size with its line end; 0 at the end of the input
  // (a row that a decoding error cut off is no row). A size above the limit means that the row is too long. columns_
  // counts the fields; of those that are too many, fields_ holds one.
  std::size_t read_row(std::string& error) {
    enum { kFieldStart, kPlain, kQuoted, kQuoteInQuoted, kSkipping } state = kFieldStart;
    fields_.assign(1, "");
    columns_ = 1;
    at_end_ = quote_open_ = false;
    const std::size_t most = keys_.empty() ? kMostColumns : keys_.size();
    const char delimiter = delimiter_;
    std::string_view window = input_.window();
    for (std::size_t i = 0;; ++i) {
      if (i == window.size()) {
        if (i > options_.max_record_bytes) return i;
        if (!input_.more()) {
          if (!input_.error().empty()) return 0;
          at_end_ = true;
          quote_open_ = state == kQuoted;
          if (quote_open_) error = "a quote is left open";
          return window.size();
        }
        window = input_.window();
      }
      const char c = window[i];
      if (state == kQuoted) {
        if (c == '"') {
          state = kQuoteInQuoted;
        } else {
          const std::size_t end = std::min(window.find('"', i), window.size());
          fields_.back() += window.substr(i, end - i);
          i = end - 1;
        }
        continue;
      }
      if (c == '\n') return i + 1;
      if (state == kSkipping) continue;
      if (c == delimiter) {
        if (++columns_ <= most + 1) {
          fields_.emplace_back();
        } else {
          fields_.back().clear();
        }
        state = kFieldStart;
      } else if (c == '"' && state == kFieldStart) {
        state = kQuoted;
      } else if (c == '"' && state == kQuoteInQuoted) {
        fields_.back() += c;
        state = kQuoted;
      } else if (c == '\r') {
        // The line end is \r\n; a \r anywhere else is a byte like others.
        const bool has_next = i + 1 < window.size() || input_.more();
        window = input_.window();
        if (has_next && window[i + 1] != '\n') fields_.back() += c;
      } else if (state == kQuoteInQuoted) {
        error = "bytes behind a closing quote";
        state = kSkipping;
      } else {
        fields_.back() += c;
        state = kPlain;
      }
    }
  }

  // What is wrong with the header, or "".
  std::string set_keys() {
    if (columns_ > kMostColumns)
      return "the CSV header names " + std::to_string(columns_) + " columns, more than " + std::to_string(kMostColumns);
    std::set<std::string_view> names;
    for (const std::string& field : fields_)
      if (!names.insert(field).second) return "the CSV header names the column '" + shortened(field) + "' twice";
    for (const std::string& field : fields_) append_json_string(keys_.emplace_back(), field);
    return "";
  }

  // Without a header no row can be read.
  bool drop_file(std::vector<BadBytes>& bad, const std::string& error) {
    BadBytes rest{input_.place(), "", 0, error + "; the file is left out", true};
    do {
      append_bad(rest, input_.window());
      input_.drop(input_.window().size());
    } while (input_.more());
    bad.push_back(std::move(rest));
    return false;
  }

  std::string_view object() {
    line_ = "{";
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      if (i) line_ += ',';
      line_ += keys_[i];
      line_ += ':';
      append_json_string(line_, fields_[i]);
    }
    line_ += '}';
    return line_;
  }

  char delimiter_;
  std::vector<std::string> keys_;  // as JSON strings
  std::vector<std::string> fields_;
  std::size_t columns_ = 0;
  bool at_end_ = false, quote_open_ = false;  // of the row: it has no line end, its last field no closing quote
  std::uint64_t read_again_ = 0;              // bytes of rows of which only the first line was taken
  std::string line_;
};

// Plain text: one document a file, a line or a paragraph (lines between blank lines). "\r\n" becomes "\n".
class PlainText final : public RecordFormat {
 public:
  using RecordFormat::RecordFormat;
  bool fill(Block& block, std::vector<BadBytes>& bad) override {
    while (wants_more(block, bad)) {
      std::string_view window = input_.window();
      std::size_t end = window.find('\n', seen_);
      if (end == window.npos) {
        seen_ = window.size();
        if (seen_ + document_.size() > options_.max_record_bytes) {
          skip_long_document(bad);
          continue;
        }
        if (input_.more()) continue;
        window = input_.window();
        if (input_.error().empty()) {
          take_line(block, bad, window, window.size());
          finish(block, bad);
        } else {
          if (document_.empty()) place_ = input_.place();
          add_bad(bad, place_, document_ += window, input_.error(), true);
          input_.drop(window.size());
        }
        return false;
      }
      if (document_.size() + end > options_.max_record_bytes) {
        skip_long_document(bad);
      } else {
        take_line(block, bad, window.substr(0, end), end + 1);
      }
    }
    return true;
  }

 private:
  // `line` is the window's front without its newline, `size` bytes with it.
  void take_line(Block& block, std::vector<BadBytes>& bad, std::string_view line, std::size_t size) {
    const bool has_newline = size > line.size();
    if (line.ends_with('\r')) line.remove_suffix(1);
    const bool blank = std::all_of(line.begin(), line.end(), is_blank);
    if (document_.empty()) place_ = input_.place();
    if (options_.split_text == "paragraph" && blank) {
      finish(block, bad);
    } else {
      document_ += line;
      if (has_newline) document_ += '\n';
      all_blank_ = all_blank_ && blank;
      if (options_.split_text == "line") finish(block, bad);
    }
    input_.drop(size);
    seen_ = 0;
  }

  // Ends the document in document_.
  void finish(Block& block, std::vector<BadBytes>& bad) {
    const bool whole_file = options_.split_text == "file";
    if (!whole_file && document_.ends_with('\n')) document_.pop_back();
    if (!all_blank_) {
      if (std::size_t offset = find_invalid_utf8(document_); offset != document_.npos) {
        add_bad(bad, place_, document_,
                "not valid UTF-8 at byte " + std::to_string(offset) + " of the document" + kNameEncoding);
      } else {
        line_ = "{";
        append_json_string(line_, options_.text_field);
        line_ += ':';
        append_json_string(line_, document_);
        line_ += ",\"id\":";
        append_json_string(line_, valid_utf8(whole_file ? file_name_ : file_name_ + ":" + std::to_string(place_.line)));
        line_ += '}';
        add_line(block, place_, line_);
      }
    }
    document_.clear();
    all_blank_ = true;
  }

  // The document is too long: with split_text "file" the whole file is, else the line that made it so and what came
  // before it in the paragraph.
  void skip_long_document(std::vector<BadBytes>& bad) {
    if (document_.empty()) place_ = input_.place();
    BadBytes piece{place_, "", 0, too_long()};
    append_bad(piece, document_);
    document_.clear();
    all_blank_ = true;
    do {
      std::string_view window = input_.window();
      std::size_t end = options_.split_text == "file" ? window.npos : window.find('\n');
      std::size_t size = end == window.npos ? window.size() : end + 1;
      piece.bytes +=
          window.substr(0, std::min(size, kBadBytesKept - std::min<std::size_t>(kBadBytesKept, piece.bytes.size())));
      piece.size += size;
      input_.drop(size);
      if (end != window.npos) break;
    } while (input_.more());
    seen_ = 0;
    bad.push_back(std::move(piece));
  }

  std::string document_;  // the lines of the document so far
  Place place_;           // of its first line
  bool all_blank_ = true;
  std::size_t seen_ = 0;  // bytes of the window known to hold no newline
  std::string line_;
};

}  // namespace

std::unique_ptr<RecordFormat> make_separated(RecordInput& input, const RecordOptions& options,
                                             const std::string& file_name) {
  return std::make_unique<Separated>(input, options, file_name);
}

std::unique_ptr<RecordFormat> make_plain_text(RecordInput& input, const RecordOptions& options,
                                              const std::string& file_name) {
  return std::make_unique<PlainText>(input, options, file_name);
}

}  // namespace base
