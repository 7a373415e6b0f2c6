// Mistral without a window. Reference: transformers' modeling_mistral.py; in GGUF it is a "llama". Tested by
// tests/lora/model/config_test.cc and spec_test.cc.
#include "lora/model/families/llama.h"
#include "lora/model/family.h"

namespace lora {

const Family& mistral_family() {
  static const Family family = {"mistral", "MistralForCausalLM", "llama",
                                [](ConfigKeys& keys, ModelConfig& config) {
                                  llama_sizes(keys, config, {.context_length = 131072, .kv_heads = 8});
                                  keys.vocabulary(config.vocab_size, 32000);
                                  keys.window(config.sliding_window, 4096);
                                  keys.tied(config.tied_embeddings);
                                  llama_tokens(keys, config, 1, 2);
                                },
                                llama_spec};
  return family;
}

}  // namespace lora
