// Gradient checkpointing as one autograd function. Tested by tests/finetune/recompute_test.cc.
#include "finetune/adapt/recompute.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Held : torch::CustomClassHolder {
  TensorFunction f;
};

struct RecomputeFunction : torch::autograd::Function<RecomputeFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, at::TensorList leaves,
                            const TensorFunction& f) {
    variable_list saved = {x};
    saved.insert(saved.end(), leaves.begin(), leaves.end());
    context->save_for_backward(saved);
    context->saved_data["f"] = kept_function(f);
    return f(x);  // without a graph, as all of forward
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const TensorFunction& f = function_in(context->saved_data["f"]);
    const bool needs_x{context->needs_input_grad(0)};
    variable_list inputs(saved.begin() + 1, saved.end());
    const at::AutoGradMode with_graph(true);
    const at::Tensor x = saved[0].detach().requires_grad_(needs_x);
    if (needs_x) inputs.push_back(x);
    variable_list found =
        torch::autograd::grad({f(x)}, inputs, {gradients[0]}, /*retain_graph=*/false, /*create_graph=*/false,
                              /*allow_unused=*/true);
    variable_list result = {needs_x ? found.back() : at::Tensor()};
    result.insert(result.end(), found.begin(), found.begin() + static_cast<std::ptrdiff_t>(saved.size() - 1));
    result.emplace_back();  // f has no gradient
    return result;
  }
};

}  // namespace

c10::IValue kept_function(TensorFunction f) {
  auto held = c10::make_intrusive<Held>();
  held->f = std::move(f);
  return c10::IValue::make_capsule(held);
}

const TensorFunction& function_in(const c10::IValue& kept) {
  return static_cast<const Held*>(kept.toCapsule().get())->f;
}

at::Tensor recomputed(const TensorFunction& f, const at::Tensor& x, const std::vector<at::Tensor>& leaves) {
  return at::GradMode::is_enabled() ? RecomputeFunction::apply(x, at::TensorList(leaves), f) : f(x);
}

}  // namespace finetune
