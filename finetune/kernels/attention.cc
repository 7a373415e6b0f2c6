// Attention over packed documents, or over a cache. Tested by tests/finetune/model_test.cc and spec_test.cc.
#include "finetune/kernels/attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "finetune/kernels/blocked_attention.h"
#include "finetune/kernels/fused_rows.h"
#include "finetune/kernels/one_row.h"
#include "finetune/kernels/varlen_attention.h"

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

// Queries that are computed together, and the keys that they see: all that stand before them, or those in the window.
struct Segment {
  std::int64_t first = 0, count = 0;     // of the new tokens
  std::int64_t first_key = 0, keys = 0;  // of all tokens
  bool is_causal = false;                // each query sees the keys up to its own place
  at::Tensor mask;                       // added to the products; undefined: nothing is
};

constexpr std::int64_t kRows = 512;  // of a segment that needs a mask: what bounds its size

// -infinity where a query does not see a key, and what ALiBi adds: [count, keys], or [kv_heads, group, count, keys].
at::Tensor mask_of(const Segment& segment, std::int64_t past, const AttentionShape& shape, at::Device device) {
  const at::TensorOptions options = at::TensorOptions(device).dtype(at::kFloat);
  const std::int64_t diagonal{past + segment.first - segment.first_key};
  at::Tensor hidden = at::ones({segment.count, segment.keys}, options.dtype(at::kBool)).triu(diagonal + 1);
  if (shape.window != 0) hidden = hidden.logical_or(at::ones_like(hidden).tril(diagonal - shape.window));
  const at::Tensor mask =
      at::zeros({segment.count, segment.keys}, options).masked_fill_(hidden, -std::numeric_limits<float>::infinity());
  if (shape.slopes.empty()) return mask;
  // As transformers builds them, in bfloat16, and scaled like the products.
  const at::Tensor slopes = at::tensor(shape.slopes, at::kDouble).to(device, at::kBFloat16).unsqueeze(1);
  const at::Tensor positions =
      at::arange(segment.first_key, segment.first_key + segment.keys, options.dtype(at::kLong));
  const at::Tensor added = (slopes * positions).to(at::kFloat) * scale_of(shape);
  return mask + added.view({shape.kv_heads, shape.heads / shape.kv_heads, 1, segment.keys});
}

// `tokens` new tokens behind `past`, in segments. One for all where nothing needs a mask.
std::vector<Segment> segments_of(std::int64_t tokens, std::int64_t past, const AttentionShape& shape,
                                 at::Device device) {
  const std::int64_t all{past + tokens};
  const bool is_cut{shape.window != 0 && all > shape.window};
  const bool is_plain{!is_cut && shape.slopes.empty() && shape.softcap == 0};
  if (is_plain && (past == 0 || tokens == 1)) return {{0, tokens, 0, all, tokens > 1, {}}};
  const std::int64_t rows{is_plain ? tokens : is_cut ? std::clamp<std::int64_t>(shape.window, 64, kRows) : kRows};
  std::vector<Segment> segments;
  for (std::int64_t first = 0; first < tokens; first += rows) {
    Segment segment{first, std::min(rows, tokens - first), 0, 0, false, {}};
    if (is_cut) segment.first_key = std::max<std::int64_t>(0, past + first - shape.window + 1);
    segment.keys = past + first + segment.count - segment.first_key;
    const Segment* before = segments.empty() ? nullptr : &segments.back();
    const bool alike{before && before->count == segment.count && before->keys == segment.keys && shape.slopes.empty()};
    if (segment.count > 1 || !shape.slopes.empty())
      segment.mask = alike ? before->mask : mask_of(segment, past, shape, device);
    segments.push_back(segment);
  }
  return segments;
}

// The part of q [.., tokens, ..], and of k and v, that a segment needs.
Grouped part_of(const Grouped& heads, const Segment& segment) {
  return {heads.q.narrow(2, segment.first, segment.count), heads.k.narrow(2, segment.first_key, segment.keys),
          heads.v.narrow(2, segment.first_key, segment.keys)};
}

// Attention with capped products, by ATen's operations.
at::Tensor capped_attention(const Grouped& heads, const AttentionShape& shape, const at::Tensor& mask) {
  const at::Tensor products = at::matmul(heads.q, heads.k.transpose(-2, -1)) * scale_of(shape);
  at::Tensor capped = (products / shape.softcap).tanh() * shape.softcap;  // [kv_heads, group, tokens, all]
  if (mask.defined()) capped = capped + mask;
  return at::matmul(capped.softmax(-1, at::kFloat).to(heads.v.scalar_type()), heads.v);
}

std::optional<at::Tensor> maybe(const at::Tensor& mask) { return mask.defined() ? std::optional(mask) : std::nullopt; }

at::Tensor attended(const Grouped& heads, const AttentionShape& shape, const Segment& segment) {
  if (shape.softcap != 0) return capped_attention(heads, shape, segment.mask);
  // A mask of another type is refused by kernels of CUDA, or read as if it were of this one.
  const at::Tensor mask = segment.mask.defined() ? segment.mask.to(heads.q.scalar_type()) : segment.mask;
  return at::scaled_dot_product_attention(heads.q, heads.k, heads.v, maybe(mask), 0, segment.is_causal,
                                          scale_of(shape));
}

