// The parts of a regular expression -> the steps of its program. Tested by tests/tokenizer/pattern_test.cc.
#include <algorithm>

#include "tokenizer/split/pattern_part.h"

namespace tokenizer {

bool PatternPart::may_be_empty() const {
  switch (kind) {
    case kSet:
      return false;
    case kSequence:
      return std::ranges::all_of(children, &PatternPart::may_be_empty);
    case kAlternatives:
      return std::ranges::any_of(children, &PatternPart::may_be_empty);
    case kRepeat:
      return least == 0 || children[0].may_be_empty();
    case kAtomic:
      return children[0].may_be_empty();
    default:
      return true;
  }
}

namespace {

using Part = PatternPart;

class Writer {
 public:
  Writer(PatternProgram& program, const std::function<void()>& too_many) : program_(program), too_many_(too_many) {}

  std::uint32_t step(PatternStep::Kind kind) {
    if (program_.steps.size() == 20000) too_many_();
    program_.steps.push_back({});
    program_.steps.back().kind = kind;
    return static_cast<std::uint32_t>(program_.steps.size() - 1);
  }
  void emit(const Part& part) {
    switch (part.kind) {
      case Part::kSet:
        program_.steps[step(PatternStep::kCharacter)].set = part.set;
        return;
      case Part::kSequence:
        for (const Part& child : part.children) emit(child);
        return;
      case Part::kAlternatives:
        return emit_alternatives(part);
      case Part::kRepeat:
        return emit_repeat(part);
      case Part::kAhead:
        return emit_inside(PatternStep::kAhead, part.children[0]);
      case Part::kNotAhead:
        return emit_inside(PatternStep::kNotAhead, part.children[0]);
      case Part::kAtomic:
        return emit_inside(PatternStep::kAtomic, part.children[0]);
      case Part::kAssertion:
        step(part.assertion);
        return;
    }
  }

 private:
  std::uint32_t here() const { return static_cast<std::uint32_t>(program_.steps.size()); }

  void emit_inside(PatternStep::Kind kind, const Part& inside) {
    const std::uint32_t begin = step(kind);
    emit(inside);
    step(PatternStep::kAccept);
    program_.steps[begin].target = here();
  }
  void emit_alternatives(const Part& part) {
    std::vector<std::uint32_t> jumps;
    for (std::size_t i = 0; i < part.children.size(); ++i) {
      const bool last = i + 1 == part.children.size();
      const std::uint32_t choice = last ? 0 : step(PatternStep::kChoice);
      emit(part.children[i]);
      if (last) break;
      jumps.push_back(step(PatternStep::kJump));
      program_.steps[choice].target = here();
    }
    for (const std::uint32_t jump : jumps) program_.steps[jump].target = here();
  }
  void emit_repeat(const Part& part) {
    const Part& what = part.children[0];
    if (what.kind == Part::kSet && part.manner != Part::kLazy) {
      PatternStep& run = program_.steps[step(PatternStep::kRun)];
      run.set = what.set;
      run.least = part.least;
      run.most = part.most;
      run.possessive = part.manner == Part::kPossessive;
      return;
    }
    if (part.manner == Part::kPossessive) {
      Part greedy = part;
      greedy.manner = Part::kGreedy;
      return emit_inside(PatternStep::kAtomic, greedy);
    }
    for (std::uint32_t i = 0; i < part.least; ++i) emit(what);
    // Choice: the way that is tried first is the one behind it.
    const auto emit_optional = [&](bool again) {
      const std::uint32_t choice = step(PatternStep::kChoice);
      std::uint32_t over = 0;
      if (part.manner == Part::kLazy) {
        over = step(PatternStep::kJump);
        program_.steps[choice].target = here();
      }
      emit(what);
      if (again) program_.steps[step(PatternStep::kJump)].target = choice;
      return part.manner == Part::kLazy ? over : choice;
    };
    std::vector<std::uint32_t> leave;
    if (part.most == Part::kUnlimited)
      leave.push_back(emit_optional(true));
    else
      for (std::uint32_t i = part.least; i < part.most; ++i) leave.push_back(emit_optional(false));
    for (const std::uint32_t from : leave) program_.steps[from].target = here();
  }

  PatternProgram& program_;
  const std::function<void()>& too_many_;
};

}  // namespace

void write_steps(const PatternPart& whole, PatternProgram& program, const std::function<void()>& too_many) {
  Writer writer(program, too_many);
  writer.emit(whole);
  writer.step(PatternStep::kAccept);
}

}  // namespace tokenizer
