// Finds the answers in a rendered chat. Tested by tests/tokenizer/turns_test.cc.
#include "tokenizer/chat/turns.h"

#include <algorithm>

#include "base/error.h"

namespace tokenizer {
namespace {

using jinja::Span;

constexpr std::size_t kNowhere = std::string::npos;
constexpr std::string_view kBlanks = " \t\r\n";

// Where one message stands in the text: all that was written in its turn, and the words of its own in it.
struct Turn {
  std::size_t begin = kNowhere, end = 0;
  std::size_t words_begin = kNowhere, words_end = 0;
  bool has_words() const { return words_begin != kNowhere; }
  bool exists() const { return begin != kNowhere; }
  void take(const Span& span) {
    begin = std::min(begin, span.begin);
    end = std::max(end, span.end);
  }
  void take_words(const Span& span) {
    words_begin = std::min(words_begin, span.begin);
    words_end = std::max(words_end, span.end);
  }
};

bool is_words(const Span& span) {
  return span.data && span.origin != Span::kNone && span.member != jinja::Rendered::kRole;
}

// A template that does not loop over the messages: the words alone, and what follows them up to other words.
void take_loose_words(const jinja::Rendered& chat, std::vector<Turn>& turns) {
  for (std::size_t s = 0; s < chat.spans.size(); ++s) {
    const Span& span = chat.spans[s];
    if (!is_words(span)) continue;
    Turn& turn = turns[span.origin];
    if (turn.exists()) continue;
    turn.take(span);
    turn.take_words(span);
    for (std::size_t next = s + 1; next < chat.spans.size() && !chat.spans[next].data; ++next)
      turn.take(chat.spans[next]);
  }
}

struct Turns : std::vector<Turn> {
  bool are_mixed = false;  // something of a message may stand in the turn of an earlier one
};

// Valid until the thread's next call.
Turns& turns_of(const jinja::Rendered& chat, std::size_t messages) {
  static thread_local Turns turns;
  turns.assign(messages, {});
  turns.are_mixed = false;
  std::int32_t latest = 0;
  for (const Span& span : chat.spans) {
    if (span.owner == Span::kNone) continue;
    turns[span.owner].take(span);
    if (is_words(span) && span.origin == span.owner) turns[span.owner].take_words(span);
    turns.are_mixed |= span.owner < latest || span.origin > span.owner;
    latest = std::max(latest, span.owner);
  }
  take_loose_words(chat, turns);
  return turns;
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

std::size_t count_blanks(std::string_view text) { return std::min(text.find_first_not_of(kBlanks), text.size()); }
bool is_blank(std::string_view text) { return count_blanks(text) == text.size(); }

// As much of `size` bytes as does not end amid a word.
std::size_t up_to_boundary(std::string_view text, std::size_t size) {
  while (size > 0 && std::string_view("\n>]: ").find(text[size - 1]) == kNowhere) --size;
  return size;
}

// Where the answer begins: behind the generation prompt, or behind as much of it as the template has written here.
// Nothing where it has written none of it.
std::optional<std::size_t> behind_prompt(std::string_view text, const Turn& turn, const TurnShape& shape) {
  const std::size_t latest = turn.has_words() ? turn.words_begin : turn.end;
  if (shape.prompt.empty()) return turn.begin;
  const std::string_view before = text.substr(turn.begin, latest - turn.begin);
  // The words may begin with the prompt's end ("<think>").
  const std::string_view whole =
      text.substr(turn.begin, std::min(before.size() + shape.prompt.size(), turn.end - turn.begin));
  if (const std::size_t found = whole.find(shape.prompt); found < before.size())
    return turn.begin + found + shape.prompt.size();
  // Blanks before and behind belong to what stands there; an empty answer may have none.
  const std::string_view prompt = std::string_view(shape.prompt).substr(count_blanks(shape.prompt));
  const std::size_t blanks = count_blanks(before);
  std::size_t common = common_prefix(prompt, before.substr(blanks));
  // A prompt that goes on ("<think>") has a boundary where the answer turns away from it, and not amid a word.
  if (!is_blank(prompt.substr(common))) common = up_to_boundary(prompt, common);
  return common > 0 ? std::optional(turn.begin + blanks + common) : std::nullopt;
}

// An answer that goes on in a turn that is open, behind results of tools, has no prompt of its own.
std::size_t answer_begin(std::string_view text, const Turn& turn, const TurnShape& shape, bool goes_on) {
  if (const auto begin = behind_prompt(text, turn, shape)) return *begin;
  if (goes_on) return turn.begin + count_blanks(text.substr(turn.begin, turn.end - turn.begin));
  return turn.has_words() ? turn.words_begin : turn.end;
}

struct End {
  std::int32_t id;
  std::size_t size;
};

// The last of the model's end tokens in what stands behind an answer, or the last special token.
std::optional<End> end_in(std::string_view tail, const Tokenizer& tokenizer) {
  const Encoding encoding = tokenizer.encode_with_offsets(tail, {});
  const std::vector<std::int32_t> ends = tokenizer.end_ids();
  std::optional<End> last_special;
  for (std::size_t i = encoding.ids.size(); i-- > 0;) {
    const std::int32_t id = encoding.ids[i];
    if (!tokenizer.is_special(id)) continue;
    const End end{id, encoding.offsets[i].end};
    if (std::ranges::find(ends, id) != ends.end()) return end;
    if (!last_special) last_special = end;
  }
  return last_special;
}

std::string_view tail_of(const jinja::Rendered& chat, const Turn& turn, std::size_t answer) {
  const std::size_t begin = turn.has_words() ? std::max(turn.words_end, answer) : answer;
  return std::string_view(chat.text).substr(begin, turn.end - begin);
}

// What closes an answer that has no end token (a call of a tool, a text that stands for an end), without white space.
std::size_t closing_size(std::string_view tail) { return tail.find_last_not_of(kBlanks) + 1; }

std::size_t end_size(std::string_view tail, const TurnShape& shape, const Tokenizer& tokenizer) {
  if (shape.end && tail == shape.tail) return shape.tail_size;
  const auto end = end_in(tail, tokenizer);
  return end ? end->size : 0;
}

// The generation prompt: what is written behind the turns when it is asked for, and not else.
std::string generation_prompt(const jinja::Rendered& with, const jinja::Rendered& without) {
  std::size_t begin = 0;
  for (const Span& span : with.spans)
    if (span.data || span.owner != Span::kNone) begin = span.end;
  const std::string behind = with.text.substr(begin);
  if (with.text == without.text) return behind;
  if (!behind.empty() && !without.text.ends_with(behind)) return behind;
  return with.text.substr(common_prefix(with.text, without.text));
}

void add(std::vector<ByteRange>& ranges, std::size_t begin, std::size_t end) {
  if (begin < end) ranges.push_back({begin, end});
}

// Sorts them, and makes one of those that touch.
void join(std::vector<ByteRange>& ranges) {
  std::ranges::sort(ranges, {}, &ByteRange::begin);
  std::size_t count = 0;
  for (const ByteRange range : ranges) {
    if (count > 0 && range.begin <= ranges[count - 1].end)
      ranges[count - 1].end = std::max(ranges[count - 1].end, range.end);
    else
      ranges[count++] = range;
  }
  ranges.resize(count);
}

// What of later messages, answers apart, stands in a part of the text: the first of them, from where to where, and
// where the part's own words end before it and go on behind it.
struct Foreign {
  std::size_t message = 0, begin = kNowhere, end = 0, before = 0, words = kNowhere;
  bool exists() const { return begin != kNowhere; }
};
Foreign foreign_in(const jinja::Rendered& chat, const std::vector<Message>& messages, std::int32_t own,
                   ByteRange range) {
  Foreign foreign;
  for (auto span = std::ranges::lower_bound(chat.spans, range.begin, {}, &Span::begin);
       span != chat.spans.end() && span->begin < range.end; ++span) {
    const std::int32_t of = std::max(span->owner, span->data ? span->origin : Span::kNone);
    const bool is_own = is_words(*span) && span->origin == own;
    if (is_own && !foreign.exists()) foreign.before = span->end;
    if (is_own && foreign.exists() && span->member == jinja::Rendered::kContent)
      foreign.words = std::min(foreign.words, span->begin);
    if (of <= own || messages[static_cast<std::size_t>(of)].role == "assistant") continue;
    if (!foreign.exists()) foreign.message = static_cast<std::size_t>(of), foreign.begin = span->begin;
    foreign.words = kNowhere;
    foreign.message = std::min(foreign.message, static_cast<std::size_t>(of));
    foreign.end = span->end;
  }
  return foreign;
}

// Where what stands before `end` in a text, from `begin` on, ends in another one, which may have written less or more
// before: found by as much of it as is there.
std::size_t end_in_other(std::string_view text, std::size_t begin, std::size_t end, std::string_view other) {
  if (other.starts_with(text.substr(0, end))) return end;
  for (std::size_t size = 256; size >= 4; size /= 2) {
    const std::string_view part = text.substr(end - std::min(size, end - begin), std::min(size, end - begin));
    if (const std::size_t found = other.rfind(part); !part.empty() && found != kNowhere) return found + part.size();
  }
  return kNowhere;
}

// Of an answer into which the template has written results of tools: what the model writes before it has them, and its
// words behind them, or else what would have stood there without them.
void add_around(const Foreign& foreign, std::string_view text, ByteRange range, const RenderFirst& render_first,
                std::vector<ByteRange>& ranges) {
  if (foreign.words != kNowhere) add(ranges, foreign.words, range.end);
  const std::size_t own = std::max(foreign.before, range.begin);
  std::string alone;
  std::size_t place = kNowhere;
  try {
    alone = render_first(foreign.message);
    place = end_in_other(text, range.begin, own, alone);
  } catch (const base::Error&) {  // it may demand results
  }
  if (place == kNowhere) return add(ranges, range.begin, foreign.begin);
  const std::string_view here = text.substr(own, foreign.begin - own), there = std::string_view(alone).substr(place);
  std::size_t common = common_prefix(here, there);
  if (common < there.size()) common = up_to_boundary(here, common);
  const std::string_view more = there.substr(common), rest = more.substr(0, closing_size(more));
  if (rest.empty()) return add(ranges, range.begin, closing_size(text.substr(0, own + common)));
  add(ranges, range.begin, own + common);
  if (foreign.words != kNowhere) return;
  if (const std::size_t found = text.find(rest, foreign.end); found < range.end)
    add(ranges, found, std::min(found + rest.size(), range.end));
}

// Where turns begin, in order, and the end of the text.
std::vector<std::size_t> begins_of(const std::vector<Turn>& turns, std::size_t size) {
  std::vector<std::size_t> begins = {size};
  for (const Turn& turn : turns)
    if (turn.exists()) begins.push_back(turn.begin);
  std::ranges::sort(begins);
  return begins;
}

// All but the turns that say that they are not trained.
void add_all_but(const std::vector<Turn>& turns, const std::vector<Message>& messages, std::size_t size,
                 std::vector<ByteRange>& ranges) {
  std::vector<ByteRange> out;
  for (std::size_t i = 0; i < turns.size(); ++i)
    if (turns[i].exists() && !messages[i].trained.value_or(true)) add(out, turns[i].begin, turns[i].end);
  join(out);
  std::size_t begin = 0;
  for (const ByteRange& range : out) {
    add(ranges, begin, range.begin);
    begin = range.end;
  }
  add(ranges, begin, size);
}

}  // namespace

void TrainOnOptions::visit(base::OptionVisitor& v) {
  v.choice("train_on", train_on, {"assistant", "last", "all"},
           "what a conversation, or a prompt with its completion, teaches: every answer, the last one, or all of the "
           "text; messages that say otherwise (train, weight) decide for themselves");
}

TrainOn TrainOnOptions::value() const {
  return train_on == "all" ? TrainOn::kAll : train_on == "last" ? TrainOn::kLast : TrainOn::kAssistant;
}

std::vector<Message> question_for(const RenderProbe& render) {
  const std::vector<Message> question = {{"user", "question"}}, with_system = {{"system", "system"}, question[0]};
  try {
    render(question, false);
    return question;
  } catch (const base::Error&) {
    try {
      render(with_system, false);
      return with_system;
    } catch (const base::Error&) {  // the first says more
    }
    throw;
  }
}

TurnShape shape_of(const RenderProbe& render, bool marks, const Tokenizer& tokenizer) {
  TurnShape shape;
  shape.marks = marks;
  const std::vector<Message> question = question_for(render);
  std::vector<Message> answered = question;
  answered.push_back({"assistant", "answer"});
  const jinja::Rendered asked = render(question, true), without = render(question, false);
  shape.prompt = generation_prompt(asked, without);
  const jinja::Rendered chat = render(answered, false);
  const Turn turn = turns_of(chat, answered.size()).back();
  // Some write the prompt without being asked for it, others something else at the end of a text.
  if (asked.text == without.text) {
    const std::string_view own = std::string_view(chat.text).substr(std::min(turn.begin, chat.text.size()));
    const auto inked = [](std::string_view part) { return part.substr(count_blanks(part)); };
    const std::string_view prompt = inked(shape.prompt);
    if (up_to_boundary(prompt, common_prefix(prompt, inked(own))) == 0) shape.prompt.clear();
  }
  if (!turn.exists()) return shape;
  shape.tail = tail_of(chat, turn, answer_begin(chat.text, turn, shape, false));
  if (const auto end = end_in(shape.tail, tokenizer)) {
    shape.end = end->id;
    shape.tail_size = end->size;
  }
  return shape;
}

void find_trained_bytes(const jinja::Rendered& chat, const std::vector<Message>& messages, const TurnShape& shape,
                        const Tokenizer& tokenizer, TrainOn train_on, const RenderFirst& render_first,
                        std::vector<ByteRange>& trained, std::vector<std::size_t>& without_end) {
  trained.clear();
  const Turns& turns = turns_of(chat, messages.size());
  if (train_on == TrainOn::kAll) return add_all_but(turns, messages, chat.text.size(), trained);
  std::size_t last = messages.size();
  while (last > 0 && messages[last - 1].role != "assistant") --last;
  const std::vector<std::size_t> begins = shape.marks ? begins_of(turns, chat.text.size()) : std::vector<std::size_t>();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const bool answers = messages[i].role == "assistant";
    const bool wanted = answers && (train_on == TrainOn::kAssistant || i + 1 == last);
    const Turn& turn = turns[i];
    if (!messages[i].trained.value_or(wanted && !messages[i].in_prompt) || !turn.exists()) continue;
    const bool goes_on = turns.are_mixed && i > 0 && messages[i - 1].role == "tool";
    const std::size_t begin =
        answers ? answer_begin(chat.text, turn, shape, goes_on) : (turn.has_words() ? turn.words_begin : turn.end);
    const std::string_view tail = tail_of(chat, turn, begin);
    const std::size_t tail_begin = static_cast<std::size_t>(tail.data() - chat.text.data());
    const std::size_t size = end_size(tail, shape, tokenizer);
    if (size == 0) without_end.push_back(i);
    if (!shape.marks || !answers) {
      const ByteRange range{begin, tail_begin + (size == 0 && answers ? closing_size(tail) : size)};
      const Foreign foreign =
          turns.are_mixed && answers ? foreign_in(chat, messages, static_cast<std::int32_t>(i), range) : Foreign();
      foreign.exists() ? add_around(foreign, chat.text, range, render_first, trained)
                       : add(trained, range.begin, range.end);
      continue;
    }
    std::size_t marked = 0;
    // Marks may go on behind the turn: an end of all, written behind the loop over the messages.
    const std::size_t next = *std::ranges::lower_bound(begins, turn.end);
    for (auto span = std::ranges::lower_bound(chat.spans, turn.begin, {}, &Span::begin);
         span != chat.spans.end() && span->end <= next; ++span) {
      if (!span->generated) continue;
      add(trained, span->begin, span->end);
      marked = span->end;
    }
    if (marked > 0) add(trained, marked, tail_begin + size);
  }
  join(trained);
}

}  // namespace tokenizer
