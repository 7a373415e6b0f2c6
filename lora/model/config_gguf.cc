// The model's numbers in GGUF metadata, read and written, by the families' lists of keys. Tested by
// tests/lora/model/config_test.cc and tests/lora/adapter/merge_test.cc.
#include <fmt/format.h>

#include <cstdlib>

#include "base/error.h"
#include "base/text.h"
#include "lora/model/family.h"

namespace lora {
namespace {

using base::GgufValue;

// GGUF stores these as float32; the shortest decimal of that float is what config.json had (1e-05, not 9.9999997e-06).
double shortest(double value) { return std::strtod(fmt::format("{}", static_cast<float>(value)).c_str(), nullptr); }

class GgufKeyReader : public ConfigKeys {
 public:
  GgufKeyReader(const base::GgufReader& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  void size(KeyNames names, std::int64_t& value, std::int64_t fallback) override {
    if (!names.gguf) return;
    const std::string key = prefix_ + names.gguf;
    value = fallback != 0 && !file_.find(key) ? fallback : file_.integer(key);
  }
  void vocabulary(std::int64_t& value, std::int64_t) override {
    const base::TensorView* embedding = file_.tensor("token_embd.weight");
    if (!embedding || embedding->shape.size() != 2)
      throw base::Error({"missing tensor", where(), "token_embd.weight", "a matrix", ""});
    value = integer("vocab_size", embedding->shape[0]);
  }
  void number(KeyNames names, double& value, double) override {
    if (names.gguf) value = shortest(file_.number(prefix_ + names.gguf));
  }
  void truth(const char*, bool& value, bool, std::initializer_list<const char*> tensors) override {
    value = false;
    for (const char* tensor : tensors) value |= file_.tensor(tensor) != nullptr;
  }
  void tied(bool& value) override { value = !file_.tensor("output.weight"); }
  void token(KeyNames names, std::int64_t& value, std::int64_t) override {
    const std::string key = std::string("tokenizer.ggml.") + names.gguf;
    value = file_.find(key) ? file_.integer(key) : -1;
  }
  void window(std::int64_t& value, std::int64_t) override { value = integer("attention.sliding_window", 0); }
  void rope(RopeSpec& rope, const ModelConfig& config) override {
    rope.theta = number_or("rope.freq_base", 10000);
    const std::string type_key = prefix_ + "rope.scaling.type";
    const std::string type = file_.find(type_key) ? file_.text(type_key) : "none";
    refuse_unless(type == "none" || type == "linear", "rope.scaling.type", "none or linear");
    const double factor{number_or("rope.scaling.factor", number_or("rope.scale_linear", 1))};
    if (factor != 1 && (type == "linear" || file_.find(prefix_ + "rope.scale_linear"))) {
      rope.type = "linear";
      rope.factor = factor;
    }
    const base::TensorView* factors = file_.tensor("rope_freqs.weight");
    if (!factors) return;
    refuse_unless(rope.type == "default", "rope.scaling.type", "none beside rope_freqs.weight");
    if (factors->shape != std::vector<std::int64_t>{config.head_dim / 2})
      throw base::Error({"rope factors of the wrong shape", where() + ": " + factors->name, "",
                         fmt::format("[{}]", config.head_dim / 2), ""});
    rope.type = "factors";
    rope.factors.resize(static_cast<std::size_t>(config.head_dim / 2));
    base::to_float(factors->type, factors->bytes, rope.factors);
  }
  void activation(std::initializer_list<const char*>) override {}
  void same(const char* gguf, std::int64_t value, const char* expected) override {
    refuse_unless(integer(gguf, value) == value, gguf, expected);
  }
  void only(KeyNames names, std::int64_t value, const char* expected, const char*) override {
    if (names.gguf) refuse_unless(integer(names.gguf, value) == value, names.gguf, expected);
  }

 private:
  std::string where() const { return file_.path().string(); }
  std::int64_t integer(const char* key, std::int64_t fallback) const {
    return file_.find(prefix_ + key) ? file_.integer(prefix_ + key) : fallback;
  }
  double number_or(const char* key, double fallback) const {
    return file_.find(prefix_ + key) ? shortest(file_.number(prefix_ + key)) : fallback;
  }
  void refuse_unless(bool right, const char* key, const char* expected) const {
    if (!right)
      throw base::Error({fmt::format("metadata '{}{}' is not supported", prefix_, key), where(), "", expected, ""});
  }

  const base::GgufReader& file_;
  std::string prefix_;  // "llama."
};

class GgufKeyWriter : public ConfigKeys {
 public:
  explicit GgufKeyWriter(std::string prefix) : prefix_(std::move(prefix)) {}