// Gradients of q, k and v of a segment, computed again from them: what lies between takes as much memory as all
// products.
std::array<at::Tensor, 3> capped_backward(const at::Tensor& d, const Grouped& heads, const AttentionShape& shape,
                                          const at::Tensor& mask) {
  at::AutoGradMode enable(true);
  const auto leaf = [](const at::Tensor& x) { return x.detach().requires_grad_(); };
  const Grouped leaves{leaf(heads.q), leaf(heads.k), leaf(heads.v)};
  const variable_list gradients =
      torch::autograd::grad({capped_attention(leaves, shape, mask)}, {leaves.q, leaves.k, leaves.v}, {d});
  return {gradients[0], gradients[1], gradients[2]};
}

// LibTorch's blocked attention for the CPU, with its backward called directly: the rotation is undone in place, and q,
// k and v stay slices of one tensor in both directions. Capped products are computed again in the backward pass.
struct PackedAttentionFunction : torch::autograd::Function<PackedAttentionFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv, const AttentionShape& shape,
                            const Rotation& rotation, const std::vector<std::int64_t>& lengths) {
    std::int64_t tokens = qkv.size(0), turned = shape.heads + shape.kv_heads;
    at::Tensor heads =
        rotate(qkv.view({tokens, turned + shape.kv_heads, shape.head_dim}), turned, rotation, false, passes_for(qkv));
    keep_shape(context, shape, lengths);
    const bool is_blocked{blocked::handles(heads, shape)};
    if (is_blocked || varlen::handles(heads, shape)) {
      const blocked::Result result = (is_blocked ? blocked::forward : varlen::forward)(heads, shape, lengths);
      context->save_for_backward({heads, result.out, rotation.cosines, rotation.sines, result.log_sums});
      return result.out;
    }
    at::Tensor out = at::empty({tokens, shape.heads * shape.head_dim}, qkv.options());
    variable_list saved = {heads, out, rotation.cosines, rotation.sines};
    std::int64_t first = 0;
    for (std::int64_t length : lengths) {
      const Grouped document = grouped(heads.narrow(0, first, length), shape);
      for (const Segment& segment : segments_of(length, 0, shape, qkv.device())) {
        const Grouped part = part_of(document, segment);
        at::Tensor result, log_sums;
        if (shape.softcap != 0)
          result = capped_attention(part, shape, segment.mask);
        else
          std::tie(result, log_sums) = at::_scaled_dot_product_flash_attention_for_cpu(
              part.q, part.k, part.v, 0, segment.is_causal, maybe(segment.mask), scale_of(shape));
        out.narrow(0, first + segment.first, segment.count).copy_(ungrouped(result));
        saved.push_back(log_sums);
      }
      first += length;
    }
    context->save_for_backward(saved);
    return out;
  }

  static void keep_shape(AutogradContext* context, const AttentionShape& shape,
                         const std::vector<std::int64_t>& lengths) {
    context->saved_data["sizes"] = std::vector<std::int64_t>{shape.heads, shape.kv_heads, shape.head_dim, shape.window};
    context->saved_data["scale"] = shape.scale;
    context->saved_data["softcap"] = shape.softcap;
    context->saved_data["slopes"] = shape.slopes;
    context->saved_data["lengths"] = lengths;
  }

  static AttentionShape shape_of(AutogradContext* context) {
    const std::vector<std::int64_t> sizes = context->saved_data["sizes"].toIntVector();
    return {sizes[0],
            sizes[1],
            sizes[2],
            context->saved_data["scale"].toDouble(),
            context->saved_data["softcap"].toDouble(),
            sizes[3],
            context->saved_data["slopes"].toDoubleVector()};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const AttentionShape shape = shape_of(context);
    variable_list saved = context->get_saved_variables();
    const at::Tensor& heads = saved[0];
    const at::Tensor dout = gradients[0].contiguous();
    const std::vector<std::int64_t> lengths = context->saved_data["lengths"].toIntVector();
    const auto of_heads = [&] {
      if (blocked::handles(heads, shape)) return blocked::backward(dout, heads, {saved[1], saved[4]}, shape, lengths);
      if (varlen::handles(heads, shape)) return varlen::backward(dout, heads, {saved[1], saved[4]}, shape, lengths);
      return backward_by_segments(dout, saved, shape, lengths);
    };
    const at::Tensor d = of_heads();
    return {unrotated(d, shape.heads + shape.kv_heads, {saved[2], saved[3]}).view({d.size(0), -1}), at::Tensor(),
            at::Tensor(), at::Tensor()};
  }

  static at::Tensor backward_by_segments(const at::Tensor& dout, const variable_list& saved,
                                         const AttentionShape& shape, const std::vector<std::int64_t>& lengths) {
    const at::Tensor &heads = saved[0], &out = saved[1];
    const std::int64_t turned{shape.heads + shape.kv_heads}, group{shape.heads / shape.kv_heads};
    at::Tensor d = at::empty_like(heads);
    std::int64_t first = 0;
    std::size_t next = 4;
    for (std::int64_t length : lengths) {
      const Grouped document = grouped(heads.narrow(0, first, length), shape);
      const std::vector<Segment> segments = segments_of(length, 0, shape, heads.device());
      at::Tensor here = d.narrow(0, first, length);
      if (segments.size() > 1) here.narrow(1, shape.heads, 2 * shape.kv_heads).zero_();  // keys get several parts
      for (const Segment& segment : segments) {
        auto per_group = [&](const at::Tensor& x) {
          return x.narrow(0, first + segment.first, segment.count)
              .view({segment.count, shape.kv_heads, group, shape.head_dim})
              .permute({1, 2, 0, 3});
        };
        const auto [dq, dk, dv] =
            backward_of(per_group(dout), per_group(out), part_of(document, segment), segment, saved[next++], shape);
        here.narrow(0, segment.first, segment.count)
            .narrow(1, 0, shape.heads)
            .copy_(ungrouped(dq).view({segment.count, shape.heads, shape.head_dim}));
        const at::Tensor of_keys = here.narrow(0, segment.first_key, segment.keys);
        const auto put = [&](std::int64_t head, const at::Tensor& x) {
          const at::Tensor place = of_keys.narrow(1, head, shape.kv_heads), sum = x.sum(1).permute({1, 0, 2});
          segments.size() > 1 ? place.add_(sum) : place.copy_(sum);
        };
        put(shape.heads, dk);
        put(turned, dv);
      }
      first += length;
    }
    return d;
  }

  static std::array<at::Tensor, 3> backward_of(const at::Tensor& dout, const at::Tensor& out, const Grouped& part,
                                               const Segment& segment, const at::Tensor& log_sums,
                                               const AttentionShape& shape) {
    if (shape.softcap != 0) return capped_backward(dout, part, shape, segment.mask);
    auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        dout, part.q, part.k, part.v, out, log_sums, 0, segment.is_causal, maybe(segment.mask), scale_of(shape));
    return {dq, dk, dv};
  }

  // The inverse turn, in place where that is possible.
  static at::Tensor unrotated(at::Tensor d, std::int64_t turned, const Rotation& rotation) {
    if (!d.is_cpu() || rotated_dim(rotation) == 0) return rotate(d, turned, rotation, true, Passes::kAten);
    fused::rotate(d, turned, rotation.cosines, rotation.sines, -1, d);
    return d;
  }
};

}  // namespace

