// What must hold without any oracle: packing, chunks, the cache, dropout, and the faster attention against the plain
// one.
#include "finetune/model/model.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "finetune/adapt/linear.h"
#include "finetune/kernels/activation.h"
#include "finetune/kernels/attention.h"
#include "finetune/kernels/elementwise.h"
#include "finetune/model/loss.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::PackedRow;
using finetune::Transformer;
using tiny_llama::relative;

PackedRow row_of(const at::Tensor& ids, std::vector<std::int64_t> lengths) {
  PackedRow row;
  row.ids = ids;
  row.lengths = std::move(lengths);
  row.targets = at::full_like(ids, -100);
  std::int64_t first = 0;
  for (std::int64_t length : row.lengths) {
    row.targets.narrow(0, first, length - 1).copy_(ids.narrow(0, first + 1, length - 1));
    first += length;
  }
  row.trained = row.targets.ge(0).sum().item<std::int64_t>();
  return row;
}

at::Tensor random_ids(std::int64_t count, std::int64_t seed) {
  at::manual_seed(static_cast<std::uint64_t>(seed));
  return at::randint(257, {count}, at::kLong);
}

TEST(Model, ZeroBChangesNoBit) {
  for (const std::string& name : tiny_llama::cases())
    for (at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      at::NoGradGuard no_gradient;
      Transformer model = tiny_llama::load(tiny_llama::folder(name), dtype);
      PackedRow row = row_of(random_ids(40, 1), {17, 23});
      at::Tensor base = model.logits(model.hidden(row));
      model.attach({"all-linear"}, 8, 16, 0, false, 3);
      EXPECT_TRUE(at::equal(model.logits(model.hidden(row)), base)) << name;
    }
}

TEST(Model, FreshAdapterDependsOnSeedAndPlaceOnly) {
  Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  model.attach({"all-linear"}, 4, 8, 0, false, 3);
  lora::Adapter all = model.adapter();
  model.attach({"v_proj"}, 4, 8, 0, true, 3);
  lora::Adapter one = model.adapter();
  ASSERT_EQ(one.modules.size(), 2u);
  EXPECT_EQ(one.modules[1].name, "model.layers.1.self_attn.v_proj");
  EXPECT_EQ(one.modules[1].a, all.modules[9].a);
  EXPECT_NE(all.modules[9].a, all.modules[2].a);
  EXPECT_DOUBLE_EQ(one.modules[0].scale, 4.0);
  EXPECT_DOUBLE_EQ(all.modules[0].scale, 2.0);
  at::Tensor a = model.parameters()[0];
  EXPECT_LE(a.abs().max().item<float>(), 1 / 8.0f);  // 1 / sqrt(64)
  EXPECT_GT(a.abs().max().item<float>(), 0.9f / 8);
  EXPECT_LT(std::abs(a.mean().item<float>()), 0.02f);
}

TEST(Model, AdapterThatDoesNotFitIsRefused) {
  Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  lora::Adapter adapter;
  adapter.modules.push_back(
      {"model.layers.2.self_attn.q_proj", 1, 64, 64, 1, std::vector<float>(64), std::vector<float>(64)});
  EXPECT_THROW(model.attach(adapter), base::Error);
  adapter.modules[0].name = "model.layers.1.self_attn.k_proj";  // [32, 64]
  EXPECT_THROW(model.attach(adapter), base::Error);
  EXPECT_THROW(model.attach({"q_porj"}, 4, 8, 0, false, 3), base::Error);
}

// The gradient of every parameter, joined.
at::Tensor gradient(const Transformer& model, const std::vector<PackedRow>& rows, std::uint64_t dropout_seed = 0) {
  for (at::Tensor leaf : model.parameters()) leaf.mutable_grad() = at::Tensor();
  for (const PackedRow& row : rows) model.loss_sum(row, dropout_seed).backward();
  std::vector<at::Tensor> parts;
  for (const at::Tensor& leaf : model.parameters()) parts.push_back(leaf.grad().flatten());
  return at::cat(parts);
}

