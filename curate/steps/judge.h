// Collects the measures of one rule; the first that fails is the verdict.
#pragma once

#include <string_view>
#include <vector>

#include "curate/steps/step.h"

namespace curate {

/// a / b, and 0 where datatrove would divide by zero.
inline double ratio(double a, double b) { return b == 0 ? 0 : a / b; }

class Judge {
 public:
  Judge(std::vector<Measure>* measures, const Document& document)
      : measures_(measures), passed_(document.passed_measures()) {}
  /// Records a measure. True: the rule has failed and nobody asks for the rest, so stop.
  bool check(std::string_view name, double value, double threshold, bool failed, Limit limit = Limit::kNone) {
    if (measures_) measures_->push_back({name, value, threshold, failed, limit});
    if (!failed && passed_) passed_->push_back({name, value, threshold, false, limit});
    if (failed && verdict_.keep) verdict_ = {false, name, value, threshold};
    return failed && !measures_;
  }
  bool above(std::string_view name, double value, double threshold) {
    return check(name, value, threshold, value > threshold, Limit::kMax);
  }
  bool below(std::string_view name, double value, double threshold) {
    return check(name, value, threshold, value < threshold, Limit::kMin);
  }
  const Verdict& verdict() const { return verdict_; }
  /// Also wants the measures that cannot change the verdict any more.
  bool wants_all() const { return measures_ != nullptr; }

 private:
  std::vector<Measure>* measures_;
  std::vector<Measure>* passed_;
  Verdict verdict_;
};

}  // namespace curate
