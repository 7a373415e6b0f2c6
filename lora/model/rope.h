// Rotary positions of a model: the one place that knows how each kind of scaling stretches the waves.
// Tested by tests/lora/model/rope_test.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lora {

/// A pair of dimensions i turns by position * theta^(-2i/dim) / stretch(i).
struct RopeSpec {
  double theta = 10000;
  /// "default", "linear", "dynamic", "llama3", "yarn", "longrope", or "factors": the stretch of each pair as a GGUF
  /// holds it.
  std::string type = "default";
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;  ///< llama3's; others have `factor` alone
  /// Of llama3, yarn and longrope; dynamic's is the model's whole context.
  std::int64_t original_context = 8192;
  std::vector<float> factors, long_factors;  ///< [dim / 2]: of "factors"; longrope's for short and for long texts
  double attention_factor = 0;               ///< yarn's and longrope's; 0: as rotation_scale computes it
  double beta_fast = 32, beta_slow = 1, mscale = 0, mscale_all_dim = 0;  ///< yarn's, as is the next
  bool truncate = true;
  bool operator==(const RopeSpec&) const = default;
};

/// The frequencies change with the length of the text: longrope beyond its original context, dynamic beyond the
/// model's.
bool depends_on_length(const RopeSpec& rope);

/// theta^(-2i/dim) / stretch, [dim / 2], for a text of `length` tokens, in float32 as transformers' modeling_rope_utils
/// computes it.
std::vector<float> inverse_frequencies(const RopeSpec& rope, std::int64_t dim, std::int64_t length = 0);

/// What cosines and sines are multiplied by: 1 but for yarn and longrope.
double rotation_scale(const RopeSpec& rope);

/// By how much the wave of each pair is stretched, [dim / 2]: what GGUF stores as rope_freqs.weight.
std::vector<float> stretch_factors(const RopeSpec& rope, std::int64_t dim);

/// "factors" as the llama3 setting that gives them, when there is one: that of all Llama 3 models, or one solved from
/// the factors with low_freq_factor 1 (only its ratios to the others matter). `rope` itself when there is none.
RopeSpec as_llama3(const RopeSpec& rope, std::int64_t dim);

/// ALiBi: what a step of the key's position adds to each head's products, [heads]: powers of 2^(-8 / n), n heads or the
/// power of two below; others lie between (transformers' build_alibi_tensor).
std::vector<double> alibi_slopes(std::int64_t heads);

}  // namespace lora
