// Memory of mapped files. Tested by tests/base/resident_test.cc.
#include "base/resident.h"

#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace base {
namespace {

constexpr std::size_t kWindow = std::size_t{2} << 20;  // the largest folio of a page cache

struct Mappings {
  std::mutex mutex;
  std::map<const std::byte*, std::size_t> sizes;  // by the first byte
};
// Never destroyed: files may outlive what is static.
Mappings& mappings() {
  static auto* const kMappings = new Mappings;
  return *kMappings;
}

// The mapping that holds `bytes`; empty: none.
std::span<const std::byte> mapping_of(std::span<const std::byte> bytes) {
  const std::lock_guard lock(mappings().mutex);
  auto next = mappings().sizes.upper_bound(bytes.data());
  if (next == mappings().sizes.begin()) return {};
  const auto& [data, size] = *--next;
  return bytes.data() + bytes.size() <= data + size ? std::span(data, size) : std::span<const std::byte>();
}

}  // namespace

void add_mapping(std::span<const std::byte> file) {
  const std::lock_guard lock(mappings().mutex);
  mappings().sizes[file.data()] = file.size();
}

void remove_mapping(std::span<const std::byte> file) {
  const std::lock_guard lock(mappings().mutex);
  mappings().sizes.erase(file.data());
}

void give_back(std::span<const std::byte> bytes) {
  const std::span<const std::byte> file = bytes.empty() ? bytes : mapping_of(bytes);
  if (file.empty()) return;
  const auto begin = static_cast<std::size_t>(bytes.data() - file.data()), first = begin / kWindow * kWindow;
  const std::size_t last{std::min((begin + bytes.size() + kWindow - 1) / kWindow * kWindow, file.size())};
  // An advice: where it is not taken, nothing is lost.
  ::madvise(const_cast<std::byte*>(file.data()) + first, last - first, MADV_DONTNEED);
}

}  // namespace base
