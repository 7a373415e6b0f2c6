// Bytes that are put aside and read again: in memory while they are few, else on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace curate {

/// Grows at its end; any number of threads may read what was appended before. The first pieces, as many as fit into
/// `limit` bytes, stay in memory, the others go to a file without a name in `folder`, which is gone with the process.
/// Throws Error when that file cannot be made, written (disk full) or read.
class ByteStore {
 public:
  ByteStore(std::filesystem::path folder, std::uint64_t limit);
  ~ByteStore();
  ByteStore(const ByteStore&) = delete;
  ByteStore& operator=(const ByteStore&) = delete;
  /// Returns the place of the first byte.
  std::uint64_t append(std::string bytes);
  void read(std::uint64_t place, void* data, std::size_t size) const;
  std::uint64_t size() const { return in_memory_ + in_file_; }

 private:
  std::filesystem::path folder_;
  std::uint64_t limit_, held_ = 0, in_memory_ = 0, in_file_ = 0;  // held: in_memory and what its pieces reserve
  std::vector<std::string> pieces_;
  std::vector<std::uint64_t> begins_;  // place of each piece
  int descriptor_ = -1;
};

}  // namespace curate
