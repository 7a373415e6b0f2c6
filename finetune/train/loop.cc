// The steps of a training, with what comes between them. Tested by tests/finetune/train_test.cc,
// early_stopping_test.cc and bad_step_test.cc.
#include "finetune/train/loop.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/machine.h"
#include "base/progress.h"
#include "finetune/data/packing.h"
#include "finetune/train/bad_step.h"
#include "finetune/train/checkpoint.h"
#include "finetune/train/evaluate.h"
#include "finetune/train/samples.h"
#include "finetune/train/schedule.h"
#include "finetune/train/step_gradient.h"
#include "finetune/train/thread_count.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kLongStep = 2;  // seconds

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

EvaluationMetrics metrics_of(std::int64_t done, const Evaluation& found, const Objective& objective) {
  EvaluationMetrics metrics{done, found.loss, found.perplexity, found.trained_tokens};
  const std::vector<std::string> names = objective.figure_names();
  for (std::size_t i = 0; i < found.figures.size(); ++i) metrics.figures.emplace_back(names[i], found.figures[i]);
  return metrics;
}

class Loop {
 public:
  Loop(TrainStart& start, const TrainOptions& options, const Objective& objective, const Group& group,
       const base::Interrupt& interrupt, MetricsLog* log, base::Context& context)
      : start_(start),
        options_(options),
        objective_(objective),
        group_(group),
        interrupt_(interrupt),
        log_(log),
        context_(context),
        schedule_(options.optimizer, start.plan.phases),
        stream_(start.data.training, options.plan.rows.max_length, options.plan.rows.packing, options.compute.seed),
        gradient_(objective, start.model, *start.optimizer, group, options.compute.seed, options.plan.rows_per_batch,
                  start.rows_at_once),
        samples_(options.output.folder, start.resume_step, start.prompts, options.samples.sample_tokens),
        progress_(context.err, context.quiet, ""),
        done_(start.plan.first_step),
        done_rows_(start.plan.first_row),
        saved_(done_) {
    if (log_) history_ = log_->steps();
    if (!history_.empty()) seconds_before_ = history_.back().seconds;
    if (log_ && start.resume_step) kept_ = saved_steps(checkpoints());
    if (start.model.hides_threads() && options.optimizer.update.optimizer != "muon")
      threads_ = ThreadCount(at::get_num_threads());
  }

  LoopResult run() {
    tell_lost_best();
    // Before the first step, or what an interrupted run left out behind its last one.
    const bool has_validated{
        group_.any(log_ && !log_->evaluations().empty() && log_->evaluations().back().step == done_)};
    bool is_complete{has_validated || (done_ > 0 && !due(options_.intervals.eval_every)) || validate()};
    while (done_ < start_.plan.steps && !group_.any(interrupt_.requested() || is_enough())) {
      if (!make_step()) break;
      if (due(options_.intervals.eval_every)) is_complete = validate();
      if (due(options_.intervals.save_every) || is_best()) save();
    }
    progress_.finish();
    if (progress_.redraws() && !line_.empty()) fmt::print(context_.err, "{}\n", line_);
    if (saved_ != done_)
      save();
    else if (group_.is_first())
      remove_old_checkpoints(checkpoints(), options_.intervals.keep_checkpoints, kept_best());
    LoopResult result{Ending::kInterrupted, best()};
    if (is_complete && done_ == start_.plan.steps) result.ending = Ending::kComplete;
    if (is_complete && done_ < start_.plan.steps && (is_enough() || (!log_ && !interrupt_.requested())))
      result.ending = Ending::kStoppedEarly;
    return result;
  }

 private:
  bool due(std::int64_t every) const { return done_ == start_.plan.steps || (every > 0 && done_ % every == 0); }

  fs::path checkpoints() const { return fs::path(options_.output.folder) / "checkpoints"; }

  // A step of this process has a checkpoint when it is the best.
  std::optional<Best> best() const {
    if (!log_) return std::nullopt;
    return best_of(log_->evaluations(), options_.stopping.early_stopping_threshold, [&](std::int64_t step) {
      return step > start_.plan.first_step || std::ranges::find(kept_, step) != kept_.end();
    });
  }
  std::optional<std::int64_t> kept_best() const {
    const std::optional<Best> found = best();
    return found && found->step > 0 && options_.stopping.keeps_best() ? std::optional(found->step) : std::nullopt;
  }
  // A run that did not keep its best until now.
  void tell_lost_best() {
    if (!log_ || !options_.stopping.keeps_best()) return;
    const std::optional<Best> lowest = best_of(log_->evaluations(), 0), found = best();
    if (lowest && lowest->step != found->step)
      tell(
          fmt::format("note: the lowest validation loss so far, {:.4f} after step {}, has no checkpoint any more: the "
                      "best is one of the steps that have one{}, or of those to come",
                      lowest->loss, lowest->step,
                      found->step > 0 ? fmt::format(", {:.4f} after step {}", found->loss, found->step) : ""));
  }
  bool is_enough() const {
    const std::int64_t patience{options_.stopping.early_stopping_patience};
    const std::optional<Best> found = best();
    return patience > 0 && found && found->waited >= patience;
  }
  bool is_best() const {
    const std::optional<Best> found = best();
    return options_.stopping.keeps_best() && found && found->step == done_ && saved_ != done_;
  }

