// What a model says about how it wants to be sampled. Tested by tests/finetune/sampling_test.cc.
#include "finetune/generation_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/gguf.h"
#include "base/json_fault.h"
#include "base/text.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Keys of a generation_config.json that do not change which tokens come: names of tokens, caches, kinds of output,
// drafts of an assistant model.
constexpr std::string_view kHarmless[] = {"_from_model_config",
                                          "assistant_confidence_threshold",
                                          "assistant_early_exit",
                                          "assistant_lookbehind",
                                          "bos_token_id",
                                          "cache_config",
                                          "cache_implementation",
                                          "compile_config",
                                          "continuous_batching_config",
                                          "decoder_start_token_id",
                                          "disable_compile",
                                          "eos_token_id",
                                          "low_memory",
                                          "max_cache_len",
                                          "num_assistant_tokens",
                                          "num_assistant_tokens_schedule",
                                          "output_attentions",
                                          "output_hidden_states",
                                          "output_logits",
                                          "output_scores",
                                          "pad_token_id",
                                          "prefill_chunk_size",
                                          "return_dict_in_generate",
                                          "target_lookbehind",
                                          "transformers_version",
                                          "use_cache"};

// Values at which a key does nothing, whatever the key: transformers writes its defaults out now and then.
bool is_idle(const std::string& key, const json& value) {
  if (value.is_null() || value == false || (value.is_structured() && value.empty())) return true;
  if (key == "max_length") return value == 20;
  const bool is_factor = key == "length_penalty" || key == "encoder_repetition_penalty" || key == "typical_p" ||
                         key.starts_with("num_") || key == "guidance_scale" || key == "top_h";
  return value.is_number() && value.get<double>() == (is_factor ? 1 : 0);
}

// The JSON object of a file, or an empty one when there is no file.
json object_in(const fs::path& file) {
  if (!fs::exists(file)) return json::object();
  const std::string text = base::read_file(file);
  json object = json::parse(text, nullptr, false);
  if (!object.is_object()) throw base::no_json_object(text, file.string(), "repair or delete the file");
  return object;
}

// Throws for a setting that means nothing.
void check(const GenerationSettings& settings, const fs::path& model) {
  auto need = [&](const char* key, const auto& value, auto is_good, const char* expected) {
    if (value && !is_good(static_cast<double>(*value)))
      throw base::Error({fmt::format("the model's own \"{}\" is out of range", key), model.string(),
                         fmt::format("{}", *value), expected, "mend it in the model"});
  };
  need(
      "temperature", settings.temperature, [](double x) { return x >= 0; }, "0 or more");
  need(
      "top_p", settings.top_p, [](double x) { return x > 0 && x <= 1; }, "above 0, at most 1");
  need(
      "min_p", settings.min_p, [](double x) { return x >= 0 && x <= 1; }, "0 to 1");
  need(
      "repetition_penalty", settings.repetition_penalty, [](double x) { return x > 0; }, "above 0");
  need(
      "no_repeat_ngram_size", settings.no_repeat_ngram_size, [](double x) { return x >= 0; }, "0 or more");
  need(
      "max_new_tokens", settings.max_tokens, [](double x) { return x >= 1; }, "1 or more");
}

GenerationSettings from_folder(const fs::path& folder) {
  GenerationSettings settings;
  const fs::path file = folder / "generation_config.json";
  json object = object_in(file);
  bool says = false;
  const auto take = [&](const char* key, auto& target) {  // whether it is there
    if (!object.contains(key)) return false;
    const json value = object[key];
    object.erase(key);
    if (value.is_null()) return false;
    if (!value.is_number())
      throw base::Error({fmt::format("bad \"{}\"", key), file.string(), base::shortened(value.dump()), "a number", ""});
    target = value.get<typename std::decay_t<decltype(target)>::value_type>();
    return true;
  };
  if (object.contains("do_sample") && !object["do_sample"].is_boolean() && !object["do_sample"].is_null())
    throw base::Error(
        {"bad \"do_sample\"", file.string(), base::shortened(object["do_sample"].dump()), "true or false", ""});
  says |= take("repetition_penalty", settings.repetition_penalty);
  says |= take("no_repeat_ngram_size", settings.no_repeat_ngram_size);
  says |= take("max_new_tokens", settings.max_tokens);
  if (object.contains("do_sample") && object["do_sample"] == true) {
    says = true;
    settings.temperature = 1;
    settings.top_k = 50;
    take("temperature", settings.temperature);
    take("top_k", settings.top_k);
    take("top_p", settings.top_p);
    take("min_p", settings.min_p);
  } else {
    // transformers takes the most probable token then, whatever stands beside it.
    if (object.contains("do_sample") && object["do_sample"] == false) {
      says = true;
      settings.temperature = 0;
    }
    std::optional<double> unread;  // a number all the same
    for (const char* key : {"temperature", "top_k", "top_p", "min_p"}) take(key, unread);
  }
  if (says) settings.source = "generation_config.json";
  object.erase("do_sample");
  for (const auto& [key, value] : object.items()) {
    if (std::find(std::begin(kHarmless), std::end(kHarmless), key) == std::end(kHarmless) && !is_idle(key, value))
      settings.unused.push_back(key + ": " +
                                base::shortened(value.dump(-1, ' ', true, json::error_handler_t::replace)));
  }
  return settings;
}

