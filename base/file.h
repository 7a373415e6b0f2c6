// Files: read whole or mapped, written aside and renamed, output folders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace base {

/// What to do about an error of the system: of errors of room, on the disk or in memory; "" of others.
std::string advice_for(int code);
/// Advice where an absolute `path` (a pattern too) names nothing: a path of a config file is seen from that file's
/// folder, and what was meant lies in the folder that the program was started in. "" where nothing lies there.
std::string advice_for_missing(const std::filesystem::path& path);
/// advice_for a full disk. base/program adds --resume for a command that has it.
inline constexpr const char* kMakeRoom = "free some disk space and start again";

/// The whole file. Throws Error (what, path, errno text), also for one of more than `most` bytes. Of devices and pipes,
/// which need not end, no more than a gigabyte is read.
std::string read_file(const std::filesystem::path& path,
                      std::uint64_t most = std::numeric_limits<std::uint64_t>::max());
/// Writes `PATH.part`, flushes it to disk and renames it over `path`: a reader never sees half a file, and neither does
/// one after a power cut, which can leave the file that was there before.
void write_file(const std::filesystem::path& path, std::string_view bytes);

/// A file mapped for reading. Movable. The bytes live as long as the object. Throws Error when it cannot be opened.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A file read at any place by any number of threads. Not mapped: pages of a mapped file count as this program's
/// memory. Throws Error when it cannot be opened or read, or ends too early.
class RandomAccessFile {
 public:
  explicit RandomAccessFile(const std::filesystem::path& path);
  ~RandomAccessFile();
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;
  void read(std::uint64_t place, void* data, std::size_t size) const;
  std::uint64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// The folders that an output file needs, made where they are missing. Those that were made go again with this object
/// where nothing came into them.
class NewFolders {
 public:
  explicit NewFolders(const std::filesystem::path& file);
  ~NewFolders();
  NewFolders(const NewFolders&) = delete;
  NewFolders& operator=(const NewFolders&) = delete;

 private:
  std::vector<std::filesystem::path> made_;  // innermost first
};

/// A file being written aside: `commit` flushes it to disk and renames `PATH.part` to `PATH`; the destructor without
/// `commit` removes the part. Folders above it are made. Every write error (disk full) throws Error with the path, and
/// so does a second writer of the same file at the same time, where the file system has locks.
class FileWriter {
 public:
  explicit FileWriter(const std::filesystem::path& path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  void write(const void* data, std::size_t size);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  std::uint64_t position() const { return position_; }
  /// Where the bytes are until `commit`, for a library that writes files by name: nothing is written by `write` then.
  const std::filesystem::path& part() const { return part_; }
  void commit();

 private:
  std::filesystem::path path_, part_;
  NewFolders folders_;
  int descriptor_ = -1;
  std::uint64_t position_ = 0;
  std::string buffer_;
  void flush();
};

/// Throws Error when nothing can be made at `path`: what there is of the folders above it cannot be written to.
void check_place(const std::filesystem::path& path);
/// Throws Error when the file system of `folder` has less than `bytes` free. With `emptied`, what the folder holds now
/// will be removed first and counts as free.
void check_free_space(const std::filesystem::path& folder, std::uint64_t bytes, bool emptied = false);

}  // namespace base
