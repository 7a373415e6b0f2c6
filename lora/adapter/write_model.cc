// Whole models written to disk: a Hugging Face folder or a GGUF file, streamed tensor by tensor. Tested by
// tests/lora/adapter/merge_test.cc and tests/lora/locate_test.cc.
#include "lora/adapter/write_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/gguf.h"
#include "base/parallel.h"
#include "base/pipeline.h"
#include "base/resident.h"
#include "base/safetensors.h"
#include "lora/adapter/chat_format.h"
#include "lora/model/gguf_metadata.h"
#include "tokenizer/spec/tokenizer.h"
#include "tokenizer/write/convert.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using base::DType;
using nlohmann::ordered_json;
using Shape = std::vector<std::int64_t>;

constexpr std::int64_t kChunkElements = std::int64_t{1} << 20;  // of one piece of work: 4 MB of float32

struct Target {
  bool gguf;
  DType type;
  bool keep_types;
  // The type in which a tensor of the base is written.
  DType of(const ModelFiles& model, const std::string& name) const {
    const base::TensorView& tensor = model.view(name);
    if (gguf && (tensor.shape.size() == 1 || model.tensor(name).gguf_float)) return DType::kF32;
    if (keep_types) return natural_type(tensor.type);
    return type == DType::kQ8_0 && tensor.shape.back() % 32 != 0 ? DType::kF16 : type;
  }
};

// Some rows of one tensor, all of a vector.
struct Chunk {
  const std::string* name;
  std::int64_t first, rows;
};

struct Piece {
  const std::string* name;
  std::vector<std::byte> bytes;
};

std::vector<Chunk> chunks_of(const ModelFiles& model) {
  std::vector<Chunk> chunks;
  for (const std::string& name : model.names()) {
    Shape shape = model.shape(name);
    if (shape.size() == 1) {
      chunks.push_back({&name, 0, shape[0]});
      continue;
    }
    // A multiple of the head size, so that every chunk of a matrix of heads is whole heads.
    std::int64_t unit = model.config().head_dim;
    std::int64_t rows = std::max<std::int64_t>(1, kChunkElements / shape[1] / unit) * unit;
    for (std::int64_t first = 0; first < shape[0]; first += rows)
      chunks.push_back({&name, first, std::min(rows, shape[0] - first)});
  }
  return chunks;
}

// Bytes that stay the same are copied; a second rounding of quantised blocks would lose a little.
bool keeps_bytes(const MergedModel& model, const Target& target, const std::string& name) {
  const ModelFiles& base = model.base();
  const base::TensorView& stored = base.view(name);
  const TensorSpec& tensor = base.tensor(name);
  if (base.is_packed(name)) return false;
  const bool is_the_same{tensor.interleaved_heads == 0 && tensor.key_heads == 0 && tensor.gguf_added == 0};
  return !model.is_changed(name) && stored.type == target.of(base, name) &&
         (is_the_same || base.is_gguf() == target.gguf);
}

// Rows of the merged weight in Hugging Face's order.
std::vector<float> rows_of(const MergedModel& model, const Chunk& chunk) {
  const Shape shape = model.base().shape(*chunk.name);
  std::vector<float> values(static_cast<std::size_t>(chunk.rows * (shape.size() == 1 ? 1 : shape[1])));
  model.read_rows(*chunk.name, chunk.first, chunk.rows, values);
  return values;
}

// Rows q | k | v of a GGUF, of a matrix that has them in groups: they lie apart, head by head.
std::vector<float> regrouped_rows_of(const MergedModel& model, const Chunk& chunk) {
  const TensorSpec& tensor = model.base().tensor(*chunk.name);
  const std::int64_t heads{tensor.shape[0] / tensor.head_rows}, first{chunk.first / tensor.head_rows};
  std::vector<std::int64_t> source(static_cast<std::size_t>(heads));
  for (std::int64_t head = 0; head < heads; ++head)
    source[static_cast<std::size_t>(regrouped_head(head, tensor.key_heads, heads))] = head;
  std::vector<float> values;
  for (std::int64_t i = first; i < first + chunk.rows / tensor.head_rows; ++i) {
    const std::int64_t row{source[static_cast<std::size_t>(i)] * tensor.head_rows};
    const std::vector<float> part = rows_of(model, {chunk.name, row, tensor.head_rows});
    values.insert(values.end(), part.begin(), part.end());
  }
  return values;
}

