// config.json read and written, by the families' lists of keys. Tested by tests/lora/model/config_test.cc.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "lora/model/family.h"

namespace lora {
namespace {

using nlohmann::json;

// Typed access to the keys of a config.json; a key that is absent or null takes the fallback.
class Fields {
 public:
  Fields(const json& object, std::string file) : object_(object), file_(std::move(file)) {}

  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  bool contains(const char* key) const { return object_.contains(key); }
  std::int64_t integer(const char* key, std::int64_t fallback) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_number_integer()) wrong(key, "an integer");
    return object_[key].get<std::int64_t>();
  }
  std::int64_t size(const char* key, std::int64_t fallback) const {
    const std::int64_t value{integer(key, fallback)};
    if (value < 1 || value > kMostSize) wrong(key, "an integer from 1 to 2^31");
    return value;
  }
  double number(const char* key, double fallback) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_number()) wrong(key, "a number");
    return object_[key].get<double>();
  }
  bool truth(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_boolean()) wrong(key, "true or false");
    return object_[key].get<bool>();
  }
  std::string text(const char* key, const std::string& fallback) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_string()) wrong(key, "text");
    return object_[key].get<std::string>();
  }
  json object(const char* key) const {  // an empty one when absent
    if (!has(key)) return json::object();
    if (!object_[key].is_object()) wrong(key, "an object");
    return object_[key];
  }
  std::int64_t token(const char* key, std::int64_t fallback) const {
    if (!object_.contains(key)) return fallback;
    const json& value = object_[key];
    if (value.is_null()) return -1;
    if (value.is_array() && !value.empty() && value[0].is_number_integer()) return value[0].get<std::int64_t>();
    return integer(key, fallback);
  }
  std::vector<float> numbers(const char* key) const {  // an empty list when absent
    std::vector<float> values;
    if (!has(key)) return values;
    if (!object_[key].is_array()) wrong(key, "a list of numbers");
    for (const json& value : object_[key]) {
      if (!value.is_number()) wrong(key, "a list of numbers");
      values.push_back(value.get<float>());
    }
    return values;
  }
  [[noreturn]] void wrong(const char* key, const std::string& expected, const std::string& advice = "") const {
    const std::string value =
        object_.contains(key) ? object_[key].dump(-1, ' ', true, json::error_handler_t::replace) : "";
    throw base::Error({fmt::format("config.json: bad \"{}\"", key), file_, base::shortened(value), expected, advice});
  }
  const std::string& file() const { return file_; }

 private:
  const json& object_;
  std::string file_;
};

class JsonReader : public ConfigKeys {
 public:
  explicit JsonReader(const Fields& fields) : fields_(fields) {}
  void size(KeyNames names, std::int64_t& value, std::int64_t fallback) override {
    if (names.hf) value = fields_.size(names.hf, fallback);
  }
  void vocabulary(std::int64_t& value, std::int64_t fallback) override { value = fields_.size("vocab_size", fallback); }
  void number(KeyNames names, double& value, double fallback) override {
    if (names.hf) value = fields_.number(names.hf, fallback);
  }
  void truth(const char* hf, bool& value, bool fallback, std::initializer_list<const char*>) override {
    value = fields_.truth(hf, fallback);
  }
  void tied(bool& value) override { value = fields_.truth("tie_word_embeddings", false); }
  void token(KeyNames names, std::int64_t& value, std::int64_t fallback) override {
    value = fields_.token(names.hf, fallback);
  }
  void window(std::int64_t& value, std::int64_t fallback) override {
    value = fields_.contains("sliding_window") ? fields_.integer("sliding_window", 0) : fallback;
  }
  // transformers 4 has rope_theta and rope_scaling at the top, transformers 5 one object rope_parameters. Where both
  // stand, transformers 5 takes rope_scaling first; so do we.
  void rope(RopeSpec& rope, const ModelConfig& config) override {
    const char* key = fields_.object("rope_scaling").empty() ? "rope_parameters" : "rope_scaling";
    const json object = fields_.object(key);
    const Fields inner(object, fields_.file());
    rope.theta = inner.number("rope_theta", fields_.number("rope_theta", 10000));
    if (inner.number("partial_rotary_factor", fields_.number("partial_rotary_factor", 1)) != 1)
      fields_.wrong("partial_rotary_factor", "1: only whole heads are rotated");
    rope.type = inner.text("rope_type", inner.text("type", "default"));
    if (rope.type == "linear") {
      rope.factor = inner.number("factor", 1);
    } else if (rope.type == "llama3") {
      rope.factor = inner.number("factor", 8);
      rope.low_freq_factor = inner.number("low_freq_factor", 1);
      rope.high_freq_factor = inner.number("high_freq_factor", 4);
      // A value at the top wins over the one beside the factors, as in transformers 5.
      rope.original_context = fields_.integer("original_max_position_embeddings",
                                              inner.integer("original_max_position_embeddings", config.context_length));
    } else if (rope.type == "longrope") {
      rope.type = "factors";
      rope.factors = inner.numbers("short_factor");
      if (rope.factors.size() != static_cast<std::size_t>(config.head_dim / 2) ||
          rope.factors != inner.numbers("long_factor") || inner.number("attention_factor", 0) != 1)
        refuse_rope(key);
    } else if (rope.type != "default") {
      refuse_rope(key);
    }
  }
  void activation(std::initializer_list<const char*> allowed) override {
    const std::string activation = fields_.text("hidden_act", *allowed.begin());
    for (const char* one : allowed)
      if (activation == one) return;
    fields_.wrong("hidden_act", fmt::format("\"{}\"", *allowed.begin()));
  }
  void same(const char*, std::int64_t, const char*) override {}
  void only(KeyNames names, std::int64_t value, const char* expected, const char* advice) override {
    if (names.hf && fields_.integer(names.hf, value) != value) fields_.wrong(names.hf, expected, advice);
  }

