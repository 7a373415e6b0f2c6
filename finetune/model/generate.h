// Text out of a model: one token after the other, with the keys and values of earlier tokens kept.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/program.h"
#include "finetune/model/model.h"
#include "finetune/model/sampling.h"

namespace finetune {

/// What the cache holds, so that the next turn of a conversation only computes what is new.
struct Session {
  KvCache cache;
  std::vector<std::int32_t> ids;  ///< the tokens in the cache
};

/// Goes on after `prompt` (at least one token) until one of `stop_ids`, which is not returned, `max_tokens`, or the end
/// of the model's context. What `session` already holds of the prompt is not computed again. `on_token` gets every
/// token as it comes and says whether to go on. Throws base::Error when the prompt leaves no room in the context.
std::vector<std::int32_t> generate(const Transformer& model, const std::vector<std::int32_t>& prompt,
                                   const std::vector<std::int32_t>& stop_ids, const SamplingOptions& options,
                                   Session& session, const std::function<bool(std::int32_t)>& on_token = {});

base::Command generate_command();
base::Command chat_command();

}  // namespace finetune
