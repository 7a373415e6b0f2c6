// Records out of files: .jsonl, .json, .csv, .tsv, .txt, each also .zst or .gz, and "-"; .parquet with the help of
// base/parquet.h. Tested by tests/base/records_test.cc.
#include "base/records.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/delimiter.h"
#include "base/encoding.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "base/folder_fields.h"
#include "base/inputs.h"
#include "base/options.h"
#include "base/parquet.h"
#include "base/records_format.h"
#include "base/text.h"

namespace base {
namespace {

void check_readable(const std::string& file) {
  if (file == "-") return;
  std::error_code error;
  if (std::filesystem::is_directory(file, error))
    throw UsageError({"a folder was given as a file", file, "", "a file", "name its files, such as '" + file + "/*'"});
  if (::access(file.c_str(), R_OK) != 0)
    throw Error(std::string("cannot open the file: ") + std::strerror(errno), file);
}

// Throws when a file that begins so cannot be read as text.
void refuse_foreign_format(std::string_view head, const std::string& path) {
  const ForeignFormat* const format = foreign_format(head);
  if (format == nullptr) return;
  const bool is_renamed = path == "-" && head.starts_with("PAR1");
  throw UsageError(
      {std::string("the file is ") + format->name + ", not text", path, "", "",
       is_renamed ? "Parquet is read from files: write it to one whose name ends in .parquet" : format->advice});
}

void refuse_other_than_parquet(const std::string& path) {
  char head[4] = {};
  std::ifstream file(path, std::ios::binary);
  file.read(head, sizeof head);
  const std::string_view found(head, static_cast<std::size_t>(file.gcount()));
  if (found.size() < sizeof head || found == "PAR1" || found == "PARE") return;  // perhaps broken, or encrypted
  throw UsageError({"the file is no Parquet file", path, shortened(found), "PAR1 as its first bytes",
                    "give it the suffix of what it holds"});
}

// Throws when a file cannot be read for what its name says. What compressed bytes hold is looked at as well; damage is
// found when they are read. A pipe can only be read once.
void check_content(const std::string& path) {
  if (!std::filesystem::is_regular_file(path)) return;
  if (record_format(path) == "parquet") return refuse_other_than_parquet(path);
  const auto reader = open_reader(path);
  std::string head(kKindBytes, '\0');
  std::size_t size = 0;
  try {
    for (std::size_t count = 1; count > 0 && size < head.size(); size += count)
      count = reader->read(head.data() + size, head.size() - size);
  } catch (const Error&) {
  }
  refuse_foreign_format(std::string_view(head).substr(0, size), path);
}

}  // namespace

RecordInput::RecordInput(const std::string& path, std::uint32_t file, const RecordOptions& options)
    : reader_(open_reader(path)), chunk_bytes_(std::max<std::size_t>(options.block_bytes, 1)), place_{file, 0, 1} {
  look_ahead(std::max(kKindBytes, kEncodingBytes));
  refuse_foreign_format(window(), path);
  const FoundEncoding encoding = find_encoding(window(), options.text.encoding);
  drop(encoding.mark);
  if (!encoding.name.empty()) {
    reader_ = decoded_reader(std::string(window()), std::move(reader_), encoding);
    begin_ = end_ = place_.offset = 0;
    at_end_ = false;
    error_.clear();
  }
  // The first line end tells which ones there are; in a file without any it does not matter.
  constexpr std::size_t kFar = 1 << 20;
  std::size_t seen = 0;
  while (window().find('\n', seen) == std::string_view::npos) {
    seen = window().size();
    if (seen < kFar && more()) continue;
    if (window().substr(0, at_end_ ? seen : seen - 1).find('\r') != std::string_view::npos) replace('\r', '\n');
    break;
  }
}

void RecordInput::look_ahead(std::size_t size) {
  while (window().size() < size && more()) {
  }
}

void RecordInput::replace(char from, char to) {
  std::replace(buffer_.data() + begin_, buffer_.data() + end_, from, to);
  replaced_.emplace_back(from, to);
}

bool RecordInput::more() {
  // A window without an end in sight doubles, so that a long record costs linear time.
  const std::size_t wanted = std::max(chunk_bytes_, end_ - begin_);
  if (at_end_) return false;
  if (buffer_.size() - end_ < wanted && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < wanted) buffer_.resize(end_ + wanted);
  std::size_t count = 0;
  try {
    count = reader_->read(buffer_.data() + end_, wanted);
  } catch (const Error& error) {
    error_ = error.what();
  }
  for (const auto& [from, to] : replaced_) std::replace(buffer_.data() + end_, buffer_.data() + end_ + count, from, to);
  end_ += count;
  at_end_ = count == 0;
  return count > 0;
}

void RecordInput::drop(std::size_t size) {
  place_.line += count_byte(window().substr(0, size), '\n');
  place_.offset += size;
  begin_ += size;
  if (buffer_.size() <= 16 * (end_ - begin_ + chunk_bytes_)) return;
  // A huge record was here: its memory is wanted elsewhere while it is worked on.
  buffer_ = std::vector<char>(buffer_.data() + begin_, buffer_.data() + end_);
  end_ -= begin_;
  begin_ = 0;
}

std::string line_text(std::uint64_t line, std::uint32_t record) {
  return record == 1 ? std::to_string(line) : std::to_string(line) + "#" + std::to_string(record);
}

void RecordFormat::append_bad(BadBytes& piece, std::string_view bytes) {
  piece.bytes += bytes.substr(0, kBadBytesKept - std::min(kBadBytesKept, piece.bytes.size()));
  piece.size += bytes.size();
}

void RecordFormat::add_bad(std::vector<BadBytes>& bad, const Place& place, std::string_view bytes,
                           const std::string& error, bool lost) {
  bad.push_back({place, std::string(bytes.substr(0, kBadBytesKept)), bytes.size(), error, lost});
}

void RecordFormat::skip_line(std::vector<BadBytes>& bad, const std::string& error, std::size_t size) {
  BadBytes line{input_.place(), "", 0, error};
  for (;; size = 1) {
    std::string_view window = input_.window();
    std::size_t end = window.find('\n', size - 1);
    append_bad(line, window.substr(0, end));
    input_.drop(end == window.npos ? window.size() : end + 1);
    if (end != window.npos || !input_.more()) break;
  }
  bad.push_back(std::move(line));
}

void RecordFormat::add_line(Block& block, const Place& place, std::string_view line) {
  if (block.places.empty()) block.first = place;
  block.places.push_back(place);
  block.bytes += line;
  block.bytes += '\n';
}

bool RecordFormat::add_rest(std::vector<BadBytes>& bad, const std::string& error_if_none) {
  const std::string& error = input_.error().empty() ? error_if_none : input_.error();
  if (error.empty()) return false;
  std::string_view rest = input_.window();
  add_bad(bad, input_.place(), rest, error, true);
  input_.drop(rest.size());
  return true;
}

void TextOptions::visit(OptionVisitor& v) {
  v("encoding", encoding,
    "of text files: auto, or a name such as utf-8, windows-1252, gb18030; UTF-16 and UTF-32 are found out");
  v("delimiter", delimiter, "between the fields of .csv and .tsv files: auto, tab, or a character");
}

void decode_block(Block& block, std::vector<BadBytes>& bad) {
  if (!block.decode) return;
  auto decode = std::exchange(block.decode, nullptr);
  decode(block, bad);
}

std::string_view record_format(std::string_view path) {
  if (path == "-") return "jsonl";
  if (has_suffix(path, ".parquet")) return "parquet";
  const std::string_view name = without_compression_suffix(path);
  constexpr std::pair<std::string_view, std::string_view> kSuffixes[] = {
      {".jsonl", "jsonl"}, {".ndjson", "jsonl"}, {".json", "json"}, {".csv", "csv"},
      {".tsv", "tsv"},     {".tab", "tsv"},      {".txt", "txt"}};
  for (const auto& [suffix, format] : kSuffixes)
    if (has_suffix(name, suffix)) return format;
  return "";
}

struct BlockReader::State {
  std::vector<std::string> files, names;
  RecordOptions options;
  std::uint32_t next_file = 0;
  std::unique_ptr<RecordInput> input;
  std::unique_ptr<BlockSource> format;
  std::vector<std::pair<std::string, std::string>> fields;  // that the file's folders give
  std::uint64_t ordinal = 0, records = 0;
  bool given = false;               // a block with records was
  std::uint64_t total = 0;          // bytes of all files; 0 = unknown
  std::uint64_t earlier_files = 0;  // bytes of the files that are done
  std::atomic<std::uint64_t> bytes_read = 0;

