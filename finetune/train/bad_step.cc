// A step that must not be taken: what is wrong with it, and its rows for who looks for the cause. Tested by
// tests/finetune/bad_step_test.cc.
#include "finetune/train/bad_step.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json_values.h"

namespace finetune {
namespace {

constexpr std::size_t kFewest{8}, kMost{32};

double median_of(std::span<const StepMetrics> steps, double StepMetrics::*metric) {
  std::vector<double> values;
  for (const StepMetrics& step : steps) values.push_back(step.*metric);
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

std::vector<std::int64_t> numbers_of(const at::Tensor& tensor, std::int64_t first, std::int64_t size) {
  const at::Tensor part = tensor.narrow(0, first, size).cpu().contiguous();
  const std::int64_t* begin = part.const_data_ptr<std::int64_t>();
  return {begin, begin + size};
}

}  // namespace

std::string wrong_with(const StepMetrics& now, std::span<const StepMetrics> before, double factor) {
  if (before.size() > kMost) before = before.last(kMost);
  for (const auto& [metric, name] : {std::pair(&StepMetrics::loss, "the loss"),
                                     std::pair(&StepMetrics::gradient_norm, "the norm of the gradient")}) {
    const double value{now.*metric};
    if (!std::isfinite(value)) return fmt::format("{} is not finite", name);
    if (factor == 0 || before.size() < kFewest) continue;
    const double median{median_of(before, metric)};
    if (median > 0 && value > factor * median)  // hinge has steps whose loss is 0
      return fmt::format("{} is {:.3g} times its median of the last {} steps", name, value / median, before.size());
  }
  return "";
}

void write_bad_step(const std::filesystem::path& file, std::int64_t step, std::span<const PackedRow> batches,
                    std::span<const double> losses, const tokenizer::Tokenizer& tokenizer) {
  std::string lines;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const PackedRow& batch = batches[i];
    nlohmann::ordered_json line = {{"step", step},
                                   {"batch", i},
                                   {"loss", i < losses.size() ? losses[i] : NAN},
                                   {"documents", nlohmann::json::array()}};
    std::int64_t first{0};
    for (const std::int64_t length : batch.lengths) {
      const std::vector<std::int64_t> ids = numbers_of(batch.ids, first, length);
      line["documents"].push_back(nlohmann::ordered_json{{"text", tokenizer.decode({ids.begin(), ids.end()})},
                                                         {"ids", ids},
                                                         {"targets", numbers_of(batch.targets, first, length)}});
      first += length;
    }
    lines += base::json_dump(line) + "\n";
  }
  base::write_file(file, lines);
}

}  // namespace finetune
