// Cutting a text into the pieces that BPE may not merge across. Tested by tests/tokenizer/pattern_test.cc.
#include "tokenizer/split/pre_tokenizer.h"

#include "tokenizer/split/unicode_sets.h"

namespace tokenizer {

PreTokenizer::PreTokenizer(std::vector<SplitStep> steps) : steps_(std::move(steps)) {
  for (const SplitStep& step : steps_)
    patterns_.push_back(step.kind == SplitStep::kPattern ? std::make_unique<const Pattern>(step.pattern, step.dialect)
                                                         : nullptr);
}

namespace {

struct Span {
  ByteRange range;
  bool is_match;
};

// Matches and what is between them, in order, all of the text. A match of nothing cuts, too.
std::vector<Span> matches(const Pattern& pattern, std::string_view text) {
  std::vector<Span> spans;
  Pattern::Workspace workspace;
  std::size_t done = 0, from = 0;
  while (const auto match = pattern.find(text, from, workspace)) {
    if (done < match->begin) spans.push_back({{done, match->begin}, false});
    spans.push_back({*match, true});
    done = from = match->end;
    if (match->begin < match->end) continue;
    if (from == text.size()) break;
    from += character_at(text, from).size;
  }
  if (done < text.size()) spans.push_back({{done, text.size()}, false});
  return spans;
}

}  // namespace

std::vector<ByteRange> pattern_pieces(const Pattern& pattern, const SplitStep& step, std::string_view text) {
  std::vector<ByteRange> pieces;
  bool after_match = false;
  for (const Span& span : matches(pattern, text)) {
    const bool match = span.is_match != step.invert, first = pieces.empty();
    const bool joins = step.behavior == SplitStep::kMergedWithPrevious ? match && !after_match
                       : step.behavior == SplitStep::kMergedWithNext   ? !match && after_match
                       : step.behavior == SplitStep::kContiguous       ? match == after_match
                                                                       : false;
    if (joins && !first)
      pieces.back().end = span.range.end;
    else if (!(match && step.behavior == SplitStep::kRemoved))
      pieces.push_back(span.range);
    after_match = match;
  }
  std::erase_if(pieces, [](const ByteRange& piece) { return piece.begin == piece.end; });
  return pieces;
}

std::vector<ByteRange> script_pieces(std::string_view text) {
  std::vector<ByteRange> pieces;
  int last = kAnyScript;
  for (std::size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    const int script = c.code == kInvalid ? kAnyScript : script_of(c.code);
    if (script != kAnyScript && script != last) {
      if (!pieces.empty()) pieces.back().end = i;
      pieces.push_back({i, text.size()});
      last = script;
    }
    i += c.size;
  }
  return pieces;
}

ChangedCopy changed_copy(const SplitStep& step, std::string_view text, std::size_t at_start) {
  ChangedCopy copy;
  if (step.kind == SplitStep::kPrefixSpace) {
    copy.text = " " + std::string(text);
    copy.added = 1;
  } else if (step.kind == SplitStep::kByteAlphabet) {
    copy.text = token_of_bytes(text);
    copy.in_byte_alphabet = true;
  } else {
    const std::string_view blank = blank_of(step);
    copy.blank_size = blank.size();
    copy.text.reserve(text.size() + text.size() / 2);
    for (const char c : text) c == ' ' ? copy.text.append(blank) : copy.text.append(1, c);
    const bool wanted =
        step.kind == SplitStep::kMetaspaceAlways || (step.kind == SplitStep::kMetaspaceFirst && at_start > 0);
    if (wanted && !copy.text.starts_with(blank)) {
      copy.text.insert(0, blank);
      copy.added = blank.size();
    }
  }
  return copy;
}

bool PreTokenizer::asks_for_start() const {
  return std::ranges::any_of(steps_, [](const SplitStep& step) { return step.kind == SplitStep::kMetaspaceFirst; });
}

}  // namespace tokenizer
