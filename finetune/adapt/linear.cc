// LoRA as one autograd function over joined rows. Tested by tests/finetune/model_test.cc.
#include "finetune/adapt/linear.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "finetune/adapt/dora.h"
#include "finetune/adapt/parts.h"
#include "finetune/kernels/low_rank.h"
#include "finetune/kernels/one_row.h"
#include "finetune/kernels/passing.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Attached parts that read the same numbers: all without dropout, or one by itself.
struct Readers {
  struct Part {
    const Linear* linear;
    std::int64_t first;      // row of the joined layer
    std::size_t number;      // of those with an adapter
    std::int64_t low, rank;  // first column and columns of low, rows of the readers' A
  };
  std::vector<Part> parts;
  const Linear* dropping = nullptr;  // the one, which reads dropout(x)

  std::int64_t ranks() const { return parts.back().low + parts.back().rank; }
};

// `adapters` holds A and B of every attached part, in order.
std::vector<Readers> readers_of(const JoinedLinear& layer, at::TensorList adapters, const Draws& draws) {
  std::vector<Readers> all(1);
  std::int64_t row = 0;
  std::size_t number = 0;
  for (const Linear& part : layer.parts) {
    if (part.lora_a.defined()) {
      const bool alone = part.drops(draws);
      if (alone) all.push_back({{}, &part});
      Readers& readers = alone ? all.back() : all.front();
      const std::int64_t low{readers.parts.empty() ? 0 : readers.ranks()};
      readers.parts.push_back({&part, row, number, low, adapters[2 * number].size(0)});
      ++number;
    }
    row += part.out;
  }
  if (all.front().parts.empty()) all.erase(all.begin());
  return all;
}

// [sum of ranks, in], of the type that is computed in.
at::Tensor a_of(const Readers& readers, at::TensorList adapters, at::ScalarType type) {
  std::vector<at::Tensor> rows;
  for (const Readers::Part& part : readers.parts) rows.push_back(adapters[2 * part.number]);
  return (rows.size() == 1 ? rows[0] : at::cat(rows)).to(type);
}

at::Tensor input_of(const Readers& readers, const Draws& draws, const at::Tensor& x) {
  const Linear* dropping = readers.dropping;
  return dropping ? dropped(draws, dropping->index, dropping->dropout, x) : x;
}

// Frozen weights get no gradient, so the only products of the backward pass are dY W and the low-rank ones.
struct LoraFunction : torch::autograd::Function<LoraFunction> {
  // `layer` is a plain pointer: see JoinedLinear::forward.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& residual,
                            at::TensorList adapters, const JoinedLinear* layer, const Draws& draws,
                            const Recipe* again) {
    at::Tensor y = layer->weight->apply(x, residual ? *residual : layer->bias);
    if (residual && layer->bias.defined()) y.add_(layer->bias);
    variable_list saved = {again ? again->source : x};
    if (again) context->saved_data["again"] = kept_function(again->make);
    saved.insert(saved.end(), adapters.begin(), adapters.end());
    for (const Readers& readers : readers_of(*layer, adapters, draws)) {
      // First what stays, then what goes: it would leave holes.
      const at::Tensor low = at::empty({x.size(0), readers.ranks()}, x.options());
      low_rank::product_into(low, input_of(readers, draws, x),
                             a_of(readers, adapters, x.scalar_type()).t().contiguous());
      for (const Readers::Part& part : readers.parts) {
        const at::Tensor b = adapters[2 * part.number + 1] * part.linear->scale;
        low_rank::add_product(y.narrow(1, part.first, part.linear->out), low.narrow(1, part.low, part.rank),
                              b.to(x.scalar_type()).t().contiguous());
      }
      saved.push_back(low);
    }
    context->save_for_backward(saved);
    context->saved_data["layer"] = reinterpret_cast<std::int64_t>(layer);
    context->saved_data["draws"] = kept_draws(draws);
    context->saved_data["residual"] = residual.has_value();
    context->saved_data["adapters"] = static_cast<std::int64_t>(adapters.size());
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto* layer = reinterpret_cast<const JoinedLinear*>(context->saved_data["layer"].toInt());
    const Draws draws = draws_in(context->saved_data["draws"]);
    const variable_list saved = context->get_saved_variables();
    const at::TensorList adapters{saved.data() + 1, static_cast<std::size_t>(context->saved_data["adapters"].toInt())};
    const at::Tensor* low = saved.data() + 1 + adapters.size();
    at::Tensor x = saved[0], dy = gradients[0].contiguous(), dx;
    if (const auto again = context->saved_data.find("again"); again != context->saved_data.end())
      x = function_in(again->second)(x);
    if (context->needs_input_grad(0)) dx = layer->weight->apply_transposed(dy);
    variable_list of_adapters(adapters.size());
    for (const Readers& readers : readers_of(*layer, adapters, draws)) {
      const at::Tensor dlow = at::empty({x.size(0), readers.ranks()}, x.options());
      for (const Readers::Part& part : readers.parts) {
        const at::Tensor dy_part = dy.narrow(1, part.first, part.linear->out);
        const at::Tensor b = (adapters[2 * part.number + 1] * part.linear->scale).to(x.scalar_type());
        low_rank::product_into(dlow.narrow(1, part.low, part.rank), dy_part, b);
        of_adapters[2 * part.number + 1] =
            low_rank::product_over_rows(low->narrow(1, part.low, part.rank), dy_part).t().mul(part.linear->scale);
      }
      const at::Tensor of_a = low_rank::product_over_rows(dlow, input_of(readers, draws, x));
      for (const Readers::Part& part : readers.parts)
        of_adapters[2 * part.number] = of_a.narrow(0, part.low, part.rank);
      const at::Tensor a = a_of(readers, adapters, x.scalar_type());
      if (dx.defined() && !readers.dropping) low_rank::add_product(dx, dlow, a);
      if (dx.defined() && readers.dropping) {
        const at::Tensor share = passing_tensor(dx.sizes(), dx.options());
        low_rank::product_into(share, dlow, a);
        add_dropped(dx, draws, readers.dropping->index, readers.dropping->dropout, share);
      }
      ++low;
    }
    variable_list result = {dx};
    result.push_back(context->saved_data["residual"].toBool() ? dy : at::Tensor());
    result.insert(result.end(), of_adapters.begin(), of_adapters.end());
    result.resize(result.size() + 3);  // layer, draws and recipe have no gradient
    return result;
  }
};

