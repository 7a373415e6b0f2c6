// Several adapters as one. Tested by tests/lora/fuse/fuse_test.cc.
#include "lora/fuse/fuse.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "base/parallel.h"
#include "lora/adapter/extra_tensors.h"
#include "lora/fuse/factors.h"
#include "lora/fuse/top_svd.h"
#include "lora/model/wrapper.h"

namespace lora {
namespace {

constexpr const char* kOneBase = "only adapters of one base can be joined";

// The modules of all adapters by name.
std::map<std::string, std::vector<WeightedModule>> joined_names(std::span<const Adapter> adapters,
                                                                std::span<const double> weights) {
  std::map<std::string, std::vector<WeightedModule>> modules;
  for (std::size_t i = 0; i < adapters.size(); ++i)
    for (const AdapterModule& module : adapters[i].modules) {
      auto& same = modules[module.name];
      if (!same.empty() && (same[0].module->in != module.in || same[0].module->out != module.out))
        throw base::Error({"a module has different shapes in two adapters", module.name,
                           fmt::format("{} -> {}", module.in, module.out),
                           fmt::format("{} -> {}", same[0].module->in, same[0].module->out), kOneBase});
      same.push_back({&module, weights[i], i});
    }
  return modules;
}

AdapterModule concatenated(const std::vector<WeightedModule>& parts) {
  AdapterModule whole;
  const AdapterModule& first = *parts[0].module;
  whole.name = first.name, whole.in = first.in, whole.out = first.out;
  for (const WeightedModule& part : parts) {
    whole.rank += part.module->rank;
    whole.a.insert(whole.a.end(), part.module->a.begin(), part.module->a.end());
  }
  whole.b.reserve(static_cast<std::size_t>(whole.rank * whole.out));
  for (std::int64_t row = 0; row < whole.out; ++row)
    for (const WeightedModule& part : parts) {
      const double scale{part.weight * part.module->scale};
      const auto values =
          std::span(part.module->b)
              .subspan(static_cast<std::size_t>(row * part.module->rank), static_cast<std::size_t>(part.module->rank));
      for (const float value : values) whole.b.push_back(static_cast<float>(scale * value));
    }
  return whole;
}

struct Joined {
  AdapterModule module;
  FusedModule facts;
};

Joined cut(const std::string& name, const ThinSvd& svd, std::int64_t rank) {
  Joined joined{module_of(name, svd, rank), {}};
  joined.facts.squared_norm = svd.squared_norm;
  joined.facts.squared_error = squared_error(svd, joined.module.rank);
  return joined;
}

Factors sum_of(const std::vector<WeightedModule>& parts) {
  std::vector<Factors> factors;
  for (const WeightedModule& part : parts) factors.push_back(factors_of(*part.module, part.weight));
  return sum_of(std::span<const Factors>(factors));
}

Joined joined_module(const std::vector<WeightedModule>& parts, const FuseSettings& settings, std::int64_t largest,
                     int threads) {
  const std::string& name = parts[0].module->name;
  if (settings.method == FuseMethod::kElementwise) {
    const std::vector<float> change = joined(parts, settings.elementwise, threads);
    const std::int64_t rank{settings.rank == 0 ? largest : settings.rank};
    return cut(name, top_svd(change, parts[0].module->out, parts[0].module->in, rank, threads), rank);
  }
  const ThinSvd svd = svd_of(sum_of(parts));
  if (settings.method == FuseMethod::kLinear) {
    const std::int64_t rank{effective_rank(svd)};
    return cut(name, svd, settings.rank == 0 ? rank : std::min(rank, settings.rank));
  }
  Joined joined{concatenated(parts), {}};
  joined.facts.squared_norm = svd.squared_norm;
  return joined;
}

std::int64_t largest_rank(std::span<const Adapter> adapters) {
  std::int64_t rank = 1;
  for (const Adapter& adapter : adapters)
    for (const AdapterModule& module : adapter.modules) rank = std::max(rank, module.rank);
  return rank;
}

// Modules and what is told of them, in the adapter's order.
void put_together(FusedAdapter& result, std::vector<Joined> joined) {
  std::vector<AdapterModule> modules;
  std::unordered_map<std::string, FusedModule> facts;
  for (Joined& one : joined) {
    one.facts.name = one.module.name;
    one.facts.rank = one.module.rank;
    facts[one.module.name] = one.facts;
    modules.push_back(std::move(one.module));
  }
  take_modules(result.adapter, std::move(modules));
  for (const AdapterModule& module : result.adapter.modules) result.modules.push_back(facts.at(module.name));
}

}  // namespace

void take_modules(Adapter& adapter, std::vector<AdapterModule> modules) {
  adapter.modules = std::move(modules);
  adapter.targets.clear();
  put_in_order(adapter, adapter.base_model);
  adapter.rslora = false;
  adapter.rank = 1;
  for (const AdapterModule& module : adapter.modules) adapter.rank = std::max(adapter.rank, module.rank);
  adapter.alpha = static_cast<double>(adapter.rank);
}

void check_only_matrices(std::span<const Adapter> adapters, std::span<const std::string> names) {
  std::map<std::string, std::string> plain;  // name without a wrapper -> name
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const Adapter& adapter = adapters[i];
    check_plain(adapter);
    if (adapter.dora)
      throw base::Error({"a DoRA adapter: what it changes depends on the weights it is added to", names[i], "",
                         "LoRA without magnitudes",
                         "merge it (lora merge), and take an adapter from the result: lora extract BASE MERGED"});
    for (const AdapterModule& module : adapter.modules) {
      const auto [known, is_new] = plain.emplace(without_wrapper(module.name), module.name);
      if (!is_new && known->second != module.name)
        throw base::Error({"two adapters name one module differently", names[i], module.name, known->second,
                           "give the base that they belong to: --base MODEL"});
    }
  }
  const auto adapts_tokens = [](const Adapter& adapter) {
    return std::ranges::any_of(adapter.modules, [](const auto& m) { return is_embedding(m.name) || is_head(m.name); });
  };
  for (std::size_t i = 1; i < adapters.size(); ++i)
    if (adapters[i].tied != adapters[0].tied && std::ranges::any_of(adapters, adapts_tokens))
      throw base::Error({"one adapter's embedding is the head's too, and the other's is not", names[i],
                         "ensure_weight_tying", "the same in both", "merge each (lora merge), and extract"});
}