Transformer with_adapter(const std::string& name, double dropout = 0, at::ScalarType dtype = at::kFloat) {
  Transformer model = tiny_llama::load(tiny_llama::folder(name), dtype);
  model.attach({"all-linear"}, 4, 8, dropout, false, 3);
  at::NoGradGuard no_gradient;
  at::manual_seed(5);
  for (at::Tensor leaf : model.parameters())
    if (leaf.size(1) == 4) leaf.normal_(0, 0.05);
  return model;
}

TEST(Model, PackedEqualsUnpackedInAnyOrder) {
  Transformer model = with_adapter("llama3_rope");
  at::Tensor ids = random_ids(60, 2);
  std::vector<at::Tensor> documents = {ids.narrow(0, 0, 25), ids.narrow(0, 25, 5), ids.narrow(0, 30, 30)};
  std::vector<PackedRow> alone;
  for (const at::Tensor& document : documents) alone.push_back(row_of(document, {document.size(0)}));
  at::Tensor expected = gradient(model, alone);
  double loss = 0;
  for (const PackedRow& row : alone) loss += model.loss_sum(row).item<double>();
  for (std::vector<std::size_t> order : {std::vector<std::size_t>{0, 1, 2}, {2, 0, 1}, {1, 2, 0}}) {
    std::vector<at::Tensor> packed;
    std::vector<std::int64_t> lengths;
    for (std::size_t i : order) {
      packed.push_back(documents[i]);
      lengths.push_back(documents[i].size(0));
    }
    PackedRow row = row_of(at::cat(packed), lengths);
    EXPECT_NEAR(model.loss_sum(row).item<double>(), loss, 1e-6 * loss);
    EXPECT_LT(relative(gradient(model, {row}), expected), 1e-6);
  }
  // And it can fail: one document of the same tokens is another thing.
  EXPECT_GT(relative(gradient(model, {row_of(ids, {60})}), expected), 1e-2);
}

TEST(Model, FastAttentionEqualsAutograd) {
  finetune::AttentionShape shape{6, 2, 16};
  std::vector<std::int64_t> lengths = {1, 30, 2, 64};
  at::manual_seed(7);
  at::Tensor positions = at::cat({at::arange(1), at::arange(30), at::arange(2), at::arange(64)});
  lora::AttentionSpec attention;
  attention.rotary_dim = 16;
  finetune::Rotation rotation = finetune::rotation_at(positions, finetune::inverse_frequencies(attention));
  at::Tensor qkv = at::randn({97, 160}).requires_grad_(), weights = at::randn({97, 96});
  at::Tensor fast = finetune::packed_attention(qkv, shape, rotation, lengths);
  (fast * weights).sum().backward();
  at::Tensor fast_gradient = qkv.grad();
  qkv.mutable_grad() = at::Tensor();
  at::Tensor plain = finetune::packed_attention_by_autograd(qkv, shape, rotation, lengths);
  (plain * weights).sum().backward();
  EXPECT_LT(relative(fast.detach(), plain.detach()), 1e-6);
  EXPECT_LT(relative(fast_gradient, qkv.grad()), 1e-6);

  // The obvious way, head by head, for one document: rotated pairs (i, i + 8), key head of query head h is h / 3.
  at::NoGradGuard no_gradient;
  at::Tensor heads = qkv.detach().narrow(0, 33, 64).view({64, 10, 16}),
             angles = at::arange(64).unsqueeze(1) * at::pow(10000.0, at::arange(8) * (-2.0 / 16)).unsqueeze(0);
  auto rotated = [&](std::int64_t head) {
    at::Tensor x = heads.select(1, head), x1 = x.narrow(1, 0, 8), x2 = x.narrow(1, 8, 8);
    return at::cat({x1 * angles.cos() - x2 * angles.sin(), x2 * angles.cos() + x1 * angles.sin()}, 1);
  };
  for (std::int64_t head = 0; head < 6; ++head) {
    at::Tensor scores = rotated(head).mm(rotated(6 + head / 3).t()) / 4;
    scores.masked_fill_(at::ones({64, 64}, at::kBool).triu(1), -INFINITY);
    at::Tensor expected = scores.softmax(1).mm(heads.select(1, 8 + head / 3));
    EXPECT_LT(relative(fast.detach().narrow(0, 33, 64).narrow(1, 16 * head, 16), expected), 1e-5) << head;
  }
}

