// `curate run`: the pipeline. Tested by tests/curate/run_test.cc.
#include "curate/run.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/inputs.h"
#include "base/interrupt.h"
#include "base/json_values.h"
#include "base/machine.h"
#include "base/output_folder.h"
#include "base/parquet.h"
#include "base/pipeline.h"
#include "base/progress.h"
#include "base/run_lock.h"
#include "base/stream.h"
#include "base/text.h"
#include "base/unicode.h"
#include "curate/dedup/duplicate_search.h"
#include "curate/dry_run.h"
#include "curate/records/parquet_output.h"
#include "curate/report/report.h"
#include "curate/stages/checkpoint.h"
#include "curate/stages/memory.h"
#include "curate/stages/score_check.h"
#include "curate/stages/stage.h"
#include "curate/stages/stage_outputs.h"

namespace curate {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// One run. The members are what its stages share.
class Run {
 public:
  Run(RunOptions& options, base::Context& context);
  // False when a signal ended it before the last stage was done: the checkpoint says how far it came.
  bool all_stages();
  nlohmann::json finish();

 private:
  fs::path work(const std::string& name) const { return output_ / ".work" / name; }
  fs::path work(const char* name, std::uint32_t stage) const { return work(fmt::format("{}-{}", name, stage)); }
  bool parquet() const { return options_.format == "parquet"; }  // .work/kept becomes kept in the end
  std::optional<DocumentBlock> read();
  void look_ahead();
  void check_continues(const std::string& deciding, const std::vector<InputFile>& inputs,
                       const std::vector<InputFile>& step_files) const;
  void start_or_resume(const std::string& run_yaml);
  void first_stage(const StagePlan& plan);
  void later_stage(const StagePlan& plan);
  std::vector<Duplicate> settle(const SpillReader& spill, const PrintsReader& prints);
  void check_quarantined(bool at_end);
  void take(BlockResult result, double share);
  void open_outputs();
  StageSetup stage_setup(const StagePlan& plan) const;
  void checkpoint();

