// Variants of training texts, so that the textbook model judges neither their length nor where their lines break, and
// tells sentences from the same words in any order. Tested by tests/curate/scorer/textbook_model_test.cc.
#include "curate/train/textbook_excerpts.h"

#include <algorithm>
#include <vector>

namespace curate {
namespace {

std::size_t indent_of(std::string_view line) { return std::min(line.find_first_not_of(' '), line.size()); }

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::size_t character_start(std::string_view text, std::size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

}  // namespace

std::string reflowed(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  std::string_view before;  // the line that was written last, as it stood in the text
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    const std::size_t indent = indent_of(line);
    if (begin > 0) {
      const bool join =
          before.size() >= 40 && indent == indent_of(before) && indent < line.size() && is_letter(line[indent]);
      result += join ? ' ' : '\n';
      result += join ? line.substr(indent) : line;
    } else {
      result += line;
    }
    before = line;
    begin = end + 1;
  }
  return result;
}

std::string excerpt(std::string_view text, base::Random& random) {
  const std::size_t size = 300 + random.below(1700);
  if (text.size() > size) {
    std::size_t begin = character_start(text, random.below(text.size() - size));
    if (const std::size_t line = text.find('\n', begin); line < begin + 200) begin = line + 1;
    text = text.substr(begin, character_start(text, std::min(text.size(), begin + size)) - begin);
  }
  return random.below(2) == 0 ? reflowed(text) : std::string(text);
}

std::string scrambled(std::string_view text, base::Random& random) {
  constexpr std::string_view kWhite = " \t\r\n";
  std::vector<std::string> words;
  for (std::size_t at = text.find_first_not_of(kWhite); at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(kWhite, at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = text.find_first_not_of(kWhite, end);
  }
  base::shuffle(words, random);
  if (random.below(2) == 0) {
    for (std::string& word : words) {
      std::vector<std::size_t> letters;
      for (std::size_t i = 0; i < word.size(); ++i) {
        if (is_letter(word[i])) letters.push_back(i);
      }
      for (std::size_t i = letters.size(); i > 1; --i) std::swap(word[letters[i - 1]], word[letters[random.below(i)]]);
    }
  }
  std::string result;
  std::size_t next = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t word = std::min(text.find_first_not_of(kWhite, at), text.size());
    result += text.substr(at, word - at);
    if (word == text.size()) break;
    result += words[next++];
    at = std::min(text.find_first_of(kWhite, word), text.size());
  }
  return result;
}

}  // namespace curate