double scale_of(const AttentionShape& shape) {
  return shape.scale == 0 ? 1 / std::sqrt(static_cast<double>(shape.head_dim)) : shape.scale;
}

at::Tensor inverse_frequencies(const lora::AttentionSpec& attention, std::int64_t length) {
  if (attention.rotary_dim == 0) return at::empty({0}, at::kFloat);
  const std::vector<float> values = lora::inverse_frequencies(attention.rope, attention.rotary_dim, length);
  return at::tensor(values, at::kFloat);
}

Rotation rotation_at(const at::Tensor& positions, const at::Tensor& inverse_frequencies, double scale) {
  at::Tensor angles = positions.to(at::kFloat).unsqueeze(1) * inverse_frequencies.unsqueeze(0);
  if (scale == 1) return {angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)};
  return {angles.cos().mul_(scale).unsqueeze(1), angles.sin().mul_(scale).unsqueeze(1)};
}

AttentionShape shape_of(const lora::AttentionSpec& attention) {
  return {attention.heads,   attention.kv_heads, attention.head_dim, attention.scale,
          attention.softcap, attention.window,   attention.slopes};
}

at::Tensor packed_attention(const at::Tensor& qkv, const AttentionShape& shape, const Rotation& rotation,
                            const std::vector<std::int64_t>& lengths) {
  if (!qkv.is_cpu() && shape.softcap == 0 && !varlen::handles(qkv, shape))
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
    const Grouped document = grouped(heads.narrow(0, first, length), shape);
    for (const Segment& segment : segments_of(length, 0, shape, qkv.device()))
      results.push_back(ungrouped(attended(part_of(document, segment), shape, segment)));
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
  if (tokens == 1 && qkv.is_cpu()) return one_row::attention(heads.narrow(1, 0, shape.heads), keys, values, all, shape);
  at::Tensor q =
      heads.narrow(1, 0, shape.heads).reshape({tokens, shape.kv_heads, group, shape.head_dim}).permute({1, 2, 0, 3});
  auto shared = [&](const at::Tensor& cache) {
    return cache.narrow(1, 0, all).unsqueeze(1).expand({shape.kv_heads, group, all, shape.head_dim});
  };
  const Grouped together{q, shared(keys), shared(values)};
  std::vector<at::Tensor> results;
  for (const Segment& segment : segments_of(tokens, past, shape, qkv.device()))
    results.push_back(ungrouped(attended(part_of(together, segment), shape, segment)));
  return results.size() == 1 ? results[0] : at::cat(results);
}

}  // namespace finetune
