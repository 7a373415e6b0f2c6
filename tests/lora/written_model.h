// Models that tests write: tensors in a file, a folder with other numbers in it, one with an adapter merged.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/safetensors.h"
#include "lora/adapter/write_model.h"
#include "lora/compose/made_model.h"
#include "tests/lora/whole.h"

namespace lora_tests {

struct FileTensor {
  std::string name;
  base::DType type;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

inline FileTensor zeros(const std::string& name, base::DType type, const std::vector<std::int64_t>& shape) {
  return {name, type, shape, std::vector<std::byte>(base::byte_size(type, shape))};
}

inline FileTensor tensor_of(const std::string& name, base::DType type, const std::vector<std::int64_t>& shape,
                            const std::vector<float>& values) {
  return {name, type, shape, base::from_float(type, values)};
}

/// All tensors of a safetensors file or a folder of them.
inline std::vector<FileTensor> tensors_in(const std::filesystem::path& path) {
  const base::SafetensorsReader file(path);
  std::vector<FileTensor> tensors;
  for (const base::TensorView& view : file.tensors())
    tensors.push_back({view.name, view.type, view.shape, {view.bytes.begin(), view.bytes.end()}});
  return tensors;
}

inline void write_tensors(const std::filesystem::path& file, const std::vector<FileTensor>& tensors) {
  std::vector<base::SafetensorsWriter::Entry> entries;
  for (const FileTensor& tensor : tensors) entries.push_back({tensor.name, tensor.type, tensor.shape});
  base::SafetensorsWriter writer(file, entries);
  for (const FileTensor& tensor : tensors) writer.write(tensor.name, tensor.bytes);
  writer.commit();
}

/// Writes the model of `from`, a folder, to `to` in float32, each tensor as `change` leaves its numbers.
inline void write_changed(const lora::ModelFiles& from, const std::filesystem::path& to,
                          const std::function<void(const std::string& name, std::vector<float>& values)>& change) {
  std::filesystem::create_directories(to);
  for (const auto& entry : std::filesystem::directory_iterator(from.path()))
    if (entry.path().extension() == ".json" || entry.path().extension() == ".jinja")
      base::write_file(to / entry.path().filename(), base::read_file(entry.path()));
  std::vector<FileTensor> tensors;
  for (const std::string& name : from.names()) {
    std::vector<float> values = whole(from, name);
    change(name, values);
    tensors.push_back(tensor_of(name, base::DType::kF32, from.shape(name), values));
  }
  write_tensors(to / "model.safetensors", tensors);
}

/// Writes `base` with `adapter`, which may be null, to `folder` in float32, on one thread.
inline void write_merged(const lora::ModelFiles& base, const lora::Adapter* adapter,
                         const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  lora::write_hf_folder(lora::MergedModel(base, adapter), folder, {base::DType::kF32, 1, {}});
}

/// Writes a model that was made of `source` in `type` to `folder`.
inline void write_made(const lora::MadeModel& model, const lora::ModelFiles& source, base::DType type,
                       const std::filesystem::path& folder, int threads = 1) {
  std::filesystem::create_directories(folder);
  lora::write_made_model(model, source, lora::config_text(model, source, type), folder, threads, {});
}

}  // namespace lora_tests
