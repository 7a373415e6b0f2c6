// The loss of a head that trains itself. Tested by tests/finetune/variants_test.cc.
#include "finetune/model/trained_head.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

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

// The rows of hidden states that have a target, and what a chunk of them gives.
struct TargetRows {
  at::Tensor places, hidden, targets, mask;  // of LoRA's dropout on the head; undefined: none

  TargetRows(const at::Tensor& all, const Head& head, const at::Tensor& all_targets, const Draws& draws)
      : places(all_targets.ge(0).nonzero().squeeze(1)),
        hidden(all.detach().index_select(0, places)),
        targets(all_targets.index_select(0, places).unsqueeze(1)) {
    const Linear& linear = head.adapted->linear;
    if (linear.dropout > 0 && draws.is_on() && linear.lora_a.defined())
      mask = dropout_mask(draws.of(places), linear.index, linear.dropout, hidden.size(1), hidden.options());
  }

  std::int64_t size() const { return places.size(0); }
  at::Tensor read(std::int64_t first, std::int64_t count) const { return hidden.narrow(0, first, count); }
  // Of each of rows [first, first + count), which are `read`.
  at::Tensor log_probabilities(const Head& head, const at::Tensor& read, std::int64_t first) const {
    const at::Tensor dropped = mask.defined() ? read * mask.narrow(0, first, read.size(0)) : read;
    const at::Tensor logs = at::log_softmax(head.logits(read, dropped), 1, at::kFloat);
    return logs.gather(1, targets.narrow(0, first, read.size(0))).squeeze(1);
  }
};

// Gradients of hidden states and leaves, added up over chunks.
struct Sums {
  at::Tensor of_hidden;
  variable_list of_leaves;

  Sums(const at::Tensor& hidden, at::TensorList leaves) : of_hidden(at::zeros_like(hidden)) {
    for (const at::Tensor& leaf : leaves) of_leaves.push_back(at::zeros_like(leaf));
  }
  // `share` was made of `read`, which stands at `places`, and of `leaves`.
  void add(const at::Tensor& share, const at::Tensor& read, const at::Tensor& places, at::TensorList leaves) {
    variable_list inputs = {read};
    inputs.insert(inputs.end(), leaves.begin(), leaves.end());
    const variable_list gradients = torch::autograd::grad({share}, inputs);
    const at::NoGradGuard no_gradient;
    of_hidden.index_copy_(0, places, gradients[0]);
    for (std::size_t i = 0; i < of_leaves.size(); ++i) of_leaves[i].add_(gradients[i + 1]);
  }
  // One list, hidden states first.
  variable_list list() const {
    variable_list result = {of_hidden};
    result.insert(result.end(), of_leaves.begin(), of_leaves.end());
    return result;
  }
};

struct TrainedHeadLoss : torch::autograd::Function<TrainedHeadLoss> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden, at::TensorList leaves, const Head* head,
                            const at::Tensor& targets, std::int64_t chunk_rows, const Draws& draws,
                            bool needs_gradient) {
    const TargetRows rows(hidden, *head, targets, draws);
    at::Tensor loss = at::zeros({}, hidden.options().dtype(at::kFloat));
    std::optional<Sums> sums;
    if (needs_gradient) sums.emplace(hidden, leaves);
    for (std::int64_t first = 0; first < rows.size(); first += chunk_rows) {
      const std::int64_t count{std::min(chunk_rows, rows.size() - first)};
      const at::AutoGradMode with_gradient(needs_gradient);
      const at::Tensor read = rows.read(first, count).detach().requires_grad_(needs_gradient);
      const at::Tensor share = -rows.log_probabilities(*head, read, first).sum();
      loss += share.detach();
      if (sums) sums->add(share, read, rows.places.narrow(0, first, count), leaves);
    }
    if (sums) context->save_for_backward(sums->list());
    return loss;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list result = context->get_saved_variables();
    for (at::Tensor& gradient : result) gradient = weighed(gradient, gradients[0]);
    result.resize(result.size() + 5);  // head, targets, chunk_rows, draws and needs_gradient have none
    return result;
  }
};

// What each row weighs is only known in the backward pass, which makes the logits again.
struct TrainedHeadLogProbabilities : torch::autograd::Function<TrainedHeadLogProbabilities> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden, at::TensorList leaves, const Head* head,
                            const at::Tensor& targets, std::int64_t chunk_rows, const Draws& draws) {
    const TargetRows rows(hidden, *head, targets, draws);
    at::Tensor result = at::zeros({hidden.size(0)}, hidden.options().dtype(at::kFloat));
    for (std::int64_t first = 0; first < rows.size(); first += chunk_rows) {
      const std::int64_t count{std::min(chunk_rows, rows.size() - first)};
      result.index_copy_(0, rows.places.narrow(0, first, count),
                         rows.log_probabilities(*head, rows.read(first, count), first));
    }
    variable_list saved = {hidden, targets};
    saved.insert(saved.end(), leaves.begin(), leaves.end());
    context->save_for_backward(saved);
    context->saved_data["head"] = reinterpret_cast<std::int64_t>(head);
    context->saved_data["chunk_rows"] = chunk_rows;
    context->saved_data["draws"] = kept_draws(draws);
    return result;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto& head = *reinterpret_cast<const Head*>(context->saved_data["head"].toInt());
    const std::int64_t chunk_rows = context->saved_data["chunk_rows"].toInt();
    const variable_list saved = context->get_saved_variables();
    const at::TensorList leaves(saved.data() + 2, saved.size() - 2);
    const Draws draws = draws_in(context->saved_data["draws"]);
    const TargetRows rows(saved[0], head, saved[1], draws);
    const at::Tensor weights = gradients[0].index_select(0, rows.places);
    Sums sums(saved[0], leaves);
    for (std::int64_t first = 0; first < rows.size(); first += chunk_rows) {
      const std::int64_t count{std::min(chunk_rows, rows.size() - first)};
      const at::AutoGradMode with_gradient(true);
      const at::Tensor read = rows.read(first, count).detach().requires_grad_();
      const at::Tensor share = (rows.log_probabilities(head, read, first) * weights.narrow(0, first, count)).sum();
      sums.add(share, read, rows.places.narrow(0, first, count), leaves);
    }
    variable_list result = sums.list();
    result.resize(result.size() + 4);  // head, targets, chunk_rows and draws have none
    return result;
  }
};

}  // namespace

at::Tensor trained_head_loss_sum(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                                 std::int64_t chunk_rows, const Draws& draws) {
  const variable_list leaves = leaves_of(head);
  const bool needs_gradient{at::GradMode::is_enabled() && (hidden.requires_grad() || !leaves.empty())};
  return TrainedHeadLoss::apply(hidden, at::TensorList(leaves), &head, targets, chunk_rows, draws, needs_gradient);
}

at::Tensor trained_head_log_probabilities(const at::Tensor& hidden, const Head& head, const at::Tensor& targets,
                                          std::int64_t chunk_rows, const Draws& draws) {
  const variable_list leaves = leaves_of(head);
  return TrainedHeadLogProbabilities::apply(hidden, at::TensorList(leaves), &head, targets, chunk_rows, draws);
}

}  // namespace finetune
