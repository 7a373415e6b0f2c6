// What PEFT would not do with an adapter that is right here. Tested by tests/lora/adapter/peft_notes_test.cc.
#include "lora/adapter/peft_notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/text.h"
#include "lora/model/module_names.h"

namespace lora {
namespace {

// Gate and up, of which the one parameter gate_up_proj is made.
bool is_fused(const std::string& suffix) {
  return suffix == "w1" || suffix == "w3" || suffix == "gate_proj" || suffix == "up_proj";
}

bool is_router(const std::string& suffix) { return suffix == "gate"; }

double alpha_of(const AdapterModule& module, bool rslora) {
  const auto rank = static_cast<double>(module.rank);
  return module.scale * (rslora ? std::sqrt(rank) : rank);
}

bool is_of_experts(const AdapterModule& module) {
  return block_name(module.name).expert >= 0 || is_router(suffix_of(module.name));
}

bool is_of_router(const SavedTensor& tensor) {
  return is_router(suffix_of(tensor.name.substr(0, tensor.name.rfind('.'))));
}

}  // namespace

bool has_experts(const Adapter& adapter) {
  return std::ranges::any_of(adapter.modules, is_of_experts) || std::ranges::any_of(adapter.saved, is_of_router);
}

std::string stacked_experts_note(const Adapter& adapter, const ModelSpec& base) {
  std::map<std::string, std::size_t> in_base, adapted;  // experts' matrices by layer and the end of their names
  const auto key = [](const std::string& module) {
    return std::string(block_name(module).prefix) + " " + suffix_of(module);
  };
  for (const BlockSpec& block : base.blocks)
    for (const LinearSpec& linear : block.linears)
      if (block_name(linear.name).expert >= 0) ++in_base[key(linear.name)];
  if (in_base.empty()) return "";
  std::set<std::string> fused;
  bool is_stacked{false}, has_ranks{false}, has_alphas{false};
  for (const AdapterModule& module : adapter.modules) {
    const std::string suffix = suffix_of(module.name);
    const bool is_expert{block_name(module.name).expert >= 0};
    if (!is_of_experts(module)) continue;
    is_stacked = true;
    has_ranks |= module.rank != adapter.rank;
    has_alphas |= std::fabs(alpha_of(module, adapter.rslora) - adapter.alpha) > 1e-9 * std::fabs(adapter.alpha);
    if (is_expert) ++adapted[key(module.name)];
    if (is_expert && is_fused(suffix)) fused.insert(suffix);
  }
  const bool saves_router{std::ranges::any_of(adapter.saved, is_of_router)};
  std::vector<std::string> refused, otherwise;
  if (is_stacked && adapter.dora) refused.push_back("DoRA");
  if (is_stacked && adapter.dropout > 0) refused.push_back("dropout");
  if (fused.size() == 1) refused.push_back(*fused.begin() + " alone of the two that it joins");
  if (std::ranges::any_of(adapted, [&](const auto& entry) { return entry.second != in_base[entry.first]; }))
    refused.push_back("some experts of a layer");
  if (has_ranks) refused.push_back("ranks of their own");
  if (has_alphas) otherwise.push_back("alphas of their own");
  if (fused.size() == 2 && adapter.rslora) otherwise.push_back("rsLoRA of gate and up, by sqrt 2");
  if (saves_router) otherwise.push_back("a router that trains whole");
  if (refused.empty() && otherwise.empty()) return "";
  std::string what;
  if (!refused.empty()) what = "does not take " + base::join(refused, ", ");
  if (!otherwise.empty())
    what += (what.empty() ? "reads otherwise " : "; it reads otherwise ") + base::join(otherwise, ", ");
  return fmt::format(
      "note: PEFT 0.21 with transformers 5 has the experts and the router of a layer as one parameter each, and there "
      "it {}; what lora merge writes is right, and so are adapters with one rank and alpha, of all experts, without "
      "these",
      what);
}

}  // namespace lora