// Windows, caps and ALiBi go through in segments; here all at once, and what comes last of a text out of a cache.
TEST(Model, AttentionInSegmentsEqualsAttentionAtOnce) {
  using finetune::AttentionShape;
  const std::vector<std::int64_t> lengths = {600, 70};
  const std::vector<AttentionShape> shapes = {{4, 2, 8, 0, 0, 7},
                                              {4, 2, 8, 0, 0, 100},
                                              {4, 2, 8, 0.5, 2, 0},
                                              {4, 2, 8, 0, 2, 90},
                                              {4, 2, 8, 0, 0, 0, {0.5, 0.25, 0.125, 0.0625}}};
  const finetune::Rotation none{at::empty({670, 1, 0}), at::empty({670, 1, 0})};
  for (const AttentionShape& shape : shapes) {
    // With slopes products reach 300, whose neighbours in float32 lie 3e-5 apart: processors that add in another order
    // differ by as much. The expected values are of float64, so that half of it is not theirs.
    const double bound{shape.slopes.empty() ? 1e-5 : 1e-4};
    at::manual_seed(9);
    at::Tensor qkv = at::randn({670, 64}).requires_grad_();
    const at::Tensor weights = at::randn({670, 32});
    const auto at_once = [&](std::int64_t first, std::int64_t length) {
      const at::Tensor heads = qkv.narrow(0, first, length).view({length, 8, 8}).to(at::kDouble),
                       all = at::arange(length);
      const at::Tensor back = all.unsqueeze(1) - all.unsqueeze(0);  // how far a key lies behind
      std::vector<at::Tensor> results;
      for (std::int64_t head = 0; head < 4; ++head) {
        at::Tensor scores = heads.select(1, head).mm(heads.select(1, 4 + head / 2).t());
        if (!shape.slopes.empty()) {
          const at::Tensor slope = at::scalar_tensor(shape.slopes[static_cast<std::size_t>(head)], at::kBFloat16);
          scores = scores + (slope * all).to(at::kDouble).unsqueeze(0);
        }
        scores = scores * (shape.scale == 0 ? 1 / std::sqrt(8.0) : shape.scale);
        if (shape.softcap != 0) scores = (scores / shape.softcap).tanh() * shape.softcap;
        at::Tensor unseen = back.lt(0);
        if (shape.window != 0) unseen = unseen.logical_or(back.ge(shape.window));
        results.push_back(scores.masked_fill(unseen, -INFINITY).softmax(1).mm(heads.select(1, 6 + head / 2)));
      }
      return at::cat(results, 1);
    };
    const at::Tensor expected = at::cat({at_once(0, 600), at_once(600, 70)});
    (expected * weights).sum().backward();
    const at::Tensor expected_gradient = qkv.grad();
    for (const bool by_autograd : {false, true}) {
      qkv.mutable_grad() = at::Tensor();
      const at::Tensor ours = by_autograd ? finetune::packed_attention_by_autograd(qkv, shape, none, lengths)
                                          : finetune::packed_attention(qkv, shape, none, lengths);
      (ours * weights).sum().backward();
      EXPECT_LT(relative(ours.detach(), expected.detach()), bound)
          << shape.window << ", " << shape.slopes.size() << " slopes";
      EXPECT_LT(relative(qkv.grad(), expected_gradient), bound)
          << shape.window << ", " << shape.slopes.size() << " slopes";
    }
    at::NoGradGuard no_gradient;
    at::Tensor keys = at::zeros({2, 600, 8}), values = at::zeros({2, 600, 8});
    std::int64_t past = 0;
    for (const std::int64_t count : {520, 1, 79}) {
      const finetune::Rotation still{at::empty({count, 1, 0}), at::empty({count, 1, 0})};
      const at::Tensor ours = finetune::cached_attention(qkv.narrow(0, past, count), shape, still, keys, values, past);
      EXPECT_LT(relative(ours, expected.narrow(0, past, count)), bound)
          << shape.window << ", " << shape.slopes.size() << " slopes, behind " << past;
      past += count;
    }
  }
}

