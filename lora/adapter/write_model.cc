// Whole models written to disk: a Hugging Face folder or a GGUF file, streamed tensor by tensor. Tested by
// tests/lora/adapter/merge_test.cc and tests/lora/locate_test.cc.
#include "lora/adapter/write_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/gguf.h"
#include "base/magnitude.h"
#include "base/parallel.h"
#include "base/pipeline.h"
#include "base/quantize.h"
#include "base/resident.h"
#include "base/safetensors.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/companions.h"
#include "lora/adapter/tensor_stream.h"
#include "lora/model/gguf_metadata.h"
#include "tokenizer/write/convert.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using base::DType;
using Shape = std::vector<std::int64_t>;

// The form in which a model is written, and the type in which each tensor of the base is.
struct Target {
  bool gguf;
  std::unordered_map<std::string, DType> types;
  Target(const ModelFiles& model, bool to_gguf, WeightType type, bool keep_types) : gguf(to_gguf) {
    if (gguf) types = gguf_types(model, type);
    for (const std::string& name : model.names()) {
      const bool is_fixed{gguf && (model.tensor(name).shape.size() == 1 || model.tensor(name).gguf_float)};
      if (keep_types && !is_fixed)
        types[name] = natural_type(model.view(name).type);
      else if (!gguf)
        types[name] = type.type;
    }
  }
  DType of(const std::string& name) const { return types.at(name); }
};

// Some rows of one tensor, all of a vector.
struct Chunk {
  const std::string* name;
  std::int64_t first, rows;
};

// Bytes that stay the same are copied; a second rounding of quantised blocks would lose a little.
bool keeps_bytes(const MergedModel& model, const Target& target, const std::string& name) {
  const ModelFiles& base = model.base();
  const base::TensorView& stored = base.view(name);
  const TensorSpec& tensor = base.tensor(name);
  if (base.is_packed(name) || base.new_rows(name) > 0) return false;
  const bool is_the_same{tensor.interleaved_heads == 0 && tensor.key_heads == 0 && tensor.gguf_added == 0};
  return !model.is_changed(name) && stored.type == target.of(name) && (is_the_same || base.is_gguf() == target.gguf);
}

std::size_t size_of(const MergedModel& model, const Chunk& chunk) {
  const Shape shape = model.base().shape(*chunk.name);
  return static_cast<std::size_t>(chunk.rows * (shape.size() == 1 ? 1 : shape[1]));
}

// Rows q | k | v of a GGUF, of a matrix that has them in groups: they lie apart, head by head.
void read_regrouped(const MergedModel& model, const Chunk& chunk, std::span<float> out) {
  const TensorSpec& tensor = model.base().tensor(*chunk.name);
  const std::int64_t heads{tensor.shape[0] / tensor.head_rows}, first{chunk.first / tensor.head_rows};
  std::vector<std::int64_t> source(static_cast<std::size_t>(heads));
  for (std::int64_t head = 0; head < heads; ++head)
    source[static_cast<std::size_t>(regrouped_head(head, tensor.key_heads, heads))] = head;
  const std::int64_t count{chunk.rows / tensor.head_rows};
  const std::size_t size{out.size() / static_cast<std::size_t>(count)};
  for (std::int64_t i = 0; i < count; ++i)
    model.read_rows(*chunk.name, source[static_cast<std::size_t>(first + i)] * tensor.head_rows, tensor.head_rows,
                    out.subspan(static_cast<std::size_t>(i) * size, size));
}

// Rows of the merged weight in the order of the target, all of which `type` can hold.
void read_values(const MergedModel& model, const Target& target, const Chunk& chunk, DType type, std::span<float> out) {
  const TensorSpec& tensor = model.base().tensor(*chunk.name);
  if (target.gguf && tensor.key_heads != 0)
    read_regrouped(model, chunk, out);
  else
    model.read_rows(*chunk.name, chunk.first, chunk.rows, out);
  if (type != DType::kF32) check_range(*chunk.name, out, type);  // rows that are read are finite
  if (!target.gguf) return;
  if (tensor.interleaved_heads > 0)
    permute_rope_rows(out, chunk.rows, static_cast<std::int64_t>(out.size()) / chunk.rows,
                      chunk.rows * tensor.interleaved_heads / tensor.shape[0], true);
  if (tensor.gguf_added != 0)
    for (float& value : out) value += tensor.gguf_added;
}

// Where the chunk lies in its file, as far as it does.
std::span<const std::byte> stored_bytes(const ModelFiles& base, const Chunk& chunk) {
  const base::TensorView& stored = base.view(*chunk.name);
  const std::int64_t rows{stored.shape[0] - base.new_rows(*chunk.name)};
  const std::size_t row{stored.bytes.size() / static_cast<std::size_t>(rows)};
  const auto first = static_cast<std::size_t>(std::min(chunk.first, rows)),
             end = static_cast<std::size_t>(std::min(chunk.first + chunk.rows, rows));
  return stored.bytes.subspan(first * row, (end - first) * row);
}

std::vector<std::byte> converted(const MergedModel& model, const Target& target, const Chunk& chunk) {
  const std::span<const std::byte> stored = stored_bytes(model.base(), chunk);
  const DType type = target.of(*chunk.name);
  std::vector<std::byte> bytes;
  if (keeps_bytes(model, target, *chunk.name)) {
    bytes.assign(stored.begin(), stored.end());
  } else if (type == DType::kF32) {  // in place: a copy costs as much as the merging
    bytes.resize(size_of(model, chunk) * sizeof(float));
    read_values(model, target, chunk, type, {reinterpret_cast<float*>(bytes.data()), size_of(model, chunk)});
  } else {
    std::vector<float> values(size_of(model, chunk));
    read_values(model, target, chunk, type, values);
    bytes = base::from_float(type, values);
  }
  base::give_back(stored);  // each is read once: else all of a large model would stay in memory
  return bytes;
}

