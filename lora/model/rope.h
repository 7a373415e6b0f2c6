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
  /// "default", "linear", "llama3", or "factors": the stretch of each pair as a GGUF holds it.
  std::string type = "default";
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;  ///< llama3's; linear has `factor` alone
  std::int64_t original_context = 8192;                          ///< llama3's
  std::vector<float> factors;                                    ///< [dim / 2], of "factors" only
  bool operator==(const RopeSpec&) const = default;
};

/// theta^(-2i/dim) / stretch, [dim / 2], in float32 as transformers' modeling_rope_utils computes it.
std::vector<float> inverse_frequencies(const RopeSpec& rope, std::int64_t dim);

/// By how much the wave of each pair is stretched, [dim / 2]: what GGUF stores as rope_freqs.weight.
std::vector<float> stretch_factors(const RopeSpec& rope, std::int64_t dim);

/// "factors" as the llama3 setting that gives them, when there is one: that of all Llama 3 models, or one solved from
/// the factors with low_freq_factor 1 (only its ratios to the others matter). `rope` itself when there is none.
RopeSpec as_llama3(const RopeSpec& rope, std::int64_t dim);

}  // namespace lora