  RunOptions& options_;
  base::Context& context_;
  fs::path output_;
  base::RunLock lock_;  // of the output, until the run ends
  int threads_;
  std::optional<MemoryBudget> memory_;
  std::vector<std::string> files_, names_;
  std::vector<StagePlan> stages_;
  std::optional<FieldReader> reader_;
  std::deque<DocumentBlock> ahead_;  // read before the output folder was touched
  Checkpoint state_;
  Clock::time_point start_ = Clock::now(), saved_ = start_;
  double seconds_before_ = 0;
  std::optional<StageOutputs> outputs_;
  base::Progress progress_;
  std::optional<base::Interrupt> interrupt_;
};

Run::Run(RunOptions& options, base::Context& context)
    : options_(options),
      context_(context),
      output_(options.output),
      threads_(base::thread_count(options.reading.threads)),
      files_(options.reading.files(context)),
      names_(base::input_names(files_)),
      progress_(context.err, context.quiet, "curate run") {
  lock_.take(output_);
  base::check_output_folder(output_, options.resume, options.overwrite, context.run_yaml);
  const bool reads_parquet = std::any_of(
      files_.begin(), files_.end(), [](const std::string& file) { return base::record_format(file) == "parquet"; });
  if (reads_parquet || parquet()) base::require_parquet();
  base::RecordOptions record_options = options.reading.records();
  record_options.block_bytes = 2 << 20;
  record_options.lazy = true;
  reader_.emplace(files_, record_options, options.reading.fields());
  prepare_steps(options.steps, context);
  // The models are in memory now. Parquet is written at the end, beside what the stages leave in the heap.
  memory_.emplace(options.memory, threads_, parquet() ? kParquetWriterMemory * 3 / 2 : 0);
  stages_ = plan_stages(options.steps);
  look_ahead();
  check_scores(options.steps, ahead_);
  start_or_resume(context.run_yaml);
  interrupt_.emplace(context.quiet ? "" : "\nfinishing what is begun; a second signal leaves at once\n");
}

// Throws when the files are not the `before` ones.
void check_unchanged(const std::vector<InputFile>& before, const std::vector<InputFile>& now, const char* what) {
  for (std::size_t i = 0; i < std::max(before.size(), now.size()); ++i)
    if (i >= before.size() || i >= now.size() || !(before[i] == now[i]))
      throw base::UsageError({std::string(what) + " changed since the run to be resumed",
                              (i < now.size() ? now : before)[i].path, "", "", "start again with --overwrite"});
}

// Throws when this is not the continuation of the run in state_.
void Run::check_continues(const std::string& deciding, const std::vector<InputFile>& inputs,
                          const std::vector<InputFile>& step_files) const {
  const std::vector<std::string> was = base::split(state_.options, '\n'), is = base::split(deciding, '\n');
  for (std::size_t i = 0; i < std::max(was.size(), is.size()); ++i) {
    std::string before = i < was.size() ? was[i] : "", now = i < is.size() ? is[i] : "";
    if (before != now)
      throw base::UsageError({"the options differ from the run to be resumed", options_.output, now, before,
                              "resume with --config " + (output_ / "run.yaml").string() + ", or --overwrite"});
  }
  check_unchanged(state_.inputs, inputs, "the input");
  check_unchanged(state_.step_files, step_files, "a file that a step reads");
  if (std::find(files_.begin(), files_.end(), "-") != files_.end())
    throw base::UsageError("a run that reads standard input cannot be resumed", "-");
}

void Run::start_or_resume(const std::string& run_yaml) {
  // What may differ between a run and its continuation.
  const std::string deciding = base::valid_utf8(
      base::without_options(run_yaml.substr(base::run_head_of(run_yaml).size()),
                            {"resume", "overwrite", "threads", "memory", "max_bad", "checkpoint_seconds"}));
  const std::vector<InputFile> inputs = look_at(files_);
  std::vector<std::string> read_by_steps;
  for (const base::NamedGroup& step : options_.steps)
    for (std::string& file : dynamic_cast<const Step&>(*step.group).files()) read_by_steps.push_back(std::move(file));
  const std::vector<InputFile> step_files = look_at(read_by_steps);
  if (options_.resume && fs::exists(work("checkpoint.json"))) {
    state_ = read_checkpoint(work("checkpoint.json"));
    check_continues(deciding, inputs, step_files);
    seconds_before_ = state_.seconds;
    if (!context_.quiet)
      fmt::print(context_.err, "resuming stage {} behind block {}\n", state_.stage + 1, state_.blocks);
    return;
  }
  std::uint64_t bytes = 0;
  for (const InputFile& input : inputs) bytes += input.size;
  base::check_free_space(output_, bytes, options_.overwrite);
  base::prepare_output_folder(output_, options_.resume, options_.overwrite, run_yaml, lock_);
  fs::remove(output_ / "report.json");
  fs::create_directories(output_ / ".work");
  base::write_file(output_ / "run.yaml", base::without_options(run_yaml, {"resume", "overwrite"}));
  state_.options = deciding;
  state_.inputs = inputs;
  state_.step_files = step_files;
}

std::optional<DocumentBlock> Run::read() {
  if (ahead_.empty()) return reader_->next();
  DocumentBlock documents = std::move(ahead_.front());
  ahead_.pop_front();
  return documents;
}

// Reads until the fields are known: a wrong name is refused before the output folder is touched.
void Run::look_ahead() {
  constexpr std::size_t kMost = 16;
  while (!reader_->detected() && ahead_.size() < kMost) {
    std::optional<DocumentBlock> documents = reader_->next();
    if (!documents) break;
    ahead_.push_back(std::move(*documents));
  }
}

void Run::open_outputs() {
  StagePaths paths{parquet() ? work("kept") : output_ / "kept", output_ / "dropped", output_ / "quarantine", {}, {}};
  if (state_.stage + 1 < stages_.size())
    paths.spill = work("spill", state_.stage), paths.prints = work("prints", state_.stage);
  outputs_.reset();  // the last stage's are closed before this one's are opened
  outputs_.emplace(paths, std::max<std::uint64_t>(1, options_.shard_size.bytes), state_);
}

void Run::checkpoint() {
  outputs_->sync();
  outputs_->note(state_);
  state_.seconds = seconds_before_ + since(start_);
  write_checkpoint(work("checkpoint.json"), state_);
  saved_ = Clock::now();
}

void Run::check_quarantined(bool at_end) {
  const Statistics& s = state_.statistics;
  const base::Tolerance& most = options_.max_bad;
  const bool unlimited = most.percent < 0 && most.records == 0;
  if (unlimited || !most.is_exceeded(s.quarantined.records, s.read.records, at_end)) return;
  checkpoint();
  throw base::Error({"too many records could not be read", (output_ / "quarantine").string(),
                     base::human_count(s.quarantined.records) + " of " + base::human_count(s.read.records),
                     "at most --max-bad " + most.text(),
                     "look at what is in there; a larger --max-bad and --resume go on"});
}

// The results of one block, in input order.
void Run::take(BlockResult result, double share) {
  outputs_->append(result);
  state_.statistics.add(result.statistics);
  state_.files.add(result.files);
  ++state_.blocks;
  const Statistics& s = state_.statistics;
  check_quarantined(false);
  if (since(saved_) >= options_.checkpoint_seconds) checkpoint();
  progress_.update(share,
                   fmt::format("{}, {} records, {} dropped", base::human_bytes(static_cast<double>(s.input_bytes)),
                               base::human_count(s.read.records), base::human_count(s.dropped.records)));
}

StageSetup Run::stage_setup(const StagePlan& plan) const {
  StageSetup setup;
  setup.plan = plan;
  setup.fields = state_.fields;
  setup.files = files_;
  setup.names = names_;
  setup.level = options_.level;
  setup.nan_is_null = options_.nan == "null";
  setup.keep_values = options_.keep_values;
  setup.only_reasons = options_.dropped == "reasons";
  setup.last = state_.stage + 1 == stages_.size();
  return setup;
}

void Run::first_stage(const StagePlan& plan) {
  if (const std::vector<std::string> notes = reader_->notes(); !notes.empty() && !context_.quiet)
    fmt::print(context_.err, "{}\n", base::join(notes, "\n"));
  for (std::uint64_t done = state_.blocks; done > 0; --done) read();  // by the run that was interrupted
  const StageSetup setup = stage_setup(plan);
  std::vector<std::unique_ptr<StageWorker>> workers;
  for (int i = 0; i < threads_; ++i) workers.push_back(std::make_unique<StageWorker>(setup));
  base::ordered_pipeline<DocumentBlock, BlockResult>(
      threads_, [&] { return interrupt_->requested() ? std::nullopt : read(); },
      [&](DocumentBlock documents, int worker) {
        return workers[static_cast<std::size_t>(worker)]->read(std::move(documents));
      },
      [&](BlockResult result) { take(std::move(result), reader_->progress()); }, memory_->blocks_in_flight());
  if (interrupt_->requested()) return;
  state_.fields.clear();
  for (const auto& set : reader_->sets()) state_.fields.push_back(set->names);
  state_.field_notes = reader_->notes();
  reader_.reset();  // its buffers are as large as the longest record
  check_quarantined(true);
}

// Which documents of the stage before are duplicates. Counted once, also when this is repeated after an interruption.
std::vector<Duplicate> Run::settle(const SpillReader& spill, const PrintsReader& prints) {
  const Deduplicate& deduplicate = *stages_[state_.stage - 1].deduplicate;
  Clock::time_point start = Clock::now();
  struct Scratch {
    explicit Scratch(const Deduplicate& options) : fingerprinter(options) {}
    RecordParser parser;
    Fingerprinter fingerprinter;
    SpillReader::Buffer buffer;
  };
  std::vector<std::unique_ptr<Scratch>> scratch;
  for (int i = 0; i < threads_; ++i) scratch.push_back(std::make_unique<Scratch>(deduplicate));
  DuplicateSearch search;
  search.documents = prints.documents();
  search.threads = threads_;
  search.memory = options_.search_memory > 0 ? options_.search_memory : memory_->left();
  search.budget = memory_->total();
  search.elsewhere = std::max(memory_->used(), search.budget - std::min(search.memory, search.budget));
  search.prints = [&](std::uint64_t first, std::span<Fingerprint> some) { prints.read(first, some); };
  search.sets = [&](const Fingerprint& print, int worker, std::vector<std::uint64_t>& set) {
    Scratch& own = *scratch[static_cast<std::size_t>(worker)];
    SpillEntry entry = spill.entry(print.place, own.buffer);
    own.fingerprinter.shingle_set(spilled_text(own.buffer, entry, state_.fields, own.parser), set);
  };
  std::optional<PairList> pairs;
  if (!deduplicate.pairs.empty()) {
    const std::uint64_t share = search.memory / 8;
    pairs.emplace(output_ / ".work", share);
    search.memory -= share;
  }
  std::uint64_t bounded = 0;
  std::vector<Duplicate> duplicates = find_duplicates(search, deduplicate, pairs ? &*pairs : nullptr, &bounded);
  if (pairs)
    write_pairs(deduplicate.pairs, *pairs, [&](std::uint64_t index) {
      Fingerprint print;
      prints.read(index, {&print, 1});
      return std::string(spill.entry(print.place, scratch[0]->buffer).id);
    });
  if (state_.settled >= state_.stage) return duplicates;
  state_.settled = state_.stage;
  std::vector<std::uint32_t> copies(duplicates.size(), 0);
  for (const Duplicate& duplicate : duplicates)
    if (duplicate.dropped()) ++copies[duplicate.of];
  for (std::uint32_t count : copies)
    if (count > 0) ++state_.statistics.clusters[std::uint64_t{count} + 1];
  state_.statistics.bounded += bounded;
  state_.statistics.duplicate_seconds += since(start);
  return duplicates;
}

void Run::later_stage(const StagePlan& plan) {
  SpillReader spill(work("spill", state_.stage - 1));
  PrintsReader prints(work("prints", state_.stage - 1));
  if (prints.documents() != spill.documents())
    throw base::Error(
        {"the intermediate files do not fit together", output_.string(), "", "", "start again with --overwrite"});
  const std::vector<Duplicate> duplicates = settle(spill, prints);
  base::release_memory();
  StageSetup setup = stage_setup(plan);
  setup.spill = &spill;
  setup.duplicates = duplicates;
  setup.prints = &prints;
  setup.duplicate_label = stages_[state_.stage - 1].label;
  std::vector<std::unique_ptr<StageWorker>> workers;
  for (int i = 0; i < threads_; ++i) workers.push_back(std::make_unique<StageWorker>(setup));
  std::size_t block = state_.blocks;
  const auto blocks = static_cast<double>(spill.blocks().size());
  base::ordered_pipeline<std::size_t, BlockResult>(
      threads_,
      [&]() -> std::optional<std::size_t> {
        if (block >= spill.blocks().size() || interrupt_->requested()) return std::nullopt;
        return block++;
      },
      [&](std::size_t number, int worker) {
        return workers[static_cast<std::size_t>(worker)]->reread(spill.blocks()[number]);
      },
      [&](BlockResult result) { take(std::move(result), static_cast<double>(state_.blocks) / blocks); },
      memory_->blocks_in_flight());
}

bool Run::all_stages() {
  while (state_.stage < stages_.size()) {
    open_outputs();
    if (state_.stage == 0) {
      first_stage(stages_[0]);
    } else {
      later_stage(stages_[state_.stage]);
    }
    if (interrupt_->requested()) {
      checkpoint();
      progress_.finish();
      return false;
    }
    if (state_.stage + 1 == stages_.size()) break;
    // The next checkpoint is one of the next stage, which reads spill and prints and nothing else of this stage.
    outputs_->close_spill();
    outputs_->note(state_);
    ++state_.stage;
    state_.blocks = 0;
    if (since(saved_) >= options_.checkpoint_seconds) checkpoint();
  }
  progress_.finish();
  return true;
}

nlohmann::json Run::finish() {
  if (parquet()) {
    checkpoint();  // writing it takes a while
  } else {
    outputs_->sync();
  }
  const Statistics& s = state_.statistics;
  if (outputs_->records() != s.read.records)
    throw base::Error({"the books do not balance: this is a fault of the program", output_.string(),
                       base::human_count(outputs_->records()) + " written", base::human_count(s.read.records) + " read",
                       "please report it with the run.yaml"});
  ParquetSummary summary;
  if (parquet()) {
    const auto writers = static_cast<int>(std::min<std::uint64_t>(memory_->left() / kParquetWriterMemory, 1000));
    summary = write_parquet(work("kept"), output_ / "kept",
                            {files_, state_.fields.empty() ? "text" : state_.fields[0].text,
                             options_.reading.records().text_field, options_.level, std::clamp(writers, 1, threads_)});
  }
  const std::uint64_t limit = options_.reading.limit;
  const bool all_read = limit == 0 || s.read.records < limit;
  RunFacts facts{files_,
                 state_.fields,
                 state_.field_notes,
                 state_.files.losses(files_, all_read),
                 threads_,
                 seconds_before_ + since(start_)};
  nlohmann::json report = make_report(options_, facts, s);
  if (parquet()) report["parquet"] = {{"fields", summary.fields}, {"json_text", summary.json_text}};
  // Something for kept/*.jsonl.zst to match.
  if (!parquet() && outputs_->kept() == 0)
    base::write_file(output_ / "kept" / "00000.jsonl.zst", base::zstd_compress(""));
  base::write_file(output_ / "report.html", report_html(report));
  base::write_file(output_ / "report.json", base::json_dump(report, 1) + "\n");
  fs::remove(work("checkpoint.json"));  // first: without it and with a report the run is complete
  fs::remove_all(output_ / ".work");
  return report;
}

}  // namespace

