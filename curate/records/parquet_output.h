// The records that a run keeps, as Parquet. The schema is known only when all of them are, so they are written as JSONL
// first and turned into Parquet at the end of the run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace curate {

/// What one thread needs, about, for a row group and its pages.
inline constexpr std::uint64_t kParquetWriterMemory = 128 << 20;

struct ParquetOutput {
  std::vector<std::string> inputs;  ///< of the run: when all are Parquet, columns get the types they have there
  std::string text_field, binary_text_field;  ///< the latter is what open_parquet reads as text
  int level = 3, threads = 1;
};

struct ParquetSummary {
  std::size_t fields = 0;
  std::vector<std::string> json_text;  ///< fields that are JSON text, see base::RecordShape
};

/// Writes every STAGED/NNNNN.jsonl.zst as FOLDER/NNNNN.parquet, all with one schema; an empty shard 0 when there are
/// none. The bytes do not depend on the number of threads. Throws base::Error, also when a shard of STAGED is damaged.
ParquetSummary write_parquet(const std::filesystem::path& staged, const std::filesystem::path& folder,
                             const ParquetOutput& options);

}  // namespace curate
