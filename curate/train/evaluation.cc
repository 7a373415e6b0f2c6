// How well scores tell good documents from bad ones: what every kind of scorer is measured with. Tested by
// tests/curate/train/evaluation_test.cc.
#include "curate/train/evaluation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace curate {

double area_under_curve(std::vector<Judged> judged) {
  std::sort(judged.begin(), judged.end(), [](const Judged& a, const Judged& b) { return a.score < b.score; });
  double wins = 0, good = 0, bad = 0;
  for (std::size_t i = 0, j = 0; i < judged.size(); i = j) {
    double tied_good = 0, tied_bad = 0;
    for (; j < judged.size() && judged[j].score == judged[i].score; ++j) ++(judged[j].good ? tied_good : tied_bad);
    wins += tied_good * (bad + tied_bad / 2);
    good += tied_good;
    bad += tied_bad;
  }
  return good * bad > 0 ? wins / (good * bad) : std::numeric_limits<double>::quiet_NaN();
}

std::vector<ScoreBin> calibration(std::span<const Judged> judged) {
  struct Sums {
    double weight = 0, score = 0, good = 0;
    std::size_t count = 0;
  };
  std::array<Sums, 10> tenths{};
  for (const Judged& j : judged) {
    Sums& sums = tenths[std::min<std::size_t>(9, static_cast<std::size_t>(j.score * 10))];
    sums.weight += j.weight;
    sums.score += j.weight * j.score;
    sums.good += j.good ? j.weight : 0;
    ++sums.count;
  }
  std::vector<ScoreBin> bins;
  for (std::size_t i = 0; i < tenths.size(); ++i) {
    const Sums& sums = tenths[i];
    if (sums.count == 0) continue;
    bins.push_back({static_cast<double>(i) / 10, sums.score / sums.weight, sums.good / sums.weight, sums.count});
  }
  return bins;
}

nlohmann::json to_json(std::span<const ScoreBin> bins) {
  nlohmann::json rows = nlohmann::json::array();
  for (const ScoreBin& bin : bins)
    rows.push_back({{"from", bin.from},
                    {"documents", bin.documents},
                    {"mean_score", bin.mean_score},
                    {"good_share", bin.good_share}});
  return rows;
}

KeptWeight kept_at(std::span<const Judged> judged, double threshold) {
  KeptWeight sums;
  for (const Judged& j : judged) {
    (j.good ? sums.all_good : sums.all_bad) += j.weight;
    if (j.score >= threshold) (j.good ? sums.good : sums.bad) += j.weight;
  }
  return sums;
}

nlohmann::json finite_or_null(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(); }

}  // namespace curate
