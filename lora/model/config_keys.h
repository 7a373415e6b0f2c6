// What a family says of its config file, one line a key: reading and writing both formats walk the same lines.
// Tested by tests/lora/model/config_test.cc.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "lora/model/config.h"

namespace lora {

/// The key in config.json and the one in a GGUF behind "ARCHITECTURE."; null: that format does not hold it.
struct KeyNames {
  const char* hf;
  const char* gguf;
};

/// Visits the keys in an order in which a fallback may use what was read before.
class ConfigKeys {
 public:
  virtual ~ConfigKeys() = default;
  /// 1 to 2^31; without `fallback` (0) it must be there.
  virtual void size(KeyNames names, std::int64_t& value, std::int64_t fallback = 0) = 0;
  /// Rows of the embedding; a GGUF without the key says it by that tensor's shape.
  virtual void vocabulary(std::int64_t& value, std::int64_t fallback) = 0;
  virtual void number(KeyNames names, double& value, double fallback) = 0;
  /// A GGUF says it by its tensors: true when one of them is there.
  virtual void truth(const char* hf, bool& value, bool fallback, std::initializer_list<const char*> tensors) = 0;
  /// The head is the embedding: "tie_word_embeddings", or no output.weight.
  virtual void tied(bool& value) = 0;
  /// A token id; the first one of a list; -1 when null. `gguf` stands behind "tokenizer.ggml.".
  virtual void token(KeyNames names, std::int64_t& value, std::int64_t fallback) = 0;
  /// Tokens that attention sees, 0 when null. `fallback`: what config.json means without the key.
  virtual void window(std::int64_t& value, std::int64_t fallback) = 0;
  virtual void rope(RopeSpec& rope, const ModelConfig& config) = 0;
  /// "hidden_act" must be one of these; GGUF families have one activation each.
  virtual void activation(std::initializer_list<const char*> allowed) = 0;
  /// A key that must have this value where it stands, and is written with it (GGUF only).
  virtual void same(const char* gguf, std::int64_t value, const char* expected) = 0;
  /// A key that must have this value where it stands, and is not written.
  virtual void only(KeyNames names, std::int64_t value, const char* expected, const char* advice = "") = 0;
};

}  // namespace lora
