// The loss of a head that trains itself. Tested by tests/finetune/variants_test.cc.
#include "finetune/model/trained_head.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What trains of the head. Its leaves are inputs of the function, so that their gradients go where autograd puts them.
variable_list leaves_of(const Head& head) {
  variable_list leaves = head.adapted->leaves();
  if (head.bias.defined() && head.bias.requires_grad()) leaves.push_back(head.bias);
  return leaves;
}

struct TrainedHeadLoss : torch::autograd::Function<TrainedHeadLoss> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden, at::TensorList leaves, const Head* head,
                            const at::Tensor& targets, std::int64_t chunk_rows, std::uint64_t seed,
                            bool needs_gradient) {
    const at::Tensor rows = targets.ge(0).nonzero().squeeze(1);
    const at::Tensor kept = hidden.index_select(0, rows), kept_targets = targets.index_select(0, rows);
    const Linear& linear = head->adapted->linear;
    at::Tensor mask;
    if (linear.dropout > 0 && seed != 0 && linear.lora_a.defined())
      mask = dropout_mask(seed, linear.index, linear.dropout, kept.sizes(), kept.options());
    at::Tensor loss = at::zeros({}, hidden.options().dtype(at::kFloat)), of_hidden;
    std::vector<at::Tensor> sums;
    if (needs_gradient) {
      of_hidden = at::zeros_like(hidden);
      for (const at::Tensor& leaf : leaves) sums.push_back(at::zeros_like(leaf));
    }
    for (std::int64_t first = 0; first < rows.size(0); first += chunk_rows) {
      const std::int64_t count{std::min(chunk_rows, rows.size(0) - first)};
      at::AutoGradMode with_gradient(needs_gradient);
      const at::Tensor read = kept.narrow(0, first, count).detach().requires_grad_(needs_gradient);
      const at::Tensor dropped = mask.defined() ? read * mask.narrow(0, first, count) : read;
      const at::Tensor logits = head->logits(read, dropped);
      const at::Tensor target = kept_targets.narrow(0, first, count).unsqueeze(1);
      const at::Tensor share = -at::log_softmax(logits, 1, at::kFloat).gather(1, target).sum();
      loss += share.detach();
      if (!needs_gradient) continue;
      variable_list inputs = {read};
      inputs.insert(inputs.end(), leaves.begin(), leaves.end());
      const variable_list gradients = torch::autograd::grad({share}, inputs);
      at::NoGradGuard no_gradient;
      of_hidden.index_copy_(0, rows.narrow(0, first, count), gradients[0]);
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i].add_(gradients[i + 1]);
    }
    if (needs_gradient) {
      sums.insert(sums.begin(), of_hidden);
      context->save_for_backward(sums);
    }
    return loss;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list result = context->get_saved_variables();
    for (at::Tensor& gradient : result) gradient = gradient * gradients[0].to(gradient.scalar_type());
    result.resize(result.size() + 5);  // head, targets, chunk_rows, seed and needs_gradient have none
    return result;
  }
};

}  // namespace

at::Tensor trained_head_loss_sum(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                                 std::int64_t chunk_rows, std::uint64_t dropout_seed) {
  const variable_list leaves = leaves_of(head);
  const bool needs_gradient{at::GradMode::is_enabled() && (hidden.requires_grad() || !leaves.empty())};
  return TrainedHeadLoss::apply(hidden, at::TensorList(leaves), &head, targets, chunk_rows, dropout_seed,
                                needs_gradient);
}

}  // namespace finetune
