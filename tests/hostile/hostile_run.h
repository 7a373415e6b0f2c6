// `curate run` on hostile files: what it wrote, and whether the books balance.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/records.h"
#include "base/stream.h"
#include "curate/run.h"
#include "tests/sanitized.h"
#include "tests/temporary_folder.h"

namespace hostile {

using nlohmann::json;

/// What a run wrote. Texts of huge records are cut from `kept` and `dropped`: their number is what matters.
struct Outcome {
  json report;
  std::vector<json> kept, dropped, quarantined;

  std::vector<std::string> ids() const {
    std::vector<std::string> all;
    for (const json& record : kept) all.push_back(record.value("id", ""));
    return all;
  }
};

inline std::vector<json> records_of(const std::filesystem::path& folder) {
  std::vector<std::string> shards;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) shards.push_back(entry.path().string());
  std::sort(shards.begin(), shards.end());
  std::vector<json> all;
  base::RecordOptions options;
  options.max_record_bytes = std::size_t{1} << 30;
  base::for_each_record(shards, options, [&](std::string_view line, const base::Place&, const std::string&) {
    all.push_back(line.size() < (1 << 20) ? json::parse(line) : json{{"id", "huge"}, {"size", line.size()}});
  });
  return all;
}

/// Runs `curate run` over `files` with one YAML list of steps, reads everything back, and checks that read = kept +
/// dropped + quarantined, in the report and in the files, that every quarantined piece says where and why, and that the
/// exit status tells of lost files.
inline Outcome run(const TemporaryFolder& folder, const std::vector<std::string>& files,
                   const std::string& steps = "steps: []\n", std::vector<std::string> flags = {}) {
  const std::string output = folder / "out";
  curate::RunOptions options;
  base::OptionSet set(options);
  set.read_yaml(steps, "steps.yaml");
  flags.insert(flags.end(), {"--output", output, "--overwrite"});
  flags.insert(flags.end(), files.begin(), files.end());
  set.read_words(flags);
  set.check_required();
  std::ostringstream out, err;
  base::Context context{out, err, true, true, set.to_yaml(), "curate"};
  const int status = curate::run_pipeline(options, context);
  Outcome outcome;
  outcome.report = json::parse(out.str());
  EXPECT_EQ(status, outcome.report["losses"].empty() ? 0 : 1);
  outcome.kept = records_of(output + "/kept");
  outcome.dropped = records_of(output + "/dropped");
  outcome.quarantined = records_of(output + "/quarantine");
  const json& report = outcome.report;
  EXPECT_EQ(report["kept"]["records"], outcome.kept.size());
  EXPECT_EQ(report["dropped"]["records"], outcome.dropped.size());
  EXPECT_EQ(report["quarantined"]["records"], outcome.quarantined.size());
  EXPECT_EQ(report["read"]["records"], outcome.kept.size() + outcome.dropped.size() + outcome.quarantined.size());
  for (const json& piece : outcome.quarantined) {
    EXPECT_FALSE(piece.at("error").get<std::string>().empty());
    EXPECT_THAT(files, testing::Contains(piece.at("file").get<std::string>()));
    EXPECT_GE(piece.at("line"), 1);
    EXPECT_TRUE(piece.contains("text") != piece.contains("hex"));
  }
  EXPECT_FALSE(std::filesystem::exists(output + "/.work"));
  return outcome;
}

/// The highest resident memory of this process so far, in MB. Each test is a process of its own under ctest.
inline long peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

inline std::string record(const std::string& id, const std::string& text) {
  return json({{"id", id}, {"text", text}}).dump() + "\n";
}

/// `times` copies of `bytes` compressed as one frame (.zst) or member (.gz) each.
inline std::string repeated(const TemporaryFolder& folder, const std::string& suffix, const std::string& bytes,
                            int times) {
  const std::string path = folder / ("piece" + suffix);
  auto writer = base::open_writer(path, 19);
  writer->write(bytes);
  writer->commit();
  const std::string piece = base::read_file(path);
  std::string all;
  for (int i = 0; i < times; ++i) all += piece;
  return all;
}

}  // namespace hostile