// Rows of the merged weight in the order of the target, all of which `type` can hold.
std::vector<float> values_of(const MergedModel& model, const Target& target, const Chunk& chunk, DType type) {
  const TensorSpec& tensor = model.base().tensor(*chunk.name);
  std::vector<float> values =
      target.gguf && tensor.key_heads != 0 ? regrouped_rows_of(model, chunk) : rows_of(model, chunk);
  check_range(*chunk.name, values, type);
  if (!target.gguf) return values;
  if (tensor.interleaved_heads > 0)
    permute_rope_rows(values, chunk.rows, static_cast<std::int64_t>(values.size()) / chunk.rows,
                      chunk.rows * tensor.interleaved_heads / tensor.shape[0], true);
  if (tensor.gguf_added != 0)
    for (float& value : values) value += tensor.gguf_added;
  return values;
}

// Where the chunk lies in its file.
std::span<const std::byte> stored_bytes(const base::TensorView& stored, const Chunk& chunk) {
  const std::size_t row{stored.bytes.size() / static_cast<std::size_t>(stored.shape[0])};
  return stored.bytes.subspan(static_cast<std::size_t>(chunk.first) * row, static_cast<std::size_t>(chunk.rows) * row);
}

Piece convert(const MergedModel& model, const Target& target, const Chunk& chunk) {
  const base::TensorView& stored = model.base().view(*chunk.name);
  const DType type = target.of(model.base(), *chunk.name);
  const std::span<const std::byte> bytes = stored_bytes(stored, chunk);
  Piece piece{chunk.name, {}};
  if (keeps_bytes(model, target, *chunk.name))
    piece.bytes.assign(bytes.begin(), bytes.end());
  else
    piece.bytes = base::from_float(type, values_of(model, target, chunk, type));
  base::give_back(bytes);  // each is read once: else all of a large model would stay in memory
  return piece;
}

// Runs all chunks through `threads` threads and gives them to `write` in order.
template <class Write>
void stream(const MergedModel& model, const Target& target, const WriteOptions& options, Write write) {
  const std::vector<Chunk> chunks = chunks_of(model.base());
  std::size_t next = 0, done = 0;
  base::ordered_pipeline<Chunk, Piece>(
      base::thread_count(options.threads),
      [&]() -> std::optional<Chunk> {
        if (next == chunks.size()) return std::nullopt;
        return chunks[next++];
      },
      [&](Chunk chunk, int) { return convert(model, target, chunk); },
      [&](Piece piece) {
        write(*piece.name, piece.bytes);
        ++done;
        if (options.progress) options.progress(static_cast<double>(done) / static_cast<double>(chunks.size()));
      });
}

std::uint64_t bytes_of(const ModelFiles& model, const Target& target) {
  std::uint64_t bytes = 0;
  for (const std::string& name : model.names()) bytes += base::byte_size(target.of(model, name), model.shape(name));
  if (!target.gguf)
    for (const base::TensorView& tensor : model.carried()) bytes += tensor.bytes.size();
  return bytes;
}

// What is carried as it is, is read as plain numbers beside a config.json that speaks of no quantisation.
void refuse_packed_rest(const ModelFiles& model) {
  for (const base::TensorView& tensor : model.carried())
    if (tensor.name.find(".quant_state.") != std::string::npos || tensor.name.ends_with(".SCB"))
      throw base::Error(
          {"bitsandbytes quantised tensors outside of the text model, which cannot be kept beside plain ones",
           model.path().string() + ": " + tensor.name, "", "",
           "write a GGUF of the text model, or give the model that this copy was made from: --base MODEL"});
}

