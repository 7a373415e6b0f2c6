// One run at a time in an output folder. Tested by tests/base/output_folder_test.cc.
#include "base/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"

namespace base {
namespace {

bool is_still_at(int descriptor, const std::filesystem::path& path) {
  struct stat held {
  }, there{};
  return ::fstat(descriptor, &held) == 0 && ::stat(path.c_str(), &there) == 0 && held.st_dev == there.st_dev &&
         held.st_ino == there.st_ino;
}

}  // namespace

RunLock::~RunLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void RunLock::take(const std::filesystem::path& folder) {
  while (descriptor_ < 0) {
    descriptor_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor_ < 0) return;
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(std::exchange(descriptor_, -1));
      throw Error({"another run writes there at this moment", folder.string(), "", "one run in a folder",
                   "wait for its end, or give another --output"});
    }
    // A run that failed in the meantime takes the folder away that it made.
    if (!is_still_at(descriptor_, folder)) ::close(std::exchange(descriptor_, -1));
  }
}

}  // namespace base