 private:
  [[noreturn]] void refuse_rope(const char* key) const {
    fields_.wrong(key, "rope_type \"default\", \"linear\" or \"llama3\"",
                  "models with this rotary embedding are not supported");
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
  void number(KeyNames names, double& value, double) override {
    if (names.hf) object_[names.hf] = value;
  }
  void truth(const char* hf, bool& value, bool, std::initializer_list<const char*>) override { object_[hf] = value; }
  void tied(bool& value) override { object_["tie_word_embeddings"] = value; }
  void token(KeyNames names, std::int64_t& value, std::int64_t) override {
    object_[names.hf] = value < 0 ? json() : json(value);
  }
  void window(std::int64_t& value, std::int64_t) override {
    object_["sliding_window"] = value == 0 ? json() : json(value);
  }
  // transformers 4 reads rope_theta and rope_scaling; 5 reads rope_parameters.
  void rope(RopeSpec& spec, const ModelConfig& config) override {
    const RopeSpec rope = as_llama3(spec, config.head_dim);
    json parameters = {{"rope_type", rope.type}};
    if (rope.type == "linear" || rope.type == "llama3") parameters["factor"] = rope.factor;
    if (rope.type == "llama3") {
      parameters["low_freq_factor"] = rope.low_freq_factor;
      parameters["high_freq_factor"] = rope.high_freq_factor;
      parameters["original_max_position_embeddings"] = rope.original_context;
    }
    if (rope.type == "factors")  // longrope with one list for every length turns by these factors
      parameters = {{"rope_type", "longrope"},     {"short_factor", rope.factors},
                    {"long_factor", rope.factors}, {"factor", 1.0},
                    {"attention_factor", 1.0},     {"original_max_position_embeddings", config.context_length}};
    object_["rope_theta"] = rope.theta;
    object_["rope_scaling"] = rope.type == "default" ? json() : parameters;
    parameters["rope_theta"] = rope.theta;
    object_["rope_parameters"] = parameters;
  }
  void activation(std::initializer_list<const char*> allowed) override { object_["hidden_act"] = *allowed.begin(); }
  void same(const char*, std::int64_t, const char*) override {}
  void only(KeyNames, std::int64_t, const char*, const char*) override {}

 private:
  json& object_;
};

}  // namespace

ModelConfig config_from_json(const std::string& config_json, const std::string& file) {
  const json object = json::parse(config_json, nullptr, false);
  if (!object.is_object()) throw base::Error({"config.json is not a JSON object", file, "", "", ""});
  const Fields fields(object, file);
  const std::string type = fields.text("model_type", "");
  const Family* family = family_of_type(type);
  if (!family) fields.wrong("model_type", "one of " + family_names(), "models of other families are not supported");
  for (const char* key : {"quantization_config", "compression_config"})
    if (fields.has(key))
      fields.wrong(key, "none: weights in float32, bfloat16 or float16",
                   "give the model that this quantised copy was made from, or a GGUF of it, with --base (finetune: "
                   "--model)");
  // transformers may run that code instead of its own class.
  if (fields.has("auto_map") && object["auto_map"].contains("AutoModelForCausalLM"))
    fields.wrong("auto_map", "no code of its own for AutoModelForCausalLM",
                 "if transformers gives the right answers without trust_remote_code, remove the key from config.json");
  ModelConfig config;
  config.model_type = type;
  JsonReader reader(fields);
  family->keys(reader, config);
  // A window as long as the context never cuts anything off.
  if (config.sliding_window >= config.context_length) config.sliding_window = 0;
  if (config.sliding_window != 0)
    fields.wrong("sliding_window", "null",
                 "sliding-window attention is not supported; with texts below the window, set max_position_embeddings "
                 "to it in a copy of the model");
  check_config(config, file);
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
