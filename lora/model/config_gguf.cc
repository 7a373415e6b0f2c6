// The model's numbers in GGUF metadata, read and written, by the families' lists of keys.
// Tested by tests/lora/model/config_test.cc and tests/lora/adapter/merge_test.cc.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "lora/model/family.h"

namespace lora {
namespace {

using base::GgufValue;

// GGUF stores these as float32; the shortest decimal of that float is what config.json had (1e-05, not 9.9999997e-06).
double shortest(double value) { return std::strtod(fmt::format("{}", static_cast<float>(value)).c_str(), nullptr); }

// What llama.cpp multiplies cosines and sines with by itself.
double own_scale(const RopeSpec& rope) { return rope.type == "yarn" ? 1 + 0.1 * std::log(rope.factor) : 1; }

// Keys of a family that change nothing that is computed here, or nothing at all.
const std::set<std::string_view> kHarmless = {"tensor_data_layout", "rope.scaling.finetuned", "attention.causal",
                                              "mm.tokens_per_image"};

class GgufKeyReader : public ConfigKeys {
 public:
  GgufKeyReader(const base::GgufReader& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  void size(KeyNames names, std::int64_t& value, std::int64_t fallback) override {
    if (!names.gguf) {
      if (fallback != 0) value = fallback;
      return;
    }
    value = fallback != 0 && !has(names.gguf) ? fallback : file_.integer(used(names.gguf));
  }
  void vocabulary(std::int64_t& value, std::int64_t) override {
    const base::TensorView* embedding = file_.tensor("token_embd.weight");
    if (!embedding || embedding->shape.size() != 2)
      throw base::Error({"missing tensor", where(), "token_embd.weight", "a matrix", ""});
    value = integer("vocab_size", embedding->shape[0]);
  }
  void integer(KeyNames names, std::int64_t& value, std::int64_t fallback) override {
    if (names.gguf) value = integer(names.gguf, fallback);
  }
  void number(KeyNames names, double& value, double) override {
    if (names.gguf) value = shortest(file_.number(used(names.gguf)));
  }
  void cap(KeyNames names, double& value, double) override { value = names.gguf ? number_or(names.gguf, 0) : 0; }
  void truth(const char*, bool& value, bool, std::initializer_list<const char*> tensors) override {
    if (tensors.size() != 0) value = false;
    for (const char* tensor : tensors) value |= file_.tensor(tensor) != nullptr;
  }
  void tied(bool& value, bool) override { value = !file_.tensor("output.weight"); }
  void token(KeyNames names, std::int64_t& value, std::int64_t) override {
    const std::string key = std::string("tokenizer.ggml.") + names.gguf;
    value = file_.find(key) ? file_.integer(key) : -1;
  }
  void window(std::int64_t& value, std::int64_t) override { value = integer("attention.sliding_window", 0); }
  void window_layers(ModelConfig& config, const LayerRule&, const LayerRule& rule) override {
    constexpr const char* kPattern = "attention.sliding_window_pattern";
    std::vector<std::int64_t> listed;
    std::int64_t period = 0;
    if (has(kPattern) && file_.find(prefix_ + kPattern)->type == GgufValue::kArray)
      listed = file_.integers(used(kPattern));
    else
      period = integer(kPattern, 0);
    refuse_unless(listed.empty() || listed.size() >= static_cast<std::size_t>(config.layers), kPattern,
                  "one value a layer");
    config.sliding_layers.clear();
    for (std::int64_t i = 0; i < config.layers; ++i)
      config.sliding_layers.push_back(!listed.empty() ? listed[static_cast<std::size_t>(i)] != 0
                                      : period > 0    ? i % period < period - 1
                                                      : rule(i));
  }
  void rotated_layers(ModelConfig& config, std::int64_t interval) override {
    config.rotated_layers.clear();
    for (std::int64_t i = 0; i < config.layers; ++i) config.rotated_layers.push_back((i + 1) % interval != 0);
  }
  void layers(const char*, std::vector<std::int64_t>&) override {}
  void rope(ModelConfig& config, const RopeDefaults& defaults) override {
    const std::int64_t turned{integer("rope.dimension_count", config.head_dim)};
    if (defaults.whole_heads) refuse_unless(turned == config.head_dim, "rope.dimension_count", "the size of a head");
    refuse_unless(turned >= 2 && turned % 2 == 0 && turned <= config.head_dim, "rope.dimension_count",
                  "an even number up to the size of a head");
    config.rotary_dim = turned == config.head_dim ? 0 : turned;
    RopeSpec& rope = config.rope;
    rope.theta = number_or("rope.freq_base", 10000);
    read_scaling(config);
    if (const base::TensorView* factors = file_.tensor("rope_freqs.weight")) {
      refuse_unless(rope.type == "default", "rope.scaling.type", "none beside rope_freqs.weight");
      rope.type = "factors";
      rope.factors = factors_of(*factors, turned);
    }
    if (defaults.local_theta == 0) return;
    config.local_rope.emplace().theta = number_or("rope.freq_base_swa", defaults.local_theta);
  }
  void activation(const char*, Activation& value, Activation usual) override { value = usual; }
  void same(const char* gguf, std::int64_t value, const char* expected) override {
    refuse_unless(integer(gguf, value) == value, gguf, expected);
  }
  void only(KeyNames names, std::int64_t value, const char* expected, const char*) override {
    if (names.gguf) refuse_unless(integer(names.gguf, value) == value, names.gguf, expected);
  }
  void unused(std::initializer_list<const char*>) override {}
  void not_in_gguf(bool, const char*) override {}

  // Throws for a key of this architecture that nobody asked for.
  void refuse_others() const {
    for (const auto& [key, value] : file_.metadata())
      if (key.starts_with(prefix_) && !used_.contains(key) &&
          !kHarmless.contains(std::string_view(key).substr(prefix_.size())))
        throw base::Error({fmt::format("metadata '{}' is not a key that is used", base::shortened(key)), where(), "",
                           "", "models of this kind are not supported"});
  }

 private:
  std::string where() const { return file_.path().string(); }
  std::string used(const char* key) const {
    used_.insert(prefix_ + key);
    return prefix_ + key;
  }
  bool has(const char* key) const { return file_.find(used(key)) != nullptr; }
  std::int64_t integer(const char* key, std::int64_t fallback) const {
    return has(key) ? file_.integer(prefix_ + key) : fallback;
  }
  double number_or(const char* key, double fallback) const {
    return has(key) ? shortest(file_.number(prefix_ + key)) : fallback;
  }
  void refuse_unless(bool right, const char* key, const char* expected) const {
    if (!right)
      throw base::Error({fmt::format("metadata '{}{}' is not supported", prefix_, key), where(), "", expected, ""});
  }
  std::vector<float> factors_of(const base::TensorView& tensor, std::int64_t dim) const {
    if (tensor.shape != std::vector<std::int64_t>{dim / 2})
      throw base::Error(
          {"rope factors of the wrong shape", where() + ": " + tensor.name, "", fmt::format("[{}]", dim / 2), ""});
    std::vector<float> factors(static_cast<std::size_t>(dim / 2));
    base::to_float(tensor.type, tensor.bytes, factors);
    return factors;
  }
  void read_scaling(ModelConfig& config) {
    RopeSpec& rope = config.rope;
    const base::TensorView *of_short = file_.tensor("rope_factors_short.weight"),
                           *of_long = file_.tensor("rope_factors_long.weight");
    std::string type = has("rope.scaling.type") ? file_.text(prefix_ + "rope.scaling.type") : "none";
    if (of_short && of_long && type == "none") type = "longrope";  // as llama.cpp's converter writes Phi-3
    refuse_unless(type == "none" || type == "linear" || type == "yarn" || type == "longrope", "rope.scaling.type",
                  "none, linear, yarn or longrope");
    rope.factor = number_or("rope.scaling.factor", number_or("rope.scale_linear", 1));
    rope.original_context = integer("rope.scaling.original_context_length", config.context_length);
    const double scale{number_or("rope.scaling.attn_factor", 1)};
    if (type == "none" && rope.factor != 1 && has("rope.scale_linear")) type = "linear";
    if (type == "none" || (type == "linear" && rope.factor == 1)) {
      refuse_unless(scale == 1, "rope.scaling.attn_factor", "1");
      const double theta{rope.theta};
      rope = RopeSpec{};
      rope.theta = theta;
      return;
    }
    rope.type = type;
    if (type == "linear") rope.original_context = RopeSpec{}.original_context;
    if (type == "yarn") {
      rope.beta_fast = number_or("rope.scaling.yarn_beta_fast", 32);
      rope.beta_slow = number_or("rope.scaling.yarn_beta_slow", 1);
      refuse_unless(number_or("rope.scaling.yarn_ext_factor", 1) == 1, "rope.scaling.yarn_ext_factor", "1");
      refuse_unless(number_or("rope.scaling.yarn_attn_factor", 1) == 1, "rope.scaling.yarn_attn_factor", "1");
      if (scale != 1) rope.attention_factor = shortest(scale * own_scale(rope));
    }
    if (type == "longrope") {
      refuse_unless(of_short && of_long, "rope.scaling.type", "longrope beside its two tensors of factors");
      rope.factors = factors_of(*of_short, config.turned_dim());
      rope.long_factors = factors_of(*of_long, config.turned_dim());
      rope.factor = static_cast<double>(config.context_length) / static_cast<double>(rope.original_context);
      if (std::fabs(scale - rotation_scale(rope)) > 1e-5) rope.attention_factor = scale;
    }
  }

  const base::GgufReader& file_;
  std::string prefix_;  // "llama."
  mutable std::set<std::string, std::less<>> used_;
};

class GgufKeyWriter : public ConfigKeys {
 public:
  GgufKeyWriter(std::string prefix, const std::string& architecture)
      : prefix_(std::move(prefix)), architecture_(architecture) {}

