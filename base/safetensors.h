// Hugging Face safetensors files (format: safetensors/src/tensor.rs).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/tensor.h"
#include "base/tensor_writer.h"

namespace base {

/// One or several safetensors files mapped for reading. Every bound is checked when opened: header size, offsets that
/// tile the buffer exactly, sizes that match type and shape, no duplicate key; of an index also that it names every
/// tensor and nothing else. Throws Error with file and tensor name.
class SafetensorsReader {
 public:
  /// A .safetensors file, a `*.safetensors.index.json`, or a folder that holds model.safetensors, or its index, or all
  /// of model-00001-of-00003.safetensors ... without one.
  explicit SafetensorsReader(const std::filesystem::path& path);
  const std::vector<TensorView>& tensors() const { return tensors_; }  ///< sorted by name
  const TensorView* find(std::string_view name) const;
  const TensorView& at(std::string_view name) const;  ///< throws Error with a near name
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool without_index() const { return without_index_; }  ///< several files, and no index says what is in them
  const std::vector<MappedFile>& files() const { return files_; }

 private:
  void add_file(const std::filesystem::path& path);
  void add_numbered(const std::filesystem::path& folder);
  std::vector<MappedFile> files_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
  bool without_index_ = false;
};

/// Writes one file, tensor by tensor, so that only one needs to be in memory: names, types and shapes are declared
/// first, then bytes are given in the declared order. `__metadata__` = {"format":"pt"}; header padded to 8 bytes.
class SafetensorsWriter : public TensorWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, std::vector<Entry> entries,
                    std::map<std::string, std::string> metadata = {{"format", "pt"}});
};

}  // namespace base
