// What the fuzz entry functions share.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace fuzz {

inline void check(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

// A file in memory with a suffix of our choice: the readers go by the name, and no disk is needed.
class MemoryFile {
 public:
  MemoryFile(const std::string& suffix, const std::uint8_t* data, std::size_t size)
      : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)),
        path_(std::filesystem::temp_directory_path() / ("hornbook_fuzz." + std::to_string(::getpid()) + suffix)) {
    check(descriptor_ >= 0, "memfd_create");
    check(::write(descriptor_, data, size) == static_cast<ssize_t>(size), "write to memory");
    std::filesystem::remove(path_);
    std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(descriptor_), path_);
  }
  ~MemoryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
    ::close(descriptor_);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return path_.string(); }

 private:
  int descriptor_;
  std::filesystem::path path_;
};

}  // namespace fuzz
