#include "lora/model_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using Shape = std::vector<std::int64_t>;

// One layer's tensors, Hugging Face and GGUF names of the same module.
constexpr std::pair<const char*, const char*> kLayerNames[] = {
    {"input_layernorm", "attn_norm"}, {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},   {"self_attn.o_proj", "attn_output"}, {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},    {"mlp.up_proj", "ffn_up"},           {"mlp.down_proj", "ffn_down"}};
constexpr std::pair<const char*, const char*> kOtherNames[] = {{"model.embed_tokens.weight", "token_embd.weight"},
                                                               {"model.norm.weight", "output_norm.weight"},
                                                               {"lm_head.weight", "output.weight"}};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// As huggingface_hub finds it.
fs::path hub_cache() {
  if (std::string cache = environment("HF_HUB_CACHE"); !cache.empty()) return cache;
  if (std::string home = environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  std::string cache = environment("XDG_CACHE_HOME");
  return (cache.empty() ? fs::path(environment("HOME")) / ".cache" : fs::path(cache)) / "huggingface" / "hub";
}

// The folder or file that `model` means; an error that says what to do where there is none.
fs::path locate(const std::string& model) {
  if (fs::path found = find_model(model); !found.empty()) return found;
  if (!is_hub_name(model))
    throw base::Error({"no such model", model, "", "a Hugging Face folder, a .gguf file or a name like org/model", ""});
  const std::string plain = unquantised_name(model);
  throw base::Error(
      {fmt::format("no such path, and not in the Hugging Face cache {}", hub_cache().string()), model, "", "",
       plain == model
           ? "download it: hf download " + model + "   (pip install huggingface_hub)"
           : fmt::format(
                 "by its name it is a quantised copy, whose weights cannot be used here; give the model that it "
                 "was made from with --base (finetune: --model), perhaps {}",
                 plain)});
}

// Old Llama checkpoints carry the rotary table; it follows from the config.
bool is_ignored(std::string_view name) { return name.ends_with(".rotary_emb.inv_freq"); }

std::string text_of(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace

bool is_hub_name(const std::string& model) {
  std::vector<std::string> parts = base::split(model, '/');
  return parts.size() == 2 && std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
           return !part.empty() && part[0] != '.' && std::all_of(part.begin(), part.end(), [](unsigned char c) {
             return std::isalnum(c) || c == '-' || c == '_' || c == '.';
           });
         });
}

fs::path find_model(const std::string& model) {
  std::error_code ignored;
  if (fs::exists(model, ignored)) return model;
  if (!is_hub_name(model)) return "";
  fs::path repository =
      hub_cache() / ("models--" + model.substr(0, model.find('/')) + "--" + model.substr(model.find('/') + 1));
  fs::path reference = repository / "refs" / "main";
  if (!fs::exists(reference, ignored)) return "";
  fs::path folder = repository / "snapshots" / base::trim(base::read_file(reference));
  return fs::exists(folder / "config.json", ignored) ? folder : "";
}

std::vector<std::pair<std::string, Shape>> expected_tensors(const ModelConfig& config) {
  std::vector<std::pair<std::string, Shape>> tensors;
  tensors.emplace_back("model.embed_tokens.weight", Shape{config.vocab_size, config.hidden_size});
  for (std::int64_t i = 0; i < config.layers; ++i) {
    for (const auto& [name, gguf] : kLayerNames) {
      std::string module = fmt::format("model.layers.{}.{}", i, name);
      if (module.ends_with("layernorm")) {
        tensors.emplace_back(module + ".weight", Shape{config.hidden_size});
        continue;
      }
      auto [out, in] = linear_shape(config, name);
      tensors.emplace_back(module + ".weight", Shape{out, in});
      bool is_mlp = std::string_view(name).starts_with("mlp.");
      if (is_mlp ? config.mlp_bias : config.attention_bias) tensors.emplace_back(module + ".bias", Shape{out});
    }
  }
  tensors.emplace_back("model.norm.weight", Shape{config.hidden_size});
  if (!config.tied_embeddings) tensors.emplace_back("lm_head.weight", Shape{config.vocab_size, config.hidden_size});
  return tensors;
}

