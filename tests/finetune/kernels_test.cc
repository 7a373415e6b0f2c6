// Our own passes over CPU memory against the same in ATen's operations, at sizes where their tiles end.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <numeric>
#include <tuple>

#include "finetune/kernels/activation.h"
#include "finetune/kernels/amx_products.h"
#include "finetune/kernels/attention.h"
#include "finetune/kernels/blocked_attention.h"
#include "finetune/kernels/device.h"
#include "finetune/kernels/fused_rows.h"
#include "finetune/kernels/low_rank.h"
#include "finetune/kernels/one_row.h"
#include "finetune/kernels/products.h"
#include "finetune/kernels/tiles.h"
#include "finetune/model/loss.h"
#include "finetune/weights/frozen_matrix.h"
#include "finetune/weights/quantized_matrix.h"
#include "finetune/weights/quantized_rows.h"
#include "tests/finetune/tiny_llama.h"

namespace {

at::Tensor product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& added = {}) {
  return finetune::DenseMatrix(w).apply(x, added);
}

namespace low_rank = finetune::low_rank;
using finetune::AttentionShape;
using tiny_llama::relative;
using Lengths = std::vector<std::int64_t>;

struct Attention {
  at::Tensor out, gradient;
};

// In double numbers, each head by itself with a mask: what attention is.
Attention plain_attention(const at::Tensor& heads, const at::Tensor& dout, const AttentionShape& shape,
                          const Lengths& lengths) {
  const at::Tensor all = heads.to(at::kDouble).detach().requires_grad_();
  std::vector<at::Tensor> documents;
  std::int64_t first = 0;
  for (const std::int64_t length : lengths) {
    at::Tensor seen = at::ones({length, length}, at::kBool).tril();
    if (shape.window != 0) seen = seen.logical_and(at::ones({length, length}, at::kBool).triu(1 - shape.window));
    std::vector<at::Tensor> parts;
    for (std::int64_t head = 0; head < shape.heads; ++head) {
      const std::int64_t key{shape.heads + head / (shape.heads / shape.kv_heads)};
      const auto part = [&](std::int64_t i) { return all.narrow(0, first, length).select(1, i); };
      const double scale{shape.scale == 0 ? 1 / std::sqrt(static_cast<double>(shape.head_dim)) : shape.scale};
      const at::Tensor products = part(head).mm(part(key).t()) * scale;
      parts.push_back(products.masked_fill(seen.logical_not(), -1e300).softmax(1).mm(part(key + shape.kv_heads)));
    }
    documents.push_back(at::cat(parts, 1));
    first += length;
  }
  const at::Tensor out = at::cat(documents);
  (out * dout.to(at::kDouble)).sum().backward();
  return {out.detach(), all.grad()};
}

Attention blocked_attention(const at::Tensor& heads, const at::Tensor& dout, const AttentionShape& shape,
                            const Lengths& lengths) {
  const finetune::blocked::Result result = finetune::blocked::forward(heads, shape, lengths);
  return {result.out, finetune::blocked::backward(dout, heads, result, shape, lengths)};
}

AttentionShape shaped(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim, std::int64_t window = 0) {
  AttentionShape shape;
  shape.heads = heads;
  shape.kv_heads = kv_heads;
  shape.head_dim = head_dim;
  shape.window = window;
  return shape;
}

