// The options of `curate run`, and what they amount to: a plan of stages. Tested by tests/curate/configs_test.cc.
#include "curate/stages/run_options.h"

#include <fmt/ostream.h>

#include "base/delimiter.h"
#include "base/error.h"
#include "base/inputs.h"
#include "curate/stages/memory.h"

namespace curate {

void InputOptions::visit(base::OptionVisitor& v) {
  v.positional(
      "input", input,
      "files, folders or globs: .parquet, .jsonl .json .csv .tsv .txt (each also .zst or .gz); - is standard input");
  v("text_field", text_field, "the field that holds the text; found out when not given");
  v("id_field", id_field, "the field that holds the id; found out when not given, else FILE:LINE");
  v("source_field", source_field, "the field that names the source; found out when not given, else the file's name");
  v("date_field", date_field, "the field that keep: newest compares; found out when not given");
  v.choice("split", split, {"file", "line", "paragraph"}, "what one document of a .txt file is");
  text.visit(v);
  v("limit", limit, "stop after this many records, 0 = all");
  v("max_record", max_record, "a longer line is quarantined").at_least(1);
  v("threads", threads, "threads, 0 = as many as the machine has").at_least(0);
}

std::vector<std::string> InputOptions::files(const base::Context& context) const {
  std::vector<std::string> files = base::expand_inputs(input, context);
  if (files.empty()) throw base::UsageError({"no input was given", "input", "", "files, folders or globs", ""});
  base::tell_unused_delimiter(text.delimiter, files, context);
  return files;
}

base::RecordOptions InputOptions::records() const {
  base::RecordOptions options;
  options.limit = limit;
  options.folder_fields = true;
  options.split_text = split;
  options.text = text;
  options.max_record_bytes = max_record.bytes;
  if (!text_field.empty()) options.text_field = text_field;
  return options;
}

void visit_nan(base::OptionVisitor& v, std::string& nan) {
  v.choice("nan", nan, {"keep", "null"}, "NaN and Infinity in records: carried as they stand, or null");
}

void RunOptions::visit(base::OptionVisitor& v, bool writes) {
  reading.visit(v);
  const char* output_help =
      "folder for kept/, dropped/, quarantine/, report.json, report.html and run.yaml; needed but with --dry-run";
  if (writes) {
    v("output", output, output_help, base::PathKind::kOutputFolder);
  } else {
    v("output", output, output_help);  // named in a config, not written
  }
  v.list("steps", steps, step_registry(), "the steps in order; 'curate steps' lists them with their options");
  v.choice("format", format, {"jsonl", "parquet"}, "of kept/; dropped/ and quarantine/ are always .jsonl.zst");
  visit_nan(v, nan);
  v.choice("dropped", dropped, {"full", "reasons"},
           "what dropped/ holds of a record: all of it, or only its id, its source and why it was dropped");
  v("shard_size", shard_size, "a new file begins when its records have reached this size, uncompressed").at_least(1);
  v("memory", memory, kMemoryHelp);
  v("level", level, "zstd level of kept/; what is not kept is written with 1").between(1, 19);
  v("max_bad", max_bad, "stop when more records, or a larger share (1%), are quarantined; 0 = never");
  v("checkpoint_seconds", checkpoint_seconds, "at most this much work is repeated by --resume")
      .at_least(0)
      .unit("seconds");
  v("dry_run", dry_run, "write nothing; say from so many records, taken at random, what the run would do");
  v("keep_values", keep_values, "write every value of every rule under hornbook.values, for curate report --sweep");
  v("resume", resume, "go on with a run that was interrupted");
  v("overwrite", overwrite, "empty the output folder of an earlier run, before anything new is there");
}

void prepare_steps(const std::vector<base::NamedGroup>& steps, base::Context& context) {
  for (const base::NamedGroup& entry : steps) {
    Step& step = dynamic_cast<Step&>(*entry.group);
    step.prepare();
    for (const Note& note : step.notes())
      if (!note.text.empty() && !context.quiet) fmt::print(context.err, "{}: {}\n", entry.label, note.text);
  }
}

std::vector<StagePlan> plan_stages(const std::vector<base::NamedGroup>& steps) {
  std::vector<StagePlan> stages(1);
  for (const base::NamedGroup& entry : steps) {
    if (auto* deduplicate = dynamic_cast<Deduplicate*>(entry.group.get())) {
      stages.back().deduplicate = deduplicate;
      stages.back().label = entry.label;
      stages.emplace_back();
    } else {
      stages.back().rules.push_back({entry.label, dynamic_cast<Step*>(entry.group.get())});
    }
  }
  return stages;
}

}  // namespace curate
