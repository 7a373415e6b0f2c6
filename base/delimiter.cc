// What separates the fields of a .csv or .tsv file. Tested by tests/base/record_formats_test.cc.
#include "base/delimiter.h"

#include <fmt/ostream.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/program.h"
#include "base/records.h"

namespace base {
namespace {

constexpr std::size_t kDelimiterRows = 20;

bool is_delimiter(char c) {
  return c != 0 && static_cast<unsigned char>(c) < 128 && c != '"' && c != '\n' && c != '\r';
}

// How well a delimiter fits: the share of rows with as many fields as the header; 0 when that has but one.
double evenness(std::string_view text, bool is_whole, char delimiter) {
  std::size_t rows = 0, even = 0, columns = 0, fields = 1;
  bool quoted = false, begins = true, broken = false, blank = true;
  auto end_row = [&] {
    if (!blank) {
      if (rows == 0) columns = fields;
      even += rows == 0 || (fields == columns && !broken);
      if (rows == 0 && broken) columns = 1;
      ++rows;
    }
    fields = 1;
    begins = blank = true;
    broken = false;
  };
  for (std::size_t i = 0; i < text.size() && rows < kDelimiterRows; ++i) {
    const char c = text[i];
    if (c == '"' && (begins || quoted)) {
      quoted = !quoted;
      // Behind the closing quote: another quote, a delimiter or the end of the row.
      const char next = i + 1 < text.size() ? text[i + 1] : '\n';
      if (!quoted && next == '"') {
        quoted = true;
        ++i;
      } else if (!quoted && next != delimiter && next != '\n' && next != '\r') {
        broken = true;
      }
      begins = blank = false;
    } else if (quoted) {
      continue;
    } else if (c == '\n') {
      end_row();
    } else if (c == delimiter) {
      ++fields;
      begins = true;
      blank = false;
    } else if (c != '\r') {
      begins = blank = false;
    }
  }
  if (is_whole && !quoted && rows < kDelimiterRows) end_row();
  if (columns < 2) return 0;
  return rows == 1 ? 1 : static_cast<double>(even - 1) / static_cast<double>(rows - 1);
}

}  // namespace

char delimiter_of(const std::string& name) {
  if (name == "auto") return 0;
  if (name == "tab" || name == "\\t") return '\t';
  if (name.size() == 1 && is_delimiter(name[0])) return name[0];
  throw UsageError({"not a delimiter", "delimiter", name, "auto, tab, or one ASCII character but a quote", ""});
}

void tell_unused_delimiter(const std::string& name, const std::vector<std::string>& files, const Context& context) {
  const auto is_table = [](const std::string& file) {
    return record_format(file) == "csv" || record_format(file) == "tsv";
  };
  if (name != "auto" && std::ranges::none_of(files, is_table) && !context.quiet)
    fmt::print(context.err, "note: --delimiter {} changes nothing: no file is a .csv or .tsv table\n", name);
}

std::size_t separator_line(std::string_view text, char& delimiter) {
  const bool quoted = text.starts_with("\"sep=");
  std::string_view rest = text.substr(quoted ? 1 : 0);
  if (!rest.starts_with("sep=") || rest.size() < 5) return 0;
  const char named = rest[4];
  if (!is_delimiter(named) || std::isalnum(static_cast<unsigned char>(named))) return 0;
  rest.remove_prefix(5);
  if (quoted && !rest.starts_with('"')) return 0;
  if (quoted) rest.remove_prefix(1);
  if (rest.starts_with('\r')) rest.remove_prefix(1);
  if (!rest.starts_with('\n')) return 0;
  delimiter = named;
  return text.size() - rest.size() + 1;
}

char find_delimiter(std::string_view text, bool is_whole, char usual) {
  char best = usual;
  double best_fit = std::max(0.5, evenness(text, is_whole, usual));
  for (const char delimiter : {',', ';', '\t', '|'}) {
    const double fit = evenness(text, is_whole, delimiter);
    if (fit <= best_fit) continue;
    best = delimiter;
    best_fit = fit;
  }
  return best;
}

}  // namespace base
