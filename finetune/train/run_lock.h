// One run at a time in an output folder.
#pragma once

#include <filesystem>

namespace finetune {

/// Holds the folder for this process until the object goes, or the process ends in whatever way: the kernel's lock on
/// the folder itself, so that nothing is left behind. File systems without such locks are not guarded.
class RunLock {
 public:
  RunLock() = default;
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  /// Nothing where there is no such folder yet, or it is held already. Throws base::Error when another process holds
  /// it.
  void take(const std::filesystem::path& folder);

 private:
  int descriptor_ = -1;
};

}  // namespace finetune