TEST(Model, ElementwiseGradientsEqualAutograd) {
  at::manual_seed(8);
  at::Tensor x = at::randn({9, 32}).requires_grad_(), weight = at::randn({32}), upstream = at::randn({9, 32});
  at::Tensor ours = finetune::rms_norm(x, weight, 1e-3);
  (ours * upstream).sum().backward();
  at::Tensor gradient = x.grad();
  x.mutable_grad() = at::Tensor();
  at::Tensor plain = x * (x.square().mean(1, true) + 1e-3).rsqrt() * weight;
  (plain * upstream).sum().backward();
  EXPECT_LT(relative(ours.detach(), plain.detach()), 1e-6);
  EXPECT_LT(relative(gradient, x.grad()), 1e-6);

  x.mutable_grad() = at::Tensor();
  at::Tensor product = finetune::swiglu(x);
  (product * upstream.narrow(1, 0, 16)).sum().backward();
  gradient = x.grad();
  x.mutable_grad() = at::Tensor();
  plain = at::silu(x.narrow(1, 0, 16)) * x.narrow(1, 16, 16);
  (plain * upstream.narrow(1, 0, 16)).sum().backward();
  EXPECT_LT(relative(product.detach(), plain.detach()), 1e-6);
  EXPECT_LT(relative(gradient, x.grad()), 1e-6);
}

// The one-pass forms for the CPU against the same in ATen's operations.
TEST(Model, FusedPassesEqualAtens) {
  using finetune::Passes;
  for (at::ScalarType type : {at::kFloat, at::kBFloat16})
    for (std::int64_t n : {2, 6, 64, 100, 1536}) {  // also sizes that no vector divides
      double bound = type == at::kFloat ? 1e-6 : 1e-2;
      at::manual_seed(static_cast<std::uint64_t>(n));
      at::Tensor x = (3 * at::randn({37, n})).to(type), dy = at::randn({37, n}).to(type), w = at::randn({n}).to(type);
      auto near = [&](const at::Tensor& a, const at::Tensor& b, const char* what) {
        EXPECT_EQ(a.scalar_type(), b.scalar_type());
        EXPECT_LT(relative(a.to(at::kFloat), b.to(at::kFloat)), bound) << what << " of " << n;
      };
      auto [fused, fused_inverse] = finetune::rms_norm_forward(x, w, 1e-5, Passes::kFused);
      auto [plain, plain_inverse] = finetune::rms_norm_forward(x, w, 1e-5, Passes::kAten);
      near(fused, plain, "norm");
      EXPECT_LT(relative(fused_inverse, plain_inverse), 1e-6);
      if (type == at::kBFloat16) {
        // Rounded before the product with the weight, like the peer: equal but for the rare tie.
        EXPECT_GT(fused.eq(plain).to(at::kFloat).mean().item<double>(), 0.99);
      }
      near(finetune::rms_norm_backward(dy, x, w, plain_inverse, Passes::kFused),
           finetune::rms_norm_backward(dy, x, w, plain_inverse, Passes::kAten), "norm backward");
      const at::Tensor wide = 1 + at::randn({n});  // a weight in float32: rounded once, behind the product
      const at::Tensor once = std::get<0>(finetune::rms_norm_forward(x, wide, 1e-5, Passes::kFused)),
                       expected = std::get<0>(finetune::rms_norm_forward(x, wide, 1e-5, Passes::kAten));
      near(once, expected, "norm with a wide weight");
      EXPECT_GT(once.eq(expected).to(at::kFloat).mean().item<double>(), type == at::kFloat ? 0 : 0.99);
      near(finetune::rms_norm_backward(dy, x, wide, plain_inverse, Passes::kFused),
           finetune::rms_norm_backward(dy, x, wide, plain_inverse, Passes::kAten), "its backward");
      for (const at::Tensor& weight : {w, wide}) {
        const at::Tensor shifted = x + 40, bias = at::randn({n}).to(weight.scalar_type());
        const auto [ours, moments] = finetune::layer_norm_forward(shifted, weight, bias, 1e-5, Passes::kFused);
        const auto [theirs, apart] = finetune::layer_norm_forward(shifted.to(at::kDouble), weight.to(at::kDouble),
                                                                  bias.to(at::kDouble), 1e-5, Passes::kAten);
        EXPECT_LT(relative(ours, theirs), type == at::kFloat ? 1e-5 : 4e-3) << "layer norm of " << n;
        const at::Tensor gradient =
            finetune::layer_norm_backward(dy.to(at::kDouble), shifted.to(at::kDouble), weight.to(at::kDouble),
                                          bias.to(at::kDouble), apart, Passes::kAten);
        if (n == 2) continue;  // next to nothing is left of a gradient along mean and deviation
        EXPECT_LT(relative(finetune::layer_norm_backward(dy, shifted, weight, bias, moments, Passes::kFused), gradient),
                  type == at::kFloat ? 2e-5 : 4e-3)
            << "its backward of " << n;
      }
      at::Tensor gate_up = (5 * at::randn({37, 2 * n})).to(type);
      gate_up[0].fill_(200);
      gate_up[1].fill_(-200);
      near(finetune::swiglu_forward(gate_up, Passes::kFused), finetune::swiglu_forward(gate_up, Passes::kAten),
           "swiglu");
      near(finetune::swiglu_backward(dy, gate_up, Passes::kFused),
           finetune::swiglu_backward(dy, gate_up, Passes::kAten), "swiglu backward");
      at::Tensor heads = at::randn({37, 3, n}).to(type), angles = at::randn({37, 1, n / 2});
      finetune::Rotation rotation{angles.cos(), angles.sin()};
      at::Tensor few = at::randn({37, 1, std::max<std::int64_t>(1, n / 4)});
      finetune::Rotation partial{few.cos(), few.sin()};
      for (bool inverse : {false, true}) {
        near(finetune::rotate(heads, 2, rotation, inverse, Passes::kFused),
             finetune::rotate(heads, 2, rotation, inverse, Passes::kAten), "rotate");
        near(finetune::rotate(heads, 2, partial, inverse, Passes::kFused),
             finetune::rotate(heads, 2, partial, inverse, Passes::kAten), "rotate the first dimensions");
      }
      at::Tensor bad = x.clone();
      bad[2][0] = NAN;
      EXPECT_TRUE(std::get<0>(finetune::rms_norm_forward(bad, w, 1e-5, Passes::kFused))[2].isnan().all().item<bool>());
    }
}

