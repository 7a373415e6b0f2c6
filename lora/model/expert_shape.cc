// What the families with experts share. Tested by tests/lora/model/spec_test.cc and shapes_test.cc.
#include "lora/model/expert_shape.h"

#include <fmt/format.h>

#include <algorithm>

namespace lora {
namespace {

// Appends the linear layers of one block behind its attention's.
class BlockWriter {
 public:
  BlockWriter(BlockSpec& block, const ModelConfig& config, const ExpertNames& names, std::size_t layer)
      : block_(block),
        config_(config),
        names_(names),
        layer_(fmt::format("model.layers.{}.", layer)),
        gguf_(fmt::format("blk.{}.ffn_", layer)) {}

  void add_router() {
    const std::int64_t count{config_.experts}, hidden{config_.hidden_size};
    add(Role::kRouter, "gate", "gate_inp", count, hidden).stack = {layer_ + "mlp.gate.weight", {count, hidden}, 0};
  }
  void add_shared_expert() {
    const std::int64_t shared{config_.shared_expert_size}, hidden{config_.hidden_size};
    add(Role::kSharedGate, "shared_expert_gate", "gate_inp_shexp", 1, hidden).gguf_shape = {hidden};
    add(Role::kGate, "shared_expert.gate_proj", "gate_shexp", shared, hidden);
    add(Role::kUp, "shared_expert.up_proj", "up_shexp", shared, hidden);
    add(Role::kDown, "shared_expert.down_proj", "down_shexp", hidden, shared);
  }
  void add_expert(std::int64_t expert) {
    const std::int64_t inner{config_.expert_size}, hidden{config_.hidden_size}, count{config_.experts};
    const std::string stack = layer_ + "mlp.experts.";
    const Stack gate_up{stack + "gate_up_proj", {count, 2 * inner, hidden}, 2 * expert},
        down{stack + "down_proj", {count, hidden, inner}, expert};
    const auto of_expert = [&](LinearSpec& linear, const Stack& its_stack, std::int64_t part) {
      linear.expert = expert;
      linear.gguf_shape = {count, linear.out, linear.in};
      linear.stack = its_stack;
      linear.stack.part = part;
    };
    const std::string name = fmt::format("experts.{}.", expert);
    of_expert(add(Role::kGate, name + names_.gate, "gate_exps", inner, hidden), gate_up, 2 * expert);
    of_expert(add(Role::kUp, name + names_.up, "up_exps", inner, hidden), gate_up, 2 * expert + 1);
    of_expert(add(Role::kDown, name + names_.down, "down_exps", hidden, inner), down, expert);
  }

 private:
  LinearSpec& add(Role role, const std::string& name, const char* gguf, std::int64_t out, std::int64_t in) {
    return block_.linears.emplace_back(
        LinearSpec{role, fmt::format("{}{}.{}", layer_, names_.module, name), gguf_ + gguf, out, in});
  }

  BlockSpec& block_;
  const ModelConfig& config_;
  const ExpertNames& names_;
  std::string layer_, gguf_;
};

}  // namespace

void expert_keys(ConfigKeys& keys, ModelConfig& config, const char* count_key, const ExpertDefaults& defaults) {
  keys.size({count_key, "expert_count"}, config.experts, defaults.count);
  keys.size({"num_experts_per_tok", "expert_used_count"}, config.chosen_experts, defaults.chosen);
  keys.truth("output_router_logits", config.router_loss, false, {});
  keys.number({"router_aux_loss_coef", nullptr}, config.router_loss_weight, 0.001);
}

void qwen_expert_keys(ConfigKeys& keys, ModelConfig& config, const ExpertDefaults& defaults) {
  expert_keys(keys, config, "num_experts", defaults);
  keys.size({"num_local_experts", nullptr}, config.experts, config.experts);  // as transformers 5 writes it
  keys.size({"moe_intermediate_size", "expert_feed_forward_length"}, config.expert_size, defaults.size);
  std::int64_t step = 1;
  keys.size({"decoder_sparse_step", nullptr}, step, 1);
  std::vector<std::int64_t>& dense = config.dense_layers;
  keys.layers("mlp_only_layers", dense);
  for (std::int64_t layer = 0; layer < config.layers; ++layer)
    if ((layer + 1) % step != 0) dense.push_back(layer);
  std::ranges::sort(dense);
  dense.erase(std::unique(dense.begin(), dense.end()), dense.end());
  std::erase_if(dense, [&](std::int64_t layer) { return layer < 0 || layer >= config.layers; });
  keys.not_in_gguf(!dense.empty(), "layers without experts");
}

void add_experts(ModelSpec& spec, const ExpertNames& names) {
  const ModelConfig& config = spec.config;
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    if (std::ranges::count(config.dense_layers, static_cast<std::int64_t>(i)) > 0) continue;
    BlockSpec& block = spec.blocks[i];
    block.mlp.experts = config.experts, block.mlp.chosen = config.chosen_experts;
    block.mlp.renormalised = config.renormalised_experts;
    std::erase_if(block.linears, [](const LinearSpec& linear) { return !belongs_to_attention(linear.role); });
    BlockWriter writer(block, config, names, i);
    writer.add_router();
    if (config.shared_expert_size != 0) writer.add_shared_expert();
    for (std::int64_t expert = 0; expert < config.experts; ++expert) writer.add_expert(expert);
  }
}

}  // namespace lora
