// config.json read and written, by the families' lists of keys. Tested by tests/lora/model/config_test.cc.
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/json_fault.h"
#include "lora/model/config_fields.h"
#include "lora/model/earlier_names.h"
#include "lora/model/family.h"
#include "lora/model/quantisation.h"
#include "lora/model/wrapper.h"

namespace lora {
namespace {

using nlohmann::json;

constexpr const char *kSliding = "sliding_attention", *kFull = "full_attention";
constexpr const char* kOriginalContext = "original_max_position_embeddings";

// Of PreTrainedConfig and the programs that write config.json: what they say does not change what the model computes.
// Dropout is the training's own.
const std::set<std::string_view> kHarmless = {
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "add_cross_attention",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "cache_implementation",
    "chunk_size_feed_forward",
    "dtype",
    "embd_pdrop",
    "embedding_dropout",
    "eoi_token_index",
    "finetuning_task",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_decoder",
    "label2id",
    "max_sequence_length",
    "model_type",
    "output_attentions",
    "output_hidden_states",
    "pretraining_tp",
    "problem_type",
    "resid_pdrop",
    "return_dict",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
    // What generation takes where it has no file of its own.
    "do_sample",
    "max_length",
    "min_length",
    "num_beams",
    "num_beam_groups",
    "num_return_sequences",
    "early_stopping",
    "length_penalty",
    "repetition_penalty",
    "diversity_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
};
// A type of rope does not read the keys of another one.
const std::set<std::string_view> kHarmlessOfRope = {
    "factor", "low_freq_factor", "high_freq_factor", kOriginalContext, "attention_factor", "beta_fast", "beta_slow",
    "mscale", "mscale_all_dim",  "truncate",         "type",           "finetuned"};

struct ActivationName {
  Activation activation;
  const char* name;
};
// The first name of each is the one that is written.
constexpr std::array<ActivationName, 8> kActivations = {{{Activation::kSilu, "silu"},
                                                         {Activation::kSilu, "swish"},
                                                         {Activation::kGelu, "gelu"},
                                                         {Activation::kGelu, "gelu_python"},
                                                         {Activation::kGeluTanh, "gelu_pytorch_tanh"},
                                                         {Activation::kGeluTanh, "gelu_new"},
                                                         {Activation::kGeluTanh, "gelu_fast"},
                                                         {Activation::kRelu, "relu"}}};

class JsonReader : public ConfigKeys {
 public:
  explicit JsonReader(const Fields& fields) : fields_(fields) {}
  void size(KeyNames names, std::int64_t& value, std::int64_t fallback) override {
    if (names.hf) value = fields_.size(names.hf, fallback);
  }
  void vocabulary(std::int64_t& value, std::int64_t fallback) override { value = fields_.size("vocab_size", fallback); }
  void integer(KeyNames names, std::int64_t& value, std::int64_t fallback) override {
    if (names.hf) value = fields_.integer(names.hf, fallback);
  }
  void number(KeyNames names, double& value, double fallback) override {
    if (names.hf) value = fields_.number(names.hf, fallback);
  }
  void cap(KeyNames names, double& value, double fallback) override {
    value = fields_.contains(names.hf) ? fields_.number(names.hf, 0) : fallback;
    if (value < 0) fields_.wrong(names.hf, "null, or above 0");
  }
  void truth(const char* hf, bool& value, bool fallback, std::initializer_list<const char*>) override {
    value = fields_.truth(hf, fallback);
  }
  void tied(bool& value, bool fallback) override { value = fields_.truth("tie_word_embeddings", fallback); }
  void token(KeyNames names, std::int64_t& value, std::int64_t fallback) override {
    value = fields_.token(names.hf, fallback);
  }
  void window(std::int64_t& value, std::int64_t fallback) override {
    value = fields_.contains("sliding_window") ? fields_.integer("sliding_window", 0) : fallback;
    if (value < 0) fields_.wrong("sliding_window", "null, or a number of tokens");
  }
  void window_layers(ModelConfig& config, const LayerRule& rule, const LayerRule&) override {
    const std::vector<std::string> types = fields_.texts("layer_types");
    if (!types.empty() && types.size() < static_cast<std::size_t>(config.layers))
      fields_.wrong("layer_types", fmt::format("{} words, one a layer", config.layers));
    config.sliding_layers.clear();
    for (std::int64_t i = 0; i < config.layers; ++i) {
      const std::string type = types.empty() ? (rule(i) ? kSliding : kFull) : types[static_cast<std::size_t>(i)];
      if (type != kSliding && type != kFull) fields_.wrong("layer_types", fmt::format("{} or {}", kSliding, kFull));
      config.sliding_layers.push_back(type == kSliding);
    }
  }
  void rotated_layers(ModelConfig& config, std::int64_t interval) override {
    const std::vector<std::int64_t> given = fields_.integers("no_rope_layers");
    interval = fields_.size("no_rope_layer_interval", interval);
    if (!given.empty() && given.size() < static_cast<std::size_t>(config.layers))
      fields_.wrong("no_rope_layers", fmt::format("{} numbers, one a layer", config.layers));
    config.rotated_layers.clear();
    for (std::int64_t i = 0; i < config.layers; ++i)
      config.rotated_layers.push_back(given.empty() ? (i + 1) % interval != 0
                                                    : given[static_cast<std::size_t>(i)] != 0);
  }
  void layers(const char* hf, std::vector<std::int64_t>& value) override { value = fields_.integers(hf); }
  // transformers 4 has rope_theta and rope_scaling at the top, transformers 5 one object rope_parameters. Where both
  // stand, transformers 5 takes rope_scaling first; so do we.
  void rope(ModelConfig& config, const RopeDefaults& defaults) override {
    const json parameters = fields_.object("rope_parameters"), scaling = fields_.object("rope_scaling");
    const bool nested{defaults.local_theta != 0 && (parameters.contains(kFull) || parameters.contains(kSliding))};
    const auto part = [&](const char* key) { return parameters.value(key, json::object()); };
    const json rope = !scaling.empty() ? scaling : nested ? part(kFull) : parameters;
    const char* key = scaling.empty() ? "rope_parameters" : "rope_scaling";
    const double theta{nested ? Fields(part(kFull), "").number("rope_theta", defaults.theta) : defaults.theta};
    config.rope = one_rope(rope, key, fields_.number("rope_theta", theta), config, defaults);
    if (defaults.local_theta == 0) return;
    const double local_theta{fields_.number("rope_local_base_freq", defaults.local_theta)};
    config.local_rope = one_rope(nested ? part(kSliding) : json::object(), key, local_theta, config, defaults);
  }
  void activation(const char* hf, Activation& value, Activation usual) override {
    value = usual;
    if (!fields_.has(hf)) return;
    const std::string name = fields_.text(hf, "");
    for (const ActivationName& known : kActivations)
      if (name == known.name) return void(value = known.activation);
    fields_.wrong(hf, "silu, gelu, gelu_pytorch_tanh, gelu_new or relu");
  }
  void same(const char*, std::int64_t, const char*) override {}
  void only(KeyNames names, std::int64_t value, const char* expected, const char* advice) override {
    if (names.hf && fields_.integer(names.hf, value) != value) fields_.wrong(names.hf, expected, advice);
  }
  void unused(std::initializer_list<const char*> hf) override {
    for (const char* key : hf) fields_.use(key);
  }
  void not_in_gguf(bool, const char*) override {}

