// Linear layers that train otherwise than by A and B alone. Tested by tests/finetune/variants_test.cc.
#include "finetune/adapt/parts.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

#include "finetune/kernels/low_rank.h"
#include "finetune/kernels/products.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Numbers of W that are looked at together: what a core's cache holds, on a GPU enough for all of it.
constexpr std::int64_t kPiece = std::int64_t{1} << 17, kDevicePiece = std::int64_t{1} << 25;

struct FrozenProduct : torch::autograd::Function<FrozenProduct> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const FrozenMatrix* matrix) {
    context->saved_data["matrix"] = reinterpret_cast<std::int64_t>(matrix);
    return matrix->apply(x);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto* matrix = reinterpret_cast<const FrozenMatrix*>(context->saved_data["matrix"].toInt());
    return {matrix->apply_transposed(gradients[0].contiguous()), {}};
  }
};

// Of a matrix that trains, by the products of frozen ones.
struct TrainedProduct : torch::autograd::Function<TrainedProduct> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
    context->save_for_backward({x, weight});
    at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
    product_into(y, x, weight);
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx, of_weight;
    if (context->needs_input_grad(0)) dx = product_transposed(dy, saved[1]);
    if (context->needs_input_grad(1)) of_weight = product_transposed(dy.t().contiguous(), saved[0].contiguous());
    return {dx, of_weight};
  }
};

// f(the piece of W + scale * B A, in float32) over rows [first, first + out), a few at a time. A and B may be
// undefined.
template <class F>
void each_piece(const FrozenMatrix& matrix, std::int64_t first, const Linear& part, F f) {
  at::NoGradGuard no_gradient;
  at::Tensor a, b;
  if (part.lora_a.defined()) a = part.whole_a(), b = part.whole_b();
  const bool is_cpu{!a.defined() || a.is_cpu()};
  const std::int64_t rows{std::max<std::int64_t>(1, (is_cpu ? kPiece : kDevicePiece) / part.in)};
  for (std::int64_t row = 0; row < part.out; row += rows) {
    const std::int64_t count{std::min(rows, part.out - row)};
    at::Tensor piece = matrix.rows_from(first + row, count).to(at::kFloat, false, a.defined());
    if (a.defined()) low_rank::add_product(piece, b.narrow(0, row, count) * part.scale, a);
    f(piece);
  }
}

thread_local Lengths* kept_lengths = nullptr;

// compute(), or what was kept of it.
template <class F>
at::Tensor once(const Linear& part, F compute) {
  if (!kept_lengths) return compute();
  at::Tensor& kept = (*kept_lengths)[&part];
  if (!kept.defined()) kept = compute();
  return kept;
}

at::Tensor dropped_for(const Linear& part, const at::Tensor& x, const Draws& draws) {
  if (!part.drops(draws)) return x;
  return x * dropout_mask(draws, part.index, part.dropout, x.size(1), x.options());
}

}  // namespace

at::Tensor trained_product(const at::Tensor& x, const at::Tensor& weight) {
  return TrainedProduct::apply(x, weight.to(x.scalar_type()));
}

at::Tensor frozen_product(const FrozenMatrix& matrix, const at::Tensor& x) { return FrozenProduct::apply(x, &matrix); }

at::Tensor adapter_product(const FrozenMatrix& matrix, std::int64_t first, const Linear& part, const at::Tensor& all,
                           const at::Tensor& x, const at::Tensor& dropped) {
  const at::Tensor low = at::mm(dropped, part.whole_a().to(x.scalar_type()).t());
  const at::Tensor delta = at::mm(low, part.whole_b().to(x.scalar_type()).t()) * part.scale;
  if (!part.magnitude.defined()) return delta;
  const at::Tensor own = (dropped.is_same(x) ? all : frozen_product(matrix, dropped)).narrow(1, first, part.out);
  const at::Tensor factor = (part.magnitude / row_lengths(matrix, first, part)).to(x.scalar_type());
  return (factor - 1) * own + factor * delta;
}

KeptLengths::KeptLengths(Lengths& kept) : before_(std::exchange(kept_lengths, &kept)) {}
KeptLengths::~KeptLengths() { kept_lengths = before_; }

at::Tensor row_lengths(const FrozenMatrix& matrix, std::int64_t first, const Linear& part) {
  return once(part, [&] {
    std::vector<at::Tensor> lengths;
    each_piece(matrix, first, part, [&](const at::Tensor& piece) {
      lengths.push_back(at::linalg_vector_norm(piece, 2, at::IntArrayRef{1}));
    });
    return at::cat(lengths);
  });
}

at::Tensor column_lengths(const FrozenMatrix& matrix, const Linear& part) {
  return once(part, [&] {
    at::Tensor squares;
    each_piece(matrix, 0, part, [&](const at::Tensor& piece) {
      const at::Tensor of_piece = at::sum(piece * piece, {0}, false, at::kDouble);
      squares = squares.defined() ? squares.add_(of_piece) : of_piece;
    });
    return squares.sqrt_().to(at::kFloat);
  });
}

at::Tensor forward_by_parts(const JoinedLinear& layer, const at::Tensor& x, const at::Tensor& residual,
                            const Draws& draws) {
  at::Tensor all;  // of the frozen matrix
  const auto is_frozen = [](const Linear& part) { return !part.weight.defined(); };
  if (std::ranges::any_of(layer.parts, is_frozen)) all = frozen_product(*layer.weight, x);
  std::vector<at::Tensor> results;
  std::int64_t row = 0;
  for (const Linear& part : layer.parts) {
    at::Tensor y;
    if (is_frozen(part)) {
      y = all.narrow(1, row, part.out);
      if (layer.bias.defined()) y = y + layer.bias.narrow(0, row, part.out);
      if (part.lora_a.defined()) y = y + adapter_product(*layer.weight, row, part, all, x, dropped_for(part, x, draws));
    } else {
      y = trained_product(x, part.weight);
      if (part.bias.defined()) y = y + part.bias.to(x.scalar_type());
    }
    results.push_back(y);
    row += part.out;
  }
  const at::Tensor joined = results.size() == 1 ? results[0] : at::cat(results, 1);
  return residual.defined() ? residual + joined : joined;
}

}  // namespace finetune