  GgufMetadata metadata() {
    metadata_.insert(metadata_.end(), scaling_.begin(), scaling_.end());
    return std::move(metadata_);
  }
  void size(KeyNames names, std::int64_t& value, std::int64_t) override {
    if (names.gguf) add(names.gguf, value);
  }
  void vocabulary(std::int64_t& value, std::int64_t) override { add("vocab_size", value); }
  void number(KeyNames names, double& value, double) override {
    if (names.gguf) metadata_.emplace_back(prefix_ + names.gguf, GgufValue::f32(static_cast<float>(value)));
  }
  void truth(const char*, bool&, bool, std::initializer_list<const char*>) override {}
  void tied(bool&) override {}
  void token(KeyNames, std::int64_t&, std::int64_t) override {}  // the tokenizer writes its own
  void window(std::int64_t& value, std::int64_t) override {
    if (value != 0) add("attention.sliding_window", value);
  }
  void rope(RopeSpec& rope,
            const ModelConfig&) override {  // llama3 scaling and factors are a tensor, rope_freqs.weight
    metadata_.emplace_back(prefix_ + "rope.freq_base", GgufValue::f32(static_cast<float>(rope.theta)));
    if (rope.type != "linear") return;
    scaling_.emplace_back(prefix_ + "rope.scaling.type", GgufValue::text("linear"));
    scaling_.emplace_back(prefix_ + "rope.scaling.factor", GgufValue::f32(static_cast<float>(rope.factor)));
  }
  void activation(std::initializer_list<const char*>) override {}
  void same(const char* gguf, std::int64_t value, const char*) override { add(gguf, value); }
  void only(KeyNames, std::int64_t, const char*, const char*) override {}

 private:
  void add(const char* key, std::int64_t value) {
    metadata_.emplace_back(prefix_ + key, GgufValue::u32(static_cast<std::uint32_t>(value)));
  }

  std::string prefix_;
  GgufMetadata metadata_, scaling_;
};

}  // namespace

ModelConfig config_from_gguf(const base::GgufReader& file) {
  const std::string where = file.path().string();
  const std::string& architecture = file.text("general.architecture");
  const Family* family = family_of_gguf(architecture);
  if (!family)
    throw base::Error({"model architecture not supported", where, base::shortened(architecture), gguf_names(),
                       "Llama, Mistral and SmolLM models are \"llama\""});
  if (file.find("split.count") && file.integer("split.count") > 1)
    throw base::Error({"metadata 'split.count' is not supported", where, "",
                       "one file: join the parts with llama-gguf-split --merge FIRST-PART.gguf OUT.gguf", ""});
  ModelConfig config;
  config.model_type = family->model_type;
  GgufKeyReader reader(file, architecture + ".");
  family->keys(reader, config);
  check_config(config, where);
  return config;
}

GgufMetadata config_to_gguf(const ModelConfig& config) {
  const Family& family = family_of(config);
  ModelConfig values = config;
  GgufKeyWriter writer(std::string(family.gguf) + ".");
  family.keys(writer, values);
  return writer.metadata();
}

}  // namespace lora