 private:
  // Of one kind of layer; `key` for messages.
  RopeSpec one_rope(const json& object, const char* key, double theta, ModelConfig& config,
                    const RopeDefaults& defaults) const {
    const Fields inner(object, fields_.file());
    RopeSpec rope;
    rope.theta = inner.number("rope_theta", theta);
    share(inner.number("partial_rotary_factor", fields_.number("partial_rotary_factor", defaults.share)), config,
          defaults);
    rope.type = inner.text("rope_type", inner.text("type", "default"));
    if (rope.type == "su" || (rope.type == "yarn" && inner.has("short_factor"))) rope.type = "longrope";
    // A value at the top wins over the one beside the factors, as in transformers 5.
    const std::int64_t original{fields_.integer(
        kOriginalContext, defaults.original_context != 0 ? defaults.original_context
                                                         : inner.integer(kOriginalContext, config.context_length))};
    if (rope.type != "default" && rope.type != "linear") rope.original_context = original;
    const double stretch{static_cast<double>(config.context_length) /
                         static_cast<double>(std::max<std::int64_t>(1, original))};
    const auto must_have = [&](std::initializer_list<const char*> names) {
      for (const char* name : names)
        if (!inner.has(name)) inner.wrong(name, fmt::format("a number, which rope_type \"{}\" needs", rope.type));
    };
    if (rope.type == "linear" || rope.type == "dynamic") {
      must_have({"factor"});
      rope.factor = inner.number("factor", 1);
      if (rope.type == "dynamic") rope.original_context = config.context_length;
    } else if (rope.type == "llama3") {
      must_have({"factor", "low_freq_factor", "high_freq_factor"});
      rope.factor = inner.number("factor", 0);
      rope.low_freq_factor = inner.number("low_freq_factor", 0);
      rope.high_freq_factor = inner.number("high_freq_factor", 0);
    } else if (rope.type == "yarn") {
      if (!inner.contains("factor")) must_have({"factor"});  // null: as far as the context is stretched
      read_yarn(inner, rope, stretch);
    } else if (rope.type == "longrope") {
      read_longrope(inner, key, rope, stretch, config.turned_dim());
    } else if (rope.type != "default") {
      fields_.wrong(key, "rope_type default, linear, dynamic, llama3, yarn or longrope",
                    "models with this rotary embedding are not supported");
    }
    inner.refuse_others(fmt::format(" in \"{}\"", key), kHarmlessOfRope);
    return rope;
  }
  static void read_yarn(const Fields& inner, RopeSpec& rope, double stretch) {
    rope.factor = inner.number("factor", stretch);
    rope.attention_factor = inner.number("attention_factor", 0);
    const auto unless_zero = [](double value, double usual) { return value == 0 ? usual : value; };
    rope.beta_fast = unless_zero(inner.number("beta_fast", 32), 32);  // as transformers has them
    rope.beta_slow = unless_zero(inner.number("beta_slow", 1), 1);
    rope.mscale = inner.number("mscale", 0);
    rope.mscale_all_dim = inner.number("mscale_all_dim", 0);
    rope.truncate = inner.truth("truncate", true);
  }
  void read_longrope(const Fields& inner, const char* key, RopeSpec& rope, double stretch, std::int64_t dim) const {
    rope.factor = inner.number("factor", stretch);
    rope.attention_factor = inner.number("attention_factor", 0);
    rope.factors = inner.numbers("short_factor");
    rope.long_factors = inner.numbers("long_factor");
    for (const std::vector<float>* factors : {&rope.factors, &rope.long_factors})
      if (factors->size() != static_cast<std::size_t>(dim / 2))
        fields_.wrong(key, fmt::format("{} numbers in \"short_factor\" and in \"long_factor\"", dim / 2));
    if (rope.factors != rope.long_factors || rope.attention_factor != 1) return;
    RopeSpec plain;  // as config_to_json writes the factors of a GGUF
    plain.theta = rope.theta, plain.type = "factors", plain.factors = rope.factors;
    rope = plain;
  }
  void share(double share, ModelConfig& config, const RopeDefaults& defaults) const {
    if (defaults.whole_heads && share != 1)
      fields_.wrong("partial_rotary_factor", "1: only whole heads are rotated in " + config.model_type);
    if (!(share > 0 && share <= 1)) fields_.wrong("partial_rotary_factor", "above 0, at most 1");
    const auto turned = static_cast<std::int64_t>(static_cast<double>(config.head_dim) * share);
    config.rotary_dim = turned == config.head_dim ? 0 : turned;
    if (share != 1 && (turned < 2 || turned % 2 != 0))
      fields_.wrong("partial_rotary_factor", "an even number of dimensions",
                    fmt::format("it rotates {} of {}", turned, config.head_dim));
  }

