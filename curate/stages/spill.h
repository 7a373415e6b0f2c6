// Survivors of a stage on disk, until the settle stage knows which of them are duplicates.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "curate/dedup/fingerprint.h"

namespace curate {

/// One survivor. The views live as long as what they point into.
struct SpillEntry {
  std::string_view record;  ///< as it came
  std::string_view id, source;
  std::string_view members;  ///< scores and labels, ready for the hornbook key
  std::string_view text;     ///< the text that a step made; only if `edited`
  bool edited = false;
  std::uint64_t fields = 0;  ///< number of the FieldSet of its file
};

/// Appends one entry to a block's bytes; returns its offset in them.
std::uint64_t append_entry(std::string& bytes, const SpillEntry& entry);
/// A block's bytes with their header: how many entries, how many bytes.
std::string spill_block(std::uint64_t entries, const std::string& bytes);
/// Where the entries of a block begin, after its header.
inline constexpr std::uint64_t kSpillHeader = 16;

/// A spill file, read piece by piece. Any number of threads may read.
class SpillReader {
 public:
  struct Block {
    std::uint64_t place = 0;  ///< of the first entry
    std::uint64_t bytes = 0, entries = 0, first_document = 0;
  };
  /// Bytes read from the file, and where in them the next entry begins.
  struct Buffer {
    std::string bytes;
    std::uint64_t next = 0;
    /// How many bytes of memory may be read behind the end of `view`, which lies in `bytes`.
    std::size_t readable_after(std::string_view view) const {
      return static_cast<std::size_t>(bytes.data() + bytes.capacity() - (view.data() + view.size()));
    }
  };
  /// Throws Error when the blocks do not tile the file.
  explicit SpillReader(const std::filesystem::path& path);
  const std::vector<Block>& blocks() const { return blocks_; }
  std::uint64_t documents() const { return documents_; }
  /// Reads a whole block; its entries are then taken one by one.
  void read(const Block& block, Buffer& buffer) const;
  /// The next entry of a buffer; lives as long as its bytes. Throws Error when it is cut off.
  SpillEntry next(Buffer& buffer) const;
  /// The one entry at `place`.
  SpillEntry entry(std::uint64_t place, Buffer& buffer) const;

 private:
  base::RandomAccessFile file_;
  std::vector<Block> blocks_;
  std::uint64_t documents_ = 0;
};

/// The fingerprints of a spill file's documents, one after another in a file of their own.
class PrintsReader {
 public:
  explicit PrintsReader(const std::filesystem::path& path) : file_(path) {}
  std::uint64_t documents() const { return file_.size() / sizeof(Fingerprint); }
  /// Those of documents first, first + 1, ...; any thread.
  void read(std::uint64_t first, std::span<Fingerprint> prints) const {
    file_.read(first * sizeof(Fingerprint), prints.data(), prints.size_bytes());
  }

 private:
  base::RandomAccessFile file_;
};

}  // namespace curate
