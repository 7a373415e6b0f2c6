// By how much each of several adapters should count, learned from the loss on records that none was trained on.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "finetune/data/examples.h"
#include "finetune/model/model.h"
#include "lora/adapter/adapter.h"

namespace finetune {

struct WeightFit {
  std::vector<double> weights;
  double start_loss = 0, loss = 0;  ///< nats per trained token, at the weights given and at those found
  std::vector<double> gradient;     ///< of the loss by each weight, where it ended
  std::int64_t evaluations = 0;     ///< passes over all of the examples, forward and backward
  bool converged = false;           ///< a further step won less than a millionth; else the passes were used up
};

struct WeightFitOptions {
  std::int64_t max_length = 1024;  ///< tokens of a row
  std::int64_t most_evaluations = 40;
};

/// The loss of the model with the sum of weight * change of the adapters, and its gradient by the weights: the adapters
/// stand side by side as one, whose B is weight * scale * B of each, so that a weight's gradient is the product of that
/// B's gradient with scale * B.
class WeightedAdapters {
 public:
  /// Attaches the adapters to `model` with weights of 1. They must be plain LoRA of this model
  /// (lora::check_only_matrices), without whole tensors. All but the adapters must outlive this object.
  WeightedAdapters(Transformer& model, std::span<const lora::Adapter> adapters);
  /// `go_on` is asked before each row; nothing is right any more when it says no, which throws nothing: false.
  bool evaluate(std::span<const double> weights, const Examples& examples, std::int64_t max_length,
                const std::function<bool(double)>& go_on, double& loss, std::vector<double>& gradient);

 private:
  // Columns of a module's B that are one adapter's.
  struct Part {
    std::size_t adapter;
    std::int64_t first, rank;
  };
  struct Module {
    at::Tensor b, unweighted;  // the parameter, and scale * B of all
    std::vector<Part> parts;
  };
  void set_weights(std::span<const double> weights);
  Transformer& model_;
  std::vector<Module> modules_;
};

/// The weights of the least loss on `examples`, by BFGS from `start`, all of the examples in each pass, so that the
/// result is the same every time. Empty weights where `go_on`, told the share of a pass, said no.
WeightFit fit_weights(Transformer& model, std::span<const lora::Adapter> adapters, std::span<const double> start,
                      const Examples& examples, const WeightFitOptions& options,
                      const std::function<bool(double)>& go_on);

}  // namespace finetune