GenerationSettings from_gguf(const base::GgufReader& file) {
  GenerationSettings settings;
  auto take = [&](const char* key, auto& target, auto read) {
    const std::string name = std::string("general.sampling.") + key;
    if (!file.find(name)) return;
    target = read(name);
    settings.source = "GGUF metadata";
  };
  // Stored as float32: the shortest decimal is what was meant (0.9, not 0.89999998).
  auto number = [&](const std::string& name) {
    return std::stod(fmt::format("{}", static_cast<float>(file.number(name))));
  };
  auto integer = [&](const std::string& name) { return file.integer(name); };
  take("temp", settings.temperature, number);
  take("top_k", settings.top_k, integer);
  take("top_p", settings.top_p, number);
  take("min_p", settings.min_p, number);
  take("penalty_repeat", settings.repetition_penalty, number);
  for (const char* key : {"mirostat", "xtc_probability"}) {
    std::optional<double> value;
    take(key, value, number);
    if (value.value_or(0) != 0) settings.unused.push_back(fmt::format("{}: {}", key, *value));
  }
  return settings;
}

}  // namespace

GenerationSettings read_generation_settings(const fs::path& model) {
  GenerationSettings settings = fs::is_directory(model) ? from_folder(model) : from_gguf(base::GgufReader(model));
  if (settings.top_k) *settings.top_k = std::max<std::int64_t>(0, *settings.top_k);  // -1 is written for "all" too
  check(settings, model);
  return settings;
}

void complete(SamplingOptions& options, const GenerationSettings& settings, const base::OptionSet* given) {
  auto is_given = [&](const char* name) {
    const base::Option* option = given ? given->find(name) : nullptr;
    return option && option->given;
  };
  auto set = [&](const char* name, auto& field, const auto& value) {
    if (value && !is_given(name)) field = *value;
  };
  set("max_tokens", options.max_tokens, settings.max_tokens);
  set("temperature", options.temperature, settings.temperature);
  set("top_k", options.top_k, settings.top_k);
  set("top_p", options.top_p, settings.top_p);
  set("min_p", options.min_p, settings.min_p);
  set("repetition_penalty", options.repetition_penalty,
      std::optional(settings.repetition_penalty.value_or(kRepetitionPenalty)));
  set("no_repeat_ngram_size", options.no_repeat_ngram_size, settings.no_repeat_ngram_size);
  if (options.temperature > 0) return;
  for (const char* name : {"top_k", "top_p", "min_p", "seed"}) {
    if (!is_given(name)) continue;
    std::string flag = name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    throw base::UsageError(
        {"has no effect: nothing is drawn at temperature 0", "--" + flag, "", "", "give a --temperature above 0"});
  }
}

std::string to_text(const SamplingOptions& options) {
  std::string text = options.temperature == 0 ? "the most probable token each time"
                                              : fmt::format("temperature {}", options.temperature);
  if (options.temperature > 0) {
    if (options.top_k > 0) text += fmt::format(", top-k {}", options.top_k);
    if (options.top_p < 1) text += fmt::format(", top-p {}", options.top_p);
    if (options.min_p > 0) text += fmt::format(", min-p {}", options.min_p);
  }
  if (options.repetition_penalty != 1) text += fmt::format(", repetition penalty {}", options.repetition_penalty);
  if (options.no_repeat_ngram_size > 0) text += fmt::format(", no {}-gram twice", options.no_repeat_ngram_size);
  return text;
}

}  // namespace finetune
