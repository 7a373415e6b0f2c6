// The families of models we know: one file each in families/. Tested by tests/lora/model/config_test.cc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lora/model/config_keys.h"
#include "lora/model/spec.h"

namespace lora {

struct Family {
  const char* model_type;  ///< of config.json: "llama"
  const char* class_name;  ///< transformers' class: "LlamaForCausalLM"
  const char* gguf;        ///< general.architecture
  void (*keys)(ConfigKeys& keys, ModelConfig& config);
  ModelSpec (*spec)(const ModelConfig& config);
  /// llama.cpp computes the windows of this architecture.
  bool has_gguf_windows = false;
  /// A key behind the architecture's name that tells this family from others of its architecture where a GGUF has it,
  /// and not as 0. Of several such families the last one: Mixtral may have Mistral's window.
  const char* gguf_sign = nullptr;
};

/// In the order of their files; made by CMake from families/*.cc, each of which defines NAME_family().
const std::vector<const Family*>& families();
/// Null when there is none.
const Family* family_of_type(std::string_view model_type);
/// Of an architecture that several families share, the one whose sign `file` has, else the one of its own name.
const Family* family_of_gguf(std::string_view architecture, const base::GgufReader* file = nullptr);
/// The family of a config that was read.
const Family& family_of(const ModelConfig& config);
/// For messages: "llama, mistral, ...", and of GGUF architectures likewise.
std::string family_names();
std::string gguf_names();

/// A window that never cuts anything off is none, and what holds in all layers needs no list.
void simplify(ModelConfig& config);

}  // namespace lora
