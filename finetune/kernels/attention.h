// Rotary positions and causal attention with grouped queries, over packed documents or a cache.
// Tested by tests/finetune/model_test.cc and spec_test.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "finetune/kernels/elementwise.h"
#include "lora/model/spec.h"

namespace finetune {

/// lora::inverse_frequencies of the rotated dimensions in a text of `length` tokens: [rotary_dim / 2] float32; [0]
/// where none is.
at::Tensor inverse_frequencies(const lora::AttentionSpec& attention, std::int64_t length = 0);

/// `positions` [T]; angle = position * inverse frequency. None of no frequencies. `scale`: of cosines and sines.
Rotation rotation_at(const at::Tensor& positions, const at::Tensor& inverse_frequencies, double scale = 1);

/// Number of heads and their size, and what becomes of the products q k. A joined row is q | k | v: heads + 2 kv_heads
/// heads.
struct AttentionShape {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  double scale = 0;              ///< 0: 1 / sqrt(head_dim)
  double softcap = 0;            ///< softcap * tanh(product / softcap); 0: as they are
  std::int64_t window = 0;       ///< a token sees itself and window - 1 before it; 0: all before it
  std::vector<double> slopes{};  ///< of each head: slope * position of the key is added to q k; empty: nothing
};
/// What products are multiplied by.
double scale_of(const AttentionShape& shape);
/// Of a spec's attention.
AttentionShape shape_of(const lora::AttentionSpec& attention);

/// qkv [T, (heads + 2 kv_heads) head_dim] before rotation -> [T, heads head_dim]. Each of the documents of `lengths`
/// sees itself only, causally. Query head h reads key head h / (heads / kv_heads). Differentiable.
at::Tensor packed_attention(const at::Tensor& qkv, const AttentionShape& shape, const Rotation& rotation,
                            const std::vector<std::int64_t>& lengths);

/// The same by LibTorch's own autograd, on any device: what packed_attention uses where it has no faster way, and
/// what tests compare the faster way with.
at::Tensor packed_attention_by_autograd(const at::Tensor& qkv, const AttentionShape& shape, const Rotation& rotation,
                                        const std::vector<std::int64_t>& lengths);

/// Appends the keys and values of n new tokens to a cache of `past` tokens and attends to all of them.
/// `keys` and `values` [kv_heads, capacity >= past + n, head_dim] are written. No autograd.
at::Tensor cached_attention(const at::Tensor& qkv, const AttentionShape& shape, const Rotation& rotation,
                            at::Tensor& keys, at::Tensor& values, std::int64_t past);

}  // namespace finetune
