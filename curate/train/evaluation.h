// How well scores tell good documents from bad ones: what every kind of scorer is measured with.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <vector>

namespace curate {

/// A labelled document and the score that it got.
struct Judged {
  double score = 0;  ///< 0 to 1
  double weight = 1;
  bool good = false;
};

/// The probability that a good document scores higher than a bad one, ties counted half, whatever their weights. NaN
/// without both kinds.
double area_under_curve(std::vector<Judged> judged);

/// What the scores in one tenth mean.
struct ScoreBin {
  double from = 0, mean_score = 0, good_share = 0;
  std::size_t documents = 0;
};
/// By tenths of the score, those without documents left out.
std::vector<ScoreBin> calibration(std::span<const Judged> judged);
nlohmann::json to_json(std::span<const ScoreBin> bins);

/// What a threshold keeps and what there is, by weight. The shares are NaN where there is none of the kind.
struct KeptWeight {
  double good = 0, bad = 0, all_good = 0, all_bad = 0;
  double recall() const { return good / all_good; }
  double bad_kept() const { return bad / all_bad; }
};
KeptWeight kept_at(std::span<const Judged> judged, double threshold);

/// The number, or null where it is not finite.
nlohmann::json finite_or_null(double value);

}  // namespace curate
