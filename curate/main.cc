// The program `curate`: its commands. Tested by tests/cli/run.py.
#include "base/program.h"
#include "curate/duplicates.h"
#include "curate/explain.h"
#include "curate/instruct.h"
#include "curate/presets.h"
#include "curate/report_command.h"
#include "curate/run.h"
#include "curate/score.h"
#include "curate/train_scorer.h"

int main(int argc, char** argv) {
  using base::make_command;
  base::Program program;
  program.name = "curate";
  program.summary = "a textbook-quality filter for text corpora, and instruction data sets";
  base::Command run = make_command("run", "filter, score and deduplicate documents",
                                   "curate run --preset textbook corpus/*.jsonl --output out", curate::run_pipeline);
  base::Command explain =
      make_command("explain", "why one document is kept or dropped: every value beside its threshold",
                   "curate explain --run out --id 42", curate::run_explain);
  run.presets = explain.presets = curate::presets();
  program.commands = {
      run,
      make_command("score", "add scores to records, drop nothing",
                   "curate score corpus.jsonl --output scored.jsonl.zst", curate::run_score),
      curate::train_scorer_command(),
      make_command("duplicates", "the verified near-duplicates of an input, as ids",
                   "curate duplicates corpus/*.jsonl >duplicates.jsonl", curate::run_duplicates),
      make_command("instruct", "instruction data of several formats into chat records",
                   "curate instruct alpaca.json sharegpt.jsonl --output out --validation-share 0.05",
                   curate::run_instruct),
      explain,
      make_command("report", "write report.html again from report.json", "curate report out", curate::run_report),
      make_command("steps", "every step with its options", "curate steps", curate::run_steps),
  };
  return base::run_program(program, argc, argv);
}
