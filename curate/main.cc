#include "base/program.h"
#include "curate/duplicates.h"
#include "curate/instruct.h"
#include "curate/run.h"

int main(int argc, char** argv) {
  base::Program program;
  program.name = "curate";
  program.summary = "a textbook-quality filter for text corpora, and instruction data sets";
  program.commands.push_back(base::make_command<curate::RunOptions>(
      "run", "filter, score and deduplicate documents",
      "curate run --config configs/curate-textbook.yaml corpus/*.jsonl --output out", curate::run_pipeline));
  program.commands.push_back(base::make_command<curate::InstructOptions>(
      "instruct", "instruction data of several formats into chat records",
      "curate instruct alpaca.json sharegpt.jsonl --output out --validation-share 0.05", curate::run_instruct));
  program.commands.push_back(base::make_command<curate::DuplicatesOptions>(
      "duplicates", "the verified near-duplicates of an input, as ids",
      "curate duplicates corpus/*.jsonl >duplicates.jsonl", curate::run_duplicates));
  return base::run_program(program, argc, argv);
}
