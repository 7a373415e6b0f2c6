// A few blocks of memory that tensors take in turns. Tested by tests/finetune/recompute_test.cc.
#include "finetune/kernels/passing.h"

#include <ATen/ATen.h>
#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace finetune {
namespace {

constexpr std::size_t kLarge = std::size_t{1} << 18, kKept = 8;  // bytes; blocks that wait for the next tensor

struct MemoryBlock {
  void* data;
  std::size_t bytes;
};

// Never destroyed: tensors may outlive what is static.
struct Pool {
  std::mutex mutex;
  std::vector<MemoryBlock> waiting;  // the longest first
};
Pool& pool() {
  static auto* const kPool = new Pool;
  return *kPool;
}

// One that waits and is not much larger, or a new one; no data where there is no memory.
MemoryBlock take(std::size_t bytes) {
  {
    const std::lock_guard lock(pool().mutex);
    auto& waiting = pool().waiting;
    const auto found = std::find_if(waiting.rbegin(), waiting.rend(), [&](const MemoryBlock& block) {
      return block.bytes >= bytes && block.bytes <= bytes + bytes / 4;
    });
    if (found != waiting.rend()) {
      const MemoryBlock block = *found;
      waiting.erase(std::next(found).base());
      return block;
    }
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return {data == MAP_FAILED ? nullptr : data, bytes};
}

void give_back(const MemoryBlock& block) {
  MemoryBlock oldest{};
  {
    const std::lock_guard lock(pool().mutex);
    auto& waiting = pool().waiting;
    waiting.push_back(block);
    if (waiting.size() <= kKept) return;
    oldest = waiting.front();
    waiting.erase(waiting.begin());
  }
  munmap(oldest.data, oldest.bytes);
}

}  // namespace

at::Tensor passing_tensor(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const std::size_t bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * options.dtype().itemsize();
  if (bytes < kLarge || !options.device().is_cpu()) return at::empty(sizes, options);
  const MemoryBlock block = take(bytes);
  if (block.data == nullptr) return at::empty(sizes, options);  // which says what is missing
  return at::from_blob(
      block.data, sizes, [block](void*) { give_back(block); }, options);
}

void release_passing_memory() {
  std::vector<MemoryBlock> waiting;
  {
    const std::lock_guard lock(pool().mutex);
    waiting.swap(pool().waiting);
  }
  for (const MemoryBlock& block : waiting) munmap(block.data, block.bytes);
}

}  // namespace finetune
