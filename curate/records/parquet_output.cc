// The records that a run keeps, as Parquet. Tested by tests/curate/run_test.cc.
#include "curate/records/parquet_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/parquet.h"
#include "base/pipeline.h"
#include "base/record_shape.h"
#include "base/records.h"

namespace curate {
namespace fs = std::filesystem;
namespace {

// Of records as JSON, in one row group: small enough to be read in parallel, large enough to compress.
constexpr std::size_t kRowGroupBytes = 16 << 20;

// Reads records that this program wrote.
class Staged {
 public:
  explicit Staged(std::vector<std::string> files) : reader_(std::move(files), options()) {}
  std::optional<base::Block> next() {
    std::optional<base::Block> block = reader_.next(bad_);
    if (!bad_.empty())
      throw base::Error({"the intermediate file is damaged: " + bad_[0].error, reader_.files()[bad_[0].place.file], "",
                         "", "start again with --overwrite"});
    return block;
  }

 private:
  static base::RecordOptions options() {
    base::RecordOptions options;
    options.max_record_bytes = std::size_t{1} << 40;  // it was read once
    return options;
  }
  base::BlockReader reader_;
  std::vector<base::BadBytes> bad_;
};

base::RecordShape shape_of(const std::vector<std::string>& files, int threads) {
  Staged staged(files);
  base::RecordShape all;
  base::ordered_pipeline<base::Block, base::RecordShape>(
      threads, [&] { return staged.next(); },
      [](const base::Block& block, int) {
        base::RecordShape shape;
        base::for_each_line(block, [&](std::string_view line, const base::Place&) { shape.add(line); });
        return shape;
      },
      [&](const base::RecordShape& shape) { all.add(shape); });
  return all;
}

// Writes one shard; the columns whose values do not fit the type of the input.
std::vector<std::string> write_shard(const std::string& from, const fs::path& to, const base::ColumnType& type,
                                     const base::ParquetTypes& like, int level) {
  std::unique_ptr<base::ParquetWriter> writer = base::open_parquet_writer(to.string(), type, like, level);
  base::RecordSplitter splitter(type);
  Staged staged({from});
  std::size_t bytes = 0;
  std::vector<std::string> unfit;
  while (auto block = staged.next()) {
    base::for_each_line(*block, [&](std::string_view line, const base::Place&) {
      if (!unfit.empty()) return;
      splitter.append(line, writer->row());
      bytes += line.size();
      if (bytes < kRowGroupBytes) return;
      bytes = 0;
      unfit = writer->end_row_group();
    });
    if (!unfit.empty()) return unfit;
  }
  unfit = writer->end_row_group();
  if (unfit.empty()) writer->commit();
  return unfit;
}

}  // namespace

ParquetSummary write_parquet(const fs::path& staged, const fs::path& folder, const ParquetOutput& options) {
  std::vector<std::string> shards;
  for (const auto& entry : fs::directory_iterator(staged)) shards.push_back(entry.path().string());
  std::sort(shards.begin(), shards.end());
  fs::create_directories(folder);
  base::ColumnType type{
      base::ColumnType::Kind::kStruct, {options.text_field}, {{base::ColumnType::Kind::kString, {}, {}}}};
  ParquetSummary summary;
  if (!shards.empty()) {
    base::RecordShape shape = shape_of(shards, options.threads);
    type = shape.type();
    summary.json_text = shape.json_text();
  }
  summary.fields = type.names.size();

  const bool all_parquet = std::all_of(options.inputs.begin(), options.inputs.end(), [](const std::string& input) {
    return base::record_format(input) == "parquet";
  });
  std::unique_ptr<base::ParquetTypes> like =
      base::parquet_types(all_parquet ? options.inputs : std::vector<std::string>(), options.binary_text_field);
  for (bool again = true; again;) {
    std::size_t next = 0;
    std::set<std::string> unfit;
    std::atomic<bool> failed = false;  // the source runs beside the sink
    base::ordered_pipeline<std::size_t, std::vector<std::string>>(
        options.threads,
        [&]() -> std::optional<std::size_t> {
          if (next >= shards.size() || failed) return std::nullopt;
          return next++;
        },
        [&](std::size_t number, int) {
          try {
            return write_shard(shards[number], folder / fmt::format("{:05}.parquet", number), type, *like,
                               options.level);
          } catch (const base::Error& error) {
            base::ErrorFacts facts = error.facts();
            if (facts.advice.empty())
              facts.advice = "mend that (a full disk: free some space), then go on with --resume";
            throw base::Error(facts);
          }
        },
        [&](const std::vector<std::string>& columns) {
          unfit.insert(columns.begin(), columns.end());
          failed = !unfit.empty();
        });
    for (const std::string& column : unfit) like->forget(column);
    again = !unfit.empty();
  }
  if (shards.empty())
    base::open_parquet_writer((folder / "00000.parquet").string(), type, *like, options.level)->commit();
  return summary;
}

}  // namespace curate
