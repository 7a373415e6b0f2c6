// Attention over packed documents, or over a cache. Tested by tests/finetune/model_test.cc and spec_test.cc.
#include "finetune/kernels/attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

#include "finetune/kernels/fused_rows.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The q, k, v of one document as [kv_heads, group, tokens, head_dim], without copies: key heads stand in the batch
// dimension and are repeated over their group with stride 0.
struct Grouped {
  at::Tensor q, k, v;
};

Grouped grouped(const at::Tensor& heads, const AttentionShape& shape) {
  std::int64_t tokens = heads.size(0), group = shape.heads / shape.kv_heads;
  auto shared = [&](std::int64_t first) {
    return heads.narrow(1, first, shape.kv_heads)
        .permute({1, 0, 2})
        .unsqueeze(1)
        .expand({shape.kv_heads, group, tokens, shape.head_dim});
  };
  at::Tensor q =
      heads.narrow(1, 0, shape.heads).reshape({tokens, shape.kv_heads, group, shape.head_dim}).permute({1, 2, 0, 3});
  return {q, shared(shape.heads), shared(shape.heads + shape.kv_heads)};
}

// [kv_heads, group, tokens, head_dim] -> [tokens, heads head_dim]
at::Tensor ungrouped(const at::Tensor& x) { return x.permute({2, 0, 1, 3}).reshape({x.size(2), -1}); }

std::optional<double> scale_of(const AttentionShape& shape) {
  return shape.scale == 0 ? std::nullopt : std::optional(shape.scale);
}

// Attention of `tokens` new tokens to all, of which `past` stand before them, with capped products.
at::Tensor capped_attention(const Grouped& heads, const AttentionShape& shape, std::int64_t past) {
  const double scale{scale_of(shape).value_or(1 / std::sqrt(static_cast<double>(shape.head_dim)))};
  const at::Tensor products = at::matmul(heads.q, heads.k.transpose(-2, -1)) * scale;
  const at::Tensor capped = (products / shape.softcap).tanh() * shape.softcap;  // [kv_heads, group, tokens, all]
  const at::Tensor later = at::ones({capped.size(2), capped.size(3)}, capped.options().dtype(at::kBool)).triu(past + 1);
  const at::Tensor shares = capped.masked_fill(later, -std::numeric_limits<double>::infinity()).softmax(-1, at::kFloat);
  return at::matmul(shares.to(heads.v.scalar_type()), heads.v);
}

// LibTorch's blocked attention for the CPU, with its backward called directly: the rotation is undone in place, and q,
// k and v stay slices of one tensor in both directions.
struct PackedAttentionFunction : torch::autograd::Function<PackedAttentionFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv, const AttentionShape& shape,
                            const Rotation& rotation, const std::vector<std::int64_t>& lengths) {
    std::int64_t tokens = qkv.size(0), turned = shape.heads + shape.kv_heads;
    at::Tensor heads =
        rotate(qkv.view({tokens, turned + shape.kv_heads, shape.head_dim}), turned, rotation, false, Passes::kFused);
    at::Tensor out = at::empty({tokens, shape.heads * shape.head_dim}, qkv.options());
    variable_list saved = {heads, out, rotation.cosines, rotation.sines};
    std::int64_t first = 0;
    for (std::int64_t length : lengths) {
      Grouped document = grouped(heads.narrow(0, first, length), shape);
      auto [attended, log_sums] = at::_scaled_dot_product_flash_attention_for_cpu(document.q, document.k, document.v, 0,
                                                                                  true, {}, scale_of(shape));
      out.narrow(0, first, length).copy_(ungrouped(attended));
      saved.push_back(log_sums);
      first += length;
    }
    context->save_for_backward(saved);
    context->saved_data["shape"] = std::vector<std::int64_t>{shape.heads, shape.kv_heads, shape.head_dim};
    context->saved_data["scale"] = shape.scale;
    context->saved_data["lengths"] = lengths;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    std::vector<std::int64_t> sizes = context->saved_data["shape"].toIntVector();
    AttentionShape shape{sizes[0], sizes[1], sizes[2], context->saved_data["scale"].toDouble()};
    variable_list saved = context->get_saved_variables();
    const at::Tensor &heads = saved[0], &out = saved[1];
    std::int64_t tokens = heads.size(0), turned = shape.heads + shape.kv_heads, group = shape.heads / shape.kv_heads;
    at::Tensor d = at::empty_like(heads);
    std::int64_t first = 0;
    std::size_t next = 4;
    for (std::int64_t length : context->saved_data["lengths"].toIntVector()) {
      Grouped document = grouped(heads.narrow(0, first, length), shape);
      auto per_group = [&](const at::Tensor& x) {
        return x.narrow(0, first, length).view({length, shape.kv_heads, group, shape.head_dim}).permute({1, 2, 0, 3});
      };
      auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          per_group(gradients[0].contiguous()), document.q, document.k, document.v, per_group(out), saved[next++], 0,
          true, {}, scale_of(shape));
      at::Tensor here = d.narrow(0, first, length);
      here.narrow(1, 0, shape.heads).copy_(ungrouped(dq).view({length, shape.heads, shape.head_dim}));
      here.narrow(1, shape.heads, shape.kv_heads).copy_(dk.sum(1).permute({1, 0, 2}));
      here.narrow(1, turned, shape.kv_heads).copy_(dv.sum(1).permute({1, 0, 2}));
      first += length;
    }
    fused::rotate(d, turned, saved[2], saved[3], -1, d);  // in place: the inverse turn
    return {d.view({tokens, -1}), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor inverse_frequencies(const lora::AttentionSpec& attention) {
  if (attention.rotary_dim == 0) return at::empty({0}, at::kFloat);
  const std::vector<float> values = lora::inverse_frequencies(attention.rope, attention.rotary_dim);
  return at::tensor(values, at::kFloat);
}

Rotation rotation_at(const at::Tensor& positions, const at::Tensor& inverse_frequencies) {
  at::Tensor angles = positions.to(at::kFloat).unsqueeze(1) * inverse_frequencies.unsqueeze(0);
  return {angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)};
}

