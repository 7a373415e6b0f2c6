// The files beside a model's weights: config.json, generation_config.json, the tokenizer's. Tested by
// tests/lora/adapter/merge_test.cc and tests/lora/locate_test.cc.
#include "lora/adapter/companions.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "tokenizer/spec/tokenizer.h"
#include "tokenizer/write/convert.h"
#include "tokenizer/write/grow.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// What is carried as it is, is read as plain numbers beside a config.json that speaks of no quantisation.
void refuse_packed_rest(const ModelFiles& model) {
  for (const base::TensorView& tensor : model.carried())
    if (tensor.name.find(".quant_state.") != std::string::npos || tensor.name.ends_with(".SCB"))
      throw base::Error(
          {"bitsandbytes quantised tensors outside of the text model, which cannot be kept beside plain ones",
           model.path().string() + ": " + tensor.name, "", "",
           "write a GGUF of the text model, or give the model that this copy was made from: --base MODEL"});
}

// What config.json says of it: a list of end tokens stays one.
std::string generation_config_text(const ModelFiles& model, const std::string& config_text) {
  const ordered_json config = ordered_json::parse(config_text);
  ordered_json generation = {{"_from_model_config", true}};
  auto add = [&](const char* key, std::int64_t fallback) {
    if (config.contains(key)) {
      if (!config[key].is_null()) generation[key] = config[key];
    } else if (fallback >= 0) {
      generation[key] = fallback;
    }
  };
  add("bos_token_id", model.config().bos);
  add("eos_token_id", model.config().eos);
  add("pad_token_id", model.config().pad);
  return generation.dump(2) + "\n";
}

// Files beside a model's weights that are not copied: weights in any format and what describes them, files that are
// written anew, and what only belongs to that download.
bool is_copied(const fs::path& file) {
  const std::string name = file.filename().string();
  if (name.starts_with(".") || name == "config.json" || name == "generation_config.json" || name == "run.yaml" ||
      name == "README.md" || name.ends_with(".index.json"))
    return false;
  for (const char* ending :
       {".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".ggml", ".onnx", ".ot", ".part", ".py"})
    if (name.ends_with(ending)) return false;
  return true;
}

// The tokenizer's files, chat templates, licences: all that lies beside the weights. Text only, so a limit on the size
// keeps an unknown format of weights out.
void copy_other_files(const fs::path& from, const fs::path& to, const std::vector<std::string>& names) {
  const auto is_named = [&](const fs::path& file) {
    return names.empty() || std::ranges::find(names, file.filename().string()) != names.end();
  };
  constexpr std::uintmax_t kMost = std::uintmax_t{256} << 20;
  for (const auto& entry : fs::directory_iterator(from))
    if (entry.is_regular_file() && is_copied(entry.path()) && is_named(entry.path()) && entry.file_size() <= kMost)
      base::write_file(to / entry.path().filename(), base::read_file(entry.path()));
  const fs::path templates = from / "additional_chat_templates";
  if (!names.empty() || !fs::is_directory(templates)) return;
  fs::create_directories(to / templates.filename());
  for (const auto& entry : fs::directory_iterator(templates))
    if (entry.is_regular_file())
      base::write_file(to / templates.filename() / entry.path().filename(), base::read_file(entry.path()));
}

// Of a tokenizer that a GGUF holds.
void write_made_files(const base::GgufReader& gguf, const fs::path& folder) {
  // Ids are the same however the JSON is laid out; a compact vocabulary of 50,000 lines is a third smaller.
  base::write_file(folder / "tokenizer.json", tokenizer::tokenizer_json_from_gguf(gguf).dump() + "\n");
  nlohmann::json config = tokenizer::tokenizer_config_json_from_gguf(gguf);
  base::write_file(folder / "tokenizer_config.json", config.dump(2) + "\n");
  nlohmann::json special = nlohmann::json::object();
  for (const char* key : {"bos_token", "eos_token", "pad_token", "unk_token"})
    if (config.contains(key) && !config[key].is_null()) special[key] = config[key];
  base::write_file(folder / "special_tokens_map.json", special.dump(2) + "\n");
}

}  // namespace

std::string config_text(const ModelFiles& model, WeightType type) {
  if (model.is_gguf()) {
    ordered_json config = ordered_json::parse(config_to_json(model.config(), hf_name(type)));
    const std::vector<std::int32_t> ends = tokenizer::load(model.path())->end_ids();
    if (ends.size() > 1) config["eos_token_id"] = ends;
    return config.dump(2) + "\n";
  }
  ordered_json config = ordered_json::parse(base::read_file(model.path() / "config.json"));
  const auto made = ordered_json::parse(config_to_json(model.config(), hf_name(type)));
  config.erase("quantization_config");
  const auto untie = [&](ordered_json& part) {  // what an adapter has parted
    if (!model.config().tied_embeddings && part.value("tie_word_embeddings", true)) part["tie_word_embeddings"] = false;
  };
  untie(config);
  const auto resize = [&](ordered_json& part) {
    if (model.new_rows(model.spec().embedding + ".weight") > 0) part["vocab_size"] = model.config().vocab_size;
  };
  if (model.config().wrapper.empty() || config.contains("vocab_size")) resize(config);
  if (!model.config().wrapper.empty()) {
    refuse_packed_rest(model);
    untie(config["text_config"]);
    resize(config["text_config"]);
    config["torch_dtype"] = config["dtype"] = hf_name(type);
    add_other_readers(config["text_config"], made);
    return config.dump(2) + "\n";
  }
  if (config["model_type"] != made["model_type"]) return made.dump(2) + "\n";  // the family's name of earlier days
  add_other_readers(config, made);
  return config.dump(2) + "\n";
}

void add_other_readers(ordered_json& config, const ordered_json& made) {
  for (const char* key : {"torch_dtype", "dtype"}) config[key] = made[key];
  for (const char* key :
       {"rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "rope_local_base_freq",
        "original_max_position_embeddings", "sliding_window_pattern", "num_experts", "num_local_experts", "head_dim"})
    if (!config.contains(key) && made.contains(key)) config[key] = made[key];
}

void write_tokenizer(const ModelFiles& model, const fs::path& folder, const std::vector<std::string>& names) {
  model.is_gguf() ? write_made_files(*model.gguf(), folder) : copy_other_files(model.path(), folder, names);
  if (!model.new_tokens().empty()) tokenizer::write_new_tokens(folder, model.new_tokens());
}

void write_companions(const ModelFiles& model, const std::string& config, const fs::path& folder) {
  write_tokenizer(model, folder);
  const fs::path generation = model.path() / "generation_config.json";
  base::write_file(folder / "generation_config.json", !model.is_gguf() && fs::exists(generation)
                                                          ? base::read_file(generation)
                                                          : generation_config_text(model, config));
}

}  // namespace lora
