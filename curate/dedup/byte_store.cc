// Bytes that are put aside and read again: in memory while they are few, else on disk. Tested by
// tests/curate/dedup/byte_store_test.cc.
#include "curate/dedup/byte_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"

namespace curate {
namespace {

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& folder) {
  const int code = errno;
  throw base::Error({"cannot " + what + " an intermediate file: " + std::strerror(code), folder.string(), "", "",
                     code == ENOSPC ? "free some space, or let TMPDIR name a folder that has it" : ""});
}

int open_nameless(const std::filesystem::path& folder) {
  int descriptor = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return descriptor;
  std::string name = (folder / "hornbook.XXXXXX").string();  // a file system without O_TMPFILE
  descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) fail("make", folder);
  ::unlink(name.c_str());
  return descriptor;
}

}  // namespace

ByteStore::ByteStore(std::filesystem::path folder, std::uint64_t limit) : folder_(std::move(folder)), limit_(limit) {}

ByteStore::~ByteStore() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uint64_t ByteStore::append(std::string bytes) {
  const std::uint64_t place = size();
  if (in_file_ == 0 && held_ + bytes.capacity() <= limit_) {
    held_ += bytes.capacity();
    begins_.push_back(place);
    in_memory_ += bytes.size();
    pieces_.push_back(std::move(bytes));
    return place;
  }
  if (descriptor_ < 0) descriptor_ = open_nameless(folder_);
  for (std::size_t done = 0; done < bytes.size();) {
    ssize_t count = ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(in_file_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write", folder_);
    in_file_ += static_cast<std::uint64_t>(count);
    done += static_cast<std::size_t>(count);
  }
  return place;
}

void ByteStore::read(std::uint64_t place, void* data, std::size_t size) const {
  auto* out = static_cast<char*>(data);
  if (size > 0 && place < in_memory_) {
    auto piece =
        static_cast<std::size_t>(std::upper_bound(begins_.begin(), begins_.end(), place) - begins_.begin()) - 1;
    for (; size > 0 && piece < pieces_.size(); ++piece) {
      const std::uint64_t begin = place - begins_[piece];
      const std::size_t count = std::min<std::size_t>(pieces_[piece].size() - begin, size);
      std::memcpy(out, pieces_[piece].data() + begin, count);
      out += count;
      place += count;
      size -= count;
    }
  }
  while (size > 0) {
    ssize_t count = ::pread(descriptor_, out, size, static_cast<off_t>(place - in_memory_));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail("read", folder_);
    out += count;
    place += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
}

}  // namespace curate
