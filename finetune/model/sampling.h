// Which token comes next: the settings of transformers' GenerationConfig, with its names and its arithmetic.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/options.h"
#include "base/random.h"

namespace finetune {

struct SamplingOptions {
  std::int64_t max_tokens = 256;
  double temperature = 0;  ///< 0: the most probable token every time
  std::int64_t top_k = 0;  ///< the k most probable tokens are kept, 0: all
  double top_p = 1;        ///< the fewest most probable tokens that hold this share of the probability are kept
  double min_p = 0;        ///< tokens below this share of the most probable one's probability are not kept
  double repetition_penalty =
      1;  ///< logits of tokens that stand in the text already are divided by it (multiplied below 0)
  std::int64_t no_repeat_ngram_size = 0;  ///< no n-gram of this length comes twice, 0: allowed
  std::uint64_t seed = 42;
  void visit(base::OptionVisitor& v);
};

/// A token that may be drawn.
struct Candidate {
  std::int32_t id = 0;
  double weight = 0;  ///< proportional to its probability
};

/// What is left to draw from for `temperature` above 0, in the order of the ids: penalties, temperature, top_k, top_p,
/// min_p, in this order. `text`: the ids so far, prompt included. Takes time linear in the vocabulary.
std::vector<Candidate> candidates(std::span<const float> logits, std::span<const std::int32_t> text,
                                  const SamplingOptions& options);

/// The next token. Equal logits: the smaller id. Throws base::Error when no logit is finite.
std::int32_t sample(std::span<const float> logits, std::span<const std::int32_t> text, const SamplingOptions& options,
                    base::Random& random);

/// Does the choice follow from the largest logit alone?
inline bool is_plain_greedy(const SamplingOptions& options) {
  return options.temperature == 0 && options.repetition_penalty == 1 && options.no_repeat_ngram_size == 0;
}

}  // namespace finetune