// Largest differences, of what comes out and of gradients, over shapes and lengths.
struct Differences {
  double out = 0, gradient = 0;
};
Differences differences(at::ScalarType type) {
  const std::vector<AttentionShape> shapes = {shaped(9, 3, 64),      shaped(4, 4, 16),    shaped(14, 2, 64),
                                              shaped(8, 1, 128, 50), shaped(6, 2, 80, 1), shaped(32, 1, 6, 100)};
  const std::vector<Lengths> packed = {{1}, {2, 1, 31}, {65, 130}, {300, 17}};
  Differences found;
  at::manual_seed(11);
  for (const AttentionShape& shape : shapes)
    for (const Lengths& lengths : packed) {
      const std::int64_t tokens{std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0})};
      const at::Tensor heads = at::randn({tokens, shape.heads + 2 * shape.kv_heads, shape.head_dim}).mul_(1.5).to(type);
      const at::Tensor dout = at::randn({tokens, shape.heads * shape.head_dim}).to(type);
      EXPECT_TRUE(finetune::blocked::handles(heads, shape));
      const Attention ours = blocked_attention(heads, dout, shape, lengths);
      const Attention plain = plain_attention(heads, dout, shape, lengths);
      found.out = std::max(found.out, relative(ours.out, plain.out));
      found.gradient = std::max(found.gradient, relative(ours.gradient, plain.gradient));
    }
  return found;
}

TEST(BlockedAttention, IsAttentionInFloat32) {
  const Differences found = differences(at::kFloat);
  EXPECT_LT(found.out, 2e-6);
  EXPECT_LT(found.gradient, 2e-6);
}

TEST(BlockedAttention, IsAttentionInBfloat16) {
  const Differences found = differences(at::kBFloat16);
  EXPECT_LT(found.out, 5e-3);  // bfloat16 keeps eight bits: 2e-3 by itself
  EXPECT_LT(found.gradient, 1e-2);
}

// Every way through the products: one row, a few, tiles; pieces of w and less than one.
template <class F>
void for_each_product(F f) {
  at::manual_seed(11);
  for (const std::int64_t tokens : {1, 5, 33, 200})
    for (const auto& [out, in] : {std::pair{7, 24}, {300, 64}, {130, 1100}}) f(tokens, at::randn({out, in}) * 0.1);
}

TEST(Products, SixteenBitsOfWeightsAreComputedWithAsFloat32) {
  for_each_product([](std::int64_t tokens, const at::Tensor& all) {
    const at::Tensor x = at::randn({tokens, all.size(1)}), dy = at::randn({tokens, all.size(0)});
    for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
      const finetune::DenseMatrix kept(all.to(type), at::kFloat), wide(all.to(type).to(at::kFloat));
      const double bound{finetune::amx::handles(x, all.to(type)) ? 1e-6 : 0};  // as exact, in another order
      EXPECT_LE(relative(kept.apply(x, dy), wide.apply(x, dy)), bound);
      EXPECT_LE(relative(kept.apply_transposed(dy), wide.apply_transposed(dy)), bound);
      const at::Tensor numbers = at::tensor(std::vector<std::int64_t>{6, 0, 6});
      EXPECT_TRUE(at::equal(kept.rows(numbers), wide.rows(numbers)));
    }
  });
}

// Infinity, no number, the smallest and the largest ones, zero with either sign.
TEST(Products, EveryNumberOf16BitsIsWidenedAsItIs) {
  const at::Tensor bits = at::arange(-32768, 32768, at::kShort).view({-1, 1});  // [65536, 1]
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor numbers = bits.view(type), wide = numbers.to(at::kFloat);
    for (const std::int64_t tokens : {1, 40}) {  // a row's own sums, and tiles
      const at::Tensor w = numbers.repeat({1, 16}), one = at::zeros({tokens, 16});
      one.narrow(1, 3, 1).fill_(1);
      const at::Tensor finite = wide.isfinite().squeeze(1);  // zero times others is no number
      const at::Tensor y = finetune::DenseMatrix(w, at::kFloat).apply(one);
      const double least{finetune::amx::handles(one, w) ? 0x1p-126 : 0};  // below, nothing is left
      const at::Tensor expected = at::where(wide.abs().lt(least), 0, wide).squeeze(1);
      EXPECT_TRUE(at::equal(y[0].masked_select(finite), expected.masked_select(finite))) << type << tokens;
      const at::Tensor all = finetune::DenseMatrix(numbers.contiguous(), at::kFloat).apply(at::ones({tokens, 1}));
      EXPECT_TRUE(at::allclose(all[0], wide.squeeze(1), 0, 0, true)) << type << tokens;
    }
  }
}