  const Fields& fields_;
};

class JsonWriter : public ConfigKeys {
 public:
  explicit JsonWriter(json& object) : object_(object) {}
  void size(KeyNames names, std::int64_t& value, std::int64_t) override {
    if (names.hf) object_[names.hf] = value;
  }
  void vocabulary(std::int64_t& value, std::int64_t) override { object_["vocab_size"] = value; }
  void integer(KeyNames names, std::int64_t& value, std::int64_t) override {
    if (names.hf) object_[names.hf] = value;
  }
  void number(KeyNames names, double& value, double) override {
    if (names.hf) object_[names.hf] = value;
  }
  void cap(KeyNames names, double& value, double) override { object_[names.hf] = value == 0 ? json() : json(value); }
  void truth(const char* hf, bool& value, bool, std::initializer_list<const char*>) override { object_[hf] = value; }
  void tied(bool& value, bool) override { object_["tie_word_embeddings"] = value; }
  void token(KeyNames names, std::int64_t& value, std::int64_t) override {
    object_[names.hf] = value < 0 ? json() : json(value);
  }
  void window(std::int64_t& value, std::int64_t) override {
    object_["sliding_window"] = value == 0 ? json() : json(value);
  }
  void window_layers(ModelConfig& config, const LayerRule&, const LayerRule&) override {
    if (config.sliding_window == 0) return;
    json types = json::array();
    for (std::int64_t i = 0; i < config.layers; ++i) types.push_back(config.slides(i) ? kSliding : kFull);
    object_["layer_types"] = types;
  }
  void rotated_layers(ModelConfig& config, std::int64_t) override {
    json layers = json::array();
    for (std::int64_t i = 0; i < config.layers; ++i)
      layers.push_back(config.rotated_layers.empty() || config.rotated_layers[static_cast<std::size_t>(i)] ? 1 : 0);
    object_["no_rope_layers"] = layers;
  }
  void layers(const char* hf, std::vector<std::int64_t>& value) override { object_[hf] = value; }
  // transformers 4 reads rope_theta and rope_scaling; 5 reads rope_parameters.
  void rope(ModelConfig& config, const RopeDefaults& defaults) override {
    const RopeSpec rope = as_llama3(config.rope, config.turned_dim());
    json parameters = parameters_of(rope, config);
    json scaling = rope.type == "default" ? json() : parameters;
    // transformers 4 allows Phi-3 these three alone.
    if (rope.type == "longrope" && defaults.original_context != 0 && !parameters.contains("attention_factor"))
      scaling = {{"type", "longrope"}, {"short_factor", rope.factors}, {"long_factor", rope.long_factors}};
    object_["rope_theta"] = rope.theta;
    object_["rope_scaling"] = scaling;
    parameters["rope_theta"] = rope.theta;
    if (!defaults.whole_heads) {
      const double share{static_cast<double>(config.turned_dim()) / static_cast<double>(config.head_dim)};
      object_["partial_rotary_factor"] = parameters["partial_rotary_factor"] = share;
    }
    if (defaults.original_context != 0)
      object_[kOriginalContext] = rope.type == "longrope" ? rope.original_context : config.context_length;
    if (defaults.local_theta != 0) {
      json local = parameters_of(*config.local_rope, config);
      object_["rope_local_base_freq"] = local["rope_theta"] = config.local_rope->theta;
      parameters = {{kFull, parameters}, {kSliding, local}};
    }
    object_["rope_parameters"] = parameters;
  }
  void activation(const char* hf, Activation& value, Activation) override {
    for (const ActivationName& known : kActivations)
      if (known.activation == value) return void(object_[hf] = known.name);
  }
  void same(const char*, std::int64_t, const char*) override {}
  void only(KeyNames, std::int64_t, const char*, const char*) override {}
  void unused(std::initializer_list<const char*>) override {}
  void not_in_gguf(bool, const char*) override {}

