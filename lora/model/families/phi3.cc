// Phi-3, Phi-3.5 and Phi-4: LLaMA's block with q, k, v and gate, up in one matrix each, longrope and partial rotation.
// Reference: transformers' modeling_phi3.py, llama.cpp's LLM_ARCH_PHI3, which computes no window.
// Tested by tests/finetune/families_test.cc and tests/lora/model/shapes_test.cc.
#include <fmt/format.h>

#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {
namespace {

void phi3_keys(ConfigKeys& keys, ModelConfig& config) {
  llama_sizes(keys, config,
              {.context_length = 4096, .eps = 1e-5, .rope = {.whole_heads = false, .original_context = 4096}});
  keys.vocabulary(config.vocab_size, 32064);
  keys.window(config.sliding_window, 0);
  keys.tied(config.tied_embeddings);
  keys.unused({"attention_bias", "use_sliding_window", "layer_types"});
  llama_tokens(keys, config, 1, 32000, 32000);
}

ModelSpec phi3_spec(const ModelConfig& config) {
  ModelSpec spec = llama_spec_as_it_is(config);
  const std::int64_t hidden{config.hidden_size}, inner{config.intermediate_size};
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    const std::string name = fmt::format("model.layers.{}.", i), gguf = fmt::format("blk.{}.", i);
    std::vector<LinearSpec>& linears = spec.blocks[i].linears;
    const LinearSpec out = linears[3], down = linears[6];
    const std::int64_t joined{(config.heads + 2 * config.kv_heads) * config.head_dim};
    linears = {{Role::kQuery, name + "self_attn.qkv_proj", gguf + "attn_qkv", joined, hidden, false, Rows::kQkv},
               out,
               {Role::kGate, name + "mlp.gate_up_proj", gguf + "ffn_up", 2 * inner, hidden, false, Rows::kGateUp},
               down};
  }
  return spec;
}

}  // namespace

const Family& phi3_family() {
  static const Family family = {"phi3", "Phi3ForCausalLM", "phi3", phi3_keys, phi3_spec};
  return family;
}

}  // namespace lora