  // Opens the next file; false when there is none.
  bool open() {
    if (next_file == files.size()) return false;
    const std::string& name = files[next_file];
    if (options.folder_fields) fields = folder_fields(name);
    if (record_format(name) == "parquet") {
      format = open_parquet(name, next_file++, options);
      return true;
    }
    const std::string& short_name = names[next_file];
    input = std::make_unique<RecordInput>(name, next_file, options);
    ++next_file;
    const std::string_view name_of_format = record_format(name);
    auto make = name_of_format == "jsonl"  ? make_json_lines
                : name_of_format == "json" ? make_json_array
                : name_of_format == "txt"  ? make_plain_text
                                           : make_separated;
    format = make(*input, options, short_name);
    return true;
  }

  void close() {
    earlier_files += std::max(format->consumed(), format->total());  // of a broken file, what follows is not read
    bytes_read = earlier_files;
    format.reset();
    input.reset();
  }

  // The fields of the folders are added by whoever decodes the block.
  void note_fields(Block& block) const {
    if (fields.empty() || (block.bytes.empty() && !block.decode)) return;
    block.decode = [earlier = std::move(block.decode), own = fields](Block& decoded, std::vector<BadBytes>& bad) {
      if (earlier) earlier(decoded, bad);
      add_folder_fields(decoded, own);
    };
  }