std::string gguf_name(const std::string& hf_name) {
  for (const auto& [name, gguf] : kOtherNames)
    if (hf_name == name) return gguf;
  constexpr std::string_view kLayers = "model.layers.";
  if (hf_name.starts_with(kLayers)) {
    std::size_t dot = hf_name.find('.', kLayers.size());
    std::size_t last = hf_name.rfind('.');
    if (dot != std::string::npos && last > dot) {
      std::string index = hf_name.substr(kLayers.size(), dot - kLayers.size());
      std::string module = hf_name.substr(dot + 1, last - dot - 1);
      for (const auto& [name, gguf] : kLayerNames)
        if (module == name) return fmt::format("blk.{}.{}{}", index, gguf, hf_name.substr(last));
    }
  }
  throw base::Error({"a tensor without a GGUF name", "", base::shortened(hf_name), "a tensor of a Llama model", ""});
}

std::int64_t rope_heads(const ModelConfig& config, std::string_view name) {
  if (name.find(".self_attn.q_proj.") != std::string_view::npos) return config.heads;
  if (name.find(".self_attn.k_proj.") != std::string_view::npos) return config.kv_heads;
  return 0;
}

void permute_rope_rows(std::span<float> matrix, std::int64_t rows, std::int64_t columns, std::int64_t heads,
                       bool to_gguf) {
  std::int64_t size = heads > 0 ? rows / heads : 0;  // rows of a head
  if (heads < 1 || rows % heads != 0 || size % 2 != 0 || matrix.size() != static_cast<std::size_t>(rows * columns))
    throw base::Error({"rows are not whole heads", "", fmt::format("{} rows, {} heads", rows, heads), "", ""});
  std::vector<float> head(static_cast<std::size_t>(size * columns));
  auto bytes = static_cast<std::size_t>(columns) * sizeof(float);
  for (std::int64_t h = 0; h < heads; ++h) {
    float* begin = matrix.data() + h * size * columns;
    std::copy(begin, begin + size * columns, head.begin());
    for (std::int64_t j = 0; j < size / 2; ++j)
      for (std::int64_t p = 0; p < 2; ++p) {
        std::int64_t interleaved = 2 * j + p, halves = p * (size / 2) + j;
        std::int64_t to = to_gguf ? interleaved : halves, from = to_gguf ? halves : interleaved;
        std::memcpy(begin + to * columns, head.data() + from * columns, bytes);
      }
  }
}