at::Tensor packed_attention(const at::Tensor& qkv, const AttentionShape& shape, const Rotation& rotation,
                            const std::vector<std::int64_t>& lengths) {
  const bool is_whole{rotated_dim(rotation) == shape.head_dim};
  if (!qkv.is_cpu() || !is_whole || shape.softcap != 0)
    return packed_attention_by_autograd(qkv, shape, rotation, lengths);
  return PackedAttentionFunction::apply(qkv, shape, rotation, lengths);
}

at::Tensor packed_attention_by_autograd(const at::Tensor& qkv, const AttentionShape& shape, const Rotation& rotation,
                                        const std::vector<std::int64_t>& lengths) {
  std::int64_t turned = shape.heads + shape.kv_heads;
  at::Tensor heads =
      rotate(qkv.view({qkv.size(0), turned + shape.kv_heads, shape.head_dim}), turned, rotation, false, Passes::kAten);
  std::vector<at::Tensor> results;
  std::int64_t first = 0;
  for (std::int64_t length : lengths) {
    Grouped document = grouped(heads.narrow(0, first, length), shape);
    results.push_back(ungrouped(
        shape.softcap != 0
            ? capped_attention(document, shape, 0)
            : at::scaled_dot_product_attention(document.q, document.k, document.v, {}, 0, true, scale_of(shape))));
    first += length;
  }
  return results.size() == 1 ? results[0] : at::cat(results);
}

at::Tensor cached_attention(const at::Tensor& qkv, const AttentionShape& shape, const Rotation& rotation,
                            at::Tensor& keys, at::Tensor& values, std::int64_t past) {
  std::int64_t tokens = qkv.size(0), turned = shape.heads + shape.kv_heads, group = shape.heads / shape.kv_heads;
  at::Tensor heads =
      rotate(qkv.view({tokens, turned + shape.kv_heads, shape.head_dim}), turned, rotation, false, passes_for(qkv));
  keys.narrow(1, past, tokens).copy_(heads.narrow(1, shape.heads, shape.kv_heads).permute({1, 0, 2}));
  values.narrow(1, past, tokens).copy_(heads.narrow(1, turned, shape.kv_heads).permute({1, 0, 2}));
  std::int64_t all = past + tokens;
  at::Tensor q =
      heads.narrow(1, 0, shape.heads).reshape({tokens, shape.kv_heads, group, shape.head_dim}).permute({1, 2, 0, 3});
  auto shared = [&](const at::Tensor& cache) {
    return cache.narrow(1, 0, all).unsqueeze(1).expand({shape.kv_heads, group, all, shape.head_dim});
  };
  if (shape.softcap != 0) return ungrouped(capped_attention({q, shared(keys), shared(values)}, shape, past));
  std::optional<at::Tensor> mask;
  if (past > 0 && tokens > 1) mask = at::ones({tokens, all}, qkv.options().dtype(at::kBool)).tril_(past);
  return ungrouped(at::scaled_dot_product_attention(q, shared(keys), shared(values), mask, 0, past == 0 && tokens > 1,
                                                    scale_of(shape)));
}

}  // namespace finetune
