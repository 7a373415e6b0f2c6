// The loss of a head that trains itself. Tested by tests/finetune/variants_test.cc.
#pragma once

#include "finetune/model/loss.h"

namespace finetune {

/// head_loss_sum where something of the head trains: the gradients of what trains are added up in the same pass, while
/// a chunk's logits are there. `dropout_seed` as of JoinedLinear::forward.
at::Tensor trained_head_loss_sum(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                                 std::int64_t chunk_rows, std::uint64_t dropout_seed);

/// head_log_probabilities where something of the head trains.
at::Tensor trained_head_log_probabilities(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                                          std::int64_t chunk_rows, std::uint64_t dropout_seed);

}  // namespace finetune
