// What a run tells while it trains: metrics.jsonl, TensorBoard events, and the history that the report draws. Tested by
// tests/finetune/train_test.cc.
#include "finetune/train/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/text.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kColumns = 79;  // of a terminal of 80, the last one free

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// The keys of metrics.jsonl, in file order: one table for writing and reading.
template <class F>
void each_key(StepMetrics& m, F f) {
  f("step", m.step);
  f("epoch", m.epoch);
  f("loss", m.loss);
  f("learning_rate", m.learning_rate);
  f("gradient_norm", m.gradient_norm);
  f("tokens", m.tokens);
  f("trained_tokens", m.trained_tokens);
  f("tokens_per_second", m.tokens_per_second);
  f("seconds", m.seconds);
  f("peak_memory", m.peak_memory);
  f("threads", m.threads);
}
template <class F>
void each_key(EvaluationMetrics& m, F f) {
  f("step", m.step);
  f("validation_loss", m.loss);
  f("validation_perplexity", m.perplexity);
  f("validation_trained_tokens", m.trained_tokens);
}

const char* prefix_of(const StepMetrics&) { return ""; }
const char* prefix_of(const EvaluationMetrics&) { return "validation_"; }

template <class M>
std::string to_line(M metrics) {
  Json json;
  each_key(metrics, [&]<class T>(const char* key, const T& value) {
    if constexpr (requires { value.has_value(); }) {
      if (value && std::isfinite(static_cast<double>(*value))) json[key] = *value;
    } else {
      json[key] = value;
    }
  });
  for (const auto& [name, value] : metrics.figures)
    if (std::isfinite(value)) json[prefix_of(metrics) + name] = value;
  return base::json_dump(json) + "\n";
}

// Of pairs: how many are told apart, and how clearly.
std::string preferred(const Figures& figures) {
  std::string text;
  for (const auto& [name, value] : figures) {
    const std::string shown = std::isfinite(value) ? fmt::format("{:.3g}", value) : "-";  // this step has nothing of it
    if (name == "rewards/accuracies") text += "  accuracy " + shown;
    if (name == "rewards/margins") text += "  margin " + shown;
  }
  return text;
}

template <class M>
M from_json(const Json& json) {
  M metrics;
  std::set<std::string> known;
  each_key(metrics, [&]<class T>(const char* key, T& value) {
    known.insert(key);
    if constexpr (requires { value.has_value(); }) {
      if (json.contains(key) && !json.at(key).is_null()) value = json.at(key).template get<typename T::value_type>();
    } else if (std::is_floating_point_v<T> && json.at(key).is_null()) {
      value = static_cast<T>(NAN);  // which JSON has not
    } else {
      json.at(key).get_to(value);
    }
  });
  const std::string prefix = prefix_of(metrics);
  for (const auto& [key, value] : json.items())
    if (!known.contains(key) && key.starts_with(prefix))
      metrics.figures.emplace_back(key.substr(prefix.size()), value.template get<double>());
  return metrics;
}

// The tags that transformers' Trainer gives what it tells.
Figures tagged(const std::string& prefix, Figures values, const Figures& figures) {
  values.insert(values.end(), figures.begin(), figures.end());
  std::erase_if(values, [](const auto& value) { return !std::isfinite(value.second); });
  for (auto& [name, value] : values) name.insert(0, prefix);
  return values;
}

}  // namespace

bool start_is_best(const std::vector<EvaluationMetrics>& evaluations) {
  if (evaluations.size() < 2 || evaluations[0].step > 0 || !std::isfinite(evaluations[0].loss)) return false;
  return std::none_of(evaluations.begin() + 1, evaluations.end(),
                      [&](const EvaluationMetrics& later) { return later.loss < evaluations[0].loss; });
}

MetricsLog::MetricsLog(const std::filesystem::path& folder, std::optional<std::int64_t> resume_step)
    : path_(folder / "metrics.jsonl"), events_(folder / "events", now(), resume_step) {
  std::string kept;
  if (resume_step && std::filesystem::exists(path_)) {
    std::size_t number = 0;
    for (const std::string& line : base::split(base::read_file(path_), '\n')) {
      ++number;
      if (line.empty()) continue;
      const Json json = Json::parse(line, nullptr, false);
      if (json.is_discarded()) continue;  // the kill fell into this line; only the last one can be broken
      try {
        if (json.at("step").get<std::int64_t>() > *resume_step) continue;
        if (json.contains("validation_loss")) {
          evaluations_.push_back(from_json<EvaluationMetrics>(json));
        } else {
          steps_.push_back(from_json<StepMetrics>(json));
        }
      } catch (const Json::exception&) {
        throw base::Error({"a line of the metrics cannot be read", fmt::format("{}:{}", path_.string(), number),
                           base::shortened(line), "the figures of one step", "delete the line or the file"});
      }
      kept += line + "\n";
    }
  }
  base::write_file(path_, kept);
  file_.open(path_, std::ios::binary | std::ios::app);
}

void MetricsLog::add(const StepMetrics& metrics) {
  write(to_line(metrics));
  events_.scalars(metrics.step,
                  tagged("train/",
                         {{"loss", metrics.loss},
                          {"learning_rate", metrics.learning_rate},
                          {"grad_norm", metrics.gradient_norm},
                          {"epoch", metrics.epoch},
                          {"tokens_per_second", metrics.tokens_per_second}},
                         metrics.figures),
                  now());
  steps_.push_back(metrics);
}

void MetricsLog::add(const EvaluationMetrics& metrics) {
  write(to_line(metrics));
  Figures values = {{"loss", metrics.loss}};
  if (metrics.perplexity) values.emplace_back("perplexity", *metrics.perplexity);
  events_.scalars(metrics.step, tagged("eval/", values, metrics.figures), now());
  evaluations_.push_back(metrics);
}

void MetricsLog::write(const std::string& line) {
  file_ << line;
  if (!file_.flush())
    throw base::Error({"cannot write the metrics", path_.string(), "", "",
                       "is the disk full? --resume goes on from the last checkpoint"});
}

std::string step_line(const StepMetrics& metrics, std::int64_t steps, double seconds_left, std::size_t columns) {
  const std::string begin =
      fmt::format("step {}/{}  loss {:.5g}", metrics.step, steps, metrics.loss) + preferred(metrics.figures);
  const std::string rate = fmt::format("  rate {:.1e}", metrics.learning_rate);
  const std::string norm = fmt::format("  norm {:.3g}", metrics.gradient_norm);
  const std::string speed = fmt::format("  {:.0f} tokens/s", metrics.tokens_per_second);
  const std::string left = metrics.step < steps ? "  " + base::human_seconds(seconds_left) + " left" : "";
  // metrics.jsonl has them all; here the least needed goes first.
  for (const std::string& line :
       {begin + rate + norm + speed + left, begin + rate + speed + left, begin + speed + left, begin + left})
    if (line.size() <= columns) return line;
  return begin.substr(0, columns);
}

std::string validation_line(const EvaluationMetrics& metrics, std::int64_t steps) {
  const std::string more =
      metrics.perplexity ? fmt::format("  perplexity {:.5g}", *metrics.perplexity) : preferred(metrics.figures);
  return (fmt::format("step {}/{}  validation loss {:.4f}", metrics.step, steps, metrics.loss) + more)
      .substr(0, kColumns);
}

}  // namespace finetune
