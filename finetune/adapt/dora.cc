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

constexpr std::size_t kLeaves = 3, kSaved = 5;  // of a part: A, B and m; these, d A^T and the lengths

// result = columns [T, out] * by [out], multiplied in float32.
at::Tensor times_into(at::Tensor& result, const at::Tensor& columns, const at::Tensor& by) {
  return result.copy_(columns).mul_(by);
}

// f(part, its first row, its number) of those that have an adapter.
template <class F>
void each_part(const JoinedLinear& layer, F f) {
  std::int64_t row = 0;
  std::size_t number = 0;
  for (const Linear& part : layer.parts) {
    if (part.lora_a.defined()) f(part, row, number++);
    row += part.out;
  }
}

struct DoraFunction : torch::autograd::Function<DoraFunction> {
  // `leaves` holds A, B and m of every part that has them, in order.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& residual,
                            at::TensorList leaves, const JoinedLinear* layer, const Draws& draws, const Recipe* again) {
    at::Tensor y = layer->weight->apply(x);  // goes again where results pass
    at::Tensor unscaled = y.clone();         // of parts with dropout d W^T + scale * d A^T B^T, from below on
    variable_list saved = {again ? again->source : x, unscaled};
    if (again) context->saved_data["again"] = kept_function(again->make);
    each_part(*layer, [&](const Linear& part, std::int64_t first, std::size_t number) {
      const at::Tensor* of_part = leaves.data() + number * kLeaves;
      const at::Tensor low = at::empty({x.size(0), of_part[0].size(0)}, x.options());  // before what goes again
      at::Tensor own = unscaled.narrow(1, first, part.out), of_y = y.narrow(1, first, part.out), read = x;
      if (part.drops(draws)) {
        read = dropped(draws, part.index, part.dropout, x);
        layer->weight->apply_rows(own, read, first);
        of_y.sub_(own);
      }
      low_rank::product_into(low, read, of_part[0].to(x.scalar_type()).t().contiguous());
      const at::Tensor b = (of_part[1] * part.scale).to(x.scalar_type());
      low_rank::add_product(own, low, b.t().contiguous());
      const at::Tensor lengths = row_lengths(*layer->weight, first, part), by = of_part[2] / lengths;
      if (part.drops(draws)) {
        at::Tensor scaled = passing_tensor(own.sizes(), own.options());
        of_y.add_(times_into(scaled, own, by));
      } else {
        times_into(of_y, own, by);
      }
      saved.insert(saved.end(), {of_part[0], of_part[1], of_part[2], low, lengths});
    });
    if (layer->bias.defined()) y.add_(layer->bias);
    if (residual) y.add_(*residual);
    context->save_for_backward(saved);
    context->saved_data["layer"] = reinterpret_cast<std::int64_t>(layer);
    context->saved_data["draws"] = kept_draws(draws);
    context->saved_data["residual"] = residual.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto* layer = reinterpret_cast<const JoinedLinear*>(context->saved_data["layer"].toInt());
    const Draws draws = draws_in(context->saved_data["draws"]);
    const variable_list saved = context->get_saved_variables();
    at::Tensor x = saved[0];
    if (const auto again = context->saved_data.find("again"); again != context->saved_data.end())
      x = function_in(again->second)(x);
    const at::Tensor dy = gradients[0];
    at::Tensor of_products = passing_tensor(dy.sizes(), dy.options()), dx;  // d of x W^T
    of_products.copy_(dy);
    each_part(*layer, [&](const Linear& part, std::int64_t first, std::size_t number) {
      const at::Tensor* of_part = saved.data() + 2 + number * kSaved;
      if (!part.drops(draws)) of_products.narrow(1, first, part.out).mul_(of_part[2] / of_part[4]);
    });
    if (context->needs_input_grad(0)) dx = layer->weight->apply_transposed(of_products);
    variable_list leaves;
    each_part(*layer, [&](const Linear& part, std::int64_t first, std::size_t number) {
      const at::Tensor* of_part = saved.data() + 2 + number * kSaved;
      const at::Tensor a = of_part[0].to(x.scalar_type()), b = (of_part[1] * part.scale).to(x.scalar_type());
      const at::Tensor of_y = dy.narrow(1, first, part.out), by = of_part[2] / of_part[4];
      at::Tensor scratch = passing_tensor(of_y.sizes(), of_y.options());  // [T, out], of one thing after another
      at::mul_out(scratch, of_y, saved[1].narrow(1, first, part.out));
      const at::Tensor of_magnitude = at::sum(scratch, {0}, false, at::kFloat) / of_part[4];
      at::Tensor read = x, columns = of_products.narrow(1, first, part.out);
      if (part.drops(draws))
        read = dropped(draws, part.index, part.dropout, x), columns = times_into(scratch, of_y, by);
      const at::Tensor dlow = low_rank::product(columns, b);  // [T, rank]
      leaves.push_back(low_rank::product_over_rows(dlow, read));
      leaves.push_back(low_rank::product_over_rows(of_part[3], columns).t().mul(part.scale));
      leaves.push_back(of_magnitude);
      if (dx.defined() && !part.drops(draws)) low_rank::add_product(dx, dlow, a);
      if (dx.defined() && part.drops(draws)) {
        at::Tensor share = read;  // which nobody reads any more
        layer->weight->apply_rows_transposed(share, times_into(scratch, of_y, by - 1), first);
        low_rank::add_product(share, dlow, a);
        add_dropped(dx, draws, part.index, part.dropout, share);
      }
    });
    variable_list result = {dx, context->saved_data["residual"].toBool() ? dy : at::Tensor()};
    result.insert(result.end(), leaves.begin(), leaves.end());
    result.resize(result.size() + 3);  // layer, draws and recipe have no gradient
    return result;
  }
};

}  // namespace

at::Tensor dora_forward(const JoinedLinear& layer, const at::Tensor& x, const at::Tensor& residual, const Draws& draws,
                        const Recipe* again) {
  std::vector<at::Tensor> leaves;
  for (const Linear& part : layer.parts)
    if (part.lora_a.defined()) leaves.insert(leaves.end(), {part.whole_a(), part.whole_b(), part.magnitude});
  std::optional<at::Tensor> maybe_residual;
  if (residual.defined()) maybe_residual = residual;
  return DoraFunction::apply(x, maybe_residual, at::TensorList(leaves), &layer, draws, again);
}

}  // namespace finetune