  GgufMetadata metadata() {
    metadata_.insert(metadata_.end(), scaling_.begin(), scaling_.end());
    return std::move(metadata_);
  }
  void size(KeyNames names, std::int64_t& value, std::int64_t) override {
    if (names.gguf) add(names.gguf, value);
  }
  void vocabulary(std::int64_t& value, std::int64_t) override { add("vocab_size", value); }
  void integer(KeyNames names, std::int64_t& value, std::int64_t) override {
    if (names.gguf) add(names.gguf, value);
  }
  void number(KeyNames names, double& value, double) override {
    if (names.gguf) add(names.gguf, value);
  }
  void cap(KeyNames names, double& value, double) override {
    if (names.gguf && value != 0) add(names.gguf, value);
  }
  void truth(const char*, bool&, bool, std::initializer_list<const char*>) override {}
  void tied(bool&, bool) override {}
  void token(KeyNames, std::int64_t&, std::int64_t) override {}  // the tokenizer writes its own
  void window(std::int64_t& value, std::int64_t) override {
    if (value != 0) add("attention.sliding_window", value);
  }
  void window_layers(ModelConfig& config, const LayerRule&, const LayerRule& rule) override {
    std::vector<std::int32_t> listed;
    bool is_usual = true;
    for (std::int64_t i = 0; i < config.layers; ++i) {
      listed.push_back(config.slides(i) ? 1 : 0);
      is_usual &= config.slides(i) == rule(i);
    }
    if (config.sliding_window != 0 && !is_usual)
      metadata_.emplace_back(prefix_ + "attention.sliding_window_pattern", GgufValue::i32s(listed));
  }
  void rotated_layers(ModelConfig& config, std::int64_t interval) override {
    for (std::int64_t i = 0; i < config.layers; ++i) {
      const bool rotated{config.rotated_layers.empty() || config.rotated_layers[static_cast<std::size_t>(i)]};
      not_in_gguf(rotated != ((i + 1) % interval != 0), "layers without positions other than each fourth");
    }
  }
  void layers(const char*, std::vector<std::int64_t>&) override {}
  void rope(ModelConfig& config, const RopeDefaults& defaults) override {
    const RopeSpec& rope = config.rope;
    not_in_gguf(rope.type == "dynamic", "dynamic rope");
    not_in_gguf(rope.type == "yarn" && !rope.truncate, "yarn without rounding (truncate)");
    add("rope.freq_base", rope.theta);
    if (rope.type == "linear" || rope.type == "yarn" || rope.type == "longrope") write_scaling(rope);
    add("rope.dimension_count", config.turned_dim());
    if (defaults.local_theta == 0) return;
    not_in_gguf(config.local_rope->type != "default", "scaled rope in layers with a window");
    add("rope.freq_base_swa", config.local_rope->theta);
  }
  void activation(const char*, Activation& value, Activation usual) override {
    not_in_gguf(value != usual, "another activation");
  }
  void same(const char* gguf, std::int64_t value, const char*) override { add(gguf, value); }
  void only(KeyNames, std::int64_t, const char*, const char*) override {}
  void unused(std::initializer_list<const char*>) override {}
  void not_in_gguf(bool wrong, const char* what) override {
    if (wrong)
      throw base::Error({fmt::format("a GGUF of the architecture {} cannot say this of a model", architecture_), "",
                         what, "", "write a Hugging Face folder: --format hf"});
  }

