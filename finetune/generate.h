// Text out of a model: one token after the other, with the keys and values of earlier tokens kept.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/program.h"
#include "base/random.h"
#include "finetune/model.h"

namespace finetune {

struct SamplingOptions {
  std::int64_t max_tokens = 256;
  double temperature = 0;  ///< 0: the most probable token every time
  double top_p = 1;        ///< the fewest most probable tokens that hold this share of the probability are kept
  std::uint64_t seed = 42;
  void visit(base::OptionVisitor& v);
};

/// The next token for `logits` [vocab] float32. Throws base::UsageError when an option is out of range.
std::int32_t sample(const at::Tensor& logits, const SamplingOptions& options, base::Random& random);

/// What the cache holds, so that the next turn of a conversation only computes what is new.
struct Session {
  KvCache cache;
  std::vector<std::int32_t> ids;  ///< the tokens in the cache
};

/// Goes on after `prompt` (at least one token) until one of `stop_ids`, which is not returned, `max_tokens`, or the end
/// of the model's context. What `session` already holds of the prompt is not computed again. `on_token` gets every
/// token as it comes. Throws base::Error when the prompt leaves no room in the context.
std::vector<std::int32_t> generate(const Llama& model, const std::vector<std::int32_t>& prompt,
                                   const std::vector<std::int32_t>& stop_ids, const SamplingOptions& options,
                                   Session& session, const std::function<void(std::int32_t)>& on_token = {});

base::Command generate_command();
base::Command chat_command();

}  // namespace finetune
