// What a run tells while it trains: metrics.jsonl, TensorBoard events, and the history that the report draws.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "finetune/train/events.h"

namespace finetune {

/// What an objective tells beside its loss, as TRL names it: rewards/chosen, rewards/accuracies ... In a line of a
/// validation each name begins with "validation_".
using Figures = std::vector<std::pair<std::string, double>>;

/// One optimizer step. A line of metrics.jsonl:
///   {"step":3,"epoch":0.12,"loss":2.31,"learning_rate":0.00018,"gradient_norm":0.9,"tokens":2048,"trained_tokens":913,
///    "tokens_per_second":431.2,"seconds":14.2,"peak_memory":812302336,"threads":2}
struct StepMetrics {
  std::int64_t step = 0;                      ///< steps done, from 1
  double epoch = 0;                           ///< passes over the data done
  double loss = 0;                            ///< nats per trained token of this step, before the update
  double learning_rate = 0;                   ///< of this update
  double gradient_norm = 0;                   ///< before the clip
  std::int64_t tokens = 0;                    ///< of this step, prompts included
  std::int64_t trained_tokens = 0;            ///< of this step
  double tokens_per_second = 0;               ///< this step's tokens over its wall time
  double seconds = 0;                         ///< of training, those before --resume too
  std::optional<std::int64_t> peak_memory{};  ///< the most bytes that this process has used so far
  std::optional<std::int64_t> threads{};      ///< that computed this step
  Figures figures{};
};

/// One pass over the validation data. A line of metrics.jsonl:
///   {"step":0,"validation_loss":3.02,"validation_perplexity":20.5,"validation_trained_tokens":1806}
struct EvaluationMetrics {
  std::int64_t step = 0;               ///< steps done before it
  double loss = 0;                     ///< nats per trained token
  std::optional<double> perplexity{};  ///< exp(loss), of answers
  std::int64_t trained_tokens = 0;
  Figures figures{};
};

/// Whether a run validated before its first step, and never as low again.
bool start_is_best(const std::vector<EvaluationMetrics>& evaluations);

/// Writes both files; every line is on disk's side of the process before the next step begins.
class MetricsLog {
 public:
  /// In `folder`: "metrics.jsonl" and "events/". Keeps the lines of an earlier run up to step `resume_step` and cuts
  /// the rest (they will come again); without one starts afresh. Throws base::Error for a line it cannot read.
  MetricsLog(const std::filesystem::path& folder, std::optional<std::int64_t> resume_step);
  void add(const StepMetrics& metrics);
  void add(const EvaluationMetrics& metrics);
  const std::vector<StepMetrics>& steps() const { return steps_; }
  const std::vector<EvaluationMetrics>& evaluations() const { return evaluations_; }

 private:
  void write(const std::string& line);
  std::filesystem::path path_;
  std::ofstream file_;
  EventWriter events_;
  std::vector<StepMetrics> steps_;
  std::vector<EvaluationMetrics> evaluations_;
};

/// Of a line that is read elsewhere than on a terminal: it has all fields.
inline constexpr std::size_t kAnyWidth = std::string::npos;

/// What a person reads of a step: at most `columns`, whatever the numbers; what has no place is left out.
std::string step_line(const StepMetrics& metrics, std::int64_t steps, double seconds_left, std::size_t columns = 79);
std::string validation_line(const EvaluationMetrics& metrics, std::int64_t steps);

}  // namespace finetune
