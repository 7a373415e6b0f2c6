// Which token comes next: the settings of transformers' GenerationConfig, with its names and its arithmetic. Tested by
// tests/finetune/sampling_test.cc.
#include "finetune/model/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace finetune {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

void penalise_repetition(std::vector<float>& scores, std::span<const std::int32_t> text, double penalty) {
  if (penalty == 1) return;
  std::vector<bool> seen(scores.size());
  for (const std::int32_t id : text) {
    const auto i = static_cast<std::size_t>(id);
    if (i >= scores.size() || seen[i]) continue;
    seen[i] = true;
    scores[i] = static_cast<float>(scores[i] < 0 ? scores[i] * penalty : scores[i] / penalty);
  }
}

// Forbids the tokens that would end an n-gram which stands in the text already.
void forbid_repeated_ngrams(std::vector<float>& scores, std::span<const std::int32_t> text, std::int64_t size) {
  const auto n = static_cast<std::size_t>(size);
  if (n == 0 || text.size() + 1 < n) return;
  const auto last = text.last(n - 1);
  for (std::size_t i = 0; i + n <= text.size(); ++i) {
    if (std::equal(last.begin(), last.end(), text.begin() + static_cast<std::ptrdiff_t>(i)))
      scores[static_cast<std::size_t>(text[i + n - 1])] = kNever;
  }
}

std::vector<float> penalised(std::span<const float> logits, std::span<const std::int32_t> text,
                             const SamplingOptions& options) {
  std::vector<float> scores(logits.begin(), logits.end());
  penalise_repetition(scores, text, options.repetition_penalty);
  forbid_repeated_ngrams(scores, text, options.no_repeat_ngram_size);
  return scores;
}

std::size_t largest(std::span<const float> scores) {
  const auto place = std::max_element(scores.begin(), scores.end());
  if (place == scores.end() || !std::isfinite(*place))
    throw base::Error("the model gives no finite logit: are its weights damaged?");
  return static_cast<std::size_t>(place - scores.begin());
}

bool more_probable(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
}

// Keeps the fewest most probable that hold `mass`. Halves the part that is in question again and again, so that the
// whole vocabulary is never sorted.
void keep_nucleus(std::vector<Candidate>& all, double mass) {
  std::vector<Candidate> order = all;
  auto begin = order.begin(), end = order.end();
  while (end - begin > 1) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, more_probable);
    double upper = 0;
    for (auto i = begin; i != middle; ++i) upper += i->weight;
    if (upper >= mass) {
      end = middle;
    } else {
      mass -= upper;
      begin = middle;
    }
  }
  const Candidate last = *begin;
  std::erase_if(all, [&](const Candidate& candidate) { return more_probable(last, candidate); });
}

}  // namespace

void SamplingOptions::visit(base::OptionVisitor& v) {
  v("max_tokens", max_tokens, "stop after so many tokens").at_least(1);
  v("temperature", temperature,
    "0: always the most probable token; 1: as the model says. What is not given, of this and the following: the "
    "model's own (generation_config.json) where it has one")
      .at_least(0);
  v("top_k", top_k, "draw among so many most probable tokens, 0: all").at_least(0);
  v("top_p", top_p, "draw among the most probable tokens that hold this share of the probability").above(0).at_most(1);
  v("min_p", min_p, "leave out tokens below this share of the most probable one's probability").between(0, 1);
  v("repetition_penalty", repetition_penalty, "above 1: tokens that stand in the text already become less probable")
      .above(0)
      .fallback = "the model's own, else 1.1";
  v("no_repeat_ngram_size", no_repeat_ngram_size, "let no sequence of so many tokens come twice, 0: let it")
      .at_least(0);
  v("seed", seed, "the same seed draws the same tokens; each prompt begins with it");
}

std::vector<Candidate> candidates(std::span<const float> logits, std::span<const std::int32_t> text,
                                  const SamplingOptions& options) {
  const std::vector<float> scores = penalised(logits, text, options);
  const double most = scores[largest(scores)];
  std::vector<Candidate> result;
  result.reserve(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double weight = std::exp((scores[i] - most) / options.temperature);
    if (weight > 0) result.push_back({static_cast<std::int32_t>(i), weight});
  }
  if (const auto k = static_cast<std::size_t>(options.top_k); k > 0 && k < result.size()) {
    std::vector<double> weights;
    for (const Candidate& candidate : result) weights.push_back(candidate.weight);
    const auto place = weights.begin() + static_cast<std::ptrdiff_t>(k) - 1;
    std::nth_element(weights.begin(), place, weights.end(), std::greater<>());
    // As transformers: what equals the k-th stays too.
    std::erase_if(result, [&](const Candidate& candidate) { return candidate.weight < *place; });
  }
  if (options.top_p < 1) {
    double total = 0;
    for (const Candidate& candidate : result) total += candidate.weight;
    keep_nucleus(result, options.top_p * total);
  }
  // The most probable token has weight 1.
  std::erase_if(result, [&](const Candidate& candidate) { return candidate.weight < options.min_p; });
  return result;
}

std::int32_t sample(std::span<const float> logits, std::span<const std::int32_t> text, const SamplingOptions& options,
                    base::Random& random) {
  if (options.temperature == 0) return static_cast<std::int32_t>(largest(penalised(logits, text, options)));
  const std::vector<Candidate> kept = candidates(logits, text, options);
  double total = 0;
  for (const Candidate& candidate : kept) total += candidate.weight;
  double draw = random.uniform() * total;
  for (const Candidate& candidate : kept) {
    draw -= candidate.weight;
    if (draw < 0) return candidate.id;
  }
  return kept.back().id;
}

}  // namespace finetune
