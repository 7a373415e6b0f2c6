// Survivors of a stage on disk, until the settle stage knows which of them are duplicates.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace curate {

/// One survivor. The views live as long as what they point into.
struct SpillEntry {
  std::string_view record;  ///< as it came
  std::string_view id, source;
  std::string_view members;  ///< scores and labels, ready for the hornbook key
  std::string_view text;     ///< the text that a step made; only if `edited`
  bool edited = false;
};

/// Appends one entry to a block's bytes; returns its offset in them.
std::uint64_t append_entry(std::string& bytes, const SpillEntry& entry);
/// A block's bytes with their header: how many entries, how many bytes.
std::string spill_block(std::uint64_t entries, const std::string& bytes);
/// Where the entries of a block begin, after its header.
inline constexpr std::uint64_t kSpillHeader = 16;

/// A spill file, mapped.
class SpillReader {
 public:
  struct Block {
    std::uint64_t place = 0;  ///< of the first entry
    std::uint64_t bytes = 0, entries = 0, first_document = 0;
  };
  /// Throws Error when the blocks do not tile the file.
  explicit SpillReader(const std::filesystem::path& path);
  const std::vector<Block>& blocks() const { return blocks_; }
  std::uint64_t documents() const { return documents_; }
  std::uint64_t bytes() const { return file_.bytes().size(); }
  /// The entry at `place`; `place` moves behind it. Throws Error when it does not lie in the file.
  SpillEntry entry(std::uint64_t& place) const;
  /// How many bytes may be read behind the end of `view`, which lies in this file.
  std::size_t readable_after(std::string_view view) const;

 private:
  base::MappedFile file_;
  std::vector<Block> blocks_;
  std::uint64_t documents_ = 0;
};

}  // namespace curate