 private:
  static json parameters_of(const RopeSpec& rope, const ModelConfig& config) {
    json parameters = {{"rope_type", rope.type}};
    if (rope.type != "default") parameters["factor"] = rope.factor;
    if (rope.type == "llama3") {
      parameters["low_freq_factor"] = rope.low_freq_factor;
      parameters["high_freq_factor"] = rope.high_freq_factor;
    }
    if (rope.type == "yarn") {
      parameters["beta_fast"] = rope.beta_fast;
      parameters["beta_slow"] = rope.beta_slow;
      if (!rope.truncate) parameters["truncate"] = false;
      if (rope.mscale != 0) parameters["mscale"] = rope.mscale;
      if (rope.mscale_all_dim != 0) parameters["mscale_all_dim"] = rope.mscale_all_dim;
    }
    if (rope.type == "longrope") {
      parameters["short_factor"] = rope.factors;
      parameters["long_factor"] = rope.long_factors;
    }
    if (rope.type == "llama3" || rope.type == "yarn" || rope.type == "longrope")
      parameters[kOriginalContext] = rope.original_context;
    if (rope.attention_factor != 0) parameters["attention_factor"] = rope.attention_factor;
    if (rope.type == "factors")  // longrope with one list for every length turns by these factors
      parameters = {{"rope_type", "longrope"},     {"short_factor", rope.factors},
                    {"long_factor", rope.factors}, {"factor", 1.0},
                    {"attention_factor", 1.0},     {kOriginalContext, config.context_length}};
    return parameters;
  }