// What keeps nothing but its input beside the graph that autograd makes of the same operations.
TEST(Model, ActivationsAndNormsHaveTheGradientsOfTheirGraphs) {
  const auto check = [](const char* what, const at::Tensor& x, const auto& ours, const auto& graph) {
    const at::Tensor a = x.clone().requires_grad_(), b = x.clone().requires_grad_();
    const at::Tensor y = ours(a), expected = graph(b), dy = at::randn_like(expected);
    y.backward(dy);
    expected.backward(dy);
    const double bound{x.scalar_type() == at::kFloat ? 1e-6 : 4e-3};
    EXPECT_LT(relative(y.to(at::kFloat), expected.to(at::kFloat)), bound) << what;
    EXPECT_LT(relative(a.grad().to(at::kFloat), b.grad().to(at::kFloat)), bound) << what;
  };
  at::manual_seed(3);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = (2 * at::randn({300, 512})).to(type);
    using Kind = lora::Activation;
    const auto activation = [](const at::Tensor& of, Kind kind) {
      return kind == Kind::kSilu   ? at::silu(of)
             : kind == Kind::kRelu ? at::relu(of)
             : kind == Kind::kGelu ? at::gelu(of)
                                   : at::gelu(of, "tanh");
    };
    for (const Kind kind : {Kind::kSilu, Kind::kGelu, Kind::kGeluTanh, Kind::kRelu})
      for (const bool gated : {false, true}) {
        lora::MlpSpec mlp;
        mlp.gated = gated, mlp.activation = kind;
        check(
            "activation", x, [&](const at::Tensor& of) { return finetune::activate(of, mlp); },
            [&](const at::Tensor& of) {
              return gated ? activation(of.narrow(1, 0, 256), kind) * of.narrow(1, 256, 256) : activation(of, kind);
            });
      }
    const at::Tensor weight = at::rand({512}) + 0.5, bias = at::randn({512}), own = weight.to(type);
    check(
        "layer norm", x, [&](const at::Tensor& of) { return finetune::layer_norm(of, own, bias.to(type), 1e-5); },
        [&](const at::Tensor& of) { return at::layer_norm(of, {512}, own, bias.to(type), 1e-5); });
    check(
        "norm with a weight in float32", x, [&](const at::Tensor& of) { return finetune::rms_norm(of, weight, 1e-5); },
        [&](const at::Tensor& of) {
          const at::Tensor x32 = of.to(at::kFloat);
          return (x32 * (x32.square().mean(-1, true) + 1e-5).rsqrt() * weight).to(type);
        });
  }
}

