// Gemma 2: four norms a block, capped products and logits, every other layer with a window.
// Reference: transformers' modeling_gemma2.py, llama.cpp's LLM_ARCH_GEMMA2.
// Tested by tests/finetune/families_test.cc and tests/lora/model/shapes_test.cc.
#include "lora/model/families/gemma.h"
#include "lora/model/family.h"

namespace lora {
namespace {

constexpr std::int64_t kLayersOf27B = 46;

void gemma2_keys(ConfigKeys& keys, ModelConfig& config) {
  llama_sizes(keys, config,
              {.context_length = 8192,
               .kv_heads = 4,
               .head_dim = 256,
               .activation = Activation::kGeluTanh,
               .activation_key = "hidden_activation"});
  gemma_keys(keys, config, 256000);
  gemma_scale(keys, config, kLayersOf27B);
  keys.cap({"attn_logit_softcapping", "attn_logit_softcapping"}, config.attention_softcap, 50);
  keys.cap({"final_logit_softcapping", "final_logit_softcapping"}, config.logit_softcap, 30);
  keys.not_in_gguf(config.attention_softcap == 0, "no cap of the attention");
  keys.window(config.sliding_window, 4096);
  const auto each_other = [](std::int64_t layer) { return layer % 2 == 0; };
  keys.window_layers(config, each_other, each_other);
  keys.not_in_gguf(config.sliding_window == 0, "no window");
  keys.unused({"hidden_act"});
}

}  // namespace

const Family& gemma2_family() {
  static const Family family = {"gemma2", "Gemma2ForCausalLM", "gemma2", gemma2_keys, gemma_spec_of_four_norms, true};
  return family;
}

}  // namespace lora