std::string config_text(const ModelFiles& model, DType type) {
  if (model.is_gguf()) {
    ordered_json config = ordered_json::parse(config_to_json(model.config(), hf_name(type)));
    const std::vector<std::int32_t> ends = tokenizer::load(model.path())->end_ids();
    if (ends.size() > 1) config["eos_token_id"] = ends;
    return config.dump(2) + "\n";
  }
  ordered_json config = ordered_json::parse(base::read_file(model.path() / "config.json"));
  auto made = ordered_json::parse(config_to_json(model.config(), hf_name(type)));
  config.erase("quantization_config");
  const auto untie = [&](ordered_json& part) {  // what an adapter has parted
    if (!model.config().tied_embeddings && part.value("tie_word_embeddings", true)) part["tie_word_embeddings"] = false;
  };
  untie(config);
  if (!model.config().wrapper.empty()) {
    refuse_packed_rest(model);
    untie(config["text_config"]);
    for (ordered_json* part : {&config, &config["text_config"]})
      (*part)["torch_dtype"] = (*part)["dtype"] = hf_name(type);
    return config.dump(2) + "\n";
  }
  if (config["model_type"] != made["model_type"]) return made.dump(2) + "\n";  // the family's name of earlier days
  config["torch_dtype"] = config["dtype"] = hf_name(type);
  // transformers 4 does not know rope_parameters and would fall back to theta 10000.
  for (const char* key : {"rope_theta", "rope_scaling", "rope_parameters"})
    if (!config.contains(key)) config[key] = made[key];
  return config.dump(2) + "\n";
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

}  // namespace

const char* hf_name(DType type) {
  switch (type) {
    case DType::kF32:
      return "float32";
    case DType::kBF16:
      return "bfloat16";
    case DType::kF16:
      return "float16";
    default:
      throw base::UsageError({"a Hugging Face folder cannot hold this type", "dtype", std::string(base::name_of(type)),
                              "float32, bfloat16 or float16", "q8_0 exists in GGUF only: --format gguf"});
  }
}

std::uint64_t hf_bytes(const ModelFiles& model, DType type, bool keep_types) {
  return bytes_of(model, {false, type, keep_types});
}
std::uint64_t gguf_bytes(const ModelFiles& model, DType type, bool keep_types) {
  return bytes_of(model, {true, type, keep_types});
}

void check_can_write(const ModelFiles& model, DType type, bool gguf) {
  if (gguf) {
    gguf_metadata(model, type);
    return;
  }
  config_text(model, type);
  if (!model.is_gguf()) return;
  tokenizer::tokenizer_json_from_gguf(*model.gguf());
  tokenizer::tokenizer_config_json_from_gguf(*model.gguf());
}

void check_values(const MergedModel& model, bool gguf, const WriteOptions& options) {
  const Target target{gguf, options.type, options.keep_types};
  std::vector<Chunk> chunks = chunks_of(model.base());
  auto type_of = [&](const Chunk& chunk) { return target.of(model.base(), *chunk.name); };
  std::erase_if(chunks, [&](const Chunk& chunk) {
    const DType type = type_of(chunk);
    return (type != DType::kF16 && type != DType::kQ8_0) || keeps_bytes(model, target, *chunk.name);
  });
  std::atomic<std::size_t> done = 0;
  base::parallel_for(chunks.size(), base::thread_count(options.threads), [&](std::size_t i, int worker) {
    values_of(model, target, chunks[i], type_of(chunks[i]));
    base::give_back(stored_bytes(model.base().view(*chunks[i].name), chunks[i]));
    ++done;
    if (worker == 0 && options.progress)
      options.progress(static_cast<double>(done) / static_cast<double>(chunks.size()));
  });
}

void check_range(const std::string& name, std::span<const float> values, DType type, const char* types) {
  float largest = std::numeric_limits<float>::max();
  if (type == DType::kBF16) largest = 0x1.FEp127F;
  if (type == DType::kF16) largest = 65504;
  if (type == DType::kQ8_0) largest = 65504.0F * 127;  // a float16 scales 127 steps
  const auto wrong = std::ranges::find_if(values, [largest](float value) { return !(std::fabs(value) <= largest); });
  if (wrong == values.end()) return;
  const std::string name_of_type = type == DType::kQ8_0 ? "q8_0" : hf_name(type);
  throw base::Error({"a weight is too large for " + name_of_type, name, fmt::format("{}", *wrong),
                     fmt::format("at most {}", largest),
                     fmt::format("choose another type: {}", type == DType::kBF16 ? "--dtype float32" : types)});
}

void write_tokenizer(const ModelFiles& model, const fs::path& folder, const std::vector<std::string>& names) {
  if (!model.is_gguf()) return copy_other_files(model.path(), folder, names);
  // Ids are the same however the JSON is laid out; a compact vocabulary of 50,000 lines is a third smaller.
  base::write_file(folder / "tokenizer.json", tokenizer::tokenizer_json_from_gguf(*model.gguf()).dump() + "\n");
  nlohmann::json config = tokenizer::tokenizer_config_json_from_gguf(*model.gguf());
  base::write_file(folder / "tokenizer_config.json", config.dump(2) + "\n");
  nlohmann::json special = nlohmann::json::object();
  for (const char* key : {"bos_token", "eos_token", "pad_token", "unk_token"})
    if (config.contains(key) && !config[key].is_null()) special[key] = config[key];
  base::write_file(folder / "special_tokens_map.json", special.dump(2) + "\n");
}

