// The files that a stage writes, block by block, and how far they have come.
#pragma once

#include <filesystem>
#include <optional>

#include "curate/records/outputs.h"
#include "curate/stages/checkpoint.h"
#include "curate/stages/stage.h"

namespace curate {

/// Where they lie. `spill` and `prints` are empty for the last stage, which keeps its survivors.
struct StagePaths {
  std::filesystem::path kept, dropped, quarantined;  ///< folders of shards
  std::filesystem::path spill, prints;
};

class StageOutputs {
 public:
  /// Goes on where `state` says that they end. `limit`: bytes of records in a shard.
  StageOutputs(const StagePaths& paths, std::uint64_t limit, const Checkpoint& state);
  /// What became of the next block, in input order.
  void append(BlockResult& result);
  void sync();  ///< to the disk
  /// A stage but the last is done: what the next one reads goes to the disk, and no more comes to it.
  void close_spill();
  void note(Checkpoint& state) const;  ///< where they end now
  std::uint64_t kept() const { return kept_.state().records; }
  /// Records in all three, of all stages.
  std::uint64_t records() const { return kept() + dropped_.state().records + quarantined_.state().records; }

 private:
  ShardWriter kept_, dropped_, quarantined_;
  std::optional<AppendFile> spill_, prints_;
};

}  // namespace curate