  json& object_;
};

void refuse_code(const Fields& fields, const std::string& class_name) {
  // transformers may run that code instead of its own class; the code of its own class is what it once was.
  const std::string code = fields.object("auto_map").value("AutoModelForCausalLM", "");
  if (!code.empty() && !code.ends_with("." + class_name))
    fields.wrong("auto_map", "no code of its own for AutoModelForCausalLM",
                 "if transformers gives the right answers without trust_remote_code, remove the key from config.json");
}

// The family that `type` names. What else may be meant is told.
const Family& known_family(const Fields& fields, const std::string& type) {
  if (const Family* family = family_of_type(type)) return *family;
  if (!fields.has("text_config"))
    fields.wrong("model_type", "one of " + family_names(), "models of other families are not supported");
  fields.wrong("model_type", "one of " + wrapper_names() + " around a text model of one of " + family_names(),
               "a model of texts and pictures whose text model computes otherwise is not supported");
}

ModelConfig config_of(const json& object, const std::string& file, const std::string& of_what) {
  const Fields fields(object, file);
  const std::string type = fields.text("model_type", "");
  const Family& family = known_family(fields, type);
  refuse_code(fields, family.class_name);
  ModelConfig config;
  config.model_type = type;
  JsonReader reader(fields);
  family.keys(reader, config);
  fields.refuse_others(of_what + type, kHarmless);
  simplify(config);
  check_config(config, file);
  return config;
}

}  // namespace

ModelConfig config_from_json(const std::string& config_json, const std::string& file) {
  const json parsed = json::parse(config_json, nullptr, false);
  if (!parsed.is_object())
    throw base::no_json_object(config_json, file, "the file is damaged or cut off: fetch it again");
  json object = with_keys_of_today(parsed, file);
  const Fields fields(object, file);
  refuse_quantised(fields);
  const Wrapper* wrapper = wrapper_of_type(fields.text("model_type", ""));
  if (!wrapper) {
    object.erase("quantization_config");
    return config_of(object, file, " of a ");
  }
  refuse_code(fields, wrapper->class_name);
  ModelConfig config = config_of(text_config_of(object, *wrapper, file), file, " in \"text_config\" of a ");
  config.wrapper = wrapper->model_type;
  return config;
}

std::string config_to_json(const ModelConfig& config, const std::string& dtype) {
  const Family& family = family_of(config);
  json object = {{"architectures", {family.class_name}},
                 {"model_type", config.model_type},
                 {"attention_dropout", 0.0},
                 {"initializer_range", 0.02},
                 {"use_cache", true},
                 {"torch_dtype", dtype},  // transformers 4 reads this one, 5 the next
                 {"dtype", dtype}};
  ModelConfig values = config;
  JsonWriter writer(object);
  family.keys(writer, values);
  return object.dump(2) + "\n";
}

}  // namespace lora
