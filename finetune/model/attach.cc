// LoRA on a Transformer: fresh or out of an adapter, and back. Tested by tests/finetune/model_test.cc.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/random.h"
#include "finetune/model/state.h"
#include "lora/model/module_names.h"

namespace finetune {

void Transformer::attach(const std::vector<std::string>& targets, std::int64_t rank, double alpha, double dropout,
                         bool rslora, std::uint64_t seed) {
  lora::Adapter adapter;
  adapter.base_model = state_->settings.base_model;
  adapter.rank = rank;
  adapter.alpha = alpha;
  adapter.dropout = dropout;
  adapter.rslora = rslora;
  adapter.targets = lora::expand_targets(state_->spec, targets);
  state_->for_each_linear([&](const Linear& linear) {
    const std::string suffix = lora::suffix_of(linear.name);
    if (std::find(adapter.targets.begin(), adapter.targets.end(), suffix) == adapter.targets.end()) return;
    lora::AdapterModule module{linear.name, rank, linear.in, linear.out, 0, {}, {}};
    module.scale = alpha / (rslora ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
    module.a.resize(static_cast<std::size_t>(rank * linear.in));
    module.b.resize(static_cast<std::size_t>(rank * linear.out));
    base::Random random(base::mix64(seed ^ base::mix64(static_cast<std::uint64_t>(linear.index) + 1)));
    double bound = 1 / std::sqrt(static_cast<double>(linear.in));
    for (float& value : module.a) value = static_cast<float>((2 * random.uniform() - 1) * bound);
    adapter.modules.push_back(std::move(module));
  });
  attach(adapter);
}

void Transformer::attach(const lora::Adapter& adapter) {
  lora::check_plain(adapter);
  std::map<std::string, const lora::AdapterModule*> by_name;
  for (const lora::AdapterModule& module : adapter.modules) by_name[module.name] = &module;
  auto leaf = [&](const std::vector<float>& values, std::int64_t rows, std::int64_t columns) {
    at::Tensor tensor = at::empty({rows, columns}, at::kFloat);
    if (static_cast<std::size_t>(tensor.numel()) != values.size()) throw base::Error("adapter matrix of a wrong size");
    std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<float>());
    return tensor.to(state_->device).requires_grad_();
  };
  std::size_t found = 0;
  state_->for_each_linear([&](Linear& linear) {
    linear.lora_a = linear.lora_b = at::Tensor();
    auto entry = by_name.find(linear.name);
    if (entry == by_name.end()) return;
    const lora::AdapterModule& module = *entry->second;
    if (module.in != linear.in || module.out != linear.out)
      throw base::Error({"the adapter does not fit the model", linear.name,
                         std::to_string(module.in) + " -> " + std::to_string(module.out),
                         std::to_string(linear.in) + " -> " + std::to_string(linear.out),
                         "give the base model that the adapter was trained on"});
    linear.lora_a = leaf(module.a, module.rank, module.in);
    linear.lora_b = leaf(module.b, module.out, module.rank);
    linear.scale = module.scale;
    linear.dropout = adapter.dropout;
    by_name.erase(entry);
    ++found;
  });
  if (!by_name.empty())
    throw base::Error({"the adapter has a module that the model does not have", by_name.begin()->first, "", "",
                       "give the base model that the adapter was trained on"});
  state_->settings = adapter;
  state_->settings.modules.clear();
}

lora::Adapter Transformer::adapter() const {
  lora::Adapter result = state_->settings;
  auto values = [](const at::Tensor& tensor) {
    at::Tensor flat = tensor.detach().to(at::kCPU).contiguous();
    const float* data = flat.const_data_ptr<float>();
    return std::vector<float>(data, data + flat.numel());
  };
  state_->for_each_linear([&](const Linear& linear) {
    if (!linear.lora_a.defined()) return;
    result.modules.push_back({linear.name, linear.lora_a.size(0), linear.in, linear.out, linear.scale,
                              values(linear.lora_a), values(linear.lora_b)});
  });
  return result;
}

std::vector<at::Tensor> Transformer::parameters() const {
  std::vector<at::Tensor> result;
  state_->for_each_linear([&](const Linear& linear) {
    if (linear.lora_a.defined()) result.insert(result.end(), {linear.lora_a, linear.lora_b});
  });
  return result;
}

}  // namespace finetune
