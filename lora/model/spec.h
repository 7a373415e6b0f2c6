// What a decoder is, as data: what `finetune` computes, what `lora` names and shapes. No Torch, no file formats.
// Tested by tests/lora/model/spec_test.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lora/model/config.h"

namespace lora {

enum class NormKind { kNone, kRms, kRmsPlusOne, kLayer };
/// What a linear layer computes in its block. kRouter: a token's score of each expert; kSharedGate: by how much the MLP
/// that all tokens go through counts beside the experts, before the sigmoid.
enum class Role { kQuery, kKey, kValue, kAttentionOut, kGate, kUp, kDown, kRouter, kSharedGate };
/// Else to the MLP.
constexpr bool belongs_to_attention(Role role) { return role < Role::kGate; }
/// What its rows are. kQkvPerKeyHead: of each key head the query heads that read it, then its key, then its value.
enum class Rows { kPlain, kQkv, kQkvPerKeyHead, kGateUp };

inline constexpr std::int64_t kAllTokens = -1;  ///< of a linear layer: of no expert

/// Names are whole, without ".weight": "model.layers.3.input_layernorm", "blk.3.attn_norm".
struct NormSpec {
  NormKind kind = NormKind::kNone;
  std::string name, gguf;
};

/// A tensor of a file that holds several of ours, one behind the other and all of one size: `name` whole, "" for none.
struct Stack {
  std::string name{};
  std::vector<std::int64_t> shape{};
  std::int64_t part = 0;
};

struct LinearSpec {
  Role role;
  std::string name, gguf;  ///< "model.layers.3.self_attn.q_proj", "blk.3.attn_q"
  std::int64_t out, in;
  bool bias = false;
  Rows rows = Rows::kPlain;
  /// Heads whose rows a GGUF stores interleaved (see permute_rope_rows), 0: as they are.
  std::int64_t interleaved_heads = 0;
  std::int64_t expert = kAllTokens;        ///< the number of the expert that it is a part of
  std::vector<std::int64_t> gguf_shape{};  ///< of the tensor `gguf`, which holds that of all experts; empty: its own
  Stack stack{};                           ///< in folders of transformers 5 that do not keep the original format
};

struct AttentionSpec {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t rotary_dim = 0;  ///< the first ones of a head are rotated; 0: none
  std::int64_t window = 0;      ///< tokens seen, 0: all before
  RopeSpec rope;
  /// Of q and k before rotation, of each head or (OLMo 2) of all heads of a token together.
  NormSpec q_norm, k_norm;
  bool qk_norms_join_heads = false;
  double scale = 0;            ///< of the products q k; 0: 1 / sqrt(head_dim)
  double softcap = 0;          ///< products are softcap * tanh(product / softcap); 0: as they are
  std::vector<double> slopes;  ///< ALiBi: of each head, what a step of the key's position adds to q k; empty: none
};

/// With `experts`, a token goes through the `chosen` ones of the highest score, each weighed by its softmax among all,
/// and (renormalised) divided by the sum of these; linear layers without an expert are one more that all tokens go
/// through.
struct MlpSpec {
  Activation activation = Activation::kSilu;
  bool gated = true;
  std::int64_t experts = 0, chosen = 0;
  bool renormalised = false;
};

struct BlockSpec {
  NormSpec attention_norm, attention_post_norm, mlp_norm, mlp_post_norm;
  /// Attention and MLP both read the block's input; an MLP without a norm of its own reads attention's.
  bool parallel = false;
  AttentionSpec attention;
  MlpSpec mlp;
  /// Forward order; q, k, v side by side, gate (if any) before up, experts last.
  std::vector<LinearSpec> linears;
};
/// Linear layers of a block that read the same and are computed as one product, in the order of `linears`.
std::vector<std::span<const LinearSpec>> products_of(const BlockSpec& block);

struct ModelSpec {
  ModelConfig config;
  std::string embedding, embedding_gguf, head, head_gguf;  ///< names without ".weight"
  NormSpec norm;                                           ///< before the head
  std::vector<BlockSpec> blocks;
  double embedding_scale = 1;  ///< of what the embedding gives, rounded to its type
  double logit_softcap = 0;    ///< as AttentionSpec::softcap
  bool head_bias = false;
};

/// One tensor of a model on disk.
struct TensorSpec {
  std::string name, gguf;  ///< "model.embed_tokens.weight", "token_embd.weight"
  std::vector<std::int64_t> shape;
  std::int64_t interleaved_heads = 0;
  /// Rows::kQkvPerKeyHead, which a GGUF holds as q | k | v: the number of key heads, 0: of another kind.
  std::int64_t key_heads = 0;
  std::int64_t head_rows = 0;  ///< rows of a head, of these
  float gguf_added = 0;        ///< what a GGUF holds more in every number: 1 of Gemma's norms
  /// `gguf` has this shape and holds as many tensors as fit, of which this one is the `gguf_part`th; empty: it alone.
  std::vector<std::int64_t> gguf_shape{};
  std::int64_t gguf_part = 0;
  bool gguf_float = false;  ///< a GGUF always has it in float32, as it has vectors
  Stack stack{};            ///< where a folder has no tensor `name`
};
/// Every tensor: embedding, blocks in forward order (of experts first all gates, then all ups, then all downs, as a
/// GGUF stacks them), last norm, head (not when tied).
std::vector<TensorSpec> tensors_of(const ModelSpec& spec);
/// Numbers in all of them.
std::int64_t parameters_of(const ModelSpec& spec);

/// Throws base::Error for numbers that cannot be a model. `file` for the message.
void check_config(const ModelConfig& config, const std::string& file);
/// The family's spec of this config.
ModelSpec spec_of(const ModelConfig& config);

/// Module suffixes ("q_proj", ...) in forward order, then the embedding's and the head's, for PEFT-style targets:
/// "all-linear" (without these two), or any of the suffixes.
/// Throws UsageError with a near name.
std::vector<std::string> expand_targets(const ModelSpec& spec, const std::vector<std::string>& targets);

}  // namespace lora