  // Keeps the records of `block` that the limit still allows, with their line ends, and no bad bytes behind the last.
  void apply_limit(Block& block, std::vector<BadBytes>& bad) {
    const char* end = nullptr;
    Place last;
    for_each_line(block, [&](std::string_view line, const Place& place) {
      if (records == options.limit || ++records < options.limit) return;
      end = line.data() + line.size();
      last = place;
    });
    if (!end) return;
    const std::size_t line_end = block.bytes.find('\n', static_cast<std::size_t>(end - block.bytes.data()));
    if (line_end != block.bytes.npos) block.bytes.resize(line_end + 1);
    if (!block.places.empty()) block.places.resize(count_byte(block.bytes, '\n') + !block.bytes.ends_with('\n'));
    std::erase_if(bad, [&](const BadBytes& b) { return b.place.file == last.file && b.place.offset > last.offset; });
  }

  // The next block; `bad` holds only what lies before and in it: fill counts it, and it ends a block without records.
  std::optional<Block> next(std::vector<BadBytes>& bad) {
    for (;;) {
      if (options.limit > 0 && records == options.limit) return std::nullopt;
      if (!format && !open()) return std::nullopt;
      Block block;
      bool more = format->fill(block, bad);
      note_fields(block);
      bytes_read = earlier_files + format->consumed();
      if (!options.lazy || !given || options.limit > 0) decode_block(block, bad);
      const bool holds_records = !block.bytes.empty() || block.decode;
      const bool something = holds_records || bad.size() >= kBadPieces;
      if (!holds_records && something) block.first = bad.back().place;
      if (something) {
        given = given || holds_records;
        block.file = block.first.file;
        block.ordinal = ordinal++;
        if (options.limit > 0) apply_limit(block, bad);
      }
      if (!more) close();
      if (something) return block;
    }
  }
};

BlockReader::BlockReader(std::vector<std::string> files, RecordOptions options) : state_(std::make_unique<State>()) {
  bool known = true;
  for (const std::string& file : files) {
    check_readable(file);
    check_content(file);
    const std::string_view format = record_format(file);
    if (format.empty())
      throw UsageError({"cannot tell the format of the file from its name", file, "", kRecordFormats, ""});
    if (format == "parquet") require_parquet();
    std::error_code error;
    std::uint64_t size = file == "-" ? 0 : std::filesystem::file_size(file, error);
    known = known && !error && file != "-";
    if (known) state_->total += size;
  }
  if (!known) state_->total = 0;
  const std::string& split = options.split_text;
  if (split != "file" && split != "line" && split != "paragraph")
    throw UsageError({"not a way to split text", "split", split, "file, line or paragraph", ""});
  check_encoding(options.text.encoding);
  delimiter_of(options.text.delimiter);
  state_->names = input_names(files);
  state_->files = std::move(files);
  state_->options = std::move(options);
}

BlockReader::~BlockReader() = default;

std::optional<Block> BlockReader::next(std::vector<BadBytes>& bad) {
  std::vector<BadBytes> found;
  std::optional<Block> block = state_->next(found);
  std::move(found.begin(), found.end(), std::back_inserter(bad));
  return block;
}

const std::vector<std::string>& BlockReader::files() const { return state_->files; }
const std::vector<std::string>& BlockReader::names() const { return state_->names; }
std::uint64_t BlockReader::bytes_read() const { return state_->bytes_read; }
double BlockReader::progress() const {
  if (state_->total == 0) return -1;
  return std::min(1.0, static_cast<double>(state_->bytes_read) / static_cast<double>(state_->total));
}

void for_each_record(BlockReader& reader, const std::function<void(const Block&, std::string_view, const Place&)>& f,
                     const std::function<void(const BadBytes&)>& on_bad) {
  std::vector<BadBytes> bad;
  std::size_t reported = 0;
  const auto report_before = [&](const Place* place) {
    for (; reported < bad.size(); ++reported) {
      const Place& at = bad[reported].place;
      if (place && (at.file > place->file || (at.file == place->file && at.offset > place->offset))) return;
      on_bad(bad[reported]);
    }
  };
  for (bool more = true; more;) {
    const std::optional<Block> block = reader.next(bad);
    more = block.has_value();
    if (block) {
      for_each_line(*block, [&](std::string_view line, const Place& place) {
        report_before(&place);
        f(*block, line, place);
      });
    }
    report_before(nullptr);
    bad.clear();
    reported = 0;
  }
}

void for_each_record(const std::vector<std::string>& files, const RecordOptions& options,
                     const std::function<void(std::string_view, const Place&, const std::string&)>& f,
                     const std::function<void(const BadBytes&, const std::string&)>& on_bad) {
  BlockReader reader(files, options);
  for_each_record(
      reader, [&](const Block&, std::string_view line, const Place& place) { f(line, place, files[place.file]); },
      [&](const BadBytes& bad) {
        const std::string& file = files[bad.place.file];
        if (!on_bad) throw Error(bad.error, file + ":" + line_text(bad.place));
        on_bad(bad, file);
      });
}

}  // namespace base
