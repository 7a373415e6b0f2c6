// One run at a time in an output folder.
#pragma once

#include <filesystem>

namespace base {

/// Holds the folder for this process until the object goes, or the process ends in whatever way: the kernel's lock on
/// the folder itself, so that nothing is left behind. File systems without such locks are not guarded.
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
