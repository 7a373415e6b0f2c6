// A LoRA adapter as data, in PEFT's format (adapter_config.json, adapter_model.safetensors).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lora/adapter/adapter_config.h"

namespace lora {

/// y = W x + scale * B (A x).
struct AdapterModule {
  std::string name;  ///< "model.layers.0.self_attn.q_proj"
  std::int64_t rank = 0, in = 0, out = 0;
  double scale = 1;      ///< alpha / rank, or alpha / sqrt(rank) with rslora
  std::vector<float> a;  ///< [rank, in], row-major
  std::vector<float> b;  ///< [out, rank]
};

struct Adapter : AdapterSettings {
  std::vector<std::string> targets;    ///< suffixes: "q_proj"
  std::vector<AdapterModule> modules;  ///< forward order
};

/// Reads a PEFT folder; rank_pattern and alpha_pattern are honoured. Throws base::Error naming what we do not compute
/// exactly: a key of the config (lora/adapter/adapter_config.h), a tensor that is no matrix of a linear module, a
/// module that the config does not choose.
Adapter read_adapter(const std::filesystem::path& folder);
/// Writes the two files atomically, float32, sorted keys, readable by PEFT and vLLM. Ranks and scales of modules that
/// differ from the adapter's go into rank_pattern and alpha_pattern. The folder is made when missing.
void write_adapter(const Adapter& adapter, const std::filesystem::path& folder);
/// Throws base::Error unless W + scale * B A is what the adapter means.
void check_plain(const Adapter& adapter);

}  // namespace lora