TEST(Products, Bfloat16IsFloat32RoundedOnce) {
  for_each_product([](std::int64_t tokens, const at::Tensor& all) {
    const auto narrow = [](const at::Tensor& x) { return x.to(at::kBFloat16); };
    const at::Tensor x = narrow(at::randn({tokens, all.size(1)})), dy = narrow(at::randn({tokens, all.size(0)}));
    const finetune::DenseMatrix matrix(narrow(all));
    const at::Tensor wide = narrow(all).to(at::kDouble);
    EXPECT_LT(relative(matrix.apply(x, dy), x.to(at::kDouble).matmul(wide.t()) + dy), 3e-3);
    EXPECT_LT(relative(matrix.apply_transposed(dy), dy.to(at::kDouble).matmul(wide)), 3e-3);
    EXPECT_EQ(matrix.apply(x).scalar_type(), at::kBFloat16);
    const at::Tensor b = narrow(at::randn({all.size(1), 16}));
    const at::Tensor low = finetune::low_rank::product(x, b), expected = x.to(at::kDouble).matmul(b.to(at::kDouble));
    EXPECT_LT(relative(low, expected), 3e-3);
    finetune::low_rank::add_product(low, x, b);
    EXPECT_LT(relative(low, 2 * expected), 6e-3);
    EXPECT_LT(
        relative(finetune::low_rank::product_over_rows(low, x), low.to(at::kDouble).t().matmul(x.to(at::kDouble))),
        3e-3);
  });
}

// On the device of the tests: on a GPU LibTorch's flash attention, with a window too.
TEST(PackedAttention, IsAttentionInBfloat16OnEveryDevice) {
  for (const std::int64_t window : {0, 7}) {
    const AttentionShape shape = shaped(4, 2, 16, window);
    const Lengths lengths = {40, 1, 30};
    at::manual_seed(5);
    const at::Tensor heads = at::randn({71, 8, 16}).to(at::kBFloat16), dout = at::randn({71, 64}).to(at::kBFloat16);
    const Attention expected = plain_attention(heads, dout, shape, lengths);
    const auto attend = [&] {
      const at::Tensor qkv = heads.view({71, -1}).to(tiny_llama::device()).detach().requires_grad_();
      const finetune::Rotation none{at::empty({71, 1, 0}, qkv.options().dtype(at::kFloat)),
                                    at::empty({71, 1, 0}, qkv.options().dtype(at::kFloat))};
      const at::Tensor out = finetune::packed_attention(qkv, shape, none, lengths);
      out.backward(dout.to(tiny_llama::device()));
      return Attention{out.detach().cpu(), qkv.grad().cpu()};
    };
    const Attention found = attend(), again = attend();
    EXPECT_LT(relative(found.out, expected.out.view({71, -1})), 1e-2) << window;
    EXPECT_LT(relative(found.gradient, expected.gradient.view({71, -1})), 2e-2) << window;
    EXPECT_TRUE(at::equal(found.gradient, again.gradient)) << "not the same bytes";
  }
}

// New tokens behind a cache: a second question in a chat.
TEST(CachedAttention, GoesOnInBfloat16AsAttentionOfAll) {
  const AttentionShape shape = shaped(4, 2, 16);
  at::manual_seed(6);
  const at::Tensor qkv = at::randn({20, 128}).to(tiny_llama::device(), at::kBFloat16);
  const auto none = [&](std::int64_t tokens) {
    const at::Tensor empty = at::empty({tokens, 1, 0}, qkv.options().dtype(at::kFloat));
    return finetune::Rotation{empty, empty};
  };
  at::Tensor keys = at::zeros({2, 32, 16}, qkv.options()), values = at::zeros({2, 32, 16}, qkv.options());
  const at::NoGradGuard no_gradient;
  const at::Tensor first = finetune::cached_attention(qkv.narrow(0, 0, 12), shape, none(12), keys, values, 0),
                   second = finetune::cached_attention(qkv.narrow(0, 12, 8), shape, none(8), keys, values, 12);
  EXPECT_LT(relative(at::cat({first, second}), finetune::packed_attention(qkv, shape, none(20), {20})), 1e-2);
}

