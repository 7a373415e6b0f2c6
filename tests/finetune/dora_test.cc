// DoRA's own function, equal to autograd over its formula and to the general way, part by part.
#include "finetune/adapt/dora.h"

#include <gtest/gtest.h>

#include "finetune/adapt/parts.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::JoinedLinear;
using finetune::Linear;
using tiny_llama::relative;

// Three parts, of which the second has no adapter.
struct Layer {
  JoinedLinear joined;
  at::Tensor weight, x, residual, upstream;
  std::vector<at::Tensor> leaves;

  explicit Layer(at::ScalarType dtype) {
    at::manual_seed(10);
    const at::TensorOptions options(dtype);
    weight = at::randn({11, 12}, options);
    joined.weight = std::make_shared<finetune::DenseMatrix>(weight);
    joined.bias = at::randn({11}, options);
    joined.parts = {
        {"q", 3, 12, 4, at::randn({2, 12}).requires_grad_(), at::randn({4, 2}).requires_grad_(), 1.5, 0, random(4)},
        {"k", 4, 12, 3, {}, {}, 0, 0},
        {"v", 5, 12, 4, at::randn({3, 12}).requires_grad_(), at::randn({4, 3}).requires_grad_(), 0.5, 0, random(4)}};
    x = at::randn({20, 12}, options).requires_grad_();
    residual = at::randn({20, 11}, options).requires_grad_();
    upstream = at::randn({20, 11}, options);
    leaves = {x, residual};
    for (const Linear& part : joined.parts)
      if (part.lora_a.defined()) leaves.insert(leaves.end(), {part.lora_a, part.lora_b, part.magnitude});
  }
  static at::Tensor random(std::int64_t size) { return at::rand({size}).add_(0.5).requires_grad_(); }

  // y and the gradients of all leaves.
  std::vector<at::Tensor> results(const at::Tensor& y) {
    for (at::Tensor& leaf : leaves) leaf.mutable_grad() = at::Tensor();
    (y * upstream).sum().backward();
    std::vector<at::Tensor> all = {y.detach()};
    for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad().clone());
    return all;
  }
  // Of the first part alone, or of both: rates that leave other masks.
  void drop(bool both) {
    joined.parts[0].dropout = 0.25;
    if (both) joined.parts[2].dropout = 0.5;
  }
  // The formula itself, as PEFT writes it; the lengths a constant.
  at::Tensor plain(const finetune::Draws& draws = {}) const {
    std::vector<at::Tensor> columns;
    std::int64_t row = 0;
    for (const Linear& part : joined.parts) {
      const at::Tensor w = weight.narrow(0, row, part.out);
      at::Tensor y = x.mm(w.t());
      if (part.lora_a.defined()) {
        const at::Tensor lengths = (w + part.lora_b.mm(part.lora_a) * part.scale).detach().norm(2, 1);
        const at::Tensor d =
            part.dropout > 0 && draws.is_on() ? x * dropout_mask(draws, part.index, part.dropout, 12, x.options()) : x;
        const at::Tensor c = part.magnitude / lengths;
        y = y + (c - 1) * d.mm(w.t()) + c * d.mm(part.lora_a.t()).mm(part.lora_b.t()) * part.scale;
      }
      columns.push_back(y);
      row += part.out;
    }
    return at::cat(columns, 1) + joined.bias + residual;
  }
};

void expect_near(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected, double bound) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_LT(relative(found[i].to(at::kFloat), expected[i].to(at::kFloat)), bound) << i;
}

TEST(Dora, EqualsAutogradOverItsFormula) {
  Layer layer(at::kFloat);
  expect_near(layer.results(layer.joined.forward(layer.x, layer.residual, {})), layer.results(layer.plain()), 2e-6);
  // Another magnitude is seen.
  const at::Tensor before = layer.joined.forward(layer.x, layer.residual, {}).detach();
  {
    const at::NoGradGuard no_gradient;
    layer.joined.parts[2].magnitude.mul_(1.01);
  }
  EXPECT_GT(relative(layer.joined.forward(layer.x, layer.residual, {}).detach(), before), 1e-4);
}

finetune::Draws some_draws() { return {77, at::arange(20, at::kLong) + 5}; }

TEST(Dora, EqualsAutogradOverItsFormulaWithDropout) {
  for (const bool both : {false, true}) {
    Layer layer(at::kFloat);
    layer.drop(both);
    const finetune::Draws draws = some_draws();
    const std::vector<at::Tensor> found = layer.results(layer.joined.forward(layer.x, layer.residual, draws));
    expect_near(found, layer.results(layer.plain(draws)), 2e-6);
    EXPECT_GT(relative(found[0], layer.joined.forward(layer.x, layer.residual, {}).detach()), 1e-2) << "not dropped";
  }
}

TEST(Dora, EqualsTheGeneralWay) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    for (const bool drops : {false, true}) {
      Layer layer(dtype);
      if (drops) layer.drop(true);
      const finetune::Draws draws = drops ? some_draws() : finetune::Draws{};
      expect_near(layer.results(layer.joined.forward(layer.x, layer.residual, draws)),
                  layer.results(finetune::forward_by_parts(layer.joined, layer.x, layer.residual, draws)),
                  dtype == at::kFloat ? 2e-6 : 2e-2);
    }
}

TEST(Dora, KeptLengthsAreTakenAsLongAsTheyAreKept) {
  const at::NoGradGuard no_gradient;
  Layer layer(at::kFloat);
  const auto result = [&] { return layer.joined.forward(layer.x, layer.residual, {}); };
  const at::Tensor before = result();
  finetune::Lengths lengths;
  {
    const finetune::KeptLengths kept(lengths);
    EXPECT_TRUE(at::equal(result(), before));
  }
  EXPECT_FALSE(lengths.empty());
  for (auto& [part, of_part] : lengths) of_part.mul_(2);
  {
    const finetune::KeptLengths kept(lengths);
    EXPECT_GT(relative(result(), before), 0.1) << "not computed again";
  }
  EXPECT_TRUE(at::equal(result(), before));
}

TEST(Dora, HasTheSameBytesFromARecipe) {
  Layer layer(at::kFloat);
  const auto doubled = [](const at::Tensor& half) { return half * 2; };
  const at::Tensor half = (layer.x / 2).detach();
  const finetune::Recipe again{half, doubled};
  layer.drop(false);
  for (const finetune::Draws& draws : {finetune::Draws{}, some_draws()}) {
    const std::vector<at::Tensor> expected = layer.results(layer.joined.forward(layer.x, layer.residual, draws));
    const std::vector<at::Tensor> found = layer.results(layer.joined.forward(layer.x, layer.residual, draws, &again));
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected[i])) << i;
  }
}

}  // namespace
