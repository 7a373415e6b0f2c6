// GGUF files, version 2 and 3 (format: ggml/docs/gguf.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/file.h"
#include "base/tensor.h"
#include "base/tensor_writer.h"
#include "base/texts.h"

namespace base {

/// A metadata value. Integers keep their file type in `GgufValue::type` so that a copy writes the same bytes.
struct GgufValue {
  enum Type : std::uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };
  Type type = kU32;
  Type element_type = kU32;  ///< of an array
  std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>, Texts> value;

  static GgufValue u32(std::uint32_t v);
  static GgufValue i32(std::int32_t v);
  static GgufValue f32(float v);
  static GgufValue boolean(bool v);
  static GgufValue text(std::string v);
  static GgufValue texts(const std::vector<std::string>& v);
  static GgufValue i32s(std::vector<std::int32_t> v);
  static GgufValue f32s(std::vector<float> v);
};

/// A GGUF file mapped for reading, or the first of several (NAME-00001-of-00003.gguf), with the others beside it; all
/// bounds are checked when opened. Tensor shapes are outermost first.
class GgufReader {
 public:
  explicit GgufReader(const std::filesystem::path& path);
  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return metadata_; }  ///< file order
  const GgufValue* find(std::string_view key) const;
  /// Typed access; throws Error naming the key when it is missing or of another kind.
  std::int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  const std::string& text(std::string_view key) const;
  const Texts& texts(std::string_view key) const;
  const std::vector<std::int64_t>& integers(std::string_view key) const;
  const std::vector<double>& numbers(std::string_view key) const;
  const std::vector<TensorView>& tensors() const { return tensors_; }  ///< file order
  const TensorView* tensor(std::string_view name) const;
  const std::filesystem::path& path() const { return files_.front().path(); }  ///< of the first file
  std::vector<std::filesystem::path> paths() const;                            ///< of all

 private:
  void check_parts() const;
  std::vector<MappedFile> files_;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::vector<TensorView> tensors_;
};

/// Throws Error, naming what to give, where the file says that it is an adapter: that alone is no model.
void refuse_adapter(const GgufReader& file);

/// Writes one file of version 3, tensor by tensor (see SafetensorsWriter). Alignment 32: a key general.alignment in
/// `metadata` is left out.
class GgufWriter : public TensorWriter {
 public:
  GgufWriter(const std::filesystem::path& path, const std::vector<std::pair<std::string, GgufValue>>& metadata,
             std::vector<Entry> entries);
};

}  // namespace base
