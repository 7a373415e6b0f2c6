// Records out of files: .jsonl, .json (one array), .csv, .txt, .parquet is elsewhere; each also .zst or .gz, and "-".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace base {

/// Where a record or a piece of bad bytes came from.
struct Place {
  std::uint32_t file = 0;    ///< index into the reader's list of files
  std::uint64_t offset = 0;  ///< in the decompressed bytes of that file
  std::uint64_t line = 0;    ///< from 1
};

/// A run of whole records, one JSON object a line, in input order: the unit that worker threads take.
struct Block {
  std::string bytes;          ///< lines; the last one may lack its '\n' (end of file)
  Place first;                ///< the first line's place; lines of other formats carry the place of their source record
  std::uint64_t ordinal = 0;  ///< number of this block from 0: the order of the input
  std::uint32_t file = 0;
};

/// Bytes that could not become a record.
struct BadBytes {
  Place place;
  std::string bytes;  ///< at most 4 kB of them
  std::uint64_t size = 0;
  std::string error;
};

struct RecordOptions {
  std::size_t block_bytes = 1 << 20;         ///< aim for blocks of this size
  std::size_t max_record_bytes = 256 << 20;  ///< a longer line is bad bytes
  std::uint64_t limit = 0;                   ///< stop after this many records, 0 = all
  std::string split_text = "file";           ///< .txt: "file", "line" or "paragraph" is one document
  std::string text_field = "text";           ///< the key that .txt documents get
};

/// Reads blocks from a list of files, in order. One thread calls `next`; blocks may be processed anywhere.
class BlockReader {
 public:
  /// Files as from expand_inputs. Format by suffix (default .jsonl for "-"); an unknown suffix is a UsageError.
  BlockReader(std::vector<std::string> files, RecordOptions options);
  ~BlockReader();
  /// The next block, or nothing at the end of all files. Never throws for bad content: truncated or corrupt bytes go to
  /// `bad` (in order) and reading goes on with the next file. A leading BOM and CR before LF are dropped.
  std::optional<Block> next(std::vector<BadBytes>& bad);
  const std::vector<std::string>& files() const;
  /// Share of the input consumed, 0..1, for a progress line; negative when unknown.
  double progress() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Calls `f(line, place)` for every non-blank line of a block.
void for_each_line(const Block& block, const std::function<void(std::string_view line, const Place& place)>& f);

}  // namespace base
