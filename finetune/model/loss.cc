// The head and the loss in chunks of rows. Tested by tests/finetune/model_test.cc and spec_test.cc.
#include "finetune/model/loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "finetune/kernels/elementwise.h"
#include "finetune/kernels/fused_rows.h"
#include "finetune/model/trained_head.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Negative log-likelihood of every row [n] float32, in one pass of our own where there is one. Where gradients are
// needed `logits` becomes the gradient of each: softmax - one-hot of the target.
at::Tensor losses_of(at::Tensor& logits, const at::Tensor& targets, bool needs_gradient, double softcap) {
  if (passes_for(logits) == Passes::kFused && softcap == 0) {
    at::Tensor losses = at::empty({logits.size(0)}, logits.options().dtype(at::kFloat));
    fused::cross_entropy(logits, targets, losses, needs_gradient);
    return losses;
  }
  const at::Tensor target = targets.unsqueeze(1), logs = at::log_softmax(logits, 1, at::kFloat);
  const at::Tensor losses = -logs.gather(1, target).squeeze(1);
  if (!needs_gradient) return losses;
  at::Tensor d = logs.exp_();
  d.scatter_add_(1, target, at::full(target.sizes(), -1, d.options()));
  if (softcap != 0) d.mul_(1 - (logits / softcap).square());
  logits = d;
  return losses;
}

struct HeadLossFunction : torch::autograd::Function<HeadLossFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden, const Head* head,
                            const at::Tensor& targets, std::int64_t chunk_rows, bool needs_gradient) {
    at::Tensor rows = targets.ge(0).nonzero().squeeze(1);
    at::Tensor kept = hidden.index_select(0, rows), kept_targets = targets.index_select(0, rows);
    at::Tensor loss = at::zeros({}, hidden.options().dtype(at::kFloat));
    at::Tensor gradient = needs_gradient ? at::zeros_like(hidden) : at::Tensor();
    for (std::int64_t first = 0; first < rows.size(0); first += chunk_rows) {
      std::int64_t count = std::min(chunk_rows, rows.size(0) - first);
      at::Tensor logits = head->logits(kept.narrow(0, first, count));  // [count, vocab]
      at::Tensor target = kept_targets.narrow(0, first, count);
      loss += losses_of(logits, target, needs_gradient, head->softcap).sum();
      if (!needs_gradient) continue;
      gradient.index_copy_(0, rows.narrow(0, first, count),
                           head->matrix->apply_transposed(logits.to(hidden.scalar_type())));
    }
    if (needs_gradient) context->save_for_backward({gradient});
    return loss;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    at::Tensor gradient = context->get_saved_variables()[0];
    return {weighed(gradient, gradients[0]), {}, {}, {}, {}};
  }
};

struct HeadLogProbabilities : torch::autograd::Function<HeadLogProbabilities> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden, const Head* head,
                            const at::Tensor& targets, std::int64_t chunk_rows) {
    const at::Tensor rows = targets.ge(0).nonzero().squeeze(1);
    at::Tensor result = at::zeros({hidden.size(0)}, hidden.options().dtype(at::kFloat));
    for (const at::Tensor& chunk : rows.split(chunk_rows)) {
      at::Tensor logits = head->logits(hidden.index_select(0, chunk));
      result.index_copy_(0, chunk, -losses_of(logits, targets.index_select(0, chunk), false, head->softcap));
    }
    context->save_for_backward({hidden, targets, rows});
    context->saved_data["head"] = reinterpret_cast<std::int64_t>(head);
    context->saved_data["chunk_rows"] = chunk_rows;
    return result;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto* head = reinterpret_cast<const Head*>(context->saved_data["head"].toInt());
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &hidden = saved[0], &targets = saved[1], &rows = saved[2];
    at::Tensor gradient = at::zeros_like(hidden);
    for (const at::Tensor& chunk : rows.split(context->saved_data["chunk_rows"].toInt())) {
      at::Tensor logits = head->logits(hidden.index_select(0, chunk));
      losses_of(logits, targets.index_select(0, chunk), true, head->softcap);
      const at::Tensor weights = -gradients[0].index_select(0, chunk).unsqueeze(1);
      const at::Tensor of_rows = head->matrix->apply_transposed(logits.to(hidden.scalar_type()));
      gradient.index_copy_(0, chunk, (of_rows * weights).to(hidden.scalar_type()));
    }
    return {gradient, {}, {}, {}};
  }
};

}  // namespace

at::Tensor weighed(const at::Tensor& gradient, const at::Tensor& weight) {
  if (gradient.scalar_type() == weight.scalar_type()) return gradient * weight;
  return (gradient.to(weight.scalar_type()) * weight).to(gradient.scalar_type());
}

at::Tensor Head::logits(const at::Tensor& hidden, const at::Tensor& dropped) const {
  at::Tensor logits = adapted ? adapted->product(hidden, dropped, bias) : matrix->apply(hidden, bias);
  return softcap == 0 ? logits : (logits.to(at::kFloat) / softcap).tanh() * softcap;
}

at::Tensor head_loss_sum(const at::Tensor& hidden, const Head& head, const at::Tensor& targets, std::int64_t chunk_rows,
                         const Draws& draws) {
  if (head.adapted) return trained_head_loss_sum(hidden, head, targets, chunk_rows, draws);
  bool needs_gradient = at::GradMode::is_enabled() && hidden.requires_grad();
  return HeadLossFunction::apply(hidden, &head, targets, chunk_rows, needs_gradient);
}

at::Tensor head_log_probabilities(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                                  std::int64_t chunk_rows, const Draws& draws) {
  if (head.adapted) return trained_head_log_probabilities(hidden, head, targets, chunk_rows, draws);
  return HeadLogProbabilities::apply(hidden, &head, targets, chunk_rows);
}

}  // namespace finetune