 private:
  void add(const char* key, std::int64_t value) {
    metadata_.emplace_back(prefix_ + key, GgufValue::u32(static_cast<std::uint32_t>(value)));
  }
  void add(const char* key, double value) {
    metadata_.emplace_back(prefix_ + key, GgufValue::f32(static_cast<float>(value)));
  }
  // llama3 scaling and factors are tensors, and so are longrope's.
  void write_scaling(const RopeSpec& rope) {
    const auto number = [&](const char* key, double value) {
      scaling_.emplace_back(prefix_ + key, GgufValue::f32(static_cast<float>(value)));
    };
    scaling_.emplace_back(prefix_ + "rope.scaling.type", GgufValue::text(rope.type));
    if (rope.type != "longrope") number("rope.scaling.factor", rope.factor);
    if (rope.type == "linear") return;
    scaling_.emplace_back(prefix_ + "rope.scaling.original_context_length",
                          GgufValue::u32(static_cast<std::uint32_t>(rope.original_context)));
    if (rope.type == "yarn") {
      number("rope.scaling.yarn_beta_fast", rope.beta_fast);
      number("rope.scaling.yarn_beta_slow", rope.beta_slow);
    }
    const double scale{rotation_scale(rope) / own_scale(rope)};
    if (rope.type == "longrope" || std::fabs(scale - 1) > 1e-9) number("rope.scaling.attn_factor", scale);
  }

