// What a family says of its config file, one line a key: reading and writing both formats walk the same lines.
// Tested by tests/lora/model/config_test.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>

#include "lora/model/config.h"

namespace lora {

/// The key in config.json and the one in a GGUF behind "ARCHITECTURE."; null: that format does not hold it.
struct KeyNames {
  const char* hf;
  const char* gguf;
};

/// What transformers means by a config without these keys.
struct RopeDefaults {
  double theta = 10000;
  double share = 1;         ///< of a head's dimensions, those that are rotated; config.json may say another one
  bool whole_heads = true;  ///< but only with this: whole heads are rotated always
  double local_theta = 0;   ///< of layers with a window; 0: they have no rope of their own
  std::int64_t original_context = 0;  ///< 0: the context
};

/// Whether the window holds in a layer, where the file does not say.
using LayerRule = std::function<bool(std::int64_t layer)>;

/// Visits the keys in an order in which a fallback may use what was read before.
class ConfigKeys {
 public:
  virtual ~ConfigKeys() = default;
  /// 1 to 2^31; without `fallback` (0) it must be there.
  virtual void size(KeyNames names, std::int64_t& value, std::int64_t fallback = 0) = 0;
  /// Rows of the embedding; a GGUF without the key says it by that tensor's shape.
  virtual void vocabulary(std::int64_t& value, std::int64_t fallback) = 0;
  /// Any integer.
  virtual void integer(KeyNames names, std::int64_t& value, std::int64_t fallback) = 0;
  virtual void number(KeyNames names, double& value, double fallback) = 0;
  /// One that may be null or not there: 0. `fallback`: what config.json means without the key.
  virtual void cap(KeyNames names, double& value, double fallback) = 0;
  /// A GGUF says it by its tensors: true when one of them is there; by none: not at all.
  virtual void truth(const char* hf, bool& value, bool fallback, std::initializer_list<const char*> tensors) = 0;
  /// The head is the embedding: "tie_word_embeddings", or no output.weight.
  virtual void tied(bool& value, bool fallback = false) = 0;
  /// A token id; the first one of a list; -1 when null. `gguf` stands behind "tokenizer.ggml.".
  virtual void token(KeyNames names, std::int64_t& value, std::int64_t fallback) = 0;
  /// Tokens that attention sees, 0 when null. `fallback`: what config.json means without the key.
  virtual void window(std::int64_t& value, std::int64_t fallback) = 0;
  /// In which layers the window holds: "layer_types", else by `rule`; where a GGUF does not say, by `gguf_rule`.
  virtual void window_layers(ModelConfig& config, const LayerRule& rule, const LayerRule& gguf_rule) = 0;
  /// Numbers of layers; a GGUF does not say them.
  virtual void layers(const char* hf, std::vector<std::int64_t>& value) = 0;
  /// Which layers are rotated: "no_rope_layers" (1: it is), else every one but each `interval`th.
  virtual void rotated_layers(ModelConfig& config, std::int64_t interval) = 0;
  virtual void rope(ModelConfig& config, const RopeDefaults& defaults) = 0;
  /// A GGUF architecture has one activation: `usual`.
  virtual void activation(const char* hf, Activation& value, Activation usual) = 0;
  /// A key that must have this value where it stands, and is written with it (GGUF only).
  virtual void same(const char* gguf, std::int64_t value, const char* expected) = 0;
  /// A key that must have this value where it stands, and is not written.
  virtual void only(KeyNames names, std::int64_t value, const char* expected, const char* advice = "") = 0;
  /// Keys of config.json that transformers' class of this family does not look at either.
  virtual void unused(std::initializer_list<const char*> hf) = 0;
  /// Refuses to write a GGUF: `what` is something that llama.cpp does not compute for this architecture.
  virtual void not_in_gguf(bool wrong, const char* what) = 0;
};

}  // namespace lora