  // False when a signal ended it. All processes validate, the first one alone writes.
  bool validate() {
    const RowOptions& rows = options_.plan.rows;
    const auto go_on = [&] { return !interrupt_.requested(); };
    std::optional<EvaluationMetrics> metrics;
    if (!start_.data.validation.empty()) {
      const auto found = evaluate(
          start_.model, objective_, start_.data.validation, rows.max_length, rows.packing,
          [&](double) { return go_on(); }, group_);
      if (!found) return false;
      metrics = metrics_of(done_, *found, objective_);
      check(*metrics);
    }
    if (!log_) return true;
    samples_.write(start_.model, *start_.tokenizer, done_, go_on);
    if (!start_.prompts.empty() && !go_on()) return false;  // perhaps without samples
    if (!metrics) return true;
    log_->add(*metrics);
    write_report(options_.output.folder, start_.report, *log_,
                 fmt::format("{} of {} steps so far", done_, start_.plan.steps));
    tell(validation_line(*metrics, start_.plan.steps));
    return true;
  }

  // Throws, in every process, before anything of such a model is saved.
  void check(const EvaluationMetrics& metrics) const {
    if (std::isfinite(metrics.loss)) return;
    throw base::Error(
        {"the validation loss is not finite", fmt::format("step {}", metrics.step),
         std::isnan(metrics.loss) ? "nan" : fmt::format("{}", metrics.loss), "",
         done_ == 0 ? "the base itself gives no number for these records: look at them, or at the base (finetune eval)"
                    : "the last update broke the model: " + anew()});
  }
  // What to do where numbers went wrong.
  std::string anew() const {
    const std::vector<std::int64_t> saved = saved_steps(checkpoints());
    std::string advice = "begin anew with a lower --learning-rate";
    if (!saved.empty() && !options_.start.trains_all())
      advice += fmt::format(" (from what is learned: --adapter {})",
                            (checkpoints() / fmt::format("step-{}", saved.back())).string());
    return advice + (start_.facts.at("dtype") == "float32" ? "" : ", or with --dtype float32");
  }

  void save() {
    saved_ = done_;
    if (!group_.is_first()) return;
    write_checkpoint(checkpoints(),
                     {done_, done_rows_, adapter_of(start_.model, options_.start), start_.optimizer->state(),
                      start_.facts, start_.tokenizer->chat_template,
                      options_.start.trains_all() ? start_.files.get() : nullptr, start_.files.get()},
                     options_.intervals.keep_checkpoints, kept_best());
  }

  // False when a signal ended it between two batches, with nothing of it taken.
  bool make_step() {
    const auto begun = Clock::now();
    base::Progress within(context_.err, context_.quiet, fmt::format("step {}/{}", done_ + 1, start_.plan.steps));
    const std::uint64_t preempted{base::preemptions()};
    const std::int64_t last_row{std::min(done_rows_ + start_.plan.rows_per_step, start_.plan.rows)};
    std::vector<RowPlan> rows;
    for (std::int64_t row = done_rows_; row < last_row; ++row) rows.push_back(stream_.row(row));
    const auto on_split = [&](std::int64_t left) {
      within.finish();
      tell(fmt::format("out of memory: from here on {} row{} at once instead of --rows-per-batch {}, which changes {}",
                       left, left == 1 ? "" : "s", options_.plan.rows_per_batch,
                       start_.model.config().router_loss ? "the routers' balancing loss: it is of the tokens at once"
                                                         : "no gradient"));
    };
    const auto found = gradient_.compute(done_, start_.data.training, rows, on_split, [&](auto batch, auto batches) {
      // The line of the last step stands for a moment first.
      if (batches > 1 && seconds_since(begun) > kLongStep)
        within.update(static_cast<double>(batch) / static_cast<double>(batches),
                      fmt::format("{} of {} batches", batch, batches));
      return !interrupt_.requested();
    });
    within.finish();
    if (!found) return false;
    StepMetrics metrics = *found;
    metrics.gradient_norm = start_.optimizer->clip(options_.optimizer.clip).item<double>();
    metrics.step = done_ + 1;
    check(metrics);
    metrics.learning_rate = options_.optimizer.learning_rate * schedule_.factor(done_);
    start_.optimizer->step(metrics.learning_rate);
    done_ = metrics.step;
    done_rows_ = last_row;
    metrics.epoch = static_cast<double>(last_row) / static_cast<double>(stream_.rows_per_epoch());
    const double seconds{seconds_since(begun)};
    training_seconds_ += seconds;
    metrics.tokens_per_second = static_cast<double>(metrics.tokens) / seconds;
    metrics.threads = at::get_num_threads();
    choose_threads(metrics.tokens_per_second, static_cast<double>(base::preemptions() - preempted) / seconds);
    metrics.seconds = seconds_before_ + seconds_since(begun_);
    metrics.peak_memory = static_cast<std::int64_t>(base::peak_memory());
    tell(metrics);
    return true;
  }

