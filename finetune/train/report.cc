// report.html of a run. Tested by tests/finetune/report_test.cc.
#include "finetune/train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/html.h"
#include "base/machine.h"
#include "base/text.h"
#include "base/unicode.h"
#include "finetune/train/chart.h"

namespace finetune {
namespace {

using base::html_card;
using base::html_escaped;
using base::human_count;

template <class M, class F>
std::vector<Point> points_of(const std::vector<M>& metrics, F value) {
  std::vector<Point> points;
  for (const M& metric : metrics) points.push_back({static_cast<double>(metric.step), value(metric)});
  return points;
}

template <class M>
double figure(const M& metric, const std::string& name) {
  for (const auto& [key, value] : metric.figures)
    if (key == name) return value;
  return std::numeric_limits<double>::quiet_NaN();
}

std::uint64_t whole(double number) { return static_cast<std::uint64_t>(std::max(0.0, number)); }

// Steps that the smoothed curve looks back.
double smoothing_of(std::size_t steps) { return std::max(2.0, static_cast<double>(steps) / 25); }

std::string cards(const std::vector<StepMetrics>& steps, const std::vector<EvaluationMetrics>& evaluations) {
  std::string html;
  if (!steps.empty()) {
    const auto losses = points_of(steps, [](const StepMetrics& step) { return step.loss; });
    double tokens = 0, trained = 0, seconds = 0;
    for (const StepMetrics& step : steps) {
      tokens += static_cast<double>(step.tokens);
      trained += static_cast<double>(step.trained_tokens);
      seconds += static_cast<double>(step.tokens) / step.tokens_per_second;
    }
    const std::vector<Point> smooth = smoothed(losses, smoothing_of(steps.size()));
    html += html_card("training loss", smooth.empty() ? "&ndash;" : fmt::format("{:.4f}", smooth.back().value),
                      fmt::format("smoothed; step 1: {:.4f}", losses.front().value));
    if (evaluations.empty()) html += html_card("validation loss", "&ndash;", "no validation data");
    html +=
        html_card("trained on", human_count(whole(trained)), fmt::format("of {} tokens", human_count(whole(tokens))));
    html += html_card("speed", fmt::format("{} tokens/s", human_count(whole(tokens / seconds))),
                      base::human_seconds(seconds) + " in steps");
    if (steps.back().peak_memory)
      html += html_card("memory", base::human_bytes(static_cast<double>(*steps.back().peak_memory)), "at most");
  }
  if (!evaluations.empty()) {
    const EvaluationMetrics &first = evaluations.front(), &last = evaluations.back();
    const auto best = std::ranges::min_element(evaluations, {}, &EvaluationMetrics::loss);
    html = html_card(
               "validation loss", fmt::format("{:.4f}", last.loss),
               fmt::format("step {}: {:.4f}; lowest {:.4f}, step {}", first.step, first.loss, best->loss, best->step) +
                   (start_is_best(evaluations) ? ", before training" : "")) +
           html;
  }
  return "<div class=cards>" + html + "</div>";
}

std::string curves(const ReportFacts& facts, const std::vector<StepMetrics>& steps,
                   const std::vector<EvaluationMetrics>& evaluations) {
  const auto loss = [](const auto& metric) { return metric.loss; };
  const std::vector<Point> losses = points_of(steps, loss);
  const double window{smoothing_of(steps.size())};
  const auto of_steps = [&](const char* title, auto value) {
    return chart(title, {{title, "one", points_of(steps, value)}});
  };
  std::string html = chart(facts.has_rewards ? "Loss" : "Loss (nats per trained token)",
                           {{"each step", "faint", losses},
                            {fmt::format("smoothed over about {:.0f} steps", window), "one", smoothed(losses, window)},
                            {"validation", "two", points_of(evaluations, loss), true}},
                           true);
  if (facts.has_rewards) {
    const auto both = [&](const char* title, const std::string& name) {
      const auto value = [&](const auto& metric) { return figure(metric, name); };
      return chart(title, {{"training, smoothed", "one", smoothed(points_of(steps, value), window)},
                           {"validation", "two", points_of(evaluations, value), true}});
    };
    const auto reward = [&](const std::string& which) {
      return smoothed(points_of(steps, [&](const auto& step) { return figure(step, "rewards/" + which); }), window);
    };
    html += chart("Rewards while training, smoothed",
                  {{"chosen", "three", reward("chosen")}, {"rejected", "two", reward("rejected")}});
    html += both("Margin of the rewards", "rewards/margins");
    html += both("Share of pairs told apart", "rewards/accuracies");
  }
  html += of_steps("Learning rate", [](const StepMetrics& step) { return step.learning_rate; });
  html += of_steps("Norm of the gradient, before the clip", [](const StepMetrics& step) { return step.gradient_norm; });
  html += of_steps("Tokens per second", [](const StepMetrics& step) { return step.tokens_per_second; });
  html += of_steps("Peak memory, GB", [](const StepMetrics& step) {
    return step.peak_memory ? static_cast<double>(*step.peak_memory) / 1e9 : std::numeric_limits<double>::quiet_NaN();
  });
  return html.empty() ? "" : "<h2>Curves over the steps</h2><div class=grid>" + html + "</div>";
}

std::string validations(const std::vector<EvaluationMetrics>& evaluations) {
  if (evaluations.empty()) return "";
  std::vector<std::string> names;
  const bool has_perplexity{evaluations.back().perplexity.has_value()};
  for (const auto& [name, value] : evaluations.back().figures) names.push_back(name);
  std::string html = "<h2>Validation</h2><div class=scroll><table><tr><th>step<th>loss";
  if (has_perplexity) html += "<th>perplexity";
  for (const std::string& name : names) html += "<th>" + html_escaped(name);
  for (const EvaluationMetrics& metric : evaluations) {
    html += fmt::format("<tr><td>{}<td>{:.4f}", metric.step, metric.loss);
    if (has_perplexity) html += fmt::format("<td>{:.2f}", metric.perplexity.value_or(0));
    for (const std::string& name : names) {
      const double value{figure(metric, name)};
      html += std::isnan(value) ? "<td>&ndash;" : fmt::format("<td>{:.4g}", value);
    }
  }
  return html + "</table></div>\n";
}

// Of each prompt the first generation beside that of the result, which is the last one where `result` is nothing.
std::string generations(const std::vector<Sample>& samples, std::optional<std::int64_t> result) {
  constexpr std::size_t kMost = 20;
  std::vector<std::string> prompts;
  std::map<std::string, std::pair<const Sample*, const Sample*>> ends;
  for (const Sample& sample : samples) {
    const auto [found, is_new] = ends.try_emplace(sample.prompt, &sample, &sample);
    if (is_new) prompts.push_back(sample.prompt);
    if (sample.step < found->second.first->step) found->second.first = &sample;
    const bool is_of_result{result && found->second.second->step == *result};
    if (sample.step >= found->second.second->step && !is_of_result) found->second.second = &sample;
  }
  if (prompts.empty()) return "";
  const auto section = [&](const Sample& sample) {
    return fmt::format("<section><h3>{}{}</h3><pre>{}</pre></section>",
                       sample.step == 0 ? "before" : fmt::format("after step {}", sample.step),
                       result == sample.step ? ", the result" : "", html_escaped(base::valid_utf8(sample.text)));
  };
  std::string html = "<h2>What it writes</h2>";
  for (std::size_t i = 0; i < std::min(kMost, prompts.size()); ++i) {
    const auto& [first, last] = ends.at(prompts[i]);
    html += "<article><pre class=soft>" + html_escaped(prompts[i]) + "</pre><div class=beside>" + section(*first) +
            (first == last ? "" : section(*last)) + "</div></article>\n";
  }
  if (prompts.size() > kMost)
    html += fmt::format("<p class=soft>{} more prompts are in samples.jsonl.</p>", prompts.size() - kMost);
  return html;
}

std::string data_of(const std::vector<DataSummary>& parts) {
  std::string html = "<h2>Data</h2><div class=scroll><table><tr><th>";
  const auto row = [&](const char* name, auto value) {
    html += fmt::format("<tr><td class=name>{}", name);
    for (const DataSummary& part : parts) html += "<td>" + value(part.report);
  };
  const auto number = [&](const char* name, std::uint64_t DataReport::*member, bool always = false) {
    const auto has = [&](const DataSummary& part) { return part.report.*member > 0; };
    if (always || std::ranges::any_of(parts, has))
      row(name, [&](const DataReport& report) { return human_count(report.*member); });
  };
  for (const DataSummary& part : parts) html += "<th>" + html_escaped(part.name);
  number("records read", &DataReport::read, true);
  number("used", &DataReport::used, true);
  number("longer than a row (cut, split or dropped)", &DataReport::too_long, true);
  number("dropped", &DataReport::dropped);
  number("without trained tokens", &DataReport::untrained);
  number("bad", &DataReport::bad);
  number("examples", &DataReport::examples, true);
  number("tokens", &DataReport::tokens, true);
  number("trained tokens", &DataReport::trained_tokens, true);
  row("share trained", [](const DataReport& report) {
    return fmt::format(
        "{:.1f} %",
        report.tokens == 0 ? 0 : 100 * static_cast<double>(report.trained_tokens) / static_cast<double>(report.tokens));
  });
  html += "</table></div><div class=grid style=\"margin-top:1rem\">";
  for (const DataSummary& part : parts) {
    if (part.lengths.empty()) continue;
    html += base::html_histogram("tokens of an example, " + html_escaped(part.name), part.lengths, -1, "1",
                                 human_count(std::uint64_t{1} << (part.lengths.size() - 1)), "each column doubles");
  }
  return html + "</div>\n";
}

std::string hardware(const ReportFacts& facts) {
  if (facts.hardware.empty()) return "";
  std::string html = "<h2>Hardware</h2><div class=scroll><table>";
  for (const auto& [name, value] : facts.hardware)
    html += "<tr><td>" + html_escaped(name) + "<td class=name>" + html_escaped(value);
  return html + "</table></div>\n";
}

}  // namespace

std::vector<Sample> read_samples(const std::filesystem::path& folder) {
  std::vector<Sample> samples;
  std::ifstream file(folder / "samples.jsonl", std::ios::binary);
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) continue;  // a kill fell into it
    const auto has = [&](const char* key, auto is) { return json.contains(key) && (json[key].*is)(); };
    using Json = nlohmann::json;
    if (has("step", &Json::is_number_integer) && has("prompt", &Json::is_string) && has("text", &Json::is_string))
      samples.push_back({json["step"], json["prompt"], json["text"]});
  }
  return samples;
}

