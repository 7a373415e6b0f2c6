// One run at a time in an output folder.
#pragma once

#include <filesystem>

namespace base {

/// Locks what was opened at `path` as `descriptor`, by the kernel, so that a process that ends in whatever way leaves
/// no lock behind: false where the path means another file by now, or none. Throws Error when another process holds it,
/// `expected` being what is right there. File systems without such locks are not guarded.
bool lock_at(int descriptor, const std::filesystem::path& path, const char* expected);

/// Holds the folder for this process until the object goes, or the process ends: lock_at of the folder itself.
class RunLock {
 public:
  RunLock() = default;
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  /// Nothing where there is no such folder yet, or it is held already. Throws Error when another run holds it.
  void take(const std::filesystem::path& folder);
  /// The folder was there, and is this run's, as far as its file system has locks.
  bool is_taken() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

}  // namespace base
