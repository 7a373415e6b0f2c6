// The references of a run before its first step. Tested by tests/finetune/references_test.cc and
// tests/cli/signals_finetune.py.
#include "finetune/train/refer.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <ostream>

#include "base/progress.h"
#include "base/text.h"
#include "finetune/data/packing.h"

namespace finetune {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Of training's examples those of the rows to come, then all of validation.
std::vector<std::size_t> wanted_by(const TrainStart& start, const TrainOptions& options) {
  const Examples& training = start.data.training;
  const RowOptions& rows = options.plan.rows;
  RowStream stream(training, rows.max_length, rows.packing, options.compute.seed);
  std::vector<bool> is_read(training.size());
  std::size_t left{training.size()};
  for (std::int64_t row = start.plan.first_row; row < start.plan.rows && left > 0; ++row)
    for (const std::uint32_t place : stream.row(row)) {
      left -= is_read[place] ? 0 : 1;
      is_read[place] = true;
    }
  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < training.size() + start.data.validation.size(); ++i)
    if (i >= training.size() || is_read[i]) wanted.push_back(i);
  return wanted;
}

// Tokens of the first 0, 1, ... of them.
std::vector<std::size_t> tokens_of(const std::vector<std::size_t>& numbers, const TrainingData& data) {
  std::vector<std::size_t> sums = {0};
  for (const std::size_t number : numbers) {
    const std::size_t before{data.training.size()};
    sums.push_back(sums.back() +
                   (number < before ? data.training.length(number) : data.validation.length(number - before)));
  }
  return sums;
}

bool compute(TrainStart& start, const std::vector<std::size_t>& missing, const std::filesystem::path& file,
             const Group& group, const base::Interrupt& interrupt, base::Context& context) {
  constexpr double kSaveEvery = 10;  // seconds
  const std::vector<std::size_t> tokens = tokens_of(missing, start.data);
  base::Progress progress(context.err, context.quiet, "references");
  const auto begun = Clock::now();
  auto saved = begun;
  const auto go_on = [&](std::size_t done) {
    const double share{static_cast<double>(tokens[done]) / static_cast<double>(tokens.back())};
    const bool is_first_round{done <= static_cast<std::size_t>(group.size())};
    if (is_first_round && !context.quiet)
      fmt::print(context.err, "references: what the model says of {} example{} before it trains, about {}\n",
                 base::human_count(missing.size()), missing.size() == 1 ? "" : "s",
                 base::human_seconds(seconds_since(begun) / share));
    progress.update(share, fmt::format("{} of {}", base::human_count(done), base::human_count(missing.size())));
    if (group.is_first() && seconds_since(saved) > kSaveEvery) {
      write_references(file, start.references);
      saved = Clock::now();
    }
    return !interrupt.requested();
  };
  const bool is_complete{compute_references(start.references, missing, start.model,
                                            {&start.data.training, &start.data.validation}, group, go_on)};
  if (group.is_first()) write_references(file, start.references);
  // A signal behind the last of them is the steps' to see.
  return is_complete || missing_in(start.references, missing, group).empty();
}

}  // namespace

bool refer(TrainStart& start, const TrainOptions& options, const Group& group, const base::Interrupt& interrupt,
           base::Context& context) {
  if (!options.preferences.has_reference()) return true;
  const std::vector<std::size_t> missing = missing_in(start.references, wanted_by(start, options), group);
  bool is_complete = true;
  if (!missing.empty()) {
    const lora::Adapter trained = start.model.adapter();
    start.model.attach(start.held_to);
    is_complete = compute(start, missing, std::filesystem::path(options.output.folder) / kReferencesFile, group,
                          interrupt, context);
    start.model.attach(trained);
    start.optimizer->adopt(start.model.parameters());
  }
  if (options.start.trains_all()) start.model.free_replaced();
  set_references(start.references, {&start.data.training, &start.data.validation});
  return is_complete;
}

}  // namespace finetune