TEST(Model, ChunkedLossEqualsFull) {
  at::manual_seed(9);
  at::Tensor hidden = at::randn({50, 24}).requires_grad_(), head = at::randn({101, 24});
  at::Tensor targets = at::randint(101, {50}, at::kLong);
  targets.narrow(0, 10, 17).fill_(-100);
  at::Tensor full = at::nll_loss(at::log_softmax(hidden.mm(head.t()), 1), targets, {}, at::Reduction::Sum);
  full.backward();
  at::Tensor expected = hidden.grad();
  for (std::int64_t chunk : {1, 7, 33, 64}) {
    hidden.mutable_grad() = at::Tensor();
    at::Tensor loss =
        finetune::head_loss_sum(hidden, {std::make_shared<finetune::DenseMatrix>(head), {}, 0}, targets, chunk);
    (loss * 3).backward();
    EXPECT_NEAR(loss.item<double>(), full.item<double>(), 1e-5 * full.item<double>());
    EXPECT_LT(relative(hidden.grad(), expected * 3), 1e-6) << chunk;
  }
  targets.fill_(-100);
  EXPECT_EQ(
      finetune::head_loss_sum(hidden, {std::make_shared<finetune::DenseMatrix>(head), {}, 0}, targets).item<double>(),
      0)
      << "nothing is trained";
}

TEST(Model, CacheEqualsFullForward) {
  for (const std::string& name : tiny_llama::cases()) {
    at::NoGradGuard no_gradient;
    Transformer model = with_adapter(name);
    at::Tensor ids = random_ids(50, 3);
    finetune::KvCache cache;
    std::int64_t done = 0;
    for (std::int64_t step : {20, 1, 1, 7, 1, 20}) {  // a prompt, single tokens, and pieces
      at::Tensor last = model.next_logits(ids.narrow(0, done, step), cache);
      done += step;
      EXPECT_EQ(cache.tokens, done);
      // Of the text so far: dynamic rope turns a longer one otherwise.
      const at::Tensor full = model.logits(model.hidden(row_of(ids.narrow(0, 0, done), {done})));
      EXPECT_LT(relative(last, full[done - 1]), 1e-5) << name << " after " << done;
    }
  }
}

TEST(Model, Bfloat16IsNearFloat32) {
  for (const std::string& name : tiny_llama::cases()) {
    Transformer wide = with_adapter(name), narrow = with_adapter(name, 0, at::kBFloat16);
    PackedRow row = row_of(random_ids(40, 4), {17, 23});
    // A router that rounds may send a token to another expert, of nearly the same score: that token's row is another.
    const bool has_experts{wide.config().experts != 0};
    // smollm3 has four layers, the others two or three.
    const double bound = has_experts ? 1e-1 : name == "smollm3" ? 2.5e-2 : 2e-2;
    EXPECT_LT(relative(narrow.logits(narrow.hidden(row)).detach(), wide.logits(wide.hidden(row)).detach()), bound)
        << name;
    EXPECT_LT(relative(gradient(narrow, {row}), gradient(wide, {row})), has_experts ? 3e-1 : 4e-2) << name;
  }
}

