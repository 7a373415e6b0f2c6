// Memory of mapped files. Tested by tests/base/resident_test.cc.
#include "base/resident.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace base {

void give_back(std::span<const std::byte> bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first{(begin + page - 1) / page * page}, last{(begin + bytes.size()) / page * page};
  // An advice: where it is not taken, nothing is lost.
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace base
