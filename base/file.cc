// Files: read whole or mapped, written aside and renamed. Tested by tests/base/file_test.cc.
#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <glob.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/resident.h"
#include "base/run_lock.h"
#include "base/text.h"

namespace base {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& action, const fs::path& path, int code, std::string advice = "") {
  if (advice.empty()) advice = advice_for(code);
  throw Error({"cannot " + action + ": " + std::strerror(code), path.string(), "", "", std::move(advice)});
}

// Closes on the way out of a scope.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

int open_or_throw(const fs::path& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (const int code = errno; descriptor < 0)
    fail("open the file", path, code, code == ENOENT ? advice_for_missing(path) : "");
  return descriptor;
}

void write_all(int descriptor, const char* data, std::size_t size, const fs::path& path) {
  while (size > 0) {
    ssize_t written = ::write(descriptor, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", path, errno);
    data += written;
    size -= static_cast<std::size_t>(written);
  }
}

// A device or a pipe is written as it is: renaming a file over /dev/null would break the machine.
bool is_special(const fs::path& path) {
  std::error_code ignored;
  fs::file_status status = fs::status(path, ignored);
  return fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status);
}

// `path`, or what there is of the folders above it.
fs::path nearest_existing(const fs::path& path) {
  std::error_code error;
  fs::path existing = fs::absolute(path, error);
  while (!fs::exists(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  return existing;
}

// The file a symbolic link means, so that a rename replaces that file and not the link.
fs::path link_target(const fs::path& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return path;
  fs::path target = fs::weakly_canonical(path, error);
  return error ? path : target;
}

// Of two commands that write one file, the second would cut off what the first has written so far, and the first would
// put that in place as whole.
int open_part(const fs::path& part) {
  for (;;) {
    Descriptor file{::open(part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666)};
    if (file.number < 0) fail("create the file", part, errno);
    if (!lock_at(file.number, part, "one writer of a file")) continue;
    if (::ftruncate(file.number, 0) != 0) fail("write", part, errno);
    return std::exchange(file.number, -1);
  }
}

// The outermost that is missing comes last.
std::vector<fs::path> missing_folders(const fs::path& folder) {
  std::vector<fs::path> missing;
  std::error_code error;
  for (fs::path path = folder; !fs::exists(path, error) && path.has_relative_path(); path = path.parent_path())
    missing.push_back(path);
  return missing;
}

// A link to nothing among `path` and the folders above it; "" without one.
fs::path dangling_link(fs::path path) {
  std::error_code error;
  for (path = fs::absolute(path, error).lexically_normal(); path.has_relative_path(); path = path.parent_path())
    if (fs::is_symlink(path, error) && !fs::exists(path, error)) return path;
  return "";
}

}  // namespace

std::string advice_for_missing(const fs::path& path) {
  if (!path.is_absolute()) return "";
  for (auto part = std::next(path.begin()); part != path.end(); ++part) {  // the longest first
    fs::path here;
    for (auto rest = part; rest != path.end(); ++rest) here /= *rest;
    glob_t found{};
    const bool is_there{::glob(here.c_str(), GLOB_NOSORT | GLOB_BRACE, nullptr, &found) == 0};
    ::globfree(&found);
    if (is_there)
      return fmt::format(
          "'{}' lies in the folder you started in; paths of a config file are seen from that file's folder",
          here.string());
  }
  return "";
}

std::string advice_for(int code) {
  if (code == ENOSPC || code == EDQUOT) return kMakeRoom;
  return code == ENOMEM ? "give it more memory (ulimit -v, the container's limit), or fewer --threads" : "";
}

std::string read_file(const fs::path& path, std::uint64_t most) {
  Descriptor file{open_or_throw(path)};
  struct stat status {};
  if (::fstat(file.number, &status) != 0) fail("read", path, errno);
  if (S_ISDIR(status.st_mode)) fail("read", path, EISDIR);
  if (!S_ISREG(status.st_mode)) most = std::min<std::uint64_t>(most, 1 << 30);
  std::string bytes;
  std::size_t used = 0;
  bytes.resize(static_cast<std::size_t>(std::max<off_t>(status.st_size, 0)) + 1);  // +1 sees the end in one call
  for (;;) {
    if (used == bytes.size()) bytes.resize(std::max<std::size_t>(bytes.size() * 2, 1 << 16));
    ssize_t count = ::read(file.number, bytes.data() + used, bytes.size() - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read", path, errno);
    if (count == 0) break;
    used += static_cast<std::size_t>(count);
    if (used > most)
      throw Error({"the file is too large, or has no end", path.string(), "",
                   "at most " + human_bytes(static_cast<double>(most)), ""});
  }
  bytes.resize(used);
  return bytes;
}

void write_file(const fs::path& path, std::string_view bytes) {
  FileWriter file(path);
  file.write(bytes);
  file.commit();
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  Descriptor file{open_or_throw(path)};
  struct stat status {};
  if (::fstat(file.number, &status) != 0) fail("read", path, errno);
  if (S_ISDIR(status.st_mode)) fail("read", path, EISDIR);
  if (!S_ISREG(status.st_mode)) throw Error({"cannot map", path.string(), "", "a regular file", ""});
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.number, 0);
  if (address == MAP_FAILED) fail("map", path, errno);
  // Else a look at one byte may map 2 MB at once, part of which give_back has given back before. An advice.
  ::madvise(address, size_, MADV_NOHUGEPAGE);
  data_ = static_cast<const std::byte*>(address);
  add_mapping(bytes());
}

MappedFile::~MappedFile() {
  if (!data_) return;
  remove_mapping(bytes());
  ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

RandomAccessFile::RandomAccessFile(const fs::path& path) : path_(path) {
  Descriptor file{open_or_throw(path)};
  struct stat status {};
  if (::fstat(file.number, &status) != 0) fail("read", path, errno);
  size_ = static_cast<std::uint64_t>(status.st_size);
  descriptor_ = std::exchange(file.number, -1);
}

RandomAccessFile::~RandomAccessFile() { ::close(descriptor_); }

void RandomAccessFile::read(std::uint64_t place, void* data, std::size_t size) const {
  auto* out = static_cast<char*>(data);
  while (size > 0) {
    ssize_t count = ::pread(descriptor_, out, size, static_cast<off_t>(place));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read", path_, errno);
    if (count == 0) throw Error("the file is cut off", path_.string() + "@" + std::to_string(place));
    out += count;
    place += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
}

NewFolders::NewFolders(const fs::path& file) {
  const std::vector<fs::path> missing = missing_folders(fs::absolute(file).lexically_normal().parent_path());
  // Only what nobody else made in the meantime goes again.
  for (auto path = missing.rbegin(); path != missing.rend(); ++path) {
    std::error_code error;
    if (fs::create_directory(*path, error)) {
      made_.insert(made_.begin(), *path);
    } else if (error) {
      std::error_code ignored;
      for (const fs::path& made : made_) fs::remove(made, ignored);
      fail("create the folder", *path, error.value());
    }
  }
}

NewFolders::~NewFolders() {
  std::error_code ignored;
  for (const fs::path& path : made_) fs::remove(path, ignored);
}

FileWriter::FileWriter(const fs::path& path) : path_(link_target(path)), folders_(path_) {
  constexpr std::size_t kBufferBytes = 1 << 18;
  if (fs::is_directory(path_)) fail("write", path_, EISDIR);
  part_ = path_;
  if (is_special(path_)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (descriptor_ < 0) fail("create the file", path_, errno);
  } else {
    part_ += ".part";
    descriptor_ = open_part(part_);
  }
  buffer_.reserve(kBufferBytes);
}

FileWriter::~FileWriter() {
  if (descriptor_ < 0) return;
  if (part_ != path_) ::unlink(part_.c_str());  // while it is locked: later it may be another's
  ::close(descriptor_);
}

void FileWriter::flush() {
  write_all(descriptor_, buffer_.data(), buffer_.size(), part_);
  buffer_.clear();
}

void FileWriter::write(const void* data, std::size_t size) {
  if (descriptor_ < 0) throw Error("written to after commit", path_.string());
  if (buffer_.size() + size > buffer_.capacity()) flush();
  if (size >= buffer_.capacity()) {
    write_all(descriptor_, static_cast<const char*>(data), size, part_);
  } else {
    buffer_.append(static_cast<const char*>(data), size);
  }
  position_ += size;
}

void FileWriter::commit() {
  if (descriptor_ < 0) return;
  flush();
  const bool aside = part_ != path_;
  if (aside && ::fsync(descriptor_) != 0) fail("flush to disk", part_, errno);
  // Before it is closed, which gives the lock back. A failure leaves the part to the destructor.
  if (aside && ::rename(part_.c_str(), path_.c_str()) != 0) fail("write", path_, errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("write", path_, errno);
}

void check_place(const fs::path& path) {
  if (is_special(path)) return;
  std::error_code error;
  if (const fs::path link = dangling_link(path.parent_path()); !link.empty())
    throw Error({"cannot write there: a link that leads to nothing", link.string(), "", "",
                 "make the folder that it leads to, or choose another output"});
  fs::path existing = nearest_existing(path);
  if (fs::is_regular_file(existing, error) && fs::exists(path, error)) existing = existing.parent_path();
  if (!fs::is_directory(existing, error)) fail("write there", path, ENOTDIR, existing.string() + " is a file");
  if (::access(existing.c_str(), W_OK | X_OK) != 0) fail("write there", path, errno, "choose another output");
}

void check_free_space(const fs::path& folder, std::uint64_t bytes, bool emptied) {
  std::error_code error;
  fs::space_info space = fs::space(nearest_existing(folder), error);
  if (error || space.available >= bytes) return;
  std::uint64_t available = space.available;
  if (emptied && fs::is_directory(folder, error)) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder, error))
      if (entry.is_regular_file(error) && !entry.is_symlink(error)) available += entry.file_size(error);
  }
  if (available >= bytes) return;
  throw Error({"not enough disk space", folder.string(), human_bytes(static_cast<double>(available)) + " free",
               human_bytes(static_cast<double>(bytes)), "free some space or choose another output folder"});
}

}  // namespace base
