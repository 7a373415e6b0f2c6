// A model that is made out of another one's tensors, as a Hugging Face folder. Tested by
// tests/lora/compose/stack_test.cc.
#include "lora/compose/made_model.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/resident.h"
#include "lora/adapter/companions.h"
#include "lora/adapter/tensor_stream.h"
#include "lora/adapter/write_model.h"

namespace lora {
namespace {

using nlohmann::ordered_json;

std::vector<std::byte> computed(const MadeTensor& tensor, std::int64_t first, std::int64_t rows) {
  const std::int64_t row{tensor.shape.size() == 1 ? 1 : tensor.shape[1]};
  std::vector<float> values(static_cast<std::size_t>(rows * row));
  tensor.read(first, values);
  if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); }))
    throw base::Error(
        {"the weights are not finite numbers", tensor.name, "", "", "the base model is damaged; fetch it again"});
  check_range(tensor.name, values, tensor.type);
  return base::from_float(tensor.type, values);
}

}  // namespace

void read_part(const ModelFiles& model, const std::string& name, std::int64_t first, std::span<float> out) {
  const base::TensorView& stored = model.view(name);
  if (stored.shape.size() == 1) return model.read(name, out);
  const std::int64_t rows{static_cast<std::int64_t>(out.size()) / stored.shape[1]};
  model.read_rows(name, first, rows, out);
  const std::size_t row{stored.bytes.size() / static_cast<std::size_t>(stored.shape[0])};
  base::give_back(stored.bytes.subspan(static_cast<std::size_t>(first) * row, static_cast<std::size_t>(rows) * row));
}

MadeTensor made_tensor(const ModelFiles& base, const TensorSpec& tensor, const std::string& from, base::DType type,
                       bool keep_types) {
  if (base.shape(from) != tensor.shape)
    throw base::Error({"the base's tensor has another shape than the model's", base.path().string() + ": " + from, "",
                       "the shape of " + tensor.name, "choose other layers"});
  const auto read = [&base, from](std::int64_t first, std::span<float> out) { read_part(base, from, first, out); };
  return {tensor.name, tensor.shape, keep_types ? natural_type(base.type(from)) : type, read};
}

MadeModel made_of(const ModelFiles& base, const ModelSpec& spec,
                  const std::function<std::string(const std::string& name)>& source, base::DType type,
                  bool keep_types) {
  MadeModel model{spec.config, {}};
  for (const TensorSpec& tensor : tensors_of(spec))
    model.tensors.push_back(made_tensor(base, tensor, source(tensor.name), type, keep_types));
  return model;
}

std::uint64_t bytes_of(const MadeModel& model) {
  std::uint64_t bytes = 0;
  for (const MadeTensor& tensor : model.tensors) bytes += base::byte_size(tensor.type, tensor.shape);
  return bytes;
}

std::string config_text(const MadeModel& model, const ModelFiles& base, base::DType type) {
  if (!base.config().wrapper.empty())
    throw base::Error({"a model of texts and pictures stays as it is", base.path().string(), base.config().wrapper,
                       "a text model",
                       "take its text model out: lora convert " + base.path().string() + " --output TEXT.gguf"});
  const ordered_json made = ordered_json::parse(config_to_json(model.config, hf_name(type)));
  ordered_json config = made;
  const ordered_json own =
      base.is_gguf() ? ordered_json() : ordered_json::parse(base::read_file(base.path() / "config.json"));
  // Another one stands under its family's keys of earlier days.
  if (own.is_object() && own.value("model_type", "") == model.config.model_type) {
    const ordered_json before = ordered_json::parse(config_to_json(base.config(), hf_name(type)));
    config = own;
    config.erase("quantization_config");
    for (const auto& [key, value] : before.items())
      if (!made.contains(key)) config.erase(key);
    for (const auto& [key, value] : made.items())
      if (!before.contains(key) || before[key] != value) config[key] = value;
    // A word for each layer, which is not written where all are alike.
    if (!made.contains("layer_types")) config.erase("layer_types");
    for (const char* key : {"decoder_sparse_step", "mlp_only_layers"})  // the list alone
      if (made.contains(key)) config[key] = made[key];
    add_other_readers(config, made);
    const bool ties{model.config.tied_embeddings};  // what was parted may have no key
    if (config_from_json(config.dump(), "config.json").tied_embeddings != ties) config["tie_word_embeddings"] = ties;
  }
  std::string text = config.dump(2) + "\n";
  if (config_from_json(text, "config.json") != model.config)
    throw base::Error({"config.json has no words for this model", base.path().string(), model.config.model_type,
                       "layers that the family can have in this order", "choose other layers"});
  return text;
}

void write_made_model(const MadeModel& model, const ModelFiles& base, const std::string& config,
                      const std::filesystem::path& folder, int threads, const std::function<void(double)>& progress) {
  write_companions(base, config, folder);
  std::vector<StreamedTensor> tensors;
  for (const MadeTensor& tensor : model.tensors)
    tensors.push_back({tensor.name, tensor.type, tensor.shape,
                       [&tensor](std::int64_t first, std::int64_t rows) { return computed(tensor, first, rows); }});
  write_safetensors(tensors, folder, kMaxShard, {model.config.head_dim, threads, progress});  // whole heads
  base::write_file(folder / "config.json", config);
}

}  // namespace lora
