// An MLP of experts. Tested by tests/finetune/experts_test.cc.
#include "finetune/model/experts.h"

#include <ATen/ATen.h>

#include <vector>

#include "finetune/kernels/activation.h"

namespace finetune {
namespace {

at::Tensor dense(std::span<const JoinedLinear> products, const lora::MlpSpec& mlp, const at::Tensor& x,
                 const Draws& draws) {
  return products[1].forward(activate(products[0].forward(x, {}, draws), mlp), {}, draws);
}

// Each expert on its tokens only. Rows are moved by permutations alone, so that no sum depends on the order of threads:
// x [T, hidden] k times, sorted by expert, through the experts, and back -> [T, k, hidden].
at::Tensor of_chosen(std::span<const JoinedLinear> experts, const lora::MlpSpec& mlp, const at::Tensor& x,
                     const at::Tensor& chosen, const Draws& draws) {
  const std::int64_t tokens{x.size(0)}, hidden{x.size(1)};
  const at::Tensor expert = chosen.reshape({-1});                                             // [T k]
  const at::Tensor order = expert.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/false);  // [T k]
  const at::Tensor counts = expert.bincount({}, mlp.experts).to(at::kCPU);                    // [experts]
  const at::Tensor copies = x.unsqueeze(1).expand({tokens, mlp.chosen, hidden}).reshape({-1, hidden});
  const at::Tensor sorted = copies.index_select(0, order);      // [T k, hidden]
  const at::Tensor tokens_of = order.div(mlp.chosen, "floor");  // [T k]
  std::vector<at::Tensor> results;
  std::int64_t row = 0;
  for (std::int64_t i = 0; i < mlp.experts; ++i) {
    const std::int64_t count{counts.const_data_ptr<std::int64_t>()[i]};
    if (count == 0) continue;
    const auto products = experts.subspan(static_cast<std::size_t>(2 * i), 2);
    results.push_back(dense(products, mlp, sorted.narrow(0, row, count), draws.of(tokens_of.narrow(0, row, count))));
    row += count;
  }
  const at::Tensor back = at::empty_like(order).scatter_(0, order, at::arange(order.size(0), order.options()));
  return at::cat(results).index_select(0, back).view({tokens, mlp.chosen, hidden});
}

}  // namespace

void RouterShares::add(const at::Tensor& probabilities, const at::Tensor& chosen) {
  const at::Tensor count = chosen.reshape({-1}).bincount({}, probabilities.size(1)).to(at::kFloat);
  const at::Tensor sum = probabilities.sum(0);
  tokens = tokens.defined() ? tokens + count : count;
  probability = probability.defined() ? probability + sum : sum;
  rows += probabilities.size(0);
}

at::Tensor RouterShares::loss() const {
  const auto all = static_cast<double>(rows);
  return ((tokens / all) * (probability / all)).sum() * tokens.size(0);
}

at::Tensor routed(std::span<const JoinedLinear> products, const lora::MlpSpec& mlp, const at::Tensor& x,
                  const Draws& draws, RouterShares* shares) {
  const at::Tensor probabilities = at::softmax(products[0].forward(x, {}, draws), 1, at::kFloat);  // [T, experts]
  auto [weights, chosen] = probabilities.topk(mlp.chosen, 1);                                      // [T, k] both
  if (shares) shares->add(probabilities, chosen);
  if (mlp.renormalised) weights = weights / weights.sum(1, true);
  const auto experts = products.last(static_cast<std::size_t>(2 * mlp.experts));
  const at::Tensor results = of_chosen(experts, mlp, x, chosen, draws);
  const at::Tensor sum = (results * weights.to(x.scalar_type()).unsqueeze(2)).sum(1);  // [T, hidden]
  if (products.size() == experts.size() + 1) return sum;
  const at::Tensor share = at::sigmoid(products[1].forward(x, {}, draws));  // [T, 1]
  return sum + share * dense(products.subspan(2, 2), mlp, x, draws);
}

}  // namespace finetune
