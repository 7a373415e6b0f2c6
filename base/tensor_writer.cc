// What writing a safetensors and a GGUF file have in common: declared tensors, whose bytes come in the declared order.
// Tested by tests/base/safetensors_test.cc and tests/base/gguf_test.cc.
#include "base/tensor_writer.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"

namespace base {

TensorWriter::TensorWriter(const std::filesystem::path& path, std::vector<Entry> entries, std::size_t alignment)
    : file_(path), path_(path), entries_(std::move(entries)), alignment_(alignment) {}

void TensorWriter::write(std::string_view name, std::span<const std::byte> bytes) {
  if (next_ < entries_.size() && given_ == 0) {
    std::uint64_t size = byte_size(entries_[next_].type, entries_[next_].shape);
    if (entries_[next_].name == name && bytes.size() != size)
      throw Error({"tensor of the wrong size", path_.string() + ": " + std::string(name), std::to_string(bytes.size()),
                   fmt::format("{} bytes", size), ""});
  }
  write_part(name, bytes);
}

void TensorWriter::write_part(std::string_view name, std::span<const std::byte> bytes) {
  if (next_ >= entries_.size() || entries_[next_].name != name)
    throw Error({"tensor written out of order", path_.string(), std::string(name),
                 next_ < entries_.size() ? entries_[next_].name : "no further tensor", ""});
  std::uint64_t size = byte_size(entries_[next_].type, entries_[next_].shape);
  if (bytes.size() > size - given_)
    throw Error({"tensor of the wrong size", path_.string() + ": " + std::string(name),
                 std::to_string(given_ + bytes.size()), fmt::format("{} bytes", size), ""});
  file_.write(bytes.data(), bytes.size());
  given_ += bytes.size();
  if (given_ < size) return;
  if (std::size_t over = size % alignment_) file_.write(std::string(alignment_ - over, '\0'));
  given_ = 0;
  ++next_;
}

void TensorWriter::commit() {
  if (next_ != entries_.size())
    throw Error({given_ > 0 ? "tensor is incomplete" : "tensor was never written", path_.string(), entries_[next_].name,
                 "", ""});
  file_.commit();
}

}  // namespace base
