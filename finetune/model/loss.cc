// The head and the loss in chunks of rows. Tested by tests/finetune/model_test.cc and spec_test.cc.
#include "finetune/model/loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct HeadLossFunction : torch::autograd::Function<HeadLossFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden, const Head* head,
                            const at::Tensor& targets, std::int64_t chunk_rows, bool needs_gradient) {
    at::Tensor rows = targets.ge(0).nonzero().squeeze(1);
    at::Tensor kept = hidden.index_select(0, rows), kept_targets = targets.index_select(0, rows).unsqueeze(1);
    at::Tensor loss = at::zeros({}, hidden.options().dtype(at::kFloat));
    at::Tensor gradient = needs_gradient ? at::zeros_like(hidden) : at::Tensor();
    for (std::int64_t first = 0; first < rows.size(0); first += chunk_rows) {
      std::int64_t count = std::min(chunk_rows, rows.size(0) - first);
      at::Tensor target = kept_targets.narrow(0, first, count);
      at::Tensor logits = head->logits(kept.narrow(0, first, count));  // [count, vocab]
      at::Tensor logs = at::log_softmax(logits, 1, at::kFloat);
      loss -= logs.gather(1, target).sum();
      if (!needs_gradient) continue;
      // d loss / d logits = softmax - one-hot of the target
      at::Tensor d = logs.exp_();
      d.scatter_add_(1, target, at::full({count, 1}, -1, d.options()));
      if (head->softcap != 0) d.mul_(1 - (logits / head->softcap).square());
      gradient.index_copy_(0, rows.narrow(0, first, count), head->matrix->apply_transposed(d.to(hidden.scalar_type())));
    }
    if (needs_gradient) context->save_for_backward({gradient});
    return loss;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    at::Tensor gradient = context->get_saved_variables()[0];
    return {gradient * gradients[0].to(gradient.scalar_type()), {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor Head::logits(const at::Tensor& hidden) const {
  at::Tensor logits = matrix->apply(hidden, bias);
  return softcap == 0 ? logits : (logits.to(at::kFloat) / softcap).tanh() * softcap;
}

at::Tensor head_loss_sum(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                         std::int64_t chunk_rows) {
  bool needs_gradient = at::GradMode::is_enabled() && hidden.requires_grad();
  return HeadLossFunction::apply(hidden, &head, targets, chunk_rows, needs_gradient);
}

}  // namespace finetune
