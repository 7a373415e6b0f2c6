// What a run writes: files that grow by whole pieces and can be cut back to an earlier length, so that a killed run
// goes on from its last checkpoint with the same bytes. Tested by tests/curate/run_test.cc.
#include "curate/records/outputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace curate {
namespace fs = std::filesystem;

AppendFile::AppendFile(fs::path path, std::uint64_t size) : path_(std::move(path)), size_(size) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0)
    throw base::Error(
        {fmt::format("cannot open for writing: {}", std::strerror(errno)), path_, "", "", base::advice_for(errno)});
  try {
    cut_back();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

void AppendFile::cut_back() {
  const off_t length = ::lseek(descriptor_, 0, SEEK_END);
  if (length >= 0 && static_cast<std::uint64_t>(length) < size_)
    throw base::Error({"the file is shorter than the checkpoint says", path_, std::to_string(length),
                       std::to_string(size_), "start again with --overwrite"});
  if (length < 0 || ::ftruncate(descriptor_, static_cast<off_t>(size_)) != 0 ||
      ::lseek(descriptor_, static_cast<off_t>(size_), SEEK_SET) < 0)
    throw base::Error({fmt::format("cannot cut the file back to its last checkpoint: {}", std::strerror(errno)), path_,
                       "", "", "nothing is lost: go on with --resume where the file can be written"});
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}
AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}
AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

void AppendFile::append(std::string_view bytes) {
  const std::uint64_t before = size_;
  const std::size_t count = bytes.size();
  while (!bytes.empty()) {
    ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int code = errno;
      // Half a piece would spoil what is there; cutting it off needs no space.
      if (::ftruncate(descriptor_, static_cast<off_t>(before)) == 0) size_ = before;
      throw base::Error({fmt::format("cannot write: {}", std::strerror(code)), path_, "", "",
                         "make room, then go on with --resume; what is in the folder can be read as it is"});
    }
    size_ += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
#if defined(__linux__)
  // The disk can begin now, so that sync() waits for little. An error will be seen there.
  ::sync_file_range(descriptor_, static_cast<off_t>(before), static_cast<off_t>(count), SYNC_FILE_RANGE_WRITE);
#endif
}

void AppendFile::sync() {
  if (::fdatasync(descriptor_) != 0)
    throw base::Error(fmt::format("cannot write to the disk: {}", std::strerror(errno)), path_);
}

namespace {
fs::path made(fs::path folder) {
  fs::create_directories(folder);
  return folder;
}
}  // namespace

fs::path ShardWriter::shard_path(std::uint32_t shard) const { return folder_ / fmt::format("{:05}.jsonl.zst", shard); }

ShardWriter::ShardWriter(fs::path folder, std::uint64_t limit, const State& state)
    : folder_(made(std::move(folder))), limit_(limit), state_(state) {
  if (state.records > 0) file_.emplace(shard_path(state.shard), state.file_bytes);
  for (std::uint32_t later = state.records > 0 ? state.shard + 1 : 0; fs::remove(shard_path(later)); ++later) {
  }
}

void ShardWriter::append(std::string_view frame, std::uint64_t bytes, std::uint64_t records) {
  if (records == 0) return;
  if (state_.shard_bytes >= limit_) {
    file_->sync();
    file_.reset();
    ++state_.shard;
    state_.shard_bytes = 0;
  }
  if (!file_) file_.emplace(shard_path(state_.shard), 0);
  file_->append(frame);
  state_.shard_bytes += bytes;
  state_.file_bytes = file_->size();
  state_.records += records;
  state_.bytes += bytes;
  state_.compressed += frame.size();
}

void ShardWriter::sync() {
  if (file_) file_->sync();
}

}  // namespace curate
