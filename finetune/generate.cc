#include "finetune/generate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace finetune {

void SamplingOptions::visit(base::OptionVisitor& v) {
  v("max_tokens", max_tokens, "stop after so many tokens").at_least(1);
  v("temperature", temperature, "0: always the most probable token; 1: as the model says").at_least(0);
  v("top_p", top_p, "draw among the most probable tokens that hold this share of the probability").above(0).at_most(1);
  v("seed", seed, "the same seed draws the same tokens");
}

std::int32_t sample(const at::Tensor& logits, const SamplingOptions& options, base::Random& random) {
  if (options.temperature == 0) return static_cast<std::int32_t>(logits.argmax().item<std::int64_t>());
  at::Tensor probabilities = (logits.to(at::kCPU, at::kDouble) / options.temperature).softmax(0);
  const double* p = probabilities.const_data_ptr<double>();
  std::vector<std::int32_t> order(static_cast<std::size_t>(probabilities.numel()));
  std::iota(order.begin(), order.end(), 0);
  // Equal probabilities in the order of the ids: the draw is the same on every machine.
  std::stable_sort(order.begin(), order.end(), [p](std::int32_t a, std::int32_t b) { return p[a] > p[b]; });
  double kept = 0;
  std::size_t count = 0;
  while (count < order.size() && (count == 0 || kept < options.top_p)) kept += p[order[count++]];
  double draw = random.uniform() * kept;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    draw -= p[order[i]];
    if (draw < 0) return order[i];
  }
  return order[count - 1];
}

std::vector<std::int32_t> generate(const Llama& model, const std::vector<std::int32_t>& prompt,
                                   const std::vector<std::int32_t>& stop_ids, const SamplingOptions& options,
                                   Session& session, const std::function<void(std::int32_t)>& on_token) {
  if (prompt.empty()) throw base::Error("an empty prompt: there is nothing to go on from");
  auto context = static_cast<std::size_t>(model.config().context_length);
  if (prompt.size() >= context)
    throw base::Error({"the prompt is longer than the model's context", "", fmt::format("{} tokens", prompt.size()),
                       fmt::format("fewer than {}", context), ""});
  // At least the last token of the prompt is computed: its logits are what generation starts from.
  auto [ours, theirs] = std::mismatch(session.ids.begin(), session.ids.end(), prompt.begin(), prompt.end() - 1);
  session.ids.erase(ours, session.ids.end());
  session.cache.tokens = static_cast<std::int64_t>(session.ids.size());
  std::vector<std::int32_t> next(theirs, prompt.end()), result;
  base::Random random(options.seed);
  while (static_cast<std::int64_t>(result.size()) < options.max_tokens && session.ids.size() + next.size() <= context) {
    at::Tensor ids = at::empty({static_cast<std::int64_t>(next.size())}, at::kLong);
    std::copy(next.begin(), next.end(), ids.mutable_data_ptr<std::int64_t>());
    at::Tensor logits = model.next_logits(ids, session.cache);
    session.ids.insert(session.ids.end(), next.begin(), next.end());
    std::int32_t token = sample(logits, options, random);
    if (std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) break;
    result.push_back(token);
    if (on_token) on_token(token);
    next = {token};
  }
  return result;
}

}  // namespace finetune
