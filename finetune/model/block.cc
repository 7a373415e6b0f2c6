// One block of a decoder. Tested by tests/finetune/spec_test.cc and parity_test.cc.
#include "finetune/model/block.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "finetune/kernels/activation.h"

namespace finetune {
namespace {

// The norm of q or k in `heads` heads [T, heads head_dim]: of each head, or of them all together.
at::Tensor normed(const at::Tensor& x, const Norm& norm) {
  return norm(x.reshape({-1, norm.weight.size(0)}).contiguous()).view(x.sizes());
}

// residual + norm(product(x)), with the sum inside the product where there is no norm.
at::Tensor added(const JoinedLinear& product, const at::Tensor& x, const Norm& norm, const at::Tensor& residual,
                 const Draws& draws, const Recipe* again = nullptr) {
  if (!norm) return product.forward(x, residual, draws, again);
  return residual + norm(product.forward(x, {}, draws, again));
}

// What chooses experts is small, and a token sent elsewhere is another function.
bool chooses(lora::Role role) { return role == lora::Role::kRouter || role == lora::Role::kSharedGate; }

JoinedLinear load_product(const lora::ModelFiles& files, std::span<const lora::LinearSpec> linears,
                          const at::TensorOptions& options, Quantization quantization, std::int64_t& index) {
  JoinedLinear product;
  std::vector<std::string> names;
  std::vector<at::Tensor> biases;
  bool has_bias = false;
  for (const lora::LinearSpec& linear : linears) {
    Linear& part = product.parts.emplace_back();
    part.name = linear.name;
    part.index = index++;
    part.in = linear.in;
    part.out = linear.out;
    part.has_bias = linear.bias;
    names.push_back(linear.name + ".weight");
    biases.push_back(linear.bias ? load_tensor(files, linear.name + ".bias", options)
                                 : at::zeros({linear.out}, options));
    has_bias |= linear.bias;
  }
  const bool stays{chooses(linears[0].role) && quantization != Quantization::kKeep};
  const auto weight = load_matrix(files, names, options, stays ? Quantization::kNone : quantization);
  // Attention turns q and k into a tensor of its own, and that stays.
  if (linears[0].role == lora::Role::kQuery) weight->let_results_pass();
  product.weight = weight;
  if (has_bias) product.bias = at::cat(biases);
  return product;
}

}  // namespace

Norm load_norm(const lora::ModelFiles& files, const lora::NormSpec& spec, const at::TensorOptions& options) {
  Norm norm;
  norm.kind = spec.kind;
  norm.eps = files.config().rms_norm_eps;
  norm.name = spec.name;
  if (!norm) return norm;
  const bool plus_one{spec.kind == lora::NormKind::kRmsPlusOne};
  norm.weight = load_tensor(files, spec.name + ".weight", options);
  if (plus_one) norm.weight = norm.weight.to(at::kFloat).add_(1);
  if (spec.kind == lora::NormKind::kLayer) norm.bias = load_tensor(files, spec.name + ".bias", options);
  return norm;
}

Block::Block(const lora::ModelFiles& files, const lora::BlockSpec& spec, const at::TensorOptions& options,
             Quantization quantization, std::int64_t& index)
    : attention_norm_(load_norm(files, spec.attention_norm, options)),
      attention_post_norm_(load_norm(files, spec.attention_post_norm, options)),
      mlp_norm_(load_norm(files, spec.mlp_norm, options)),
      mlp_post_norm_(load_norm(files, spec.mlp_post_norm, options)),
      q_norm_(load_norm(files, spec.attention.q_norm, options)),
      k_norm_(load_norm(files, spec.attention.k_norm, options)),
      shape_(shape_of(spec.attention)),
      mlp_(spec.mlp),
      parallel_(spec.parallel) {
  for (const std::span<const lora::LinearSpec> linears : lora::products_of(spec))
    products_.push_back(load_product(files, linears, options, quantization, index));
  grouped_ = spec.linears[0].rows == lora::Rows::kQkvPerKeyHead && spec.attention.kv_heads > 1;
}

std::vector<at::Tensor> Block::leaves() const {
  std::vector<at::Tensor> leaves;
  const auto add = [&](const at::Tensor& tensor) {
    if (tensor.defined() && tensor.requires_grad()) leaves.push_back(tensor);
  };
  for (const JoinedLinear& product : products_)
    for (const Linear& part : product.parts)
      for (const at::Tensor* tensor : {&part.lora_a, &part.lora_b, &part.magnitude, &part.weight, &part.bias})
        add(*tensor);
  for (const Norm* norm : {&attention_norm_, &attention_post_norm_, &mlp_norm_, &mlp_post_norm_, &q_norm_, &k_norm_})
    add(norm->weight), add(norm->bias);
  return leaves;
}

at::Tensor Block::in_order(const at::Tensor& qkv) const {
  if (!grouped_) return qkv;
  const std::int64_t queries{shape_.heads / shape_.kv_heads};
  const at::Tensor groups = qkv.view({qkv.size(0), shape_.kv_heads, queries + 2, shape_.head_dim});
  const auto part = [&](std::int64_t first, std::int64_t count) {
    return groups.narrow(2, first, count).reshape({qkv.size(0), -1});
  };
  return at::cat({part(0, queries), part(queries, 1), part(queries + 1, 1)}, 1);
}

at::Tensor Block::with_normed_heads(const at::Tensor& qkv) const {
  if (!q_norm_ && !k_norm_) return qkv;
  const std::int64_t query{shape_.heads * shape_.head_dim}, key{shape_.kv_heads * shape_.head_dim};
  at::Tensor q = qkv.narrow(1, 0, query), k = qkv.narrow(1, query, key);
  if (q_norm_) q = normed(q, q_norm_);
  if (k_norm_) k = normed(k, k_norm_);
  return at::cat({q, k, qkv.narrow(1, query + key, key)}, 1);
}

at::Tensor Block::forward(const at::Tensor& x, const Draws& draws, const Attend& attend, RouterShares* shares) const {
  const at::Tensor read = attention_norm_(x);  // [T, hidden]
  const Recipe read_again{x, attention_norm_};
  const at::Tensor qkv =
      with_normed_heads(in_order(products_[0].forward(read, {}, draws, &read_again)));         // [T, q | k | v]
  const at::Tensor middle = added(products_[1], attend(qkv), attention_post_norm_, x, draws);  // [T, hidden]
  const bool shares_input{parallel_ && !mlp_norm_};
  const Recipe mlp_read_again{parallel_ ? x : middle, shares_input ? attention_norm_ : mlp_norm_};
  const at::Tensor mlp_read = shares_input ? read : mlp_norm_(mlp_read_again.source);  // [T, hidden]
  const auto mlp = std::span(products_).subspan(2);
  if (mlp_.experts != 0) return middle + mlp_post_norm_(routed(mlp, mlp_, mlp_read, draws, shares));
  const at::Tensor gate_up = mlp[0].forward(mlp_read, {}, draws, &mlp_read_again);  // [T, gate | up]
  const Recipe inner_again{gate_up, [this](const at::Tensor& again) { return activate(again, mlp_); }};
  return added(mlp[1], activate(gate_up, mlp_), mlp_post_norm_, middle, draws, &inner_again);  // [T, hidden]
}

}  // namespace finetune
