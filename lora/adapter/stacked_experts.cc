// LoRA on parameters that hold all experts of a layer. Tested by tests/lora/adapter/experts_test.cc.
#include "lora/adapter/stacked_experts.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "lora/model/module_names.h"

namespace lora {
namespace {

// The linear layers of a model by the parts of the stacks that transformers 5 keeps them in.
class LinearsOfStacks {
 public:
  explicit LinearsOfStacks(const ModelSpec& spec) {
    for (const BlockSpec& block : spec.blocks)
      for (const LinearSpec& linear : block.linears)
        if (!linear.stack.name.empty()) by_part_.emplace(key(linear.stack.name, linear.stack.part), &linear);
  }
  // Those that lie side by side in the `expert`th part of a parameter.
  std::vector<const LinearSpec*> of(const std::string& parameter, std::int64_t expert) const {
    std::vector<const LinearSpec*> linears;
    const LinearSpec* first = at(parameter, 0);
    const std::int64_t count{first && first->stack.shape.size() == 3 ? first->stack.shape[1] / first->out : 1};
    for (std::int64_t i = 0; i < count; ++i)
      if (const LinearSpec* linear = at(parameter, expert * count + i)) linears.push_back(linear);
    return linears;
  }

 private:
  static std::string key(const std::string& name, std::int64_t part) { return fmt::format("{} {}", name, part); }
  const LinearSpec* at(const std::string& name, std::int64_t part) const {
    const auto found = by_part_.find(key(name, part));
    return found == by_part_.end() ? nullptr : found->second;
  }
  std::unordered_map<std::string, const LinearSpec*> by_part_;
};

// "model.layers.0.mlp.experts.up_proj" of "model.layers.0.mlp.experts.3.up_proj"; "…mlp.gate.weight" of "…mlp.gate".
std::string parameter_of(const std::string& module, std::int64_t expert) {
  if (expert < 0) return module + ".weight";
  const std::string number = fmt::format(".{}.", expert);
  std::string name = module;
  return name.replace(name.rfind(number), number.size(), ".");
}

AdapterModule rows_of(const AdapterModule& module, const LinearSpec& linear, std::size_t place) {
  AdapterModule part{linear.name, module.rank, module.in, linear.out, module.scale, module.a, {}};
  const auto size = static_cast<std::ptrdiff_t>(linear.out * module.rank);
  const auto first = module.b.begin() + static_cast<std::ptrdiff_t>(place) * size;
  part.b.assign(first, first + size);
  return part;
}

}  // namespace

std::vector<AdapterModule> split_by_expert(const AdapterModule& stack, std::int64_t rank) {
  const std::int64_t joined{stack.rank}, experts{joined / rank};
  const std::size_t dot{stack.name.rfind('.')};
  std::vector<AdapterModule> modules;
  for (std::int64_t expert = 0; expert < experts; ++expert) {
    AdapterModule& module = modules.emplace_back();
    module.name = fmt::format("{}.{}{}", stack.name.substr(0, dot), expert, stack.name.substr(dot));
    module.rank = rank, module.in = stack.in, module.out = stack.out, module.scale = stack.scale;
    const auto first = stack.a.begin() + expert * rank * stack.in;
    module.a.assign(first, first + rank * stack.in);
    // A has the rows of an expert one below the other, B the columns of a rank side by side.
    for (std::int64_t row = 0; row < stack.out; ++row)
      for (std::int64_t i = 0; i < rank; ++i)
        module.b.push_back(stack.b[static_cast<std::size_t>(row * joined + i * experts + expert)]);
  }
  return modules;
}

Adapter with_linears_of(const ModelFiles& base, Adapter adapter) {
  const LinearsOfStacks stacks(base.spec());
  const std::string advice = "give the base model that the adapter was trained on: --base MODEL";
  std::vector<AdapterModule> modules;
  std::unordered_map<std::string, std::int64_t> experts;  // of each parameter, those that the adapter has
  for (AdapterModule& module : adapter.modules) {
    const std::int64_t expert{block_name(module.name).expert};
    const std::string parameter = parameter_of(module.name, expert);
    const std::vector<const LinearSpec*> linears = stacks.of(parameter, std::max<std::int64_t>(0, expert));
    if (linears.empty() && expert >= 0 && !base.find(module.name + ".weight"))
      throw base::Error(
          {"the adapter has experts that the model does not have", base.path().string(), module.name, "", advice});
    if (linears.empty()) {  // of attention, or of the MLP for all tokens
      modules.push_back(std::move(module));
      continue;
    }
    std::int64_t rows = 0;
    for (const LinearSpec* linear : linears) rows += linear->out;
    const std::int64_t count{linears[0]->expert < 0 ? 1 : linears[0]->stack.shape[0]};
    experts.emplace(parameter, count);
    if (rows != module.out)
      throw base::Error({"the adapter does not fit the model", base.path().string() + ": " + parameter,
                         fmt::format("{} -> {}", module.in, module.out), fmt::format("{} -> {}", linears[0]->in, rows),
                         advice});
    --experts[parameter];
    for (std::size_t i = 0; i < linears.size(); ++i) modules.push_back(rows_of(module, *linears[i], i));
  }
  for (const auto& [parameter, missing] : experts)
    if (missing != 0)
      throw base::Error({"the adapter has another number of experts than the model",
                         base.path().string() + ": " + parameter, "", "", advice});
  adapter.modules = std::move(modules);
  adapter.stacked_experts = false;
  adapter.targets.clear();
  for (const AdapterModule& module : adapter.modules)
    if (std::string suffix = suffix_of(module.name); std::ranges::count(adapter.targets, suffix) == 0)
      adapter.targets.push_back(std::move(suffix));
  return adapter;
}

}  // namespace lora
