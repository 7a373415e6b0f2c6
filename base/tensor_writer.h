// What writing a safetensors and a GGUF file have in common: declared tensors, whose bytes come in the declared order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/tensor.h"

namespace base {

/// Tensor by tensor, so that only one (or a part of one) needs to be in memory. The header is the derived class's.
class TensorWriter {
 public:
  struct Entry {
    std::string name;
    DType type;
    std::vector<std::int64_t> shape;  ///< outermost first
  };
  /// A whole tensor. Throws Error when it is out of order or of a wrong size.
  void write(std::string_view name, std::span<const std::byte> bytes);
  /// The next bytes of a tensor that is given in parts; the next tensor begins once all its bytes are there.
  void write_part(std::string_view name, std::span<const std::byte> bytes);
  void commit();  ///< throws Error when a tensor is missing or incomplete

 protected:
  // Every tensor is padded with zeros to a multiple of `alignment` bytes.
  TensorWriter(const std::filesystem::path& path, std::vector<Entry> entries, std::size_t alignment);
  const std::vector<Entry>& entries() const { return entries_; }
  void write_header(std::string_view bytes) { file_.write(bytes); }

 private:
  FileWriter file_;
  std::filesystem::path path_;
  std::vector<Entry> entries_;
  std::size_t alignment_;
  std::size_t next_ = 0;
  std::uint64_t given_ = 0;  // bytes of entries_[next_] so far
};

}  // namespace base
