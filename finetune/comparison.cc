// How far what one model computes is from what another does. Tested by tests/finetune/comparison_test.cc.
#include "finetune/comparison.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"

namespace finetune {
namespace {

// A NaN stays, so that a broken model does not pass.
double larger(double so_far, double value) { return value <= so_far || std::isnan(so_far) ? so_far : value; }

Bounds bounds_for(base::DType type) {
  switch (type) {
    case base::DType::kF64:
    case base::DType::kF32:
      return {2e-5, 1e-8, 0.995, "float32 rounding"};
    case base::DType::kF16:
      return {5e-3, 3e-5, 0.97, "float16 rounding"};
    case base::DType::kBF16:
      return {5e-2, 1e-3, 0.95, "bfloat16 rounding"};
    case base::DType::kQ8_0:
      return {1.5e-1, 1e-2, 0.9, "Q8_0 rounding"};
    case base::DType::kQ6_K:
      return {5e-1, 5e-2, 0.8, "Q6_K rounding"};
    case base::DType::kQ4_0:
    case base::DType::kQ4_1:
    case base::DType::kQ5_0:
    case base::DType::kQ5_1:
    case base::DType::kQ4_K:
    case base::DType::kQ5_K:
      return {3, 3, 0.2, fmt::format("{} rounding", base::name_of(type))};
    default:
      return {0, 0, 0, ""};
  }
}

}  // namespace

Bounds float32_bounds() { return bounds_for(base::DType::kF32); }

Bounds bounds_of(const lora::ModelFiles& files) {
  Bounds widest;
  for (const std::string& name : files.names()) {
    const Bounds bounds = bounds_for(files.type(name));
    if (bounds.name.empty())
      throw base::Error({"no bounds are known for weights of this type", files.path().string(),
                         std::string(files.type_name(name)), "a type that lora merge writes",
                         "give --bound, --bound-kl and --bound-best"});
    if (bounds.relative > widest.relative) widest = bounds;
  }
  return widest;
}

bool Comparison::equal() const {
  return tokens > 0 && max_rel <= bounds.relative && mean_kl() <= bounds.mean_kl &&
         share_of_best() >= bounds.same_best && unexplained == 0 && (!weights || weights->is_within());
}

void compare(const at::Tensor& expected, const at::Tensor& actual, Comparison& comparison) {
  if (expected.sizes() != actual.sizes())
    throw base::Error({"the two models have vocabularies of different sizes", "", std::to_string(actual.size(1)),
                       std::to_string(expected.size(1)), ""});
  const at::Tensor centred = expected - expected.mean(1, true);
  const at::Tensor difference = actual - actual.mean(1, true) - centred;
  const at::Tensor relative = difference.norm(2, 1) / centred.norm(2, 1);
  comparison.max_abs = larger(comparison.max_abs, difference.abs().max().item<double>());
  comparison.max_rel = larger(comparison.max_rel, relative.max().item<double>());
  const at::Tensor left = expected.to(at::kDouble).log_softmax(1), right = actual.to(at::kDouble).log_softmax(1);
  const at::Tensor kl = (left.exp() * (left - right)).sum(1);
  comparison.sum_kl += kl.sum().item<double>();
  comparison.max_kl = larger(comparison.max_kl, kl.max().item<double>());
  comparison.same_best += expected.argmax(1).eq(actual.argmax(1)).sum().item<std::int64_t>();
  comparison.tokens += expected.size(0);
}

void compare_texts(const std::vector<std::int32_t>& expected, const std::vector<std::int32_t>& actual,
                   std::int64_t prompt, const at::Tensor& logits, Comparison& comparison) {
  ++comparison.texts;
  const auto [ours, theirs] = std::ranges::mismatch(expected, actual);
  if (ours == expected.end() && theirs == actual.end()) {
    ++comparison.same_texts;
    return;
  }
  if (ours == expected.end() || theirs == actual.end()) {  // one stopped
    ++comparison.unexplained;
    return;
  }
  const at::Tensor row = logits[prompt - 1 + (ours - expected.begin())];
  const double ahead{row[*ours].item<double>() - row[*theirs].item<double>()};
  if (!(ahead <= 2 * comparison.max_abs)) ++comparison.unexplained;
}

std::string to_text(const Comparison& comparison) {
  const Bounds& bounds = comparison.bounds;
  std::string text = fmt::format("{} tokens: the logits {} {} (largest relative difference {:.2e}, bound {:g})\n",
                                 base::human_count(static_cast<std::uint64_t>(comparison.tokens)),
                                 comparison.equal() ? "agree within" : "DIFFER by more than", bounds.name,
                                 comparison.max_rel, bounds.relative);
  text += fmt::format(
      "  largest difference of a logit {:.2e}; KL in the mean {:.1e} nats (bound {:g}), at most {:.1e}; the same best "
      "token at {:.2f} % (bound {:g} %)",
      comparison.max_abs, comparison.mean_kl(), bounds.mean_kl, comparison.max_kl, 100 * comparison.share_of_best(),
      100 * bounds.same_best);
  if (comparison.texts > 0)
    text += fmt::format(
        "\n  {} of {} greedy texts are the same{}", comparison.same_texts, comparison.texts,
        comparison.unexplained > 0 ? fmt::format("; {} DIFFER where the logits do not", comparison.unexplained) : "");
  if (comparison.weights)
    text += fmt::format(
        "\n  weights {} base and adapter rounded to their types: at most {:.1e} of the norm off ({}, bound {:g})",
        comparison.weights->is_within() ? "are those of" : "DIFFER from", comparison.weights->rounded,
        comparison.weights->name, comparison.weights->rounded_bound);
  return text;
}

}  // namespace finetune
