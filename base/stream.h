// Byte streams: plain, zstd (several frames too) or gzip (several members too); "-" is standard input.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace base {

/// A source of decompressed bytes. One thread.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  /// Reads up to `size` bytes into `data`; 0 = the end. Throws Error ("FILE@OFFSET": truncated or corrupt); what was
  /// decoded before a bad place has been returned by earlier calls, so nothing readable is lost.
  virtual std::size_t read(char* data, std::size_t size) = 0;
  /// Bytes of the file consumed so far (compressed), for a progress line; and the file's size, 0 if unknown.
  virtual std::uint64_t consumed() const = 0;
  virtual std::uint64_t total() const = 0;
};
/// zstd and gzip are told by their first bytes, whatever the file's name, on standard input too; anything else is plain
/// (see compression_of). Throws Error when the file cannot be opened.
std::unique_ptr<ByteReader> open_reader(const std::string& path);

/// A sink that compresses by suffix and is renamed into place by `commit` (see FileWriter). Frames are independent, so
/// that equal input bytes give equal output bytes whatever the thread count. Level 3 for zstd unless given.
class ByteWriter {
 public:
  virtual ~ByteWriter() = default;
  virtual void write(std::string_view bytes) = 0;
  virtual void commit() = 0;
};
std::unique_ptr<ByteWriter> open_writer(const std::string& path, int level = 3);

/// One whole zstd frame; the pieces that worker threads compress and a ByteWriter of a plain file concatenates.
std::string zstd_compress(std::string_view bytes, int level = 3);
/// Without the .zst or .gz suffix, in whatever case.
std::string_view without_compression_suffix(std::string_view path);

}  // namespace base
