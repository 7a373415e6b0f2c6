// report.html of a run.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "finetune/data/data.h"
#include "finetune/train/metrics.h"

namespace finetune {

/// What training or validation data became.
struct DataSummary {
  std::string name;
  DataReport report;
  std::vector<std::uint64_t> lengths{};  ///< examples of up to 1, 2, 4, 8 ... tokens
};

/// What is known before the first step.
struct ReportFacts {
  std::vector<DataSummary> data;
  std::vector<std::pair<std::string, std::string>> hardware;  ///< name and value
  bool has_rewards = false;                                   ///< the loss is not one of tokens
};

/// A generation on a prompt of the validation data: a line {"step", "prompt", "text"} of samples.jsonl.
struct Sample {
  std::int64_t step = 0;
  std::string prompt, text;
};

/// All of `folder`/samples.jsonl that can be read; none where it is not there.
std::vector<Sample> read_samples(const std::filesystem::path& folder);

/// Counts a length for DataSummary::lengths.
void count_length(std::vector<std::uint64_t>& lengths, std::size_t tokens);

/// Processor, threads, memory, and where it computes.
std::vector<std::pair<std::string, std::string>> hardware_of(const std::string& device, const std::string& type,
                                                             int threads);

/// One page without scripts or network. `state` says in words how far the run is; `result` is the step whose weights
/// are its result, where that is not the last.
std::string report_html(const ReportFacts& facts, const std::vector<StepMetrics>& steps,
                        const std::vector<EvaluationMetrics>& evaluations, const std::vector<Sample>& samples,
                        const std::string& state, const std::string& run_yaml,
                        std::optional<std::int64_t> result = std::nullopt);

/// Writes `folder`/report.html with what the folder has of run.yaml and samples.
void write_report(const std::filesystem::path& folder, const ReportFacts& facts, const MetricsLog& log,
                  const std::string& state, std::optional<std::int64_t> result = std::nullopt);

}  // namespace finetune