FusedAdapter fused(std::span<const Adapter> adapters, std::span<const double> weights, const FuseSettings& settings,
                   const std::function<void(double)>& progress) {
  FusedAdapter result;
  static_cast<AdapterSettings&>(result.adapter) = adapters[0];
  result.adapter.is_partial = std::ranges::any_of(adapters, &Adapter::is_partial);
  const auto by_name = joined_names(adapters, weights);
  std::vector<const std::vector<WeightedModule>*> all;
  for (const auto& [name, parts] : by_name) all.push_back(&parts);
  std::vector<Joined> joined(all.size());
  const std::int64_t largest{largest_rank(adapters)};
  // A joined change by numbers is large: one at a time, all threads at it. Thin ones go a thread each.
  const bool is_dense{settings.method == FuseMethod::kElementwise};
  std::atomic<std::size_t> done = 0;
  base::parallel_for(all.size(), is_dense ? 1 : settings.threads, [&](std::size_t i, int worker) {
    joined[i] = joined_module(*all[i], settings, largest, is_dense ? settings.threads : 1);
    joined[i].facts.adapters = all[i]->size();
    ++done;
    if (worker == 0 && progress) progress(static_cast<double>(done) / static_cast<double>(all.size()));
  });
  put_together(result, std::move(joined));
  return result;
}

FusedAdapter resized(const Adapter& adapter, std::int64_t rank, double energy, int threads,
                     const std::function<void(double)>& progress) {
  FusedAdapter result;
  static_cast<AdapterSettings&>(result.adapter) = adapter;
  result.adapter.saved = adapter.saved, result.adapter.tokens = adapter.tokens;
  std::vector<Joined> joined(adapter.modules.size());
  std::atomic<std::size_t> done = 0;
  base::parallel_for(joined.size(), threads, [&](std::size_t i, int worker) {
    const AdapterModule& module = adapter.modules[i];
    const ThinSvd svd = svd_of(factors_of(module));
    joined[i] = cut(module.name, svd, std::min(effective_rank(svd), rank == 0 ? rank_for_energy(svd, energy) : rank));
    joined[i].facts.adapters = 1;
    ++done;
    if (worker == 0 && progress) progress(static_cast<double>(done) / static_cast<double>(joined.size()));
  });
  put_together(result, std::move(joined));
  return result;
}

Adapter scaled(Adapter adapter, double by) {
  for (AdapterModule& module : adapter.modules)
    for (float& value : module.b) value = static_cast<float>(by * value);
  return adapter;
}

}  // namespace lora
