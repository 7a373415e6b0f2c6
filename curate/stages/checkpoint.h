// Where a run stands: written beside the outputs now and then, read by --resume.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/input_tally.h"
#include "curate/records/outputs.h"
#include "curate/records/record.h"
#include "curate/stages/statistics.h"

namespace curate {

struct InputFile {
  std::string path;
  std::uint64_t size = 0;
  std::int64_t modified = 0;
  bool operator==(const InputFile&) const = default;
};

struct Checkpoint {
  std::string options;                        ///< those that decide about the bytes written
  std::vector<InputFile> inputs, step_files;  ///< step_files: what the steps read, models and lists
  std::vector<FieldNames> fields;             ///< by number of the set; all of them once the first stage is done
  std::vector<std::string> field_notes;       ///< what to say of them
  base::InputTally files;                     ///< what each file gave
  std::uint32_t stage = 0;                    ///< being worked on
  std::uint64_t blocks = 0;                   ///< of this stage, done
  std::uint32_t settled = 0;                  ///< searches for duplicates that are counted in `statistics`
  ShardWriter::State kept, dropped, quarantined;
  std::uint64_t spill_bytes = 0, prints_bytes = 0;  ///< of this stage
  double seconds = 0;                               ///< of wall time, all attempts together
  Statistics statistics;
};

/// Sizes and times of files as they are now.
std::vector<InputFile> look_at(const std::vector<std::string>& files);

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);
/// Throws Error when the file is not what write_checkpoint writes.
Checkpoint read_checkpoint(const std::filesystem::path& path);

}  // namespace curate
