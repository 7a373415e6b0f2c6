// Sparse upcycling. Tested by tests/lora/compose/upcycle_test.cc and tests/finetune/experts_test.cc.
#include "lora/compose/upcycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <numbers>
#include <unordered_map>

#include "base/error.h"
#include "base/random.h"

namespace lora {
namespace {

constexpr double kRouterDeviation = 0.02;

ModelConfig config_of(const ModelFiles& base, const UpcycleSettings& settings) {
  ModelConfig config = base.config();
  const auto refuse = [&](const std::string& what, const std::string& value, const char* expected) {
    throw base::Error({what, base.path().string(), value, expected, ""});
  };
  if (config.model_type != "llama" && config.model_type != "mistral")
    refuse("only a LLaMA or Mistral becomes a Mixtral", config.model_type, "llama or mistral");
  if (!config.wrapper.empty()) refuse("Mixtral has no place for pictures", config.wrapper, "a text model");
  if (config.attention_bias || config.mlp_bias) refuse("Mixtral has no place for biases", "", "a model without them");
  if (settings.chosen > settings.experts)
    refuse("more experts for a token than there are", fmt::format("{} of {}", settings.chosen, settings.experts), "");
  config.model_type = "mixtral";
  config.experts = settings.experts;
  config.chosen_experts = settings.chosen;
  config.expert_size = config.intermediate_size;
  config.renormalised_experts = true;
  check_config(config, base.path().string());
  return config;
}

// A number of the standard normal distribution for each place of a tensor: a function of the key and the place alone.
double normal(std::uint64_t key, std::uint64_t place) {
  const double radius{std::sqrt(-2 * std::log(1 - base::unit(base::mix64(key + 2 * place))))};
  return radius * std::cos(2 * std::numbers::pi * base::unit(base::mix64(key + 2 * place + 1)));
}

// The deviation of a matrix of the base, computed by whoever asks first; a few rows at a time.
class Deviation {
 public:
  Deviation(const ModelFiles& base, std::string name) : base_(base), name_(std::move(name)) {}
  double value() {
    std::call_once(once_, [this] {
      const std::vector<std::int64_t> shape = base_.shape(name_);
      std::vector<float> row(static_cast<std::size_t>(shape[1]));
      double squares = 0;
      for (std::int64_t i = 0; i < shape[0]; ++i) {
        base_.read_rows(name_, i, 1, row);
        for (const float number : row) squares += static_cast<double>(number) * number;
      }
      value_ = std::sqrt(squares / static_cast<double>(shape[0] * shape[1]));
    });
    return value_;
  }

 private:
  const ModelFiles& base_;
  std::string name_;
  std::once_flag once_;
  double value_ = 0;
};

void add_noise(MadeTensor& tensor, std::shared_ptr<Deviation> deviation, double share, std::uint64_t key) {
  const std::int64_t columns{tensor.shape[1]};
  tensor.read = [read = std::move(tensor.read), deviation = std::move(deviation), share, key, columns](
                    std::int64_t first, std::span<float> out) {
    read(first, out);
    const double scale{share * deviation->value()};
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] += static_cast<float>(scale * normal(key, static_cast<std::uint64_t>(first * columns) + i));
  };
}

MadeTensor router_of(const TensorSpec& tensor, const UpcycleSettings& settings, base::DType type, std::uint64_t key) {
  const std::int64_t columns{tensor.shape[1]};
  const double scale{settings.random_router ? kRouterDeviation : 0};
  const auto read = [=](std::int64_t first, std::span<float> out) {
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<float>(scale * normal(key, static_cast<std::uint64_t>(first * columns) + i));
  };
  return {tensor.name, tensor.shape, type, read};
}

// Of each expert's weight, that of the base's MLP in the same block.
std::unordered_map<std::string, std::string> sources_of(const ModelSpec& spec, const ModelSpec& base) {
  std::unordered_map<std::string, std::string> sources;
  for (std::size_t i = 0; i < spec.blocks.size(); ++i)
    for (const LinearSpec& linear : spec.blocks[i].linears)
      for (const LinearSpec& dense : base.blocks[i].linears)
        if (linear.expert != kAllTokens && dense.role == linear.role)
          sources[linear.name + ".weight"] = dense.name + ".weight";
  return sources;
}

}  // namespace

MadeModel upcycled(const ModelFiles& base, const UpcycleSettings& settings, base::DType type, bool keep_types) {
  const ModelSpec spec = spec_of(config_of(base, settings));
  const std::unordered_map<std::string, std::string> sources = sources_of(spec, base.spec());
  std::unordered_map<std::string, std::shared_ptr<Deviation>> deviations;
  MadeModel model{spec.config, {}};
  for (const TensorSpec& tensor : tensors_of(spec)) {
    const std::uint64_t key{base::mix64(settings.seed ^ base::mix64(model.tensors.size() + 1))};
    const auto source = sources.find(tensor.name);
    const bool is_router{source == sources.end() && !base.find(tensor.name)};
    if (is_router) {
      model.tensors.push_back(router_of(tensor, settings, type, key));
      continue;
    }
    const std::string from = source == sources.end() ? tensor.name : source->second;
    model.tensors.push_back(made_tensor(base, tensor, from, type, keep_types));
    if (source == sources.end() || settings.noise == 0) continue;
    std::shared_ptr<Deviation>& deviation = deviations[from];
    if (!deviation) deviation = std::make_shared<Deviation>(base, from);
    add_noise(model.tensors.back(), deviation, settings.noise, key);
  }
  return model;
}

}  // namespace lora
