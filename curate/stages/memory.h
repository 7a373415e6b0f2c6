// What --memory means for a command that reads documents with some threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/options.h"

namespace curate {

inline constexpr const char* kMemoryHelp =
    "use at most this much memory, 0 = half of what the machine has; what does not fit waits on disk";

class MemoryBudget {
 public:
  /// To be made when the models are in memory. Throws UsageError, naming the least, when `asked` is too little for what
  /// is in memory now and the blocks that the threads work on (0: when all that the machine has is), or `later` bytes
  /// that are needed after them.
  MemoryBudget(base::ByteSize asked, int threads, std::uint64_t later = 0);
  std::uint64_t total() const { return total_; }
  /// For base::ordered_pipeline.
  std::size_t blocks_in_flight() const { return blocks_; }
  /// What is in use now and what `threads` need to read single documents: may be more than all.
  std::uint64_t used() const;
  /// What may be used besides that.
  std::uint64_t left() const;
  /// What may be used besides what is in use now and what a pipeline will need.
  std::uint64_t left_beside_pipeline() const;

 private:
  std::uint64_t total_;
  int threads_;
  std::uint64_t pipeline_;  // bytes
  std::size_t blocks_;
};

}  // namespace curate
