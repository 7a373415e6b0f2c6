// The one way in which tensors get into a file of weights: some rows at a time, computed by many threads, in order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/tensor.h"

namespace lora {

/// A tensor to be written, and where its bytes come from.
struct StreamedTensor {
  std::string name;  ///< in the file, where neighbours of one name are parts of one tensor
  base::DType type;
  std::vector<std::int64_t> shape;
  /// Rows [first, first + rows) in `type`, all of a vector. Called from several threads.
  std::function<std::vector<std::byte>(std::int64_t first, std::int64_t rows)> bytes;
};

/// Some rows of a tensor: a few MB. All of a vector.
struct RowRange {
  std::int64_t first, count;
};
std::vector<RowRange> row_ranges(const std::vector<std::int64_t>& shape, std::int64_t unit);

struct StreamOptions {
  std::int64_t unit = 1;  ///< rows are taken in multiples of it: whole heads
  int threads = 0;        ///< 0: all there are
  std::function<void(double)> progress{};
};

/// Gives the bytes of all tensors to `write`, in order, a few MB at a time.
void stream_tensors(const std::vector<StreamedTensor>& tensors, const StreamOptions& options,
                    const std::function<void(const std::string& name, std::span<const std::byte> bytes)>& write);

/// Files of a folder of weights, as transformers lays them: model.safetensors, or, beyond `max_shard` bytes,
/// model-00001-of-00003.safetensors ... and model.safetensors.index.json. A tensor is never cut.
void write_safetensors(const std::vector<StreamedTensor>& tensors, const std::filesystem::path& folder,
                       std::uint64_t max_shard, const StreamOptions& options);

}  // namespace lora