// Generated text: one row on a CPU, without gradients and dropout.
bool is_one_row(const at::Tensor& x, const Draws& draws) {
  return x.is_cpu() && x.size(0) == 1 && x.is_contiguous() && !draws.is_on() && !at::GradMode::is_enabled();
}

// A and B are read once, as they lie; turned and rounded as for many rows they would cost as much as W.
at::Tensor one_row_forward(const JoinedLinear& layer, const at::Tensor& x, const at::Tensor& residual,
                           bool has_magnitudes) {
  const bool adds_last{has_magnitudes || (residual.defined() && layer.bias.defined())};
  at::Tensor y = layer.weight->apply(x, adds_last ? at::Tensor() : residual.defined() ? residual : layer.bias);
  const at::Tensor wide = x.to(at::kFloat);
  std::int64_t row = 0;
  for (const Linear& part : layer.parts) {
    at::Tensor own = y.narrow(1, row, part.out);
    row += part.out;
    if (!part.lora_a.defined()) continue;
    const at::Tensor a = part.whole_a(), b = part.whole_b();
    at::Tensor low = at::empty({1, a.size(0)}, wide.options()), sum = own.to(at::kFloat);
    one_row::product(low, wide, a, {});
    one_row::product(sum, low.mul_(part.scale), b, sum);
    if (has_magnitudes) sum.mul_(part.magnitude / row_lengths(*layer.weight, row - part.out, part));
    if (!own.is_same(sum)) own.copy_(sum);
  }
  if (adds_last && layer.bias.defined()) y.add_(layer.bias);
  if (adds_last && residual.defined()) y.add_(residual);
  return y;
}

}  // namespace

at::Tensor Linear::whole_a() const { return frozen_a.defined() ? at::cat({lora_a, frozen_a}) : lora_a; }
at::Tensor Linear::whole_b() const { return frozen_b.defined() ? at::cat({lora_b, frozen_b}, 1) : lora_b; }

at::Tensor JoinedLinear::forward(const at::Tensor& x, const at::Tensor& residual, const Draws& draws,
                                 const Recipe* again) const {
  std::vector<at::Tensor> adapters;
  bool has_magnitudes = false;
  for (const Linear& part : parts) {
    has_magnitudes |= part.magnitude.defined();
    if (part.weight.defined()) return forward_by_parts(*this, x, residual, draws);
    if (part.lora_a.defined()) adapters.insert(adapters.end(), {part.whole_a(), part.whole_b()});
  }
  if (!adapters.empty() && is_one_row(x, draws)) return one_row_forward(*this, x, residual, has_magnitudes);
  if (has_magnitudes) return dora_forward(*this, x, residual, draws, again);
  std::optional<at::Tensor> maybe_residual;
  if (residual.defined()) maybe_residual = residual;
  return LoraFunction::apply(x, maybe_residual, at::TensorList(adapters), this, draws, again);
}

}  // namespace finetune
