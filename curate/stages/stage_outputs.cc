// The files that a stage writes. Tested by tests/curate/run_test.cc and tests/cli/kill_resume_curate.py.
#include "curate/stages/stage_outputs.h"

namespace curate {

StageOutputs::StageOutputs(const StagePaths& paths, std::uint64_t limit, const Checkpoint& state)
    : kept_(paths.kept, limit, state.kept),
      dropped_(paths.dropped, limit, state.dropped),
      quarantined_(paths.quarantined, limit, state.quarantined) {
  if (paths.spill.empty()) return;
  spill_.emplace(paths.spill, state.spill_bytes);
  prints_.emplace(paths.prints, state.prints_bytes);
}

void StageOutputs::append(BlockResult& result) {
  kept_.append(result.kept.bytes, result.kept.raw, result.kept.records);
  dropped_.append(result.dropped.bytes, result.dropped.raw, result.dropped.records);
  quarantined_.append(result.quarantined.bytes, result.quarantined.raw, result.quarantined.records);
  if (result.prints.empty()) return;
  for (Fingerprint& print : result.prints) print.place += spill_->size() + kSpillHeader;
  spill_->append(result.spilled);
  prints_->append({reinterpret_cast<const char*>(result.prints.data()), result.prints.size() * sizeof(Fingerprint)});
}

void StageOutputs::sync() {
  kept_.sync();
  dropped_.sync();
  quarantined_.sync();
  if (!spill_) return;
  spill_->sync();
  prints_->sync();
}

void StageOutputs::close_spill() {
  spill_->sync();
  prints_->sync();
  spill_.reset();
  prints_.reset();
}

void StageOutputs::note(Checkpoint& state) const {
  state.kept = kept_.state();
  state.dropped = dropped_.state();
  state.quarantined = quarantined_.state();
  state.spill_bytes = spill_ ? spill_->size() : 0;
  state.prints_bytes = prints_ ? prints_->size() : 0;
}

}  // namespace curate