void write_companions(const ModelFiles& model, const std::string& config, const fs::path& folder) {
  write_tokenizer(model, folder);
  const fs::path generation = model.path() / "generation_config.json";
  base::write_file(folder / "generation_config.json", !model.is_gguf() && fs::exists(generation)
                                                          ? base::read_file(generation)
                                                          : generation_config_text(model, config));
}

void write_hf_folder(const MergedModel& model, const fs::path& folder, const WriteOptions& options) {
  const ModelFiles& base = model.base();
  const std::string config = config_text(base, options.type);
  write_companions(base, config, folder);
  if (options.tokenizer != nullptr) use_chat_format(*options.tokenizer, folder);
  std::vector<base::SafetensorsWriter::Entry> entries;
  const Target target{false, options.type, options.keep_types};
  for (const std::string& name : base.names())
    entries.push_back({base.name_on_disk(name), target.of(base, name), base.shape(name)});
  for (const base::TensorView& tensor : base.carried()) entries.push_back({tensor.name, tensor.type, tensor.shape});
  base::SafetensorsWriter writer(folder / "model.safetensors", std::move(entries));
  stream(model, target, options, [&](const std::string& name, const std::vector<std::byte>& bytes) {
    writer.write_part(base.name_on_disk(name), bytes);
  });
  for (const base::TensorView& tensor : base.carried()) {
    writer.write(tensor.name, tensor.bytes);
    base::give_back(tensor.bytes);
  }
  writer.commit();
  base::write_file(folder / "config.json", config);
}

void write_gguf(const MergedModel& model, const fs::path& file, const WriteOptions& options) {
  const ModelFiles& base = model.base();
  const Target target{true, options.type, options.keep_types};
  std::vector<base::GgufWriter::Entry> entries;
  const auto factors = rope_tensors(base.config());
  for (const auto& [name, values] : factors)
    entries.push_back({name, DType::kF32, {static_cast<std::int64_t>(values.size())}});
  for (const std::string& name : base.names()) {
    const TensorSpec& tensor = base.tensor(name);
    const DType type = target.of(base, name);
    if (tensor.gguf_part == 0) {
      entries.push_back({tensor.gguf, type, tensor.gguf_shape.empty() ? tensor.shape : tensor.gguf_shape});
    } else if (entries.back().type != type) {
      throw base::Error({"experts of different types, which a GGUF holds in one tensor", name,
                         std::string(base::name_of(type)), std::string(base::name_of(entries.back().type)),
                         "choose one type: --dtype"});
    }
  }
  GgufMetadata metadata = gguf_metadata(base, options.type);
  if (options.tokenizer != nullptr) use_chat_format(*options.tokenizer, metadata);
  base::GgufWriter writer(file, metadata, std::move(entries));
  for (const auto& [name, values] : factors) writer.write(name, base::from_float(DType::kF32, values));
  stream(model, target, options, [&](const std::string& name, const std::vector<std::byte>& bytes) {
    writer.write_part(base.tensor(name).gguf, bytes);
  });
  writer.commit();
}

DType type_from_name(const std::string& name) {
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (lower == "float32" || lower == "f32") return DType::kF32;
  if (lower == "bfloat16" || lower == "bf16") return DType::kBF16;
  if (lower == "float16" || lower == "f16") return DType::kF16;
  if (lower == "q8_0") return DType::kQ8_0;
  throw base::UsageError({"unknown type", "dtype", name, "float32, bfloat16, float16 or q8_0", ""});
}

std::string first_matrix(const ModelFiles& model) { return model.spec().blocks.at(0).linears.at(0).name + ".weight"; }

DType natural_type(DType stored) {
  if (stored == DType::kF64) return DType::kF32;
  return stored == DType::kF32 || stored == DType::kBF16 ? stored : DType::kF16;
}

DType natural_type(const ModelFiles& model) { return natural_type(model.type(first_matrix(model))); }

}  // namespace lora
