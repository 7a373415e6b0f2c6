// Text out of a model: one token after the other, with the keys and values of earlier tokens kept. Tested by
// tests/finetune/generate_test.cc.
#include "finetune/model/generate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/error.h"

namespace finetune {
namespace {

// The next token for `logits` [vocab] float32 on the model's device.
std::int32_t choose(const at::Tensor& logits, std::span<const std::int32_t> text, const SamplingOptions& options,
                    base::Random& random) {
  if (is_plain_greedy(options) && at::isfinite(logits).all().item<bool>())
    return static_cast<std::int32_t>(logits.argmax().item<std::int64_t>());
  const at::Tensor values = logits.to(at::kCPU).contiguous();
  return sample({values.const_data_ptr<float>(), static_cast<std::size_t>(values.numel())}, text, options, random);
}

}  // namespace

std::vector<std::int32_t> generate(const Transformer& model, const std::vector<std::int32_t>& prompt,
                                   const std::vector<std::int32_t>& stop_ids, const SamplingOptions& options,
                                   Session& session, const std::function<bool(std::int32_t)>& on_token) {
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
    std::int32_t token = choose(logits, session.ids, options, random);
    if (std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) break;
    result.push_back(token);
    if (on_token && !on_token(token)) break;
    next = {token};
  }
  return result;
}

}  // namespace finetune