TEST(Dropout, MaskIsItsSeedsAndHasTheRightShare) {
  auto mask = [](std::uint64_t seed, std::int64_t index) {
    return finetune::dropout_mask({seed, at::arange(300, at::kLong)}, index, 0.1, 401, at::TensorOptions(at::kFloat));
  };
  at::Tensor one = mask(1, 0);
  EXPECT_TRUE(at::equal(one, mask(1, 0)));
  EXPECT_FALSE(at::equal(one, mask(1, 1)));
  EXPECT_FALSE(at::equal(one, mask(2, 0)));
  EXPECT_NEAR(one.eq(0).to(at::kFloat).mean().item<double>(), 0.1, 0.004);  // 4 standard deviations
  EXPECT_NEAR(one.mean().item<double>(), 1, 0.004);
  double both = (one.eq(0) & mask(1, 1).eq(0)).to(at::kFloat).mean().item<double>();
  EXPECT_NEAR(both, 0.01, 0.0012);
  at::Tensor before = one.narrow(1, 0, 400).eq(0), after = one.narrow(1, 1, 400).eq(0);
  EXPECT_NEAR((before & after).to(at::kFloat).mean().item<double>(), 0.01, 0.0012);
}

TEST(Dropout, LinearEqualsAutogradWithTheSameMask) {
  at::manual_seed(10);
  finetune::JoinedLinear joined;
  const at::Tensor weight = at::randn({7, 12});
  joined.weight = std::make_shared<finetune::DenseMatrix>(weight);
  joined.bias = at::randn({7});
  joined.parts = {{"q", 3, 12, 4, at::randn({2, 12}).requires_grad_(), at::randn({4, 2}).requires_grad_(), 1.5, 0.3},
                  {"k", 4, 12, 3, at::randn({2, 12}).requires_grad_(), at::randn({3, 2}).requires_grad_(), 0.5, 0.3}};
  at::Tensor x = at::randn({20, 12}).requires_grad_(), residual = at::randn({20, 7}).requires_grad_();
  std::vector<at::Tensor> leaves = {x, residual};
  for (const finetune::Linear& part : joined.parts) leaves.insert(leaves.end(), {part.lora_a, part.lora_b});
  at::Tensor upstream = at::randn({20, 7});
  auto gradients = [&](const at::Tensor& y) {
    for (at::Tensor& leaf : leaves) leaf.mutable_grad() = at::Tensor();
    (y * upstream).sum().backward();
    std::vector<at::Tensor> result;
    for (const at::Tensor& leaf : leaves) result.push_back(leaf.grad().clone());
    return result;
  };
  const finetune::Draws draws{99, at::arange(20, at::kLong)};
  at::Tensor ours = joined.forward(x, residual, draws);
  std::vector<at::Tensor> parts;
  for (const finetune::Linear& part : joined.parts) {
    at::Tensor mask = finetune::dropout_mask(draws, part.index, 0.3, x.size(1), x.options().requires_grad(false));
    parts.push_back((x * mask).mm(part.lora_a.t()).mm(part.lora_b.t()) * part.scale);
  }
  at::Tensor plain = residual + x.mm(weight.t()) + joined.bias + at::cat(parts, 1);
  EXPECT_LT(relative(ours.detach(), plain.detach()), 1e-6);
  std::vector<at::Tensor> got = gradients(ours), expected = gradients(plain);
  for (std::size_t i = 0; i < leaves.size(); ++i) EXPECT_LT(relative(got[i], expected[i]), 1e-6) << i;
}

TEST(Dropout, ATrainingForwardIsRepeatable) {
  Transformer model = with_adapter("tied", 0.2);
  PackedRow row = row_of(random_ids(40, 6), {40});
  at::Tensor first = gradient(model, {row}, 11);
  EXPECT_TRUE(at::equal(first, gradient(model, {row}, 11)));
  EXPECT_GT(relative(gradient(model, {row}, 12), first), 1e-2);
  EXPECT_TRUE(at::equal(gradient(model, {row}), gradient(model, {row}, 0))) << "evaluation drops nothing";
}

}  // namespace
