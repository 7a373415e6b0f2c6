// A LoRA adapter as data, in PEFT's format (adapter_config.json, adapter_model.safetensors).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lora/adapter/adapter_config.h"
#include "lora/model/spec.h"

namespace lora {

/// W + scale * B A in the place of W. Of the embedding too, whose rows W are those of the tokens: PEFT's
/// lora_embedding_A is B transposed, lora_embedding_B is A.
struct AdapterModule {
  std::string name;  ///< "model.layers.0.self_attn.q_proj"
  std::int64_t rank = 0, in = 0, out = 0;
  double scale = 1;      ///< alpha / rank, or alpha / sqrt(rank) with rslora
  std::vector<float> a;  ///< [rank, in], row-major
  std::vector<float> b;  ///< [out, rank]
  /// DoRA (Liu et al. 2024, arXiv:2402.09353): the lengths of the rows of the whole, [out]: row i is then
  /// magnitude[i] (W + scale * B A)[i] / |(W + scale * B A)[i]|. Of an embedding, as PEFT has it, those of the columns,
  /// [in]. Empty: as they come.
  std::vector<float> magnitude{};
  std::optional<double> dropout{};  ///< of its inputs while training, where it is not the adapter's; in no file
  std::int64_t frozen = 0;          ///< of the rank, the last ones do not train: what a start took out; in no file
};

/// A tensor that stands in the place of the base's: of a module trained whole (modules_to_save), or one that PEFT saved
/// because the vocabulary was resized.
struct SavedTensor {
  std::string name;  ///< "model.norm.weight"
  std::vector<std::int64_t> shape;
  std::vector<float> values;
  bool is_trained = true;
};

/// Rows of the embedding or the head in the place of the base's (trainable_token_indices).
struct TokenRows {
  std::string module;             ///< "model.embed_tokens"
  std::vector<std::int64_t> ids;  ///< each once
  std::int64_t width = 0;
  std::vector<float> values;  ///< [ids, width]
};

/// How many magnitudes a module has with DoRA.
std::int64_t length_of_magnitude(const AdapterModule& module);

struct Adapter : AdapterSettings {
  std::vector<std::string> targets;    ///< suffixes: "q_proj"
  std::vector<AdapterModule> modules;  ///< embedding and head first, then in forward order
  std::vector<SavedTensor> saved;      ///< by name
  std::vector<TokenRows> tokens;       ///< by module
};

/// Embedding and head first, then in forward order; also the targets. `file`, for errors. Throws base::Error for
/// modules of no family that is known.
void put_in_order(Adapter& adapter, const std::string& file);

/// Whether modules of `base` that end as those of the adapter have none of it: AdapterSettings::is_partial.
bool leaves_out(const Adapter& adapter, const ModelSpec& base);

/// Reads a PEFT folder, an mlx-lm one (lora/adapter/mlx_adapter.h) or a GGUF adapter
/// (lora/adapter/read_gguf_adapter.h); rank_pattern and alpha_pattern are honoured. Throws base::Error naming what we
/// do not compute exactly: a key of the config (lora/adapter/adapter_config.h), a tensor that belongs to nothing that
/// the config chooses.
Adapter read_adapter(const std::filesystem::path& folder);
/// Writes the two files atomically, float32, sorted keys, readable by PEFT and vLLM. Ranks and scales of modules that
/// differ from the adapter's go into rank_pattern and alpha_pattern. The folder is made when missing.
void write_adapter(const Adapter& adapter, const std::filesystem::path& folder);
/// Throws base::Error unless the adapter's matrices are right against its base as it is.
void check_plain(const Adapter& adapter);
/// What an adapter has beside A and B of linear layers, in words: "DoRA", "rows of tokens"; empty: nothing.
std::vector<std::string> beyond_lora(const Adapter& adapter);

}  // namespace lora
