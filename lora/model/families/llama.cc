// Llama 1 to 3, CodeLlama, SmolLM2, TinyLlama. Reference: transformers' modeling_llama.py, llama.cpp's LLM_ARCH_LLAMA.
// Tested by tests/lora/model/config_test.cc and spec_test.cc.
#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {

const Family& llama_family() {
  static const Family family = {
      "llama", "LlamaForCausalLM", "llama",
      [](ConfigKeys& keys, ModelConfig& config) {
        llama_sizes(keys, config);
        keys.vocabulary(config.vocab_size, 32000);
        keys.only({nullptr, "expert_count"}, 0, "no experts");
        keys.tied(config.tied_embeddings);
        keys.truth("attention_bias", config.attention_bias, false, {"blk.0.attn_q.bias", "blk.0.attn_output.bias"});
        keys.truth("mlp_bias", config.mlp_bias, false, {"blk.0.ffn_gate.bias", "blk.0.ffn_down.bias"});
        llama_tokens(keys, config, 1, 2);
      },
      llama_spec};
  return family;
}

}  // namespace lora
