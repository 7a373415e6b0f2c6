// The text of a regular expression -> its parts. Tested by tests/tokenizer/pattern_test.cc.
#include <fmt/format.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/text.h"
#include "base/unicode.h"
#include "tokenizer/split/pattern_part.h"

namespace tokenizer {
namespace {

using Part = PatternPart;

class Parser {
 public:
  Parser(std::string_view pattern, Dialect dialect) : text_(pattern), rust_(dialect == Dialect::kRust) {}

  PatternProgram program() {
    const Part whole = alternatives();
    if (position_ < text_.size()) refuse("a ')' too many");
    write_steps(whole, program_, [this] { refuse("more than 20000 steps"); });
    return std::move(program_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw base::Error({"this pattern of the tokenizer is not supported",
                       fmt::format("{} at byte {}", base::shortened(text_, 200), position_), what,
                       "classes, groups, repeats, alternatives, look-ahead, anchors",
                       "use a SentencePiece .model or a GGUF of the model, if there is one"});
  }
  bool at_end() const { return position_ == text_.size(); }
  bool next_is(std::string_view what) const { return text_.substr(position_).starts_with(what); }
  bool take(std::string_view what) {
    if (!next_is(what)) return false;
    position_ += what.size();
    return true;
  }
  char32_t character() {
    if (at_end()) refuse("it ends too early");
    const Character c = character_at(text_, position_);
    if (c.code == kInvalid) refuse("it is not UTF-8");
    position_ += c.size;
    return c.code;
  }

  // ---- groups and repeats

  Part alternatives() {
    if (++depth_ > 50) refuse("groups more than 50 deep");
    const bool outer_case = any_case_;
    Part all{Part::kAlternatives};
    do all.children.push_back(sequence());
    while (take("|"));
    any_case_ = outer_case;  // (?i) holds up to the end of its group
    --depth_;
    return all.children.size() == 1 ? std::move(all.children[0]) : all;
  }

  Part sequence() {
    Part all{Part::kSequence};
    char32_t last = 0;
    while (!at_end() && !next_is("|") && !next_is(")")) {
      literal_ = 0;
      Part part = atom();
      if (any_case_ && !rust_ && literal_ != 0 && folds_together(last, literal_))
        refuse("letters without regard to case that one letter can stand for");
      last = literal_;
      all.children.push_back(repeated(std::move(part)));
    }
    return all;
  }
  // Oniguruma lets one character match several ("ß" for ss) where case does not count.
  static bool folds_together(char32_t first, char32_t second) {
    const auto is = [](char32_t c, std::u32string_view set) { return set.find(c | 0x20) != std::u32string_view::npos; };
    return (is(first, U"s") && is(second, U"st")) || (is(first, U"f") && is(second, U"fil"));
  }

  Part repeated(Part part) {
    for (;;) {
      std::uint32_t least = 0, most = Part::kUnlimited;
      bool counted = false;
      if (take("*")) {
      } else if (take("+")) {
        least = 1;
      } else if (take("?")) {
        most = 1;
      } else if (next_is("{") && counts(least, most)) {
        counted = true;
      } else {
        return part;
      }
      Part::Manner manner = Part::kGreedy;
      if (next_is("?")) {
        if (counted && least == most && !rust_) refuse("{n}?, which engines read differently");
        take("?");
        manner = Part::kLazy;
      } else if (!(counted && !rust_) && take("+")) {  // Oniguruma reads {1,3}+ as (?:{1,3})+
        manner = Part::kPossessive;
      }
      if (part.kind == Part::kAssertion || part.kind == Part::kAhead || part.kind == Part::kNotAhead)
        refuse("a repeat of what takes no character");
      if (most > 1 && part.may_be_empty() && (most == Part::kUnlimited || part.kind != Part::kRepeat))
        refuse("a repeat of what may be empty");
      Part repeat{Part::kRepeat};
      repeat.least = least;
      repeat.most = most;
      repeat.manner = manner;
      repeat.children.push_back(std::move(part));
      part = std::move(repeat);
    }
  }
  // "{2}", "{2,}", "{2,5}"
  bool counts(std::uint32_t& least, std::uint32_t& most) {
    const std::size_t close = text_.find('}', position_);
    if (close == std::string_view::npos) refuse("'{' without '}'");
    const std::string_view inside = text_.substr(position_ + 1, close - position_ - 1);
    const char* end = inside.data() + inside.size();
    auto [rest, error] = std::from_chars(inside.data(), end, least);
    if (error != std::errc()) refuse("a repeat that is no number");
    most = least;
    if (rest != end) {
      if (*rest != ',') refuse("a repeat that is no number");
      most = Part::kUnlimited;
      if (rest + 1 != end && std::from_chars(rest + 1, end, most).ptr != end) refuse("a repeat that is no number");
    }
    constexpr std::uint32_t kMost = 1000;
    if (least > most || least > kMost || (most > kMost && most != Part::kUnlimited))
      refuse(fmt::format("a repeat beyond {}", kMost));
    position_ = close + 1;
    return true;
  }

  Part atom() {
    if (take("(")) return group();
    if (take("[")) return set_part(bracket());
    if (take("^")) return assertion(rust_ ? PatternStep::kTextBegin : PatternStep::kLineBegin);
    if (take("$")) return assertion(rust_ ? PatternStep::kTextEnd : PatternStep::kLineEnd);
    if (take(".")) {
      SetBuilder set = single('\n');
      set.negate();
      return set_part(std::move(set));
    }
    if (next_is("*") || next_is("+") || next_is("?")) refuse("a repeat of nothing");
    if (!take("\\")) {
      literal_ = character();
      return set_part(single(literal_));
    }
    if (take("b")) return assertion(PatternStep::kWordEdge);
    if (take("B")) return assertion(PatternStep::kNoWordEdge);
    if (take("A")) return assertion(PatternStep::kTextBegin);
    if (take("z")) return assertion(PatternStep::kTextEnd);
    if (!rust_ && take("Z")) return assertion(PatternStep::kLastLineEnd);
    SetBuilder set;
    escaped(set);
    return set_part(std::move(set));
  }

  Part group() {
    Part part{Part::kAtomic};
    bool plain = false;
    const bool outer_case = any_case_;
    if (take("?=")) {
      part.kind = Part::kAhead;
    } else if (take("?!")) {
      part.kind = Part::kNotAhead;
    } else if (!take("?>")) {
      plain = true;
      if (take("?i)")) {
        any_case_ = true;
        return Part{Part::kSequence};
      }
      if (take("?i:"))
        any_case_ = true;
      else if (!take("?:") && next_is("?"))
        refuse("this kind of group");
    }
    Part inside = alternatives();
    any_case_ = outer_case;
    if (!take(")")) refuse("'(' without ')'");
    if (plain) return inside;
    part.children.push_back(std::move(inside));
    return part;
  }

  Part assertion(PatternStep::Kind kind) {
    Part part{Part::kAssertion};
    part.assertion = kind;
    if (kind == PatternStep::kWordEdge || kind == PatternStep::kNoWordEdge)
      program_.word_set = keep_set(set_of_word(rust_ ? WordKind::kRust : WordKind::kOniguruma));
    return part;
  }

  // ---- sets

  Part set_part(SetBuilder set) {
    if (any_case_ && !set.close_over_case() && !rust_)
      refuse("a letter that several can stand for where case is ignored");
    Part part{Part::kSet};
    part.set = keep_set(set);
    return part;
  }
  std::uint32_t keep_set(const SetBuilder& set) {
    if (program_.sets.size() == 500) refuse("more than 500 classes");
    program_.sets.emplace_back(set);
    return static_cast<std::uint32_t>(program_.sets.size() - 1);
  }
  static SetBuilder single(char32_t code) {
    SetBuilder set;
    set.codes.add(static_cast<UChar32>(code));
    return set;
  }

  // Behind a backslash: the set, and the character where it stands for just one.
  std::optional<char32_t> escaped(SetBuilder& set, bool in_class = false) {
    const char32_t c = character();
    const auto one = [&](char32_t code) {
      set = single(code);
      return std::optional(code);
    };
    const auto negated_if = [&](bool negated) {
      if (negated) set.negate();
      return std::nullopt;
    };
    switch (c) {
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 't':
        return one('\t');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'x':
      case 'u':
        return one(number(c));
      case 's':
      case 'S':
        set = set_of_white_space();
        return negated_if(c == 'S');
      case 'w':
      case 'W':
        set = set_of_word(rust_ ? WordKind::kRust : in_class ? WordKind::kPlain : WordKind::kOniguruma);
        return negated_if(c == 'W');
      case 'd':
      case 'D':
        set_of_property("Nd", set);
        return negated_if(c == 'D');
      case 'p':
      case 'P':
        return negated_if(property(set) != (c == 'P'));
      default:
        if (c >= 0x80 || u_isalnum(static_cast<UChar32>(c))) refuse(fmt::format("\\{}", static_cast<char>(c & 0x7F)));
        return one(c);
    }
  }
  // {NAME} or {^NAME} or one letter; true: negated.
  bool property(SetBuilder& set) {
    std::string_view name;
    bool negated = false;
    if (take("{")) {
      negated = take("^");
      const std::size_t close = text_.find('}', position_);
      if (close == std::string_view::npos) refuse("'{' without '}'");
      name = text_.substr(position_, close - position_);
      position_ = close + 1;
    } else {
      name = text_.substr(position_, 1);
      position_ += name.size();
    }
    if (!set_of_property(name, set)) refuse(fmt::format("\\p{{{}}}", base::shortened(name, 40)));
    return negated;
  }
  // \x41, \x{1F600}, \u4E00
  char32_t number(char32_t kind) {
    std::string_view digits;
    if (take("{")) {
      const std::size_t close = std::min(text_.find('}', position_), text_.size());
      digits = text_.substr(position_, close - position_);
      position_ = std::min(close + 1, text_.size());
    } else {
      digits = text_.substr(position_, kind == 'x' ? 2 : 4);
      position_ += digits.size();
    }
    std::uint32_t code = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || code > 0x10FFFF)
      refuse("a character number that is none");
    return code;
  }

