// LoRA as one autograd function over joined rows. Tested by tests/finetune/model_test.cc.
#include "finetune/adapt/linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "finetune/adapt/dora.h"
#include "finetune/adapt/parts.h"
#include "finetune/kernels/passing.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool drops(const Linear& part, const Draws& draws) { return part.dropout > 0 && draws.is_on(); }

at::Tensor mask_of(const Linear& part, const Draws& draws, const at::Tensor& x) {
  return dropout_mask(draws, part.index, part.dropout, x.size(1), x.options());
}

// No autograd.
at::Tensor masked(const at::Tensor& x, const at::Tensor& mask) {
  at::Tensor result = passing_tensor(x.sizes(), x.options());
  return at::mul_out(result, x, mask);
}

// Frozen weights get no gradient, so the only products of the backward pass are dY W and the low-rank ones.
struct LoraFunction : torch::autograd::Function<LoraFunction> {
  // `adapters` holds A and B of every attached part, in order. `layer` is a plain pointer: see JoinedLinear::forward.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& residual,
                            at::TensorList adapters, const JoinedLinear* layer, const Draws& draws,
                            const Recipe* again) {
    at::Tensor y = layer->weight->apply(x, residual ? *residual : layer->bias);
    if (residual && layer->bias.defined()) y.add_(layer->bias);
    variable_list saved = {again ? again->source : x};
    if (again) context->saved_data["again"] = kept_function(again->make);
    std::int64_t row = 0;
    std::size_t next = 0;
    for (const Linear& part : layer->parts) {
      if (part.lora_a.defined()) {
        const at::Tensor &a = adapters[next], &b = adapters[next + 1];
        next += 2;
        at::Tensor input = x;
        if (drops(part, draws)) input = masked(x, mask_of(part, draws, x));
        at::Tensor low = at::mm(input, a.to(x.scalar_type()).t());  // [T, rank]
        y.narrow(1, row, part.out).addmm_(low, b.to(x.scalar_type()).t(), 1, part.scale);
        saved.insert(saved.end(), {a, b, low});
      }
      row += part.out;
    }
    context->save_for_backward(saved);
    context->saved_data["layer"] = reinterpret_cast<std::int64_t>(layer);
    context->saved_data["draws"] = kept_draws(draws);
    context->saved_data["residual"] = residual.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto* layer = reinterpret_cast<const JoinedLinear*>(context->saved_data["layer"].toInt());
    const Draws draws = draws_in(context->saved_data["draws"]);
    variable_list saved = context->get_saved_variables();
    at::Tensor x = saved[0], dy = gradients[0].contiguous(), dx;
    if (const auto again = context->saved_data.find("again"); again != context->saved_data.end())
      x = function_in(again->second)(x);
    if (context->needs_input_grad(0)) dx = layer->weight->apply_transposed(dy);
    variable_list adapters;
    std::int64_t row = 0;
    std::size_t next = 1;
    for (const Linear& part : layer->parts) {
      if (part.lora_a.defined()) {
        at::Tensor a = saved[next].to(x.scalar_type()), b = saved[next + 1].to(x.scalar_type()), low = saved[next + 2];
        next += 3;
        at::Tensor dy_part = dy.narrow(1, row, part.out);
        at::Tensor dlow = at::mm(dy_part, b).mul_(part.scale);  // [T, rank]
        at::Tensor mask, input = x;
        if (drops(part, draws)) {
          mask = mask_of(part, draws, x);
          input = masked(x, mask);
        }
        adapters.push_back(at::mm(dlow.t(), input).to(at::kFloat));
        adapters.push_back(at::mm(dy_part.t(), low).to(at::kFloat).mul_(part.scale));
        if (dx.defined() && !mask.defined()) dx.addmm_(dlow, a);
        if (dx.defined() && mask.defined()) {
          at::Tensor share = passing_tensor(dx.sizes(), dx.options());
          dx.add_(at::mm_out(share, dlow, a).mul_(mask));
        }
      }
      row += part.out;
    }
    variable_list result = {dx};
    result.push_back(context->saved_data["residual"].toBool() ? dy : at::Tensor());
    result.insert(result.end(), adapters.begin(), adapters.end());
    result.resize(result.size() + 3);  // layer, draws and recipe have no gradient
    return result;
  }
};

}  // namespace

at::Tensor Linear::whole_a() const { return frozen_a.defined() ? at::cat({lora_a, frozen_a}) : lora_a; }
at::Tensor Linear::whole_b() const { return frozen_b.defined() ? at::cat({lora_b, frozen_b}, 1) : lora_b; }

at::Tensor JoinedLinear::forward(const at::Tensor& x, const at::Tensor& residual, const Draws& draws,
                                 const Recipe* again) const {
  std::vector<at::Tensor> adapters;
  bool has_magnitudes = false;
  for (const Linear& part : parts) {
    has_magnitudes |= part.magnitude.defined();
    if (part.weight.defined() || (part.magnitude.defined() && drops(part, draws)))
      return forward_by_parts(*this, x, residual, draws);
    if (part.lora_a.defined()) adapters.insert(adapters.end(), {part.whole_a(), part.whole_b()});
  }
  if (has_magnitudes) return dora_forward(*this, x, residual, again);
  std::optional<at::Tensor> maybe_residual;
  if (residual.defined()) maybe_residual = residual;
  return LoraFunction::apply(x, maybe_residual, at::TensorList(adapters), this, draws, again);
}

}  // namespace finetune