TEST(BlockedAttention, TakesNoPartInWhatItCannotCompute) {
  at::Tensor heads = at::zeros({4, 6, 8});
  AttentionShape shape = shaped(2, 2, 8);
  EXPECT_TRUE(finetune::blocked::handles(heads, shape));
  EXPECT_FALSE(finetune::blocked::handles(heads.to(at::kDouble), shape));
  shape.softcap = 30;
  EXPECT_FALSE(finetune::blocked::handles(heads, shape));
  shape.softcap = 0;
  shape.slopes = {0.5, 0.25};
  EXPECT_FALSE(finetune::blocked::handles(heads, shape));
}

// What stands behind a document, or before its window, is not read even where it is no number.
TEST(BlockedAttention, DocumentsDoNotTouch) {
  const AttentionShape shape = shaped(2, 1, 8, 5);
  at::manual_seed(3);
  const at::Tensor heads = at::randn({70, 4, 8}), dout = at::randn({70, 16});
  const Attention clean = blocked_attention(heads, dout, shape, {33, 37});
  at::Tensor spoiled = heads.clone();
  spoiled.narrow(0, 0, 33).fill_(std::numeric_limits<float>::quiet_NaN());
  const Attention found = blocked_attention(spoiled, dout, shape, {33, 37});
  EXPECT_TRUE(at::equal(found.out.narrow(0, 33, 37), clean.out.narrow(0, 33, 37)));
  EXPECT_TRUE(at::equal(found.gradient.narrow(0, 33, 37), clean.gradient.narrow(0, 33, 37)));
}

// Runs f with one to four threads, which must all give the same bytes.
template <class F>
void expect_same_on_all_threads(F f) {
  const int before{at::get_num_threads()};
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2, 3, 4}) {
    at::set_num_threads(threads);
    results.push_back(f());
  }
  at::set_num_threads(before);
  for (const at::Tensor& result : results) EXPECT_TRUE(at::equal(result, results[0]));
}

TEST(BlockedAttention, ThreadsDoNotShow) {
  const AttentionShape shape = shaped(6, 2, 16);
  at::manual_seed(5);
  const at::Tensor heads = at::randn({500, 10, 16}), dout = at::randn({500, 96});
  expect_same_on_all_threads([&] {
    const Attention found = blocked_attention(heads, dout, shape, {300, 150, 50});
    return at::cat({found.out.flatten(), found.gradient.flatten()});
  });
}

// ATen's own are cut by the number of threads, and the last numbers of a part are computed otherwise.
TEST(Activations, ThreadsDoNotShow) {
  using Kind = lora::Activation;
  for (const bool gated : {true, false})
    for (const Kind kind : {Kind::kSilu, Kind::kGelu, Kind::kGeluTanh, Kind::kRelu})
      for (const auto& [rows, n, type] : {std::tuple(301, 1003, at::kFloat), std::tuple(301, 1003, at::kBFloat16),
                                          std::tuple(35, 1003, at::kFloat), std::tuple(2, 40003, at::kFloat)}) {
        lora::MlpSpec mlp;
        mlp.gated = gated, mlp.activation = kind;
        at::manual_seed(5);
        const at::Tensor numbers = at::randn({rows, gated ? 2 * n : n}).to(type), dy = at::randn({rows, n}).to(type);
        expect_same_on_all_threads([&] {
          const at::Tensor x = numbers.clone().requires_grad_(), y = finetune::activate(x, mlp);
          (y * dy).sum().backward();
          return at::cat({y.detach().flatten(), x.grad().flatten()});
        });
      }
}