  // Behind "[".
  SetBuilder bracket() {
    if (++depth_ > 50) refuse("classes more than 50 deep");
    const bool negated = take("^");
    SetBuilder set;
    std::optional<SetBuilder> so_far;  // left of "&&"
    for (bool first = true; !take("]"); first = false) {
      if (next_is("[:")) refuse("a POSIX class");
      if (next_is("--") || next_is("~~")) refuse("a difference of classes");
      if (take("&&")) {
        if (so_far) set.keep(*so_far);
        so_far = std::move(set);
        set = {};
      } else if (take("[")) {
        set.add(bracket());
      } else {
        if (first && next_is("]")) refuse("an empty class");
        member_of(set);
      }
    }
    if (so_far) set.keep(*so_far);
    if (negated) {
      if (any_case_) set.close_over_case();
      set.negate();
    }
    --depth_;
    return set;
  }
  void member_of(SetBuilder& set) {
    SetBuilder first;
    const auto from = bracket_character(first);
    if (!from || !next_is("-") || next_is("-]") || next_is("-[")) return set.add(first);
    take("-");
    SetBuilder last;
    const auto to = bracket_character(last);
    if (!to || *to < *from) refuse("a range that ends before it begins");
    set.codes.add(static_cast<UChar32>(*from), static_cast<UChar32>(*to));
  }
  std::optional<char32_t> bracket_character(SetBuilder& set) {
    if (take("\\")) {
      if (next_is("b")) refuse("\\b in a class");
      return escaped(set, true);
    }
    const char32_t c = character();
    set = single(c);
    return c;
  }

  std::string_view text_;
  bool rust_;
  std::size_t position_ = 0;
  int depth_ = 0;
  bool any_case_ = false;
  char32_t literal_ = 0;  // what the latest atom is, where it is one plain character
  PatternProgram program_;
};

}  // namespace

PatternProgram parse_pattern(std::string_view pattern, Dialect dialect) { return Parser(pattern, dialect).program(); }

}  // namespace tokenizer