int run_pipeline(RunOptions& options, base::Context& context) {
  if (options.dry_run > 0) return run_dry(options, context);
  if (options.output.empty())
    throw base::UsageError(
        {"missing option --output", "", "", "a folder to write", "or --dry-run N, which writes none"});
  const fs::path output(options.output);
  if (options.resume && fs::exists(output / "report.json") && !fs::exists(output / ".work" / "checkpoint.json")) {
    fs::remove_all(output / ".work");  // killed while this was removed
    if (!context.quiet) fmt::print(context.err, "{} is complete already\n", options.output);
    const auto losses = losses_of(nlohmann::json::parse(base::read_file(output / "report.json")));
    const int status = base::tell_losses(losses, context);
    if (!losses.empty()) fmt::print(context.err, "so it was then; to read mended files: --overwrite\n");
    return status;
  }
  Run run(options, context);
  if (!run.all_stages()) {
    const bool again =
        std::find(options.reading.input.begin(), options.reading.input.end(), "-") == options.reading.input.end();
    if (!context.quiet)
      fmt::print(context.err, "interrupted; {}\n",
                 again ? "it is all saved\nnext: curate run --config " +
                             base::shell_word((output / "run.yaml").string()) + " --resume"
                       : "standard input cannot be read again: start over with --overwrite");
    return base::kInterrupted;
  }
  const nlohmann::json report = run.finish();
  if (!context.quiet) {
    print_summary(context.err, report);
    fmt::print(context.err, "report: {}\n", (output / "report.html").string());
  }
  if (context.json) context.out << base::json_dump(report, 1) << "\n";
  return base::tell_losses(losses_of(report), context);
}

}  // namespace curate
