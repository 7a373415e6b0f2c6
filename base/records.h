// Records out of files: .jsonl, .json, .csv, .tsv, .txt, each also .zst or .gz, and "-"; .parquet with the help of
// base/parquet.h.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace base {

class OptionVisitor;

/// Where a record or a piece of bad bytes came from.
struct Place {
  std::uint32_t file = 0;    ///< index into the reader's list of files
  std::uint64_t offset = 0;  ///< in the decompressed bytes of that file
  std::uint64_t line = 0;    ///< from 1
  std::uint32_t record = 1;  ///< of those that begin in the line, from 1: a JSON array may lie in one line
};

/// "12", or "12#3" where it is the third record that begins in its line.
std::string line_text(std::uint64_t line, std::uint32_t record);
inline std::string line_text(const Place& place) { return line_text(place.line, place.record); }

struct BadBytes;

/// A run of whole records, one JSON object a line, in input order: the unit that worker threads take.
struct Block {
  std::string bytes;          ///< lines; the last one may lack its '\n' (end of file)
  Place first;                ///< the first line's place
  std::uint64_t ordinal = 0;  ///< number of this block from 0: the order of the input
  std::uint32_t file = 0;
  std::vector<Place> places;  ///< one a line where lines were made from another format; empty for .jsonl
  /// Makes `bytes`, which are still empty: see RecordOptions::lazy and decode_block.
  std::function<void(Block&, std::vector<BadBytes>&)> decode;
};

/// Bytes that could not become a record.
struct BadBytes {
  Place place;
  std::string bytes;  ///< at most 4 kB of them
  std::uint64_t size = 0;
  std::string error;
  bool lost = false;  ///< more of the file than these bytes could not be read or kept
};

/// One file as blocks. One thread at a time.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  /// Adds about block_bytes of records to an empty block, or what will make them (Block::decode), and what could not be
  /// read to `bad`; false when the file is done. Never throws for bad content.
  virtual bool fill(Block& block, std::vector<BadBytes>& bad) = 0;
  /// Bytes of the file consumed so far, and the file's size, 0 if unknown.
  virtual std::uint64_t consumed() const = 0;
  virtual std::uint64_t total() const = 0;
};
/// How text files are read; the options that every command offers which reads records.
struct TextOptions {
  std::string encoding = "auto";   ///< of .jsonl, .json, .csv, .tsv and .txt files: see find_encoding
  std::string delimiter = "auto";  ///< of .csv and .tsv files: see delimiter_of
  void visit(OptionVisitor& v);
};
struct RecordOptions {
  std::size_t block_bytes = 1 << 20;         ///< aim for blocks of this size
  std::size_t max_record_bytes = 256 << 20;  ///< a longer line is bad bytes
  std::uint64_t limit = 0;                   ///< stop after this many records, 0 = all
  std::string split_text = "file";           ///< .txt: "file", "line" or "paragraph" is one document
  std::string text_field = "text";           ///< the key that .txt documents get
  TextOptions text;
  /// Binary columns of Parquet of which all that is read at once is UTF-8 are text, as writers give them that do not
  /// mark text; others an object, {"bytes": base64}, which nobody takes for a text.
  bool bytes_are_text = false;
  /// Blocks may come undecoded: whoever works on one calls decode_block first, on any thread. The first block that
  /// holds records comes decoded all the same, and with a `limit` every one does.
  bool lazy = false;
  /// Folders named KEY=VALUE give the records of their files a field: see base/folder_fields.h.
  bool folder_fields = false;
};

/// Makes the lines of a block that came undecoded; what could not be read goes to `bad`. Other blocks stay as they are.
void decode_block(Block& block, std::vector<BadBytes>& bad);