  std::string prefix_, architecture_;
  GgufMetadata metadata_, scaling_;
};

}  // namespace

ModelConfig config_from_gguf(const base::GgufReader& file) {
  base::refuse_adapter(file);
  const std::string where = file.path().string();
  const std::string& architecture = file.text("general.architecture");
  const Family* family = family_of_gguf(architecture, &file);
  if (!family)
    throw base::Error({"model architecture not supported", where, base::shortened(architecture), gguf_names(),
                       "Llama, Mistral and SmolLM2 models are \"llama\""});
  if (file.find("split.count") && file.integer("split.count") > 1)
    throw base::Error({"metadata 'split.count' is not supported", where, "",
                       "one file: join the parts with llama-gguf-split --merge FIRST-PART.gguf OUT.gguf", ""});
  ModelConfig config;
  config.model_type = family->model_type;
  GgufKeyReader reader(file, architecture + ".");
  family->keys(reader, config);
  reader.refuse_others();
  simplify(config);
  check_config(config, where);
  return config;
}

GgufMetadata config_to_gguf(const ModelConfig& config) {
  const Family& family = family_of(config);
  ModelConfig values = config;
  GgufKeyWriter writer(std::string(family.gguf) + ".", family.gguf);
  family.keys(writer, values);
  return writer.metadata();
}

}  // namespace lora
