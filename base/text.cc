// Small helpers on strings that every folder needs. Tested by tests/base/text_test.cc.
#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace base {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0;;) {
    std::size_t end = text.find(separator, begin);
    parts.emplace_back(text.substr(begin, end == text.npos ? text.npos : end - begin));
    if (end == text.npos) return parts;
    begin = end + 1;
  }
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::string ascii_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return lower;
}

std::size_t count_byte(std::string_view text, char byte) {
  std::size_t count = 0, i = 0;
  for (; i + 64 <= text.size(); i += 64) {
    unsigned char in_block = 0;
    for (std::size_t j = 0; j < 64; ++j) in_block += text[i + j] == byte;
    count += in_block;
  }
  for (; i < text.size(); ++i) count += text[i] == byte;
  return count;
}

bool contains(std::string_view text, std::string_view part) {
  const char first = part.front(), last = part.back();
  const std::size_t reach = part.size() - 1;
  for (std::size_t i = 0; i + reach < text.size(); i += 64) {
    const std::size_t stop = std::min<std::size_t>(64, text.size() - reach - i);
    const char *from = text.data() + i, *to = from + reach;
    unsigned char any = 0;
    if (stop == 64) {
      for (std::size_t j = 0; j < 64; ++j) any |= (from[j] == first) & (to[j] == last);
    } else {
      for (std::size_t j = 0; j < stop; ++j) any |= (from[j] == first) & (to[j] == last);
    }
    if (any && text.substr(i, stop + reach).find(part) != text.npos) return true;
  }
  return false;
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i) text += separator;
    text += parts[i];
  }
  return text;
}

namespace {

// Optimal string alignment: insert, delete, substitute, swap neighbours, each at cost 1.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

namespace {
std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}
}  // namespace

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  std::string best;
  std::size_t best_distance = std::min(std::max<std::size_t>(1, word.size() / 3) + 1, word.size());
  for (const std::string& candidate : candidates) {
    std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string help_entry(std::string_view left, std::string_view right, std::size_t left_width) {
  constexpr std::size_t kIndent = 2, kWidth = 80;
  std::string text = std::string(kIndent, ' ') + std::string(left);
  std::size_t column = kIndent + left.size();
  auto new_line = [&] {
    text += '\n' + std::string(kIndent + left_width, ' ');
    column = kIndent + left_width;
  };
  if (!left.empty() && left.size() >= left_width) {
    new_line();
  } else {
    text += std::string(left_width - left.size(), ' ');
    column = kIndent + left_width;
  }
  bool first = true;
  for (const std::string& word : split(right, ' ')) {
    const std::size_t size = count_characters(word);
    if (!first && column + 1 + size > kWidth) {
      new_line();
      first = true;
    }
    text += first ? word : " " + word;
    column += size + (first ? 0 : 1);
    first = false;
  }
  return text + '\n';
}

std::string human_bytes(double bytes) {
  if (bytes < 1000) return fmt::format("{:.0f} B", bytes);
  const char* units[] = {"kB", "MB", "GB", "TB", "PB"};
  int unit = -1;
  while (bytes >= 999.95 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  return fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string human_count(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(static_cast<std::size_t>(i), ",");
  return digits;
}

std::string human_seconds(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  auto whole = static_cast<std::uint64_t>(seconds);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

std::string shortened(std::string_view text, std::size_t limit) {
  bool cut = text.size() > limit;
  if (cut) {
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
    text = text.substr(0, limit);
  }
  std::string result;
  for (char c : text) {
    if (c == '\n') {
      result += "\\n";
    } else if (static_cast<unsigned char>(c) < 32 || c == 127) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return cut ? result + "..." : result;
}

void append_json_string(std::string& json, std::string_view text) {
  json += '"';
  std::size_t done = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    json.append(text, done, i - done);
    done = i + 1;
    if (c == '"' || c == '\\') {
      json += '\\';
      json += static_cast<char>(c);
    } else if (c >= 8 && c <= 13 && c != 11) {
      json += '\\';
      json += std::string_view("btn-fr")[c - 8];
    } else {
      json += fmt::format("\\u{:04x}", c);
    }
  }
  json.append(text, done, text.size() - done);
  json += '"';
}

std::string most_frequent(NamedCounts counts, std::size_t most,
                          const std::function<std::string(const std::string& name, std::uint64_t count)>& tell) {
  std::ranges::stable_sort(counts, std::ranges::greater(), &NamedCounts::value_type::second);
  std::vector<std::string> told;
  for (const auto& [name, count] : std::span(counts).first(std::min(most, counts.size())))
    told.push_back(tell(name, count));
  if (counts.size() > most) told.emplace_back("...");
  return join(told, ", ");
}

std::string shell_word(const std::string& word) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:+,=@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == word.npos) return word;
  std::string result = "'";
  for (char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

}  // namespace base
