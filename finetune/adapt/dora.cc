// DoRA as one autograd function: what autograd would keep of its sums is three times as much.
// Tested by tests/finetune/dora_test.cc.
#include "finetune/adapt/dora.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "finetune/adapt/parts.h"
#include "finetune/kernels/low_rank.h"
#include "finetune/kernels/passing.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::size_t kLeaves = 3, kSaved = 5;  // of a part: A, B and m; these, x A^T and the lengths

// The part's columns of a tensor [T, sum of out], times m / lengths in float32.
void scale_columns(const at::Tensor& columns, const at::Tensor& magnitude, const at::Tensor& lengths) {
  columns.mul_(magnitude / lengths);
}

struct DoraFunction : torch::autograd::Function<DoraFunction> {
  // `leaves` holds A, B and m of every part that has them, in order.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& residual,
                            at::TensorList leaves, const JoinedLinear* layer, const Recipe* again) {
    at::Tensor unscaled = layer->weight->apply(x);
    variable_list saved = {again ? again->source : x, unscaled};
    if (again) context->saved_data["again"] = kept_function(again->make);
    each_part(*layer, [&](const Linear& part, std::int64_t first, std::size_t number) {
      const at::Tensor* of_part = leaves.data() + number * kLeaves;
      const at::Tensor low = at::empty({x.size(0), of_part[0].size(0)}, x.options());  // before what goes again
      low_rank::product_into(low, x, of_part[0].to(x.scalar_type()).t().contiguous());
      const at::Tensor b = (of_part[1] * part.scale).to(x.scalar_type());
      low_rank::add_product(unscaled.narrow(1, first, part.out), low, b.t().contiguous());
      saved.insert(saved.end(), {of_part[0], of_part[1], of_part[2], low, row_lengths(*layer->weight, first, part)});
    });
    at::Tensor y = unscaled.clone();
    each_part(*layer, [&](const Linear& part, std::int64_t first, std::size_t number) {
      const at::Tensor* of_part = saved.data() + 2 + number * kSaved;
      scale_columns(y.narrow(1, first, part.out), of_part[2], of_part[4]);
    });
    if (layer->bias.defined()) y.add_(layer->bias);
    if (residual) y.add_(*residual);
    context->save_for_backward(saved);
    context->saved_data["layer"] = reinterpret_cast<std::int64_t>(layer);
    context->saved_data["residual"] = residual.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto* layer = reinterpret_cast<const JoinedLinear*>(context->saved_data["layer"].toInt());
    const variable_list saved = context->get_saved_variables();
    at::Tensor x = saved[0];
    if (const auto again = context->saved_data.find("again"); again != context->saved_data.end())
      x = function_in(again->second)(x);
    const at::Tensor dy = gradients[0];
    at::Tensor scaled = passing_tensor(dy.sizes(), dy.options());  // d of x W^T + scale * x A^T B^T
    scaled.copy_(dy);
    variable_list leaves;
    std::vector<at::Tensor> into_x;  // scale * dy B and A of each part
    each_part(*layer, [&](const Linear& part, std::int64_t first, std::size_t number) {
      const at::Tensor* of_part = saved.data() + 2 + number * kSaved;
      const at::Tensor a = of_part[0].to(x.scalar_type()), b = (of_part[1] * part.scale).to(x.scalar_type());
      const at::Tensor columns = scaled.narrow(1, first, part.out);
      at::Tensor products = passing_tensor(columns.sizes(), columns.options());
      at::mul_out(products, columns, saved[1].narrow(1, first, part.out));
      const at::Tensor of_magnitude = at::sum(products, {0}, false, at::kFloat) / of_part[4];
      scale_columns(columns, of_part[2], of_part[4]);
      const at::Tensor dlow = low_rank::product(columns, b);  // [T, rank]
      leaves.push_back(low_rank::product_over_rows(dlow, x));
      leaves.push_back(low_rank::product_over_rows(of_part[3], columns).t().mul(part.scale));
      leaves.push_back(of_magnitude);
      into_x.insert(into_x.end(), {dlow, a});
    });
    variable_list result(2);
    if (context->needs_input_grad(0)) {
      result[0] = layer->weight->apply_transposed(scaled);
      for (std::size_t i = 0; i < into_x.size(); i += 2) low_rank::add_product(result[0], into_x[i], into_x[i + 1]);
    }
    if (context->saved_data["residual"].toBool()) result[1] = dy;
    result.insert(result.end(), leaves.begin(), leaves.end());
    result.resize(result.size() + 2);  // layer and recipe have no gradient
    return result;
  }

 private:
  // f(part, its first row, its number) of those that have an adapter.
  template <class F>
  static void each_part(const JoinedLinear& layer, F f) {
    std::int64_t row = 0;
    std::size_t number = 0;
    for (const Linear& part : layer.parts) {
      if (part.lora_a.defined()) f(part, row, number++);
      row += part.out;
    }
  }
};

}  // namespace

at::Tensor dora_forward(const JoinedLinear& layer, const at::Tensor& x, const at::Tensor& residual,
                        const Recipe* again) {
  std::vector<at::Tensor> leaves;
  for (const Linear& part : layer.parts)
    if (part.lora_a.defined()) leaves.insert(leaves.end(), {part.whole_a(), part.whole_b(), part.magnitude});
  std::optional<at::Tensor> maybe_residual;
  if (residual.defined()) maybe_residual = residual;
  return DoraFunction::apply(x, maybe_residual, at::TensorList(leaves), &layer, again);
}

}  // namespace finetune
