// Gemma 3, the text model: Gemma 2 with norms of q and k, and a rope of their own for the layers with a window.
// Reference: transformers' modeling_gemma3.py, llama.cpp's LLM_ARCH_GEMMA3.
// Tested by tests/finetune/families_test.cc and tests/lora/model/shapes_test.cc.
#include <algorithm>

#include "lora/model/families/gemma.h"
#include "lora/model/family.h"

namespace lora {
namespace {

constexpr std::int64_t kLayersOf27B = 62, kPeriod = 6;

// For readers that know no layer_types, mlx-lm one of them: as the first layer without a window has it.
std::int64_t period_of(const ModelConfig& config) {
  const auto full = std::ranges::find(config.sliding_layers, false);
  return full == config.sliding_layers.end() ? kPeriod : full - config.sliding_layers.begin() + 1;
}

void gemma3_keys(ConfigKeys& keys, ModelConfig& config) {
  llama_sizes(keys, config,
              {.context_length = 131072,
               .kv_heads = 4,
               .head_dim = 256,
               .activation = Activation::kGeluTanh,
               .activation_key = "hidden_activation",
               .rope = {.theta = 1'000'000, .local_theta = 10'000}});
  gemma_keys(keys, config, 262208);
  gemma_scale(keys, config, kLayersOf27B);
  keys.cap({"final_logit_softcapping", "final_logit_softcapping"}, config.logit_softcap, 0);
  keys.window(config.sliding_window, 4096);
  std::int64_t period = period_of(config);
  keys.integer({"sliding_window_pattern", nullptr}, period, kPeriod);
  keys.window_layers(
      config, [period](std::int64_t layer) { return period < 1 || (layer + 1) % period != 0; },
      [](std::int64_t layer) { return (layer + 1) % kPeriod != 0; });
  keys.unused({"attn_logit_softcapping", "hidden_act", "_sliding_window_pattern"});
}

ModelSpec gemma3_spec(const ModelConfig& config) {
  ModelSpec spec = gemma_spec_of_four_norms(config);
  norm_heads(spec, NormKind::kRmsPlusOne);
  return spec;
}

}  // namespace

const Family& gemma3_text_family() {
  static const Family family = {"gemma3_text", "Gemma3ForCausalLM", "gemma3", gemma3_keys, gemma3_spec, true};
  return family;
}

}  // namespace lora