TEST(Products, AreProducts) {
  at::manual_seed(1);
  for (const std::int64_t rows : {1, 2, 31, 32, 33, 127, 128, 300})
    for (const auto& [in, out] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{16, 16}, {576, 40}, {513, 2100}, {1100, 70}}) {
      const at::Tensor x = at::randn({rows, in}), w = at::randn({out, in}), dy = at::randn({rows, out});
      const at::Tensor exact = x.to(at::kDouble).mm(w.to(at::kDouble).t());
      EXPECT_LT(relative(product(x, w), exact), 1e-6);
      EXPECT_LT(relative(finetune::product_transposed(dy, w), dy.to(at::kDouble).mm(w.to(at::kDouble))), 1e-6);
      const at::Tensor bias = at::randn({out}), residual = at::randn({rows, out});
      EXPECT_LT(relative(product(x, w, bias), exact + bias), 1e-6);
      EXPECT_LT(relative(product(x, w, residual), exact + residual), 1e-6);
      EXPECT_LT(relative(product(x.to(at::kBFloat16), w.to(at::kBFloat16)), exact), 1e-2);
    }
}

// As exact as float32's own, whose weights are kept in 16 bits: by three products of bfloat16 where the processor has
// tiles of it.
TEST(Products, OfFloat32WithWeightsIn16BitsLoseNothing) {
  at::manual_seed(2);
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf})
    for (const std::int64_t rows : {31, 32, 33, 300, 700})
      for (const auto& [in, out] : std::vector<std::pair<std::int64_t, std::int64_t>>{
               {16, 16}, {578, 40}, {513, 2100}, {1100, 70}, {64, 5000}}) {
        // Numbers of all sizes in a sum.
        const at::Tensor sizes = at::randn({in}).mul_(3).exp_();
        const at::Tensor x = at::randn({rows, in}) * sizes, w = at::randn({out, in}).to(type),
                         dy = at::randn({rows, out});
        const at::Tensor wide = w.to(at::kDouble), bias = at::randn({out}), residual = at::randn({rows, out});
        const at::Tensor exact = x.to(at::kDouble).mm(wide.t());
        EXPECT_LT(relative(product(x, w), exact), 1e-6) << rows << " x " << in << " x " << out;
        EXPECT_LT(relative(product(x, w, bias), exact + bias), 1e-6);
        EXPECT_LT(relative(product(x, w, residual), exact + residual), 1e-6);
        EXPECT_LT(relative(finetune::product_transposed(dy, w), dy.to(at::kDouble).mm(wide)), 1e-6);
      }
}

TEST(Products, WithWeightsIn16BitsKeepWhatIsNoNumberInItsRow) {
  const at::Tensor w = at::ones({64, 64}).to(at::kBFloat16);
  at::Tensor x = at::full({40, 64}, 0x1.fffffep+100F);
  x[3][5] = std::numeric_limits<float>::infinity();
  x[4][6] = std::numeric_limits<float>::quiet_NaN();
  for (const at::Tensor& y : {product(x, w), finetune::product_transposed(x, w)}) {
    EXPECT_FALSE(y.narrow(0, 3, 2).isfinite().any().item<bool>());
    EXPECT_TRUE(y.narrow(0, 0, 3).isfinite().all().item<bool>());
    EXPECT_TRUE(y.narrow(0, 5, 35).eq(0x1.fffffep+106F).all().item<bool>());
  }
}

// A row's numbers are those of float32 sums that are rounded once.
TEST(Products, OfOneRowInBfloat16RoundOnce) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({1, 513}).to(at::kBFloat16), w = at::randn({2100, 513}).to(at::kBFloat16),
                   bias = at::randn({2100}).to(at::kBFloat16);
  const at::Tensor exact = x.to(at::kDouble).mm(w.to(at::kDouble).t()) + bias;
  EXPECT_LT(relative(product(x, w, bias), exact), relative(exact.to(at::kBFloat16), exact) * 1.001);
}

