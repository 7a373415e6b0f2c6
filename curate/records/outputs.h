// What a run writes: files that grow by whole pieces and can be cut back to an earlier length, so that a killed run
// goes on from its last checkpoint with the same bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace curate {

/// A file opened for appending at `size`; anything behind that is cut off. Write errors (disk full) throw Error.
class AppendFile {
 public:
  AppendFile(std::filesystem::path path, std::uint64_t size);
  ~AppendFile();
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  void append(std::string_view bytes);
  void sync();  ///< to the disk, not only to the system
  std::uint64_t size() const { return size_; }

 private:
  void cut_back();
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// Records in numbered shards of a folder: FOLDER/00000.jsonl.zst, ... Each piece is one zstd frame; a new shard begins
/// where the records of the current one have reached the limit. Without records there is no shard.
class ShardWriter {
 public:
  /// All that must be remembered to go on.
  struct State {
    std::uint32_t shard = 0;
    std::uint64_t shard_bytes = 0;                         ///< of records in the current shard
    std::uint64_t file_bytes = 0;                          ///< compressed, in the current shard
    std::uint64_t records = 0, bytes = 0, compressed = 0;  ///< in all shards
  };
  /// Cuts the folder back to `state`.
  ShardWriter(std::filesystem::path folder, std::uint64_t limit, const State& state);
  /// `frame` is compressed from `bytes` bytes that hold `records` records; nothing happens for no record.
  void append(std::string_view frame, std::uint64_t bytes, std::uint64_t records);
  void sync();
  const State& state() const { return state_; }

 private:
  std::filesystem::path shard_path(std::uint32_t shard) const;
  std::filesystem::path folder_;
  std::uint64_t limit_;
  State state_;
  std::optional<AppendFile> file_;
};

}  // namespace curate
