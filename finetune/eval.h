// Loss and perplexity of a model on records.
#pragma once

#include <cstdint>
#include <span>

#include "base/program.h"
#include "finetune/data/data.h"
#include "finetune/model/model.h"

namespace finetune {

struct Evaluation {
  double loss = 0;  ///< mean negative log-likelihood of a trained token, in nats
  std::int64_t trained_tokens = 0, tokens = 0;
  double perplexity() const;  ///< exp(loss)
};

/// Over all trained tokens of `examples`, packed into rows of at most `max_length` tokens. No dropout, no autograd.
/// `progress` gets the share done, 0..1.
Evaluation evaluate(const Transformer& model, std::span<const Example> examples, std::int64_t max_length,
                    const std::function<void(double)>& progress = {});

base::Command eval_command();

}  // namespace finetune
