// Mistral, Nemo: LLaMA's block with a window. Reference: transformers' modeling_mistral.py. In GGUF it is a "llama",
// whose windows llama.cpp does not compute; the key is written all the same, for the way back.
// Tested by tests/finetune/families_test.cc and tests/lora/model/shapes_test.cc.
#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {

const Family& mistral_family() {
  static const Family family = {"mistral",
                                "MistralForCausalLM",
                                "llama",
                                [](ConfigKeys& keys, ModelConfig& config) {
                                  llama_sizes(keys, config, {.context_length = 131072, .kv_heads = 8});
                                  keys.vocabulary(config.vocab_size, 32000);
                                  keys.window(config.sliding_window, 4096);
                                  keys.tied(config.tied_embeddings);
                                  keys.unused({"attention_bias", "mlp_bias", "layer_types"});
                                  llama_tokens(keys, config, 1, 2);
                                },
                                llama_spec,
                                false,
                                "attention.sliding_window"};
  return family;
}

}  // namespace lora
