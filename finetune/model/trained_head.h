// The loss of a head that trains itself. Tested by tests/finetune/variants_test.cc.
#pragma once

#include "finetune/model/loss.h"

namespace finetune {

/// head_loss_sum where something of the head trains: the gradients of what trains are added up in the same pass, while
/// a chunk's logits are there. `draws` as of JoinedLinear::forward.
at::Tensor trained_head_loss_sum(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                                 std::int64_t chunk_rows, const Draws& draws);

/// head_log_probabilities where something of the head trains.
at::Tensor trained_head_log_probabilities(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                                          std::int64_t chunk_rows, const Draws& draws);

}  // namespace finetune