// One new token behind others sees what the last of many rows sees.
TEST(OneRow, AttendsAsTheLastOfManyRows) {
  at::manual_seed(6);
  for (const std::int64_t window : {0, 70})
    for (const std::int64_t head_dim : {16, 80}) {
      const AttentionShape shape = shaped(6, 2, head_dim, window);
      const at::Tensor heads = at::randn({300, 10, head_dim});
      const at::Tensor expected =
          plain_attention(heads, at::zeros({300, 6 * head_dim}), shape, {300}).out.narrow(0, 299, 1);
      const auto cache = [&](std::int64_t first) {
        at::Tensor room = at::full({2, 310, head_dim}, 9.0);
        room.narrow(1, 0, 300).copy_(heads.narrow(1, first, 2).permute({1, 0, 2}));
        return room;
      };
      const at::Tensor q = heads.narrow(0, 299, 1).narrow(1, 0, 6);
      EXPECT_LT(relative(finetune::one_row::attention(q, cache(6), cache(8), 300, shape), expected), 1e-6);
      const auto narrow = [](const at::Tensor& x) { return x.to(at::kBFloat16); };
      EXPECT_LT(
          relative(finetune::one_row::attention(narrow(q), narrow(cache(6)), narrow(cache(8)), 300, shape), expected),
          1e-2);
      expect_same_on_all_threads([&] { return finetune::one_row::attention(q, cache(6), cache(8), 300, shape); });
    }
}

// Rounded once, and what is added to before that too; nothing beside y is touched.
void expect_bfloat16_products(const at::Tensor& x, const at::Tensor& low, const at::Tensor& up) {
  const auto wide = [](const at::Tensor& some) { return some.to(at::kDouble); };
  const std::int64_t rows{low.size(0)}, out{up.size(1)};
  const at::Tensor sums = low_rank::product_over_rows(low, x);
  EXPECT_EQ(sums.scalar_type(), at::kFloat);
  EXPECT_LT(relative(sums, wide(low).t().mm(wide(x))), finetune::has_tiles() ? 5e-6 : 2e-2);
  const at::Tensor all = at::randn({rows, out + 9}).to(at::kBFloat16), before = all.clone(), y = all.narrow(1, 4, out);
  const at::Tensor expected = wide(low).mm(wide(up));
  low_rank::add_product(y, low, up);
  EXPECT_LT(relative(y, wide(before.narrow(1, 4, out)) + expected), 1e-2)
      << rows << " x " << low.size(1) << " x " << out;
  low_rank::product_into(y, low, up);
  EXPECT_LT(relative(y, expected), relative(expected.to(at::kBFloat16), expected) * 1.01 + 1e-9);
  EXPECT_TRUE(at::equal(all.narrow(1, 0, 4), before.narrow(1, 0, 4)));
  EXPECT_TRUE(at::equal(all.narrow(1, out + 4, 5), before.narrow(1, out + 4, 5)));
}

