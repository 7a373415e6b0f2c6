// What the model says of the answers of preferences before it is trained on them. Tested by
// tests/finetune/references_test.cc and preferences_test.cc.
#include "finetune/train/references.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json_values.h"
#include "finetune/data/packing.h"

namespace finetune {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

bool is_known(const References& references, std::size_t example) {
  return !std::isnan(references.values[2 * example]) && !std::isnan(references.values[2 * example + 1]);
}

// f(examples, number in them, number of all) for each.
template <class F>
void each_of(const std::vector<Examples*>& parts, F f) {
  std::size_t number = 0;
  for (Examples* examples : parts)
    for (std::uint32_t i = 0; i < examples->size(); ++i) f(*examples, i, number++);
}

}  // namespace

References read_references(const std::filesystem::path& file, const std::string& key, std::size_t examples) {
  References none{key, std::vector<double>(2 * examples, kUnknown)}, found = none;
  if (!std::filesystem::exists(file)) return none;
  try {
    const auto json = nlohmann::json::parse(base::read_file(file));
    const auto& values = json.at("log_probabilities");
    if (json.at("key") != key || values.size() != found.values.size()) return none;
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!values[i].is_null()) found.values[i] = values[i].get<double>();
    return found;
  } catch (const nlohmann::json::exception&) {
    return none;
  }
}

void write_references(const std::filesystem::path& file, const References& references) {
  // NaN is null there.
  const nlohmann::ordered_json json = {{"key", references.key}, {"log_probabilities", references.values}};
  base::write_file(file, base::json_dump(json) + "\n");
}

std::vector<std::size_t> missing_in(const References& references, const std::vector<std::size_t>& wanted,
                                    const Group& group) {
  const at::Tensor lacking = at::zeros({static_cast<std::int64_t>(wanted.size())}, at::kDouble);
  auto* lacks = lacking.mutable_data_ptr<double>();
  for (std::size_t i = 0; i < wanted.size(); ++i) lacks[i] = is_known(references, wanted[i]) ? 0 : 1;
  group.all_reduce(lacking);
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (lacks[i] > 0) missing.push_back(wanted[i]);
  return missing;
}

bool compute_references(References& references, const std::vector<std::size_t>& missing, const Transformer& model,
                        const std::vector<Examples*>& parts, const Group& group,
                        const std::function<bool(std::size_t)>& go_on) {
  const at::NoGradGuard no_gradient;
  std::vector<std::pair<const Examples*, std::uint32_t>> all;
  each_of(parts, [&](const Examples& examples, std::uint32_t i, std::size_t) { all.emplace_back(&examples, i); });
  const auto size = static_cast<std::size_t>(group.size()), rank = static_cast<std::size_t>(group.rank());
  bool goes_on = true;
  for (std::size_t first = 0; first < missing.size() && goes_on; first += size) {
    const std::size_t count{std::min(size, missing.size() - first)};
    // Of each there is one that is not zero. The last number: who is to end.
    const at::Tensor round = at::zeros({static_cast<std::int64_t>(2 * count + 1)}, at::kDouble);
    auto* values = round.mutable_data_ptr<double>();
    if (rank < count) {
      const auto& [examples, place] = all[missing[first + rank]];
      const at::Tensor logs = model.log_probabilities(make_row(*examples, {&place, 1}, model.device())).cpu();
      values[2 * rank] = logs[0].item<double>(), values[2 * rank + 1] = logs[1].item<double>();
    }
    values[2 * count] = go_on(first + count) ? 0 : 1;
    group.all_reduce(round);
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t side = 0; side < 2; ++side)
        references.values[2 * missing[first + i] + side] = values[2 * i + side];
    goes_on = values[2 * count] == 0;
  }
  return goes_on;
}

void set_references(const References& references, const std::vector<Examples*>& parts) {
  each_of(parts, [&](Examples& examples, std::uint32_t i, std::size_t number) {
    examples.set_reference(i, {references.values[2 * number], references.values[2 * number + 1]});
  });
}

}  // namespace finetune
