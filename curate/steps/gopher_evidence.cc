// What Gopher's measures counted in one document, for explain. Tested by tests/curate/steps/evidence_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "curate/steps/gopher.h"
#include "curate/steps/ngrams.h"
#include "curate/text/lines.h"

namespace curate {
namespace {

// Words [first, first + n): where they stand, or, where the words were made anew (NLTK), as those are written.
std::string_view span_of(const Words& words, std::size_t first, std::size_t n) {
  const Word &from = words.all()[first], &last = words.all()[first + n - 1];
  return words.base().substr(from.offset, last.offset + last.bytes - from.offset);
}

// Those with the most characters first.
void by_weight(std::vector<Evidence>& all) {
  std::stable_sort(all.begin(), all.end(), [](const Evidence& a, const Evidence& b) {
    return a.times * std::max<std::uint64_t>(1, a.characters) > b.times * std::max<std::uint64_t>(1, b.characters);
  });
}

}  // namespace

std::vector<Evidence> GopherRepetition::evidence(Document& document, std::string_view measure) const {
  std::vector<Evidence> result;
  if (measure.starts_with("dup_")) {
    const bool paragraphs = measure.starts_with("dup_para");
    split_parts(document, paragraphs);
    std::map<std::string_view, Evidence> repeated;
    for (std::string_view part : document.scratch().parts) {
      auto [found, first] = repeated.try_emplace(
          part, Evidence{paragraphs ? "a paragraph that was there before" : "a line that was there before", part, 0,
                         document.code_points(part)});
      if (!first) ++found->second.times;
    }
    for (auto& [part, one] : repeated)
      if (one.times > 0) result.push_back(std::move(one));
    by_weight(result);
    return result;
  }
  const Words& words = document.words(semantics.splitter());
  for (std::size_t i = 0; i < std::size(kTopNames); ++i) {
    if (measure != kTopNames[i]) continue;
    TopNGrams top(document, words);
    std::uint64_t characters = 0;
    for (std::size_t n = 2; n <= i + 2; ++n) characters = top.next();
    if (top.times() == 0) break;
    result.push_back({fmt::format("the most frequent {}-gram", i + 2), span_of(words, top.position(), i + 2),
                      top.times(), characters / top.times()});
  }
  for (std::size_t i = 0; i < std::size(kDuplicatedNames); ++i) {
    if (measure != kDuplicatedNames[i]) continue;
    const std::size_t n = 5 + i;
    std::vector<std::uint32_t> repeats;
    DuplicateNGrams(document, words, 5).code_points(n, &repeats);
    std::map<std::string, Evidence> repeated;
    for (std::uint32_t first : repeats) {
      std::string key;
      std::uint64_t characters = 0;
      for (std::size_t j = first; j < first + n; ++j) {
        key += words.text(words.all()[j]);
        characters += words.all()[j].code_points;
      }
      ++repeated
            .try_emplace(key, Evidence{fmt::format("a {}-gram that was there before", n), span_of(words, first, n), 0,
                                       characters})
            .first->second.times;
    }
    for (auto& [key, one] : repeated) result.push_back(std::move(one));
    by_weight(result);
  }
  return result;
}

std::vector<Evidence> GopherQuality::evidence(Document& document, std::string_view measure) const {
  const std::string_view text = document.text();
  const Words& words = document.words(semantics.splitter());
  std::vector<Evidence> result;
  auto plain = [&](const Word& word) {
    return semantics == Semantics::kGopherPaper || (word.flags & Word::kHasNonSymbol);
  };
  // Words that pass, each once, with their number.
  auto count_words = [&](const char* what, auto passes) {
    std::map<std::string_view, Evidence> found;
    for (const Word& word : words.all()) {
      if (!passes(word)) continue;
      Evidence& one =
          found.try_emplace(words.text(word), Evidence{what, words.text(word), 0, word.code_points}).first->second;
      ++one.times;
    }
    for (auto& [word, one] : found) result.push_back(std::move(one));
    by_weight(result);
  };
  auto count_lines = [&](const char* what, auto passes) {
    for (std::string_view line : document.lines())
      if (passes(line)) result.push_back({what, strip(line), 1, 0});
  };
  if (measure == "gopher_short_doc" || measure == "gopher_long_doc" || measure.ends_with("_avg_threshold")) {
    std::uint64_t counted = 0, characters = 0;
    for (const Word& word : words.all()) {
      counted += plain(word);
      characters += plain(word) ? word.code_points : 0;
    }
    result.push_back(
        {fmt::format("{} words of {} characters; {} marks do not count", counted, characters, words.size() - counted),
         {}});
    if (measure == "gopher_above_avg_threshold" && counted > 0) {
      const auto longest = std::max_element(words.all().begin(), words.all().end(), [&](const Word& a, const Word& b) {
        return (plain(a) ? a.code_points : 0) < (plain(b) ? b.code_points : 0);
      });
      result.push_back({"the longest word", words.text(*longest), 1, longest->code_points});
    }
  } else if (measure == "gopher_too_many_hashes" || measure == "gopher_too_many_ellipsis") {
    const bool hashes = measure == "gopher_too_many_hashes";
    for (std::string_view sign :
         hashes ? std::vector<std::string_view>{"#"} : std::vector<std::string_view>{"...", "…"}) {
      const std::size_t at = text.find(sign);
      if (at == text.npos) continue;
      result.push_back({fmt::format("\"{}\" for {} words", sign, words.size()), text.substr(at, sign.size()),
                        count_string(text, sign), 0});
    }
  } else if (measure == "gopher_too_many_bullets") {
    count_lines("begins with a bullet", is_bullet);
  } else if (measure == "gopher_too_many_end_ellipsis") {
    count_lines("ends in an ellipsis", ends_in_ellipsis);
  } else if (measure == "gopher_below_alpha_threshold") {
    count_words("holds no letter", [](const Word& word) { return !(word.flags & Word::kHasAlpha); });
  } else if (measure == "gopher_enough_stop_words") {
    count_words("a stop word", [&](const Word& word) {
      return std::find(stop_words.begin(), stop_words.end(), words.text(word)) != stop_words.end();
    });
    if (result.empty()) result.push_back({"no stop word at all", {}});
  }
  return result;
}

}  // namespace curate
