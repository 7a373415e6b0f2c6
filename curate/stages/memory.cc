// What --memory means for a command that reads documents with some threads. Tested by tests/curate/run_limits_test.cc.
#include "curate/stages/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/machine.h"

namespace curate {
namespace {

constexpr std::uint64_t kMegabyte = 1 << 20;
// Measured with records of usual lengths: what a worker keeps (parser, words, a language model's words, compressor, a
// block's results), and a block of 2 MB that waits for its turn, before or after a worker.
constexpr std::uint64_t kWorker = 36 * kMegabyte, kBlock = 6 * kMegabyte, kDocument = 2 * kMegabyte;
constexpr std::uint64_t kFixed = 24 * kMegabyte;  // file buffers, statistics and samples, the heap's gaps

}  // namespace

MemoryBudget::MemoryBudget(base::ByteSize asked, int threads, std::uint64_t later)
    : total_(asked.bytes > 0 ? asked.bytes : base::machine_memory() / 2), threads_(std::max(1, threads)) {
  const auto count = static_cast<std::uint64_t>(threads_);
  const std::uint64_t fixed = base::resident_memory() + kFixed + count * kWorker;
  const std::uint64_t least = std::max(fixed + count * kBlock, base::resident_memory() + kFixed + later);
  // Half of the machine is a habit, and no reason to refuse what all of it holds.
  if (asked.bytes == 0) total_ = std::max(total_, std::min(least, base::machine_memory()));
  if (total_ < least) {
    const std::uint64_t others = fixed - count * kWorker;
    const std::uint64_t fitting = (total_ - std::min(total_, others)) / (kWorker + kBlock);
    throw base::UsageError({"the memory is too little for " + std::to_string(threads_) + " threads", "--memory",
                            std::to_string(total_ / kMegabyte) + "M",
                            "at least " + std::to_string(least / kMegabyte + 1) + "M",
                            fitting > 0 && fitting < count ? fmt::format("--threads {} needs less", fitting)
                                                           : "fewer --threads need less"});
  }
  blocks_ = std::clamp<std::uint64_t>((total_ - std::min(total_, fixed)) / kBlock, count, 4 * count);
  pipeline_ = kFixed + count * kWorker + blocks_ * kBlock;
}

std::uint64_t MemoryBudget::left_beside_pipeline() const {
  return total_ - std::min(total_, base::resident_memory() + pipeline_);
}

std::uint64_t MemoryBudget::used() const {
  base::release_memory();
  return base::resident_memory() + static_cast<std::uint64_t>(threads_) * kDocument;
}

std::uint64_t MemoryBudget::left() const { return total_ - std::min(total_, used()); }

}  // namespace curate