// All tensors of the base as they are written. `model` and `target` must outlive the result.
std::vector<StreamedTensor> streamed(const MergedModel& model, const Target& target) {
  std::vector<StreamedTensor> tensors;
  const ModelFiles& base = model.base();
  for (const std::string& name : base.names())
    tensors.push_back({target.gguf ? base.tensor(name).gguf : base.name_on_disk(name), target.of(name),
                       base.shape(name), [&model, &target, &name](std::int64_t first, std::int64_t rows) {
                         return converted(model, target, {&name, first, rows});
                       }});
  return tensors;
}

StreamedTensor carried(const base::TensorView& tensor) {
  const std::size_t rows{tensor.shape.empty() ? 1 : static_cast<std::size_t>(tensor.shape[0])};
  const std::size_t row{rows == 0 ? 0 : tensor.bytes.size() / rows};
  return {tensor.name, tensor.type, tensor.shape, [&tensor, row](std::int64_t first, std::int64_t count) {
            const auto bytes =
                tensor.bytes.subspan(static_cast<std::size_t>(first) * row, static_cast<std::size_t>(count) * row);
            std::vector<std::byte> copy(bytes.begin(), bytes.end());
            base::give_back(bytes);
            return copy;
          }};
}

// A multiple of the head size, so that every chunk of a matrix of heads is whole heads.
StreamOptions stream_options(const ModelFiles& base, const WriteOptions& options) {
  return {base.config().head_dim, options.threads, options.progress};
}

std::uint64_t bytes_of(const ModelFiles& model, const Target& target) {
  std::uint64_t bytes = 0;
  for (const std::string& name : model.names()) bytes += base::byte_size(target.of(name), model.shape(name));
  if (!target.gguf)
    for (const base::TensorView& tensor : model.carried()) bytes += tensor.bytes.size();
  return bytes;
}

}  // namespace

std::uint64_t hf_bytes(const ModelFiles& model, WeightType type, bool keep_types) {
  return bytes_of(model, {model, false, type, keep_types});
}
std::uint64_t gguf_bytes(const ModelFiles& model, WeightType type, bool keep_types) {
  return bytes_of(model, {model, true, type, keep_types});
}

void check_can_write(const ModelFiles& model, WeightType type, bool gguf) {
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
  const Target target(model.base(), gguf, options.type, options.keep_types);
  std::vector<Chunk> chunks;
  for (const std::string& name : model.base().names()) {
    const DType type = target.of(name);
    if ((type != DType::kF16 && !base::is_block_type(type)) || keeps_bytes(model, target, name)) continue;
    for (const RowRange& rows : row_ranges(model.base().shape(name), model.base().config().head_dim))
      chunks.push_back({&name, rows.first, rows.count});
  }
  std::atomic<std::size_t> done = 0;
  base::parallel_for(chunks.size(), base::thread_count(options.threads), [&](std::size_t i, int worker) {
    std::vector<float> values(size_of(model, chunks[i]));
    read_values(model, target, chunks[i], target.of(*chunks[i].name), values);
    base::give_back(stored_bytes(model.base(), chunks[i]));
    ++done;
    if (worker == 0 && options.progress)
      options.progress(static_cast<double>(done) / static_cast<double>(chunks.size()));
  });
}

void check_range(const std::string& name, std::span<const float> values, DType type, const char* types) {
  float largest = std::numeric_limits<float>::max();
  if (type == DType::kBF16) largest = 0x1.FEp127F;
  if (type == DType::kF16) largest = 65504;
  if (base::is_block_type(type)) largest = base::largest_of(type);
  if (base::largest_magnitude(values) <= largest) return;
  const auto wrong = std::ranges::find_if(values, [largest](float value) { return !(std::fabs(value) <= largest); });
  const std::string name_of_type = base::is_block_type(type) ? std::string(base::name_of(type)) : hf_name(type);
  throw base::Error({"a weight is too large for " + name_of_type, name, fmt::format("{}", *wrong),
                     fmt::format("at most {}", largest),
                     fmt::format("choose another type: {}", type == DType::kBF16 ? "--dtype float32" : types)});
}

void write_hf_folder(const MergedModel& model, const fs::path& folder, const WriteOptions& options) {
  const ModelFiles& base = model.base();
  const std::string config = config_text(base, options.type);
  write_companions(base, config, folder);
  if (options.tokenizer != nullptr) use_chat_format(*options.tokenizer, folder);
  const Target target(base, false, options.type, options.keep_types);
  std::vector<StreamedTensor> tensors = streamed(model, target);
  for (const base::TensorView& tensor : base.carried()) tensors.push_back(carried(tensor));
  write_safetensors(tensors, folder, options.max_shard, stream_options(base, options));
  base::write_file(folder / "config.json", config);
}

void write_gguf(const MergedModel& model, const fs::path& file, const WriteOptions& options) {
  const ModelFiles& base = model.base();
  const Target target(base, true, options.type, options.keep_types);
  std::vector<base::GgufWriter::Entry> entries;
  const auto factors = rope_tensors(base.config());
  for (const auto& [name, values] : factors)
    entries.push_back({name, DType::kF32, {static_cast<std::int64_t>(values.size())}});
  for (const std::string& name : base.names()) {
    const TensorSpec& tensor = base.tensor(name);
    const DType type = target.of(name);
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
  stream_tensors(streamed(model, target), stream_options(base, options),
                 [&](const std::string& name, std::span<const std::byte> bytes) { writer.write_part(name, bytes); });
  writer.commit();
}

}  // namespace lora
