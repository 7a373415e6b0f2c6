// LoRA as one autograd function over joined rows. Tested by tests/finetune/model_test.cc.
#include "finetune/adapt/linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "base/random.h"
#include "finetune/adapt/parts.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool drops(const Linear& part, std::uint64_t seed) { return part.dropout > 0 && seed != 0; }

// Frozen weights get no gradient, so the only products of the backward pass are dY W and the low-rank ones.
struct LoraFunction : torch::autograd::Function<LoraFunction> {
  // `adapters` holds A and B of every attached part, in order. `layer` is a plain pointer: see JoinedLinear::forward.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& residual,
                            at::TensorList adapters, const JoinedLinear* layer, std::uint64_t seed,
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
        if (drops(part, seed)) input = x * dropout_mask(seed, part.index, part.dropout, x.sizes(), x.options());
        at::Tensor low = at::mm(input, a.to(x.scalar_type()).t());  // [T, rank]
        y.narrow(1, row, part.out).addmm_(low, b.to(x.scalar_type()).t(), 1, part.scale);
        saved.insert(saved.end(), {a, b, low});
      }
      row += part.out;
    }
    context->save_for_backward(saved);
    context->saved_data["layer"] = reinterpret_cast<std::int64_t>(layer);
    context->saved_data["seed"] = static_cast<std::int64_t>(seed);
    context->saved_data["residual"] = residual.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto* layer = reinterpret_cast<const JoinedLinear*>(context->saved_data["layer"].toInt());
    auto seed = static_cast<std::uint64_t>(context->saved_data["seed"].toInt());
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
        if (drops(part, seed)) {
          mask = dropout_mask(seed, part.index, part.dropout, x.sizes(), x.options());
          input = x * mask;
        }
        adapters.push_back(at::mm(dlow.t(), input).to(at::kFloat));
        adapters.push_back(at::mm(dy_part.t(), low).to(at::kFloat).mul_(part.scale));
        if (dx.defined()) mask.defined() ? (void)dx.add_(at::mm(dlow, a).mul_(mask)) : (void)dx.addmm_(dlow, a);
      }
      row += part.out;
    }
    variable_list result = {dx};
    result.push_back(context->saved_data["residual"].toBool() ? dy : at::Tensor());
    result.insert(result.end(), adapters.begin(), adapters.end());
    result.resize(result.size() + 3);  // layer, seed and recipe have no gradient
    return result;
  }
};

}  // namespace

at::Tensor Linear::whole_a() const { return frozen_a.defined() ? at::cat({lora_a, frozen_a}) : lora_a; }
at::Tensor Linear::whole_b() const { return frozen_b.defined() ? at::cat({lora_b, frozen_b}, 1) : lora_b; }

at::Tensor JoinedLinear::forward(const at::Tensor& x, const at::Tensor& residual, std::uint64_t dropout_seed,
                                 const Recipe* again) const {
  std::vector<at::Tensor> adapters;
  for (const Linear& part : parts) {
    if (part.weight.defined() || part.magnitude.defined()) return forward_by_parts(*this, x, residual, dropout_seed);
    if (part.lora_a.defined()) adapters.insert(adapters.end(), {part.whole_a(), part.whole_b()});
  }
  std::optional<at::Tensor> maybe_residual;
  if (residual.defined()) maybe_residual = residual;
  return LoraFunction::apply(x, maybe_residual, at::TensorList(adapters), this, dropout_seed, again);
}

namespace {

std::uint64_t key_of(std::uint64_t seed, std::int64_t index) {
  return base::mix64(seed ^ base::mix64(static_cast<std::uint64_t>(index) + 1));
}

// The device's own counter-based generator (Philox).
at::Generator generator_of(std::uint64_t key, at::Device device) {
  at::Generator generator = at::globalContext().defaultGenerator(device).clone();
  generator.set_current_seed(key);
  return generator;
}

// f(16 random bits) of every position. One hash gives four of them.
template <class F>
at::Tensor of_hashes(std::uint64_t key, at::IntArrayRef sizes, F f) {
  at::Tensor result = at::empty(sizes, at::kFloat);
  float* out = result.mutable_data_ptr<float>();
  const std::int64_t count{result.numel()};
  at::parallel_for(0, (count + 3) / 4, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::uint64_t bits = base::mix64(key + static_cast<std::uint64_t>(i));
      const std::int64_t last{std::min(count, 4 * i + 4)};
      for (std::int64_t j = 4 * i; j < last; ++j, bits >>= 16) out[j] = f(bits & 0xFFFF);
    }
  });
  return result;
}

}  // namespace

at::Tensor dropout_mask(std::uint64_t seed, std::int64_t index, double p, at::IntArrayRef sizes,
                        const at::TensorOptions& options) {
  const std::uint64_t key{key_of(seed, index)};
  if (!options.device().is_cpu())
    return at::empty(sizes, options).bernoulli_(1 - p, generator_of(key, options.device())).mul_(1 / (1 - p));
  // p is rounded to 1/65536.
  const auto threshold = static_cast<std::uint64_t>(std::lround(p * 65536));
  const auto keep = static_cast<float>(1 / (1 - p));
  return of_hashes(key, sizes, [=](std::uint64_t bits) { return bits < threshold ? 0 : keep; }).to(options.dtype());
}

at::Tensor uniform_numbers(std::uint64_t seed, std::int64_t index, at::IntArrayRef sizes,
                           const at::TensorOptions& options) {
  const std::uint64_t key{key_of(seed, index)};
  if (!options.device().is_cpu())
    return at::empty(sizes, options.dtype(at::kFloat)).uniform_(0, 1, generator_of(key, options.device()));
  return of_hashes(key, sizes, [](std::uint64_t bits) { return (static_cast<float>(bits) + 0.5F) / 65536; });
}

}  // namespace finetune
