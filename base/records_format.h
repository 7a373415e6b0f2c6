// Inside base/records*.cc: the bytes of one file with look-ahead, and what turns them into blocks.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/records.h"
#include "base/stream.h"

namespace base {

/// The decompressed bytes of one file, as UTF-8 and with \n for line ends, as a window that grows at its end and
/// shrinks at its front.
class RecordInput {
 public:
  /// Throws UsageError when the file is no text.
  RecordInput(const std::string& path, std::uint32_t file, const RecordOptions& options);
  /// The bytes read and not yet dropped; valid until more() or drop().
  std::string_view window() const { return {buffer_.data() + begin_, end_ - begin_}; }
  /// Reads more; false at the end of the input, which a decoding error also is (see error()).
  bool more();
  /// Drops `size` bytes from the front.
  void drop(std::size_t size);
  /// Reads until the window holds `size` bytes or all.
  void look_ahead(std::size_t size);
  /// From here on the byte `from` reads as `to`.
  void replace(char from, char to);
  /// Place of the window's first byte.
  Place place() const { return place_; }
  /// Why the input ended early; empty while it has not.
  const std::string& error() const { return error_; }
  std::uint64_t consumed() const { return reader_->consumed(); }
  std::uint64_t total() const { return reader_->total(); }

 private:
  std::unique_ptr<ByteReader> reader_;
  std::size_t chunk_bytes_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  bool at_end_ = false;
  Place place_;
  std::string error_;
  std::vector<std::pair<char, char>> replaced_;
};

/// Of bad bytes, this many are kept.
constexpr std::size_t kBadBytesKept = 4096;
/// A block takes this many pieces of bad bytes, so that a file of nothing else costs no more memory than others.
constexpr std::size_t kBadPieces = 10'000;

/// The error of a record longer than `most` bytes.
inline std::string too_long_record(std::size_t most) {
  return "longer than the limit of " + std::to_string(most) + " bytes for one record";
}

inline bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/// Turns one file, a stream of bytes, into blocks.
class RecordFormat : public BlockSource {
 public:
  RecordFormat(RecordInput& input, const RecordOptions& options, const std::string& file_name)
      : input_(input), options_(options), file_name_(file_name) {}
  std::uint64_t consumed() const override { return input_.consumed(); }
  std::uint64_t total() const override { return input_.total(); }

 protected:
  // Whether fill goes on. It ends early behind kBadPieces.
  bool wants_more(const Block& block, const std::vector<BadBytes>& bad) const {
    return block.bytes.size() < options_.block_bytes && bad.size() < kBadPieces;
  }
  // Records `bytes` (a piece of the window) as bad; `lost`: the end of the file is lost with them.
  static void add_bad(std::vector<BadBytes>& bad, const Place& place, std::string_view bytes, const std::string& error,
                      bool lost = false);
  // Adds bytes to a piece that is read bit by bit; only the first are kept.
  static void append_bad(BadBytes& piece, std::string_view bytes);
  // Drops `size` bytes of the window and what follows to the end of the line, however long, and records them as bad.
  void skip_line(std::vector<BadBytes>& bad, const std::string& error, std::size_t size = 1);
  std::string too_long() const { return too_long_record(options_.max_record_bytes); }
  // Adds one line made from a record at `place`.
  static void add_line(Block& block, const Place& place, std::string_view line);
  // At the end of the input: what is left cannot become a record. True when there was something to say.
  bool add_rest(std::vector<BadBytes>& bad, const std::string& error_if_none);

  RecordInput& input_;
  const RecordOptions& options_;
  const std::string& file_name_;
};

/// Whether a line that begins as a JSON object ends before that object does.
bool ends_early(std::string_view line);

using MakeRecordFormat = std::unique_ptr<RecordFormat>(RecordInput& input, const RecordOptions& options,
                                                       const std::string& file_name);
MakeRecordFormat make_json_lines, make_json_array, make_separated, make_plain_text;

}  // namespace base
