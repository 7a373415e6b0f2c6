// Rotary positions of every kind. Tested by tests/lora/model/rope_test.cc.
#include "lora/model/rope.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

namespace lora {
namespace {

// How much a pair keeps of its own frequency: 1 all of it, 0 none, so that it turns `factor` times slower.
double share_kept(const RopeSpec& rope, double frequency) {
  if (rope.type == "linear") return 0;
  if (rope.type != "llama3") return 1;
  // Long waves are stretched, short ones kept, those between mixed (Llama 3.1).
  const double context{static_cast<double>(rope.original_context)}, wave{2 * std::numbers::pi / frequency};
  if (wave > context / rope.low_freq_factor) return 0;
  if (wave < context / rope.high_freq_factor) return 1;
  return (context / wave - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
}

// Dynamic NTK: beyond the context the base grows, so that the longest wave still fits.
double dynamic_theta(const RopeSpec& rope, std::int64_t dim, std::int64_t length) {
  const double context{static_cast<double>(rope.original_context)}, size{static_cast<double>(dim)};
  const double reach{std::max(context, static_cast<double>(length))};
  return rope.theta * std::pow(rope.factor * reach / context - (rope.factor - 1), size / (size - 2));
}

// YaRN: 0 for pairs that turn more than beta_fast times within the original context, 1 below beta_slow, a ramp between.
double yarn_ramp(const RopeSpec& rope, std::int64_t dim, std::size_t pair) {
  const double size{static_cast<double>(dim)}, context{static_cast<double>(rope.original_context)};
  const auto pair_that_turns = [&](double times) {
    return size * std::log(context / (times * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
  };
  double low = pair_that_turns(rope.beta_fast), high = pair_that_turns(rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, size - 1);
  if (low == high) high += 0.001;
  return std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
}

// Of a pair without scaling.
double plain_frequency(double theta, std::size_t pair, std::int64_t dim) {
  return 1 / std::pow(theta, static_cast<double>(2 * pair) / static_cast<double>(dim));
}

bool close(const std::vector<float>& left, const std::vector<float>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](float x, float y) { return std::fabs(x - y) <= 1e-5f * std::fabs(y); });
}

// The llama3 setting with low_freq_factor 1 that could give these factors. A pair between the short and the long waves
// keeps (context / wave - 1) / (high - 1): two of them give context and high. With one, high is taken as 4; with none,
// any context between the two kinds will do.
RopeSpec solved(const RopeSpec& rope, std::int64_t dim) {
  RopeSpec result;
  result.theta = rope.theta;
  result.type = "llama3";
  result.factor = rope.factors.back();             // the longest wave is always stretched by the whole factor
  std::vector<std::pair<double, double>> between;  // 1 / wave, share kept
  double shortest_long = 0;
  for (std::size_t i = 0; i < rope.factors.size(); ++i) {
    const double factor{rope.factors[i]}, turns{plain_frequency(rope.theta, i, dim) / (2 * std::numbers::pi)};
    if (factor >= result.factor * 0.9999) {
      if (shortest_long == 0) shortest_long = 1 / turns;
    } else if (factor > 1.0001) {
      between.emplace_back(turns, (1 / factor - 1 / result.factor) / (1 - 1 / result.factor));
    }
  }
  double context = shortest_long - 1;
  if (between.size() == 1) context = (3 * between[0].second + 1) / between[0].first;
  if (between.size() >= 2) {
    const auto [first_turns, first_share]{between.front()};
    const auto [last_turns, last_share]{between.back()};
    const double slope{(last_share - first_share) / (last_turns - first_turns)};  // context / (high - 1)
    const double width{1 / (slope * first_turns - first_share)};                  // high - 1
    result.high_freq_factor = std::round((1 + width) * 1000) / 1000;
    context = slope * width;
  }
  result.original_context = context >= 1 && context < 1e12 ? std::lround(context) : 0;
  return result;
}

}  // namespace

bool depends_on_length(const RopeSpec& rope) { return rope.type == "dynamic" || rope.type == "longrope"; }

std::vector<float> inverse_frequencies(const RopeSpec& rope, std::int64_t dim, std::int64_t length) {
  const float theta{static_cast<float>(rope.type == "dynamic" ? dynamic_theta(rope, dim, length) : rope.theta)};
  const bool is_long{rope.type == "longrope" && length > rope.original_context};
  const std::vector<float>& factors = is_long ? rope.long_factors : rope.factors;
  std::vector<float> result(static_cast<std::size_t>(dim / 2));
  for (std::size_t i = 0; i < result.size(); ++i) {
    // In float32 like the peer, which computes 1 / theta^(2i/d) with float32 tensors.
    const float exponent{static_cast<float>(2 * i) / static_cast<float>(dim)}, wave{std::pow(theta, exponent)};
    const float frequency{1.0f / wave};
    const double share{share_kept(rope, frequency)};
    if (rope.type == "factors") {
      result[i] = frequency / rope.factors.at(i);
    } else if (rope.type == "longrope") {
      result[i] = 1.0f / (factors.at(i) * wave);
    } else if (rope.type == "yarn") {
      const float ramp{static_cast<float>(yarn_ramp(rope, dim, i))};
      result[i] = 1.0f / (static_cast<float>(rope.factor) * wave) * ramp + frequency * (1 - ramp);
    } else if (share == 0) {
      result[i] = frequency / static_cast<float>(rope.factor);
    } else {
      result[i] = static_cast<float>((1 - share) * frequency / rope.factor + share * frequency);
    }
  }
  return result;
}

double rotation_scale(const RopeSpec& rope) {
  if (rope.type != "yarn" && rope.type != "longrope") return 1;
  if (rope.attention_factor != 0) return rope.attention_factor;
  if (rope.factor <= 1) return 1;
  if (rope.type == "longrope")
    return std::sqrt(1 + std::log(rope.factor) / std::log(static_cast<double>(rope.original_context)));
  const double stretch{0.1 * std::log(rope.factor)};
  if (rope.mscale == 0 || rope.mscale_all_dim == 0) return stretch + 1;
  return (stretch * rope.mscale + 1) / (stretch * rope.mscale_all_dim + 1);
}

std::vector<float> stretch_factors(const RopeSpec& rope, std::int64_t dim) {
  if (rope.type == "factors") return rope.factors;
  std::vector<float> result(static_cast<std::size_t>(dim / 2));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const double share{share_kept(rope, plain_frequency(rope.theta, i, dim))};
    result[i] = static_cast<float>(share == 0 ? rope.factor : 1 / ((1 - share) / rope.factor + share));
  }
  return result;
}

RopeSpec as_llama3(const RopeSpec& rope, std::int64_t dim) {
  if (rope.type != "factors" || rope.factors.empty()) return rope;
  RopeSpec usual;
  usual.theta = rope.theta;
  usual.type = "llama3";
  usual.factor = rope.factors.back();
  for (const RopeSpec& setting : {usual, solved(rope, dim)})
    if (setting.original_context >= 1 && setting.high_freq_factor > 1 &&
        close(stretch_factors(setting, dim), rope.factors))
      return setting;
  return rope;
}

std::vector<double> alibi_slopes(std::int64_t heads) {
  const auto whole = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(heads)));
  std::vector<double> result;
  for (std::int64_t i = 1; i <= whole; ++i)
    result.push_back(std::exp2(-8.0 * static_cast<double>(i) / static_cast<double>(whole)));
  for (std::int64_t i = 1; static_cast<std::int64_t>(result.size()) < heads; i += 2)
    result.push_back(std::exp2(-4.0 * static_cast<double>(i) / static_cast<double>(whole)));
  return result;
}

}  // namespace lora