void count_length(std::vector<std::uint64_t>& lengths, std::size_t tokens) {
  const auto place = static_cast<std::size_t>(std::bit_width(tokens > 0 ? tokens - 1 : 0));
  if (lengths.size() <= place) lengths.resize(place + 1, 0);
  ++lengths[place];
}

std::vector<std::pair<std::string, std::string>> hardware_of(const std::string& device, const std::string& type,
                                                             int threads) {
  std::string processor = "unknown";
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) {
      processor = std::string(base::trim(line.substr(line.find(':') + 1)));
      break;
    }
  return {{"processor", processor},
          {"threads", fmt::format("{}", threads)},
          {"memory", base::human_bytes(static_cast<double>(base::machine_memory()))},
          {"computes on", device + " in " + type}};
}

std::string report_html(const ReportFacts& facts, const std::vector<StepMetrics>& steps,
                        const std::vector<EvaluationMetrics>& evaluations, const std::vector<Sample>& samples,
                        const std::string& state, const std::string& run_yaml, std::optional<std::int64_t> result) {
  std::string body = "<h1>Training run</h1><p class=soft>" + html_escaped(state) + "</p>" + cards(steps, evaluations);
  body += curves(facts, steps, evaluations) + validations(evaluations) + generations(samples, result);
  body += data_of(facts.data) + hardware(facts);
  body += "<h2>Options</h2><details><summary>run.yaml</summary><pre>" + html_escaped(run_yaml) + "</pre></details>";
  body += "<p class=soft>The numbers are in metrics.jsonl.</p>";
  return base::html_page("Training run", kChartStyle, body);
}

void write_report(const std::filesystem::path& folder, const ReportFacts& facts, const MetricsLog& log,
                  const std::string& state, std::optional<std::int64_t> result) {
  base::write_file(folder / "report.html", report_html(facts, log.steps(), log.evaluations(), read_samples(folder),
                                                       state, base::read_file(folder / "run.yaml"), result));
}

}  // namespace finetune
