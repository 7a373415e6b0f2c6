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

bool lock_at(int descriptor, const std::filesystem::path& path, const char* expected) {
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw Error({"another run writes there at this moment", path.string(), "", expected,
                 "wait for its end, or give another --output"});
  // The one who had it may have put it in place, or taken it away, since it was opened.
  struct stat held {
  }, there{};
  return ::fstat(descriptor, &held) == 0 && ::stat(path.c_str(), &there) == 0 && held.st_dev == there.st_dev &&
         held.st_ino == there.st_ino;
}

RunLock::~RunLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void RunLock::take(const std::filesystem::path& folder) {
  while (descriptor_ < 0) {
    descriptor_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor_ < 0) return;
    bool is_held = false;
    try {
      is_held = lock_at(descriptor_, folder, "one run in a folder");
    } catch (const Error&) {
      ::close(std::exchange(descriptor_, -1));
      throw;
    }
    if (!is_held) ::close(std::exchange(descriptor_, -1));
  }
}

}  // namespace base
