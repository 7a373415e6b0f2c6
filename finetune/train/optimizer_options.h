// Which optimizer a training takes, and what it can be told.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/options.h"
#include "finetune/train/optimizer.h"

namespace finetune {

/// "auto" is the optimizer's own value.
struct UpdateOptions {
  std::string optimizer = "adamw";
  double weight_decay = 0;
  std::string beta1 = "auto", beta2 = "auto", epsilon = "auto", momentum = "auto", nesterov = "auto",
              adjust_lr_fn = "auto";
  void visit(base::OptionVisitor& v);
};

/// Throws base::UsageError for what is no number, outside its range, or nothing to the chosen optimizer.
OptimizerSettings settings_of(const UpdateOptions& options);

/// `name` of UpdateOptions::optimizer.
std::unique_ptr<Optimizer> make_optimizer(const std::string& name, std::vector<at::Tensor> parameters,
                                          OptimizerSettings settings);

}  // namespace finetune
