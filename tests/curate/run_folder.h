// What the tests of `curate run` share: texts, a run inside the test, and what it left.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/stream.h"
#include "curate/report/sweep.h"
#include "curate/run.h"

namespace curate {

namespace fs = std::filesystem;
using nlohmann::json;

inline std::string words(base::Random& random, int count) {
  static const std::vector<std::string> kWords = {"the",   "of",     "and",    "to",    "that",  "have",
                                                  "with",  "be",     "is",     "river", "stone", "teaches",
                                                  "every", "number", "letter", "child"};
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += kWords[random.below(kWords.size())];
    if (i % 2) text += std::to_string(random.below(50));
    text += i % 12 == 11 ? ".\n" : " ";
  }
  return text + "end.";
}

inline std::string line(const std::string& id, const std::string& text) {
  return json({{"id", id}, {"text", text}, {"extra", {1, 2.5, nullptr}}}).dump() + "\n";
}

// What a run left in its folder: file name -> bytes, reports (which hold times) aside.
inline std::map<std::string, std::string> outputs(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    std::string name = fs::relative(entry.path(), folder).string();
    if (entry.is_regular_file() && !name.starts_with("report.") && name != "run.yaml")
      files[name] = base::read_file(entry.path());
  }
  return files;
}

inline std::vector<json> records(const std::string& folder) {
  std::vector<json> all;
  std::vector<fs::path> shards;
  if (fs::exists(folder))
    for (const auto& entry : fs::directory_iterator(folder)) shards.push_back(entry.path());
  std::sort(shards.begin(), shards.end());
  for (const fs::path& shard : shards) {
    auto reader = base::open_reader(shard);
    std::string bytes, buffer(1 << 16, ' ');
    while (std::size_t size = reader->read(buffer.data(), buffer.size())) bytes.append(buffer, 0, size);
    std::istringstream lines(bytes);
    for (std::string text; std::getline(lines, text);) all.push_back(json::parse(text));
  }
  return all;
}

struct Ran {
  json report;
  std::string message;
};
// `search_memory`: see RunOptions. `status`: the exit status that is expected.
inline Ran run(const std::string& config, std::vector<std::string> flags, std::uint64_t search_memory = 0,
               int status = 0) {
  RunOptions options;
  options.search_memory = search_memory;
  base::OptionSet set(options);
  set.read_yaml(config, "config.yaml");
  set.read_words(flags);
  set.check_required();
  std::ostringstream out, err;
  base::Context context{out, err, false, true, set.to_yaml(), "curate"};
  EXPECT_EQ(run_pipeline(options, context), status) << err.str();
  return {json::parse(out.str(), nullptr, false), err.str()};
}

// A run in which files are lost.
inline Ran run_with_losses(const std::string& config, const std::vector<std::string>& flags) {
  return run(config, flags, 0, 1);
}

// The report and the message of `curate report FOLDER --sweep WHAT`.
inline Ran run_sweep(const std::string& folder, const std::string& what) {
  std::ostringstream out, err;
  base::Context context{out, err, false, true, "", "curate"};
  json report = run_sweep(folder, what, context);
  return {std::move(report), err.str()};
}

}  // namespace curate