ModelFiles::ModelFiles(const std::string& model) : path_(locate(model)) {
  if (fs::is_directory(path_)) {
    fs::path config = path_ / "config.json";
    if (!fs::exists(config)) {
      std::string advice;
      for (const auto& entry : fs::directory_iterator(path_))
        if (entry.path().extension() == ".gguf") advice = "did you mean the file " + entry.path().string() + "?";
      if (fs::exists(path_ / "adapter_config.json"))
        advice = "this is a LoRA adapter; give the base model, or merge it first: lora merge " + path_.string();
      throw base::Error({"not a model folder", path_.string(), "", "config.json in it", advice});
    }
    config_ = config_from_json(base::read_file(config), config.string());
    safetensors_ = std::make_unique<base::SafetensorsReader>(path_);
  } else {
    if (path_.extension() == ".safetensors")
      throw base::Error({"weights alone are no model", path_.string(), "", "the folder that holds config.json", ""});
    gguf_ = std::make_unique<base::GgufReader>(path_);
    config_ = config_from_gguf(*gguf_);
  }

  std::set<std::string> known;
  for (const auto& [name, shape] : expected_tensors(config_)) {
    const base::TensorView* view = stored(name);
    std::string stored_name = gguf_ ? gguf_name(name) : name;
    if (!view)
      throw base::Error({"the model lacks a tensor", path_.string(), stored_name, text_of(shape),
                         "the config does not belong to these weights, or the download is incomplete"});
    if (view->shape != shape)
      throw base::Error({"a tensor of another shape than the config says", path_.string() + ": " + stored_name,
                         text_of(view->shape), text_of(shape), "the config does not belong to these weights"});
    if (view->type > base::DType::kBF16 && view->type < base::DType::kQ4_0)
      throw base::Error({"weights of an integer type", path_.string() + ": " + stored_name,
                         std::string(base::name_of(view->type)), "floating-point weights", ""});
    known.insert(std::move(stored_name));
    names_.push_back(name);
  }
  for (const base::TensorView& view : gguf_ ? gguf_->tensors() : safetensors_->tensors()) {
    if (known.contains(view.name) || is_ignored(view.name) || (gguf_ && view.name == "rope_freqs.weight")) continue;
    // Some tools save the head of a tied model too. It must then be the embedding.
    if (view.name == "lm_head.weight" && config_.tied_embeddings) {
      const base::TensorView& embedding = safetensors_->at("model.embed_tokens.weight");
      if (view.type == embedding.type && view.shape == embedding.shape &&
          std::equal(view.bytes.begin(), view.bytes.end(), embedding.bytes.begin()))
        continue;
      throw base::Error({"config.json ties the head to the embedding, but the file has another head",
                         path_.string() + ": lm_head.weight", "", "",
                         "set \"tie_word_embeddings\" to false in config.json if the head was trained apart"});
    }
    throw base::Error({"a tensor this model does not have", path_.string(), base::shortened(view.name),
                       "the tensors of a plain " + config_.architecture + " model", ""});
  }
}

const base::TensorView* ModelFiles::stored(const std::string& name) const {
  return gguf_ ? gguf_->tensor(gguf_name(name)) : safetensors_->find(name);
}

const base::TensorView& ModelFiles::view(const std::string& name) const {
  const base::TensorView* view = name == "lm_head.weight" && config_.tied_embeddings ? nullptr : stored(name);
  if (!view) throw base::Error({"the model has no such tensor", path_.string(), base::shortened(name), "", ""});
  return *view;
}

std::vector<std::int64_t> ModelFiles::shape(const std::string& name) const { return view(name).shape; }
base::DType ModelFiles::type(const std::string& name) const { return view(name).type; }

void ModelFiles::read(const std::string& name, std::span<float> out) const {
  const base::TensorView& tensor = view(name);
  base::to_float(tensor.type, tensor.bytes, out);
  std::int64_t heads = gguf_ ? rope_heads(config_, name) : 0;
  if (heads > 0) permute_rope_rows(out, tensor.shape[0], tensor.elements() / tensor.shape[0], heads, false);
}

void ModelFiles::read_rows(const std::string& name, std::int64_t first, std::int64_t count,
                           std::span<float> out) const {
  const base::TensorView& tensor = view(name);
  if (tensor.shape.size() != 2 || first < 0 || count < 0 || first > tensor.shape[0] - count)
    throw base::Error({"rows outside the tensor", path_.string() + ": " + name, fmt::format("{}+{}", first, count),
                       text_of(tensor.shape), ""});
  auto row_bytes = static_cast<std::size_t>(base::byte_size(tensor.type, std::span(tensor.shape).last(1)));
  base::to_float(
      tensor.type,
      tensor.bytes.subspan(static_cast<std::size_t>(first) * row_bytes, static_cast<std::size_t>(count) * row_bytes),
      out);
  if (!gguf_ || rope_heads(config_, name) == 0) return;
  if (first % config_.head_dim != 0 || count % config_.head_dim != 0)
    throw base::Error({"rows are not whole heads", path_.string() + ": " + name, fmt::format("{}+{}", first, count),
                       fmt::format("multiples of {}", config_.head_dim), ""});
  permute_rope_rows(out, count, tensor.shape[1], count / config_.head_dim, false);
}

}  // namespace lora
