// Models that read pictures too, around a text model. Tested by tests/lora/model/wrapper_test.cc.
#include "lora/model/wrapper.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "lora/model/config_fields.h"

namespace lora {
namespace {

using nlohmann::json;

constexpr const char *kLanguageModel = "model.language_model.", *kTextModel = "model.text_model.", *kModel = "model.";
// transformers' classes whose text model computes of text alone what it computes by itself.
constexpr std::array<Wrapper, 11> kWrappers = {{
    {"gemma3", "Gemma3ForConditionalGeneration", kLanguageModel, "gemma3_text", true},
    {"got_ocr2", "GotOcr2ForConditionalGeneration", kLanguageModel, "qwen2", true},
    {"idefics3", "Idefics3ForConditionalGeneration", kTextModel, "llama", false},
    {"internvl", "InternVLForConditionalGeneration", kLanguageModel, "qwen2", true},
    {"llava", "LlavaForConditionalGeneration", kLanguageModel, "llama", false},
    {"llava_next", "LlavaNextForConditionalGeneration", kLanguageModel, "llama", false},
    {"llava_next_video", "LlavaNextVideoForConditionalGeneration", kLanguageModel, "llama", false},
    {"llava_onevision", "LlavaOnevisionForConditionalGeneration", kLanguageModel, "qwen2", false},
    {"mistral3", "Mistral3ForConditionalGeneration", kLanguageModel, "mistral", true},
    {"smolvlm", "SmolVLMForConditionalGeneration", kTextModel, "llama", false},
    {"vipllava", "VipLlavaForConditionalGeneration", kLanguageModel, "llama", false},
}};

// What transformers' class of a text model means by a "text_config" without these keys, which published ones leave out.
struct TextSizes {
  const char* model_type;
  std::int64_t hidden, inner, layers, heads;
};
constexpr std::array<TextSizes, 7> kTextSizes = {{{"gemma", 3072, 24576, 28, 16},
                                                  {"gemma2", 2304, 9216, 26, 8},
                                                  {"gemma3_text", 2304, 9216, 26, 8},
                                                  {"llama", 4096, 11008, 32, 32},
                                                  {"mistral", 4096, 14336, 32, 32},
                                                  {"qwen2", 4096, 22016, 32, 32},
                                                  {"qwen3", 4096, 22016, 32, 32}}};

void wrap(BlockSpec& block, const Wrapper& wrapper) {
  for (NormSpec* norm : {&block.attention_norm, &block.attention_post_norm, &block.mlp_norm, &block.mlp_post_norm,
                         &block.attention.q_norm, &block.attention.k_norm})
    norm->name = wrapped(std::move(norm->name), wrapper);
  for (LinearSpec& linear : block.linears) {
    linear.name = wrapped(std::move(linear.name), wrapper);
    if (!linear.stack.name.empty()) linear.stack.name = wrapped(std::move(linear.stack.name), wrapper);
  }
}

}  // namespace

const Wrapper* wrapper_of_type(std::string_view model_type) {
  for (const Wrapper& wrapper : kWrappers)
    if (wrapper.model_type == model_type) return &wrapper;
  return nullptr;
}

std::string wrapper_names() {
  std::vector<std::string> names;
  for (const Wrapper& wrapper : kWrappers) names.emplace_back(wrapper.model_type);
  return base::join(names, ", ");
}

json text_config_of(const json& config, const Wrapper& wrapper, const std::string& file) {
  const Fields fields(config, file);
  const json given = fields.object("text_config");
  json text = given;
  if (!text.contains("model_type")) text["model_type"] = wrapper.text_type;
  const std::string type = Fields(text, file).text("model_type", "");
  for (const TextSizes& sizes : kTextSizes) {
    if (sizes.model_type != type) continue;
    text = {{"hidden_size", sizes.hidden},
            {"intermediate_size", sizes.inner},
            {"num_hidden_layers", sizes.layers},
            {"num_attention_heads", sizes.heads}};
    text.update(given);
    text["model_type"] = type;
  }
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"})
    if (!text.contains(key) && config.contains(key)) text[key] = config[key];
  // What the whole says decides; of LLaVA also what its text model says.
  const bool of_text{Fields(text, file).truth("tie_word_embeddings", wrapper.tied)};
  text["tie_word_embeddings"] = fields.truth("tie_word_embeddings", of_text);
  return text;
}

void wrap(ModelSpec& spec, const Wrapper& wrapper) {
  spec.embedding = wrapped(std::move(spec.embedding), wrapper);
  spec.norm.name = wrapped(std::move(spec.norm.name), wrapper);
  for (BlockSpec& block : spec.blocks) wrap(block, wrapper);
}

std::string wrapped(std::string name, const Wrapper& wrapper) {
  return name.starts_with(kModel) ? wrapper.text + name.substr(std::char_traits<char>::length(kModel)) : name;
}

std::string name_of_today(std::string_view name) {
  constexpr std::string_view kEarly = "language_model.", kHead = "lm_head.", kInner = "model.";
  if (!name.starts_with(kEarly)) return std::string(name);
  const std::string_view rest = name.substr(kEarly.size());
  if (rest.starts_with(kHead)) return std::string(rest);
  return kLanguageModel + std::string(rest.starts_with(kInner) ? rest.substr(kInner.size()) : rest);
}

bool is_of_text(std::string_view name, const Wrapper& wrapper) {
  return name.starts_with(wrapper.text) || name.starts_with("lm_head.");
}

std::string without_wrapper(std::string_view name) {
  const std::string today = name_of_today(name);
  for (const std::string_view text : {kLanguageModel, kTextModel})
    if (today.starts_with(text)) return kModel + today.substr(text.size());
  return today;
}

}  // namespace lora