// Operands and results as parts of wider tensors, as those of a joined layer are.
TEST(LowRankProducts, AreProducts) {
  at::manual_seed(5);
  const auto part = [](std::int64_t rows, std::int64_t columns) {
    return at::randn({rows, columns + 7}).narrow(1, 3, columns);
  };
  const auto wide = [](const at::Tensor& x) { return x.to(at::kDouble); };
  for (const std::int64_t rows : {1, 3, 127, 512, 700, 1100})
    for (const std::int64_t rank : {1, 5, 16, 48})
      for (const std::int64_t out : {1, 40, 300, 1537}) {
        const at::Tensor x = part(rows, out), down = part(out, rank), low = part(rows, rank), up = part(rank, out);
        EXPECT_LT(relative(low_rank::product(x, down), wide(x).mm(wide(down))), 5e-6);  // one number may be small
        EXPECT_LT(relative(low_rank::product(low, up), wide(low).mm(wide(up))), 1e-6);
        EXPECT_LT(relative(low_rank::product_over_rows(low, x), wide(low).t().mm(wide(x))), 1e-6);
        const at::Tensor all = at::randn({rows, out + 9}), before = all.clone(), y = all.narrow(1, 4, out);
        low_rank::add_product(y, low, up);
        EXPECT_LT(relative(y, wide(before.narrow(1, 4, out)) + wide(low).mm(wide(up))), 1e-6);
        low_rank::product_into(y, low, up);
        EXPECT_LT(relative(y, wide(low).mm(wide(up))), 1e-6);
        EXPECT_TRUE(at::equal(all.narrow(1, 0, 4), before.narrow(1, 0, 4)));
        EXPECT_TRUE(at::equal(all.narrow(1, out + 4, 5), before.narrow(1, out + 4, 5)));
        const auto narrow = [](const at::Tensor& some) { return some.to(at::kBFloat16); };
        EXPECT_LT(relative(low_rank::product_over_rows(narrow(low), narrow(x)), wide(low).t().mm(wide(x))), 2e-2);
      }
  EXPECT_TRUE(at::equal(low_rank::product_over_rows(at::empty({0, 4}), at::empty({0, 9})), at::zeros({4, 9})));
}

TEST(LowRankProducts, AreProductsInBfloat16) {
  at::manual_seed(5);
  const auto part = [](std::int64_t rows, std::int64_t columns) {
    return at::randn({rows, columns + 7}).to(at::kBFloat16).narrow(1, 3, columns);
  };
  for (const std::int64_t rows : {1, 3, 127, 512, 700, 1100})
    for (const std::int64_t rank : {1, 5, 16, 48})
      for (const std::int64_t out : {1, 40, 300, 1537})
        expect_bfloat16_products(part(rows, out), part(rows, rank), part(rank, out));
}

TEST(LowRankProducts, ThreadsDoNotShow) {
  at::manual_seed(6);
  const at::Tensor x = at::randn({700, 300}), low = at::randn({700, 16}), up = at::randn({16, 300});
  expect_same_on_all_threads([&] { return low_rank::product(x, up.t().contiguous()); });
  expect_same_on_all_threads([&] { return low_rank::product(low, up); });
  expect_same_on_all_threads([&] { return low_rank::product_over_rows(low, x); });
}

// Of several row parts and blocks of depth; rows of part of a tensor.
TEST(Products, ThreadsDoNotShowInBfloat16) {
  if (!finetune::products_hide_threads(at::kBFloat16)) return;  // ATen's, of which nothing is said
  at::manual_seed(7);
  const auto random = [](std::int64_t rows, std::int64_t columns) {
    return at::randn({rows, columns}).to(at::kBFloat16);
  };
  const at::Tensor x = random(700, 1100), w = random(2110, 1100), dy = random(700, 2110), low = random(701, 48);
  for (const std::int64_t rows : {1, 2, 31, 700}) {
    expect_same_on_all_threads([&] { return product(x.narrow(0, 0, rows), w, dy.narrow(0, 0, rows)); });
    expect_same_on_all_threads([&] { return finetune::product_transposed(dy.narrow(0, 0, rows), w); });
  }
  expect_same_on_all_threads([&] { return low_rank::product(dy, random(2110, 16).fill_(0.3)); });
  expect_same_on_all_threads([&] { return low_rank::product(low.narrow(1, 16, 16), w.narrow(0, 0, 16)); });
  expect_same_on_all_threads([&] { return low_rank::product_over_rows(low.narrow(0, 0, 700), x); });
  expect_same_on_all_threads([&] { return low_rank::product_over_rows(low, w.narrow(0, 0, 701)); });
  expect_same_on_all_threads([&] {
    const at::Tensor wide = dy.clone();
    low_rank::add_product(wide.narrow(1, 10, 1100), x.narrow(1, 0, 16), w.narrow(0, 0, 16));
    low_rank::add_product(wide.narrow(1, 10, 1100), dy.narrow(1, 0, 700), w.narrow(0, 0, 700));
    return wide;
  });
  // Expanded in pieces, of a number of rows that would be odd.
  const auto rows = std::make_shared<finetune::DenseRows>(w.to(at::kFloat));
  const finetune::QuantizedMatrix pieces({rows}, at::kBFloat16, 1101 * 7);
  expect_same_on_all_threads([&] { return pieces.apply(x); });
  expect_same_on_all_threads([&] { return pieces.apply_transposed(dy); });
}