/// The format that a file's suffix (before .zst or .gz, in whatever case) names: "jsonl" (also .ndjson and "-"),
/// "json", "csv", "tsv" (also .tab), "txt", "parquet" (never compressed as a whole), or "" when BlockReader does not
/// read it.
///   jsonl  one JSON object a line, checking it is left to whoever parses the line; also what "json" holds
///   json   an array, read element by element, or several; objects one after another, on lines of their own or not,
///   also
///          with a record separator (RFC 7464) before each
///   csv    RFC 4180; the header's names become the keys of objects of strings; see find_delimiter
///   tsv    the same, with tabs unless commas fit better
///   txt    UTF-8 text; {"text": ..., "id": "FILE"}, with split_text {"text": ..., "id": "FILE:LINE"}; see input_names
///   parquet  one object a row: see base/parquet.h
std::string_view record_format(std::string_view path);
/// All of them, for messages.
inline constexpr const char* kRecordFormats =
    ".parquet, .jsonl, .json, .csv, .tsv or .txt, each but the first also with .zst or .gz, or - for JSONL on standard "
    "input";

/// Reads blocks from a list of files, in order. One thread at a time calls `next`; blocks may be processed anywhere.
class BlockReader {
 public:
  /// Files as from expand_inputs. An unknown suffix is a UsageError, and so is a file that holds another format than
  /// any of ours, or Parquet under another name (on a pipe, that is found when it is read); a file that cannot be
  /// opened is an Error (any .parquet file in a program built without).
  BlockReader(std::vector<std::string> files, RecordOptions options);
  ~BlockReader();
  /// The next block, or nothing at the end of all files. Never throws for bad content: truncated or corrupt bytes go to
  /// `bad` (in order) and reading goes on behind them or with the next file; behind ten thousand pieces of them comes a
  /// block without a record where there is none before. Throws Error when a file has become
  /// unreadable since the start. A leading byte order mark is dropped. A file with \r and no \n in its first megabyte
  /// has \r for line ends. Of a file in another encoding, places count its bytes as UTF-8.
  std::optional<Block> next(std::vector<BadBytes>& bad);
  const std::vector<std::string>& files() const;
  /// What the files are called in ids: see input_names.
  const std::vector<std::string>& names() const;
  /// Share of the input consumed, 0..1, for a progress line; negative when unknown. Any thread.
  double progress() const;
  /// Compressed bytes consumed so far. Any thread.
  std::uint64_t bytes_read() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Calls `f(std::string_view line, const Place& place)` for every line of a block that is not blank (white space only),
/// without its "\n" or "\r\n".
template <class F>
void for_each_line(const Block& block, F&& f) {
  const char* const begin = block.bytes.data();
  const char* const end = begin + block.bytes.size();
  Place place = block.first;
  std::size_t number = 0;
  for (const char* line = begin; line < end; ++number, ++place.line) {
    const void* found = std::memchr(line, '\n', static_cast<std::size_t>(end - line));
    const char* next = found ? static_cast<const char*>(found) : end;
    const char* last = next;
    if (last > line && last[-1] == '\r') --last;
    const char* content = line;
    while (content < last && (*content == ' ' || *content == '\t' || *content == '\r')) ++content;
    if (content < last) {
      if (block.places.empty()) {
        place.offset = block.first.offset + static_cast<std::uint64_t>(line - begin);
        f(std::string_view(line, static_cast<std::size_t>(last - line)), static_cast<const Place&>(place));
      } else {
        f(std::string_view(line, static_cast<std::size_t>(last - line)), block.places[number]);
      }
    }
    line = next + 1;
  }
}

/// One record at a time, in input order, on this thread: `f(line, place, file)`. Bad bytes go to `on_bad(bad, file)`
/// between the records they lie between; without `on_bad` the first ones throw Error.
void for_each_record(const std::vector<std::string>& files, const RecordOptions& options,
                     const std::function<void(std::string_view line, const Place& place, const std::string& file)>& f,
                     const std::function<void(const BadBytes& bad, const std::string& file)>& on_bad = nullptr);
/// The same for all that is left in `reader`: `f(block, line, place)`, `line` in `block`; and `on_bad(bad)`.
void for_each_record(BlockReader& reader,
                     const std::function<void(const Block& block, std::string_view line, const Place& place)>& f,
                     const std::function<void(const BadBytes& bad)>& on_bad);

}  // namespace base
