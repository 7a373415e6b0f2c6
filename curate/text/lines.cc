// Cutting a text into lines and counting in it, with Python's meaning of line and white space. Tested by
// tests/curate/text/words_test.cc.
#include "curate/text/lines.h"

#include <cstring>

#include "base/unicode.h"
#include "curate/text/english.h"

namespace curate {
namespace {

// Does any byte of text satisfy the test? In blocks, so that the compiler makes vectors of it.
template <class Test>
bool any_byte(std::string_view text, Test test) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t i = 0;
  for (; i + 64 <= text.size(); i += 64) {
    unsigned char any = 0;
    for (std::size_t j = 0; j < 64; ++j) any |= static_cast<unsigned char>(test(p[i + j]));
    if (any) return true;
  }
  for (; i < text.size(); ++i) {
    if (test(p[i])) return true;
  }
  return false;
}

bool is_ascii_space(unsigned char c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F); }

}  // namespace

bool is_ascii(std::string_view text) {
  return !any_byte(text, [](unsigned char c) { return (c & 0x80) != 0; });
}

std::uint32_t count_code_points(std::string_view text) {
  std::size_t count = 0, i = 0;
  const char* p = text.data();
  for (; i + 64 <= text.size(); i += 64) {
    unsigned char in_block = 0;
    for (std::size_t j = 0; j < 64; ++j)
      in_block += static_cast<signed char>(p[i + j]) > static_cast<signed char>(0xBF);
    count += in_block;
  }
  for (; i < text.size(); ++i) count += (p[i] & 0xC0) != 0x80;
  return static_cast<std::uint32_t>(count);
}

std::size_t space_length(std::string_view text, std::size_t position) {
  auto byte = [&](std::size_t i) {
    return position + i < text.size() ? static_cast<unsigned char>(text[position + i]) : 0;
  };
  switch (byte(0)) {
    case 0xC2:
      return byte(1) == 0x85 || byte(1) == 0xA0 ? 2 : 0;
    case 0xE1:
      return byte(1) == 0x9A && byte(2) == 0x80 ? 3 : 0;
    case 0xE2:
      if (byte(1) == 0x80) {
        return (byte(2) >= 0x80 && byte(2) <= 0x8A) || byte(2) == 0xA8 || byte(2) == 0xA9 || byte(2) == 0xAF ? 3 : 0;
      }
      return byte(1) == 0x81 && byte(2) == 0x9F ? 3 : 0;
    case 0xE3:
      return byte(1) == 0x80 && byte(2) == 0x80 ? 3 : 0;
    default:
      return is_ascii_space(byte(0)) && position < text.size() ? 1 : 0;
  }
}

std::string_view strip_left(std::string_view text) {
  std::size_t position = 0;
  while (position < text.size()) {
    std::size_t length = space_length(text, position);
    if (length == 0) break;
    position += length;
  }
  return text.substr(position);
}

std::string_view strip_right(std::string_view text) {
  while (!text.empty()) {
    auto last = static_cast<unsigned char>(text.back());
    if (last < 0x80) {
      if (!is_ascii_space(last)) break;
      text.remove_suffix(1);
      continue;
    }
    std::size_t start = text.size() - 1;  // a white-space code point has at most three bytes
    while (start > 0 && text.size() - start < 3 && (text[start] & 0xC0) == 0x80) --start;
    if (space_length(text, start) != text.size() - start) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

std::string_view strip(std::string_view text) { return strip_right(strip_left(text)); }

void split_at_newlines(std::string_view text, std::vector<std::string_view>& parts) {
  parts.clear();
  const char* begin = text.data();
  const char* end = begin + text.size();
  for (;;) {
    const void* found = begin == end ? nullptr : std::memchr(begin, '\n', static_cast<std::size_t>(end - begin));
    const char* stop = found ? static_cast<const char*>(found) : end;
    parts.emplace_back(begin, static_cast<std::size_t>(stop - begin));
    if (!found) return;
    begin = stop + 1;
  }
}

void split_at_newline_runs(std::string_view text, std::size_t least, std::vector<std::string_view>& parts) {
  parts.clear();
  std::size_t start = 0, search = 0;
  for (;;) {
    std::size_t found = text.find('\n', search);
    if (found == std::string_view::npos) break;
    std::size_t after = found + 1;
    while (after < text.size() && text[after] == '\n') ++after;
    search = after;
    if (after - found < least) continue;
    parts.push_back(text.substr(start, found - start));
    start = after;
  }
  parts.push_back(text.substr(start));
}

void split_lines(std::string_view text, std::vector<std::string_view>& parts) {
  bool only_newlines = !any_byte(text, [](unsigned char c) {
    return (c >= 0x0B && c <= 0x0D) | (c >= 0x1C && c <= 0x1E) | (c == 0xC2) | (c == 0xE2);
  });
  if (only_newlines) {
    split_at_newlines(text, parts);
    if (parts.back().empty()) parts.pop_back();
    return;
  }
  parts.clear();
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size();) {
    auto c = static_cast<unsigned char>(text[i]);
    std::size_t length = 0;
    if ((c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E)) {
      length = c == '\r' && i + 1 < text.size() && text[i + 1] == '\n' ? 2 : 1;
    } else if (c == 0xC2 || c == 0xE2) {
      std::string_view rest = text.substr(i, 3);
      if (rest.starts_with("\xC2\x85")) length = 2;
      if (rest == "\xE2\x80\xA8" || rest == "\xE2\x80\xA9") length = 3;
    }
    if (length > 0) {
      parts.push_back(text.substr(start, i - start));
      i += length;
      start = i;
    } else {
      ++i;
    }
  }
  if (start < text.size()) parts.push_back(text.substr(start));
}

std::size_t count_three_dots(std::string_view text) {
  std::size_t count = 0;
  const char* p = text.data();
  for (std::size_t i = 0; i < text.size();) {
    if (i + 66 <= text.size()) {  // skip blocks in which no run of three begins
      unsigned char any = 0;
      for (std::size_t j = 0; j < 64; ++j) any |= (p[i + j] == '.') & (p[i + j + 1] == '.') & (p[i + j + 2] == '.');
      if (!any) {
        i += 64;
        continue;
      }
    }
    std::size_t stop = std::min(i + 64, text.size());
    while (i < stop) {
      if (p[i] != '.') {
        ++i;
        continue;
      }
      std::size_t run = 1;
      while (i + run < text.size() && p[i + run] == '.') ++run;
      count += run / 3;
      i += run;
    }
  }
  return count;
}

std::size_t count_string(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t i = text.find(part); i != std::string_view::npos; i = text.find(part, i + part.size())) ++count;
  return count;
}

bool ends_in_terminal_mark(std::string_view line) {
  if (line.empty()) return false;
  std::size_t start = line.size() - 1;
  while (start > 0 && (line[start] & 0xC0) == 0x80) --start;
  return English::get().classes(base::next_code_point(line, start)) & character::kTerminal;
}

}  // namespace curate