TEST(Products, ThreadsDoNotShow) {
  at::manual_seed(2);
  const at::Tensor x = at::randn({200, 300}), w = at::randn({2100, 300});
  expect_same_on_all_threads([&] { return product(x, w); });
  for (const std::int64_t few : {1, 2, 31}) {
    expect_same_on_all_threads([&] { return product(x.narrow(0, 0, few), w); });
    expect_same_on_all_threads([&] { return finetune::product_transposed(at::randn({few, 2100}).fill_(0.3), w); });
  }
  const at::Tensor dy = at::randn({200, 2100});
  expect_same_on_all_threads([&] { return finetune::product_transposed(dy, w); });
  const at::Tensor narrow = w.to(at::kBFloat16);
  expect_same_on_all_threads([&] { return finetune::product_transposed(dy, narrow); });
}

// Loss and gradient of a head by one pass of ours, and by ATen's autograd in float32.
void expect_same_loss(at::ScalarType type, double near) {
  at::manual_seed(4);
  const at::Tensor weight = at::randn({700, 24}).to(type);
  const finetune::Head head{std::make_shared<finetune::DenseMatrix>(weight), {}, 0};
  at::Tensor targets = at::randint(0, 700, {90}, at::kLong);
  targets.narrow(0, 10, 20).fill_(-100);
  at::Tensor hidden = at::randn({90, 24}).mul_(3).to(type).requires_grad_();
  const at::Tensor loss = finetune::head_loss_sum(hidden, head, targets, 32);
  loss.backward();
  const at::Tensor plain = hidden.detach().to(at::kFloat).requires_grad_();
  const at::Tensor wanted =
      at::nll_loss(at::log_softmax(plain.mm(weight.to(at::kFloat).t()), 1), targets, {}, at::Reduction::Sum, -100);
  wanted.backward();
  EXPECT_NEAR(loss.item<double>() / wanted.item<double>(), 1, near);
  EXPECT_LT(relative(hidden.grad(), plain.grad()), 10 * near);
  const at::NoGradGuard no_gradient;
  EXPECT_NEAR(finetune::head_loss_sum(hidden.detach(), head, targets, 32).item<double>() / wanted.item<double>(), 1,
              near);
}

TEST(CrossEntropy, IsTheLikelihoodAndItsGradient) {
  expect_same_loss(at::kFloat, 1e-6);
  expect_same_loss(at::kBFloat16, 2e-3);
}

// Most of a vocabulary is unlikely, and all of it together is not: a plain float32 sum loses 2e-5 of it.
TEST(CrossEntropy, KeepsTheTailOfALargeVocabulary) {
  at::manual_seed(5);
  for (const std::int64_t vocabulary : {49152, 151936}) {
    at::Tensor logits = at::randn({4, vocabulary}) * 1.5;
    logits.select(1, 100).fill_(14);
    const at::Tensor targets = at::full({4}, 7, at::kLong), exact = logits.to(at::kDouble).log_softmax(1);
    at::Tensor losses = at::empty({4}), shares = logits.clone();
    finetune::fused::cross_entropy(shares, targets, losses, true);
    const at::Tensor wanted = -exact.select(1, 7);
    EXPECT_LT((losses.to(at::kDouble) - wanted).abs().max().item<double>(), 2e-6) << vocabulary;
    EXPECT_LT(shares.to(at::kDouble).sum(1).abs().max().item<double>(), 2e-6) << "a gradient adds up to nothing";
  }
}

}  // namespace
