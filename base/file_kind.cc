// What a file is by its first bytes, whatever its name says. Tested by tests/base/record_formats_test.cc.
#include "base/file_kind.h"

#include <algorithm>

namespace base {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kGzip = "\x1F\x8B"sv, kZstd = "\x28\xB5\x2F\xFD"sv, kSkippableTail = "\x2A\x4D\x18"sv;
constexpr const char* kAsParquet = "convert it to Parquet or JSON lines";
constexpr const char* kAsCsv = "save the sheet as CSV";
constexpr const char* kUnpack = "unpack it and name the files in it";
constexpr const char* kTwice = "it was compressed twice: unpack it once";

struct Signature {
  std::string_view bytes;
  ForeignFormat format;
  std::size_t offset = 0;
  bool is_text = false;  // a text may begin so: then only with a byte that no text has
};

constexpr Signature kSignatures[] = {
    {kGzip, {"a gzip file", kTwice}},
    {kZstd, {"a zstd file", kTwice}},
    {"BZh"sv, {"a bzip2 file", "unpack it: bzip2 -d"}, 0, true},
    {"\xFD"
     "7zXZ\0"sv,
     {"an xz file", "unpack it: xz -d"}},
    {"\x5D\0\0"sv, {"an lzma file", "unpack it: xz -d --format=lzma"}},
    {"LZIP\x01"sv, {"an lzip file", "unpack it: lzip -d"}},
    {"\x04\x22\x4D\x18"sv, {"an lz4 file", "unpack it: lz4 -d"}},
    {"\x1F\x9D"sv, {"a compress file", "unpack it: uncompress"}},
    {"\xFF\x06\0\0sNaPpY"sv, {"a snappy file", "unpack it"}},
    {"7z\xBC\xAF\x27\x1C"sv, {"a 7z archive", kUnpack}},
    {"Rar!\x1A\x07"sv, {"a rar archive", kUnpack}},
    {"ustar"sv, {"a tar archive", kUnpack}, 257},
    {"PAR1"sv, {"a Parquet file", "rename it to .parquet"}, 0, true},
    {"PARE"sv, {"an encrypted Parquet file", "write it without encryption"}, 0, true},
    {"ARROW1\0\0"sv, {"an Arrow file", kAsParquet}},
    {"\xFF\xFF\xFF\xFF"sv, {"an Arrow stream", kAsParquet}},
    {"FEA1"sv, {"a Feather file", kAsParquet}, 0, true},
    {"ORC"sv, {"an ORC file", kAsParquet}, 0, true},
    {"Obj\x01"sv, {"an Avro file", kAsParquet}},
    {"SQLite format 3\0"sv, {"an SQLite database", "export its table as CSV"}},
    {"\x89HDF\r\n\x1A\n"sv, {"an HDF5 file", kAsParquet}},
    {"\x93NUMPY"sv, {"a NumPy array", kAsParquet}},
    {"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"sv, {"an Office document (.xls, .doc)", kAsCsv}},
    {"%PDF-"sv, {"a PDF document", "extract its text: pdftotext"}, 0, true},
    {"GGUF"sv, {"a GGUF model", "give it as a model, not as data"}, 0, true},
    {"\x7F"
     "ELF"sv,
     {"a program", ""}},
};

constexpr ForeignFormat kZip = {"a zip archive", kUnpack};
constexpr ForeignFormat kOffice = {"an Office document (.xlsx, .docx)", "save it as CSV or text"};
constexpr ForeignFormat kSkippable = {"a zstd file", kTwice};

bool is_skippable(std::string_view head) {
  return head.size() >= 4 && (head[0] & 0xF0) == 0x50 && head.substr(1, 3) == kSkippableTail;
}

// Whether a byte is one that no text in any ASCII-based encoding has.
bool is_control(char c) { return (c >= 0 && c < 9) || (c > 13 && c < 32 && c != 27 && c != 30); }

bool looks_like_text(std::string_view head) {
  return head.starts_with("\xFF\xFE"sv) || head.starts_with("\xFE\xFF"sv) ||
         std::none_of(head.begin(), head.end(), is_control);
}

}  // namespace

bool has_suffix(std::string_view path, std::string_view suffix) {
  if (path.size() < suffix.size()) return false;
  return std::equal(suffix.begin(), suffix.end(), path.end() - static_cast<std::ptrdiff_t>(suffix.size()),
                    [](char wanted, char c) { return wanted == (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c); });
}

Compression compression_of(std::string_view head, std::string_view path) {
  if (head.starts_with(kGzip)) return Compression::kGzip;
  if (head.starts_with(kZstd) || is_skippable(head)) return Compression::kZstd;
  const bool gz = has_suffix(path, ".gz"), zst = has_suffix(path, ".zst");
  if (head.empty() || (!gz && !zst)) return Compression::kNone;
  // Cut off inside the magic number?
  const bool is_cut = (gz ? kGzip : kZstd).starts_with(head);
  if (!is_cut && (looks_like_text(head) || foreign_format(head) != nullptr)) return Compression::kNone;
  return gz ? Compression::kGzip : Compression::kZstd;
}

const ForeignFormat* foreign_format(std::string_view head) {
  head = head.substr(0, kKindBytes);
  for (const Signature& one : kSignatures) {
    if (head.size() < one.offset || !head.substr(one.offset).starts_with(one.bytes)) continue;
    if (!one.is_text || std::any_of(head.begin(), head.end(), is_control)) return &one.format;
  }
  if (is_skippable(head)) return &kSkippable;
  if (head.starts_with("PK\x03\x04"sv) || head.starts_with("PK\x05\x06"sv)) {
    for (std::string_view member : {"[Content_Types].xml", "_rels/", "docProps/", "xl/"})
      if (head.find(member) != head.npos) return &kOffice;
    return &kZip;
  }
  return nullptr;
}

}  // namespace base