  // Where other programs want the processor, as many as are fastest.
  void choose_threads(double rate, double preemptions) {
    if (!threads_) return;
    const int before{threads_->now()}, now{threads_->next(rate, preemptions)};
    if (now == before && now < most_threads_ && !std::exchange(has_told_threads_, true))
      tell(
          fmt::format("other programs take processor time: {} of {} threads are faster, with the same result; more are "
                      "tried from time to time",
                      now, most_threads_));
    if (now != before) at::set_num_threads(now);
  }

  // Throws, in every process, where the step is wrong in the eyes of one.
  void check(const StepMetrics& metrics) const {
    std::string wrong = wrong_with(metrics, history_, options_.optimizer.spike_factor);
    if (!group_.any(!wrong.empty())) return;
    if (wrong.empty()) wrong = "the first process stopped the step";
    const fs::path output = options_.output.folder;
    const std::string of_rank{group_.is_first() ? "" : fmt::format("-rank-{}", group_.rank())};
    const fs::path file = output / fmt::format("bad-step-{}{}.jsonl", metrics.step, of_rank);
    write_bad_step(file, metrics.step, gradient_.batches(), gradient_.batch_losses(), *start_.tokenizer);
    if (log_) write_report(output, start_.report, *log_, fmt::format("stopped at step {}: {}", metrics.step, wrong));
    const auto number = [](double value) { return std::isnan(value) ? "nan" : fmt::format("{:.5g}", value); };
    const std::vector<std::int64_t> saved = saved_steps(checkpoints());
    const bool is_spike{std::isfinite(metrics.loss) && std::isfinite(metrics.gradient_norm)};
    std::string advice = "look at the rows, or " + anew();
    if (is_spike && !saved.empty()) advice += "; --resume --spike-factor 0 goes on all the same";
    throw base::Error(
        {wrong, fmt::format("step {}", metrics.step),
         fmt::format("loss {}, norm of the gradient {}", number(metrics.loss), number(metrics.gradient_norm)), "",
         fmt::format("its rows are in {}, {}; {}", file.string(),
                     saved.empty() ? "and there is no checkpoint yet"
                                   : "the checkpoints in " + checkpoints().string() + " as they were",
                     advice)});
  }

  void tell(const std::string& text) {
    progress_.finish();
    if (!context_.quiet) fmt::print(context_.err, "{}\n", text);
  }
  void tell(const StepMetrics& metrics) {
    if (log_) log_->add(metrics);
    history_.push_back(metrics);
    const double per_step{training_seconds_ / static_cast<double>(done_ - start_.plan.first_step)};
    const double seconds_left{per_step * static_cast<double>(start_.plan.steps - done_)};
    line_ = progress_.redraws() ? step_line(metrics, start_.plan.steps, seconds_left)
                                : step_line(metrics, start_.plan.steps, seconds_left, kAnyWidth);
    if (progress_.redraws()) progress_.draw(step_line(metrics, start_.plan.steps, seconds_left, progress_.columns()));
    if (!progress_.redraws() && !context_.quiet && due(options_.intervals.log_every))
      fmt::print(context_.err, "{}\n", line_);
  }

  TrainStart& start_;
  const TrainOptions& options_;
  const Objective& objective_;
  const Group& group_;
  const base::Interrupt& interrupt_;
  MetricsLog* log_;
  base::Context& context_;
  Schedule schedule_;
  RowStream stream_;
  StepGradient gradient_;
  SampleLog samples_;
  base::Progress progress_;
  std::int64_t done_, done_rows_, saved_;
  std::vector<StepMetrics> history_;
  std::vector<std::int64_t> kept_;  // steps that had a checkpoint when a resumed run began
  std::string line_;
  Clock::time_point begun_ = Clock::now();
  double training_seconds_ = 0;  // of this process
  double seconds_before_ = 0;    // of the processes before it
  const int most_threads_ = at::get_num_threads();
  std::optional<ThreadCount> threads_;  // where they do not show in the result
  bool has_told_threads_ = false;
};

}  // namespace

LoopResult train(TrainStart& start, const TrainOptions& options, const Objective& objective, const Group& group,
                 const base::Interrupt& interrupt, MetricsLog* log, base::Context& context) {
  return Loop(start, options, objective, group, interrupt, log, context).run();
}

lora::Adapter adapter_of(const Transformer& model, const StartOptions& start) {
  lora::Adapter adapter = model.adapter();
  // A hub name stays a name; a path must still be right when the adapter is read from another folder.
  adapter.base_model = !start.base_name.empty()  ? start.base_name
                       : fs::exists(start.model) ? fs::absolute(start.model).lexically_normal().string()
                                                 : start.model;
  return adapter;
}

}  // namespace finetune
