// Loss and perplexity of a model on examples: of the validation data of a training, and of `finetune eval`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "finetune/data/examples.h"
#include "finetune/train/group.h"
#include "finetune/train/objective.h"

namespace finetune {

struct Evaluation {
  double loss = 0;                     ///< nats per trained token for answers
  std::optional<double> perplexity{};  ///< exp(loss), of answers
  std::int64_t trained_tokens = 0, tokens = 0;
  std::vector<double> figures{};  ///< of Objective::figure_names
};

/// Over all of `examples`, in rows as of plan_rows. No dropout, no autograd. Before each row `go_on` gets the
/// share that is done, 0..1; nothing comes out when it says no. The processes of `group` call it together, each takes
/// some of the rows, and all get the same numbers, or nothing where it says no in one.
std::optional<Evaluation> evaluate(const Transformer& model, const Objective& objective, const Examples& examples,
                                   std::int64_t max_length, bool packing, const std::function<bool(double)>& go_on,
                                   const Group& group = OneProcess());

}  // namespace finetune
