// SmolLM3: LLaMA's block, some layers of which know no positions.
// Reference: transformers' modeling_smollm3.py, llama.cpp's LLM_ARCH_SMOLLM3.
// Tested by tests/finetune/families_test.cc and tests/lora/model/shapes_test.cc.
#include "lora/model/family.h"
#include "lora/model/llama_shape.h"

namespace lora {
namespace {

void smollm3_keys(ConfigKeys& keys, ModelConfig& config) {
  llama_sizes(keys, config, {.context_length = 32768, .kv_heads = 4, .rope = {.theta = 2'000'000}});
  keys.vocabulary(config.vocab_size, 128256);
  keys.rotated_layers(config, 4);
  keys.window(config.sliding_window, 0);
  bool has_window{config.sliding_window != 0};
  keys.truth("use_sliding_window", has_window, false, {});
  // Layers that layer_types names slide whatever use_sliding_window says.
  const auto slides = [has_window, rotated = config.rotated_layers](std::int64_t layer) {
    return has_window && !rotated.empty() && !rotated[static_cast<std::size_t>(layer)];
  };
  keys.window_layers(config, slides, slides);
  keys.tied(config.tied_embeddings, true);
  keys.truth("attention_bias", config.attention_bias, false, {"blk.0.attn_q.bias"});
  keys.truth("mlp_bias", config.mlp_bias, false, {"blk.0.ffn_gate.bias"});
  keys.not_in_gguf(config.attention_bias || config.mlp_bias, "biases");
  keys.unused({"max_window_layers"});
  llama_tokens(keys, config, 128000, 128001, 128004);
}

}  // namespace

const Family& smollm3_family() {
  static const Family family = {"smollm3", "SmolLM3ForCausalLM", "smollm3", smollm3_keys, llama_spec};
  return family;
}

}  // namespace lora
