// The one way in which tensors get into a file of weights: some rows at a time, computed by many threads, in order.
// Tested by tests/lora/adapter/tensor_stream_test.cc.
#include "lora/adapter/tensor_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "base/pipeline.h"
#include "base/safetensors.h"

namespace lora {
namespace {

constexpr std::int64_t kChunkElements = std::int64_t{1} << 17;  // of one piece of work: it stays in a core's cache

struct Chunk {
  const StreamedTensor* tensor;
  RowRange rows;
};

struct Piece {
  const StreamedTensor* tensor;
  std::vector<std::byte> bytes;
};

std::uint64_t bytes_of(const StreamedTensor& tensor) { return base::byte_size(tensor.type, tensor.shape); }

// The number of the shard of each tensor, from 0: the next one where it does not fit behind those before.
std::vector<std::size_t> shards_of(const std::vector<StreamedTensor>& tensors, std::uint64_t max_shard) {
  std::vector<std::size_t> shards;
  std::size_t shard = 0;
  std::uint64_t size = 0;
  for (const StreamedTensor& tensor : tensors) {
    const std::uint64_t bytes{bytes_of(tensor)};
    if (size != 0 && size + bytes > max_shard) {
      ++shard;
      size = 0;
    }
    size += bytes;
    shards.push_back(shard);
  }
  return shards;
}

}  // namespace

std::vector<RowRange> row_ranges(const std::vector<std::int64_t>& shape, std::int64_t unit) {
  const std::int64_t all{shape.empty() ? 1 : shape[0]};
  std::int64_t row = 1;
  for (std::size_t i = 1; i < shape.size(); ++i) row *= shape[i];
  if (shape.size() < 2 || all * row == 0) return {{0, all}};
  std::vector<RowRange> ranges;
  const std::int64_t rows{std::max<std::int64_t>(1, kChunkElements / row / unit) * unit};
  for (std::int64_t first = 0; first < all; first += rows) ranges.push_back({first, std::min(rows, all - first)});
  return ranges;
}

void stream_tensors(const std::vector<StreamedTensor>& tensors, const StreamOptions& options,
                    const std::function<void(const std::string& name, std::span<const std::byte> bytes)>& write) {
  std::vector<Chunk> chunks;
  for (const StreamedTensor& tensor : tensors)
    for (const RowRange& rows : row_ranges(tensor.shape, options.unit)) chunks.push_back({&tensor, rows});
  std::size_t next = 0, done = 0;
  base::ordered_pipeline<Chunk, Piece>(
      base::thread_count(options.threads),
      [&]() -> std::optional<Chunk> {
        if (next == chunks.size()) return std::nullopt;
        return chunks[next++];
      },
      [](const Chunk& chunk, int) {
        return Piece{chunk.tensor, chunk.tensor->bytes(chunk.rows.first, chunk.rows.count)};
      },
      [&](const Piece& piece) {
        write(piece.tensor->name, piece.bytes);
        ++done;
        if (options.progress) options.progress(static_cast<double>(done) / static_cast<double>(chunks.size()));
      });
}

void write_safetensors(const std::vector<StreamedTensor>& tensors, const std::filesystem::path& folder,
                       std::uint64_t max_shard, const StreamOptions& options) {
  const std::vector<std::size_t> shards = shards_of(tensors, max_shard);
  const std::size_t count{shards.empty() ? 1 : shards.back() + 1};
  const auto file_of = [&](std::size_t shard) {
    return count == 1 ? std::string("model.safetensors")
                      : fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, count);
  };
  std::vector<std::vector<base::SafetensorsWriter::Entry>> entries(count);
  nlohmann::json places = nlohmann::json::object();
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    entries[shards[i]].push_back({tensors[i].name, tensors[i].type, tensors[i].shape});
    places[tensors[i].name] = file_of(shards[i]);
    total += bytes_of(tensors[i]);
  }
  std::vector<std::unique_ptr<base::SafetensorsWriter>> writers;  // all are renamed once all are whole
  for (std::size_t shard = 0; shard < count; ++shard)
    writers.push_back(std::make_unique<base::SafetensorsWriter>(folder / file_of(shard), std::move(entries[shard])));
  std::size_t now = 0;
  stream_tensors(tensors, options, [&](const std::string& name, std::span<const std::byte> bytes) {
    while (file_of(now) != places[name]) ++now;
    writers[now]->write_part(name, bytes);
  });
  for (const auto& writer : writers) writer->commit();
  if (count == 1) return;
  const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", places}};
  base::write_file(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

}  // namespace lora
