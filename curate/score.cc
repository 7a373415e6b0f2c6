// `curate score`: scores added to records, nothing dropped. Tested by tests/curate/commands_test.cc.
#include "curate/score.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/json_values.h"
#include "base/pipeline.h"
#include "base/progress.h"
#include "base/stream.h"
#include "base/text.h"
#include "curate/records/field_reader.h"
#include "curate/records/record.h"
#include "curate/stages/run_options.h"

namespace curate {

ScoreOptions::ScoreOptions() {
  for (const char* name : {"language", "textbook"}) {
    auto found = step_registry().find(name);
    if (found != step_registry().end()) steps.push_back({name, name, found->second()});
  }
}

void ScoreOptions::visit(base::OptionVisitor& v) {
  reading.visit(v);
  v.required("output", output, "file to write: .jsonl, .jsonl.zst or .jsonl.gz", base::PathKind::kOutputRecords);
  v.list("steps", steps, step_registry(),
         "the steps whose scores are wanted; the usual ones are language and textbook");
  visit_nan(v, nan);
  v("values", values, "also every measured value of every step, under hornbook.values");
}

namespace {

struct Worker {
  explicit Worker(bool nan_is_null) : parser(nan_is_null) {}
  RecordParser parser;
  Document document;
  std::vector<Measure> measures;
};

struct Scored {
  std::string bytes;
  std::uint64_t records = 0, refused = 0, repeated_keys = 0, non_finite = 0;
  std::string first_error;
  base::InputTally files;
};

Scored score_block(DocumentBlock documents, const std::vector<std::string>& files, const ScoreOptions& options,
                   Worker& worker) {
  Scored result;
  auto refuse = [&](const base::Place& place, std::string_view, std::uint64_t, const std::string& error) {
    if (result.refused++ == 0)
      result.first_error = fmt::format("{}:{}: {}", files[place.file], base::line_text(place), error);
  };
  auto use = [&](const Record& record, const base::Place&) {
    Document& document = worker.document;
    document.reset(record.text, record.id, record.source);
    std::string members, values;
    for (const base::NamedGroup& entry : options.steps) {
      worker.measures.clear();
      dynamic_cast<const Step&>(*entry.group).apply(document, options.values ? &worker.measures : nullptr);
      for (const Measure& measure : worker.measures) {
        if (!values.empty()) values += ',';
        base::append_json_string(values, entry.label + "." + std::string(measure.name));
        values += ':';
        append_json_number(values, measure.value);
      }
    }
    append_scores(members, document.scores(), document.labels());
    if (options.values) members += (members.empty() ? "\"values\":{" : ",\"values\":{") + values + "}";
    append_record(result.bytes, record.line, documents.fields->names.text, nullptr, members);
    ++result.records;
    result.repeated_keys += record.repeated_keys;
    result.non_finite += record.non_finite;
  };
  for_each_document(documents, worker.parser, result.files, use, refuse);
  return result;
}

}  // namespace

int run_score(ScoreOptions& options, base::Context& context) {
  for (const base::NamedGroup& entry : options.steps)
    if (entry.name == "deduplicate" || entry.name == "sample")
      throw base::UsageError({"the step gives no score, and nothing is dropped here", "steps", entry.label,
                              "steps that measure", "take it out, or filter with 'curate run'"});
  const std::vector<std::string> files = options.reading.files(context);
  prepare_steps(options.steps, context);
  const int threads = base::thread_count(options.reading.threads);
  base::RecordOptions record_options = options.reading.records();
  record_options.lazy = true;
  FieldReader reader(files, record_options, options.reading.fields());
  // Frames are compressed by the workers; other codecs by the writer.
  const bool frames = base::has_suffix(options.output, ".zst");
  std::unique_ptr<base::ByteWriter> writer = frames ? nullptr : base::open_writer(options.output);
  std::optional<base::FileWriter> file;
  if (frames) file.emplace(options.output);
  std::uint64_t records = 0, refused = 0, repeated_keys = 0, non_finite = 0;
  std::string first_error;
  base::InputTally tally;
  base::Progress progress(context.err, context.quiet, "curate score");
  const bool nan_is_null = options.nan == "null";
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < threads; ++i) workers.push_back(std::make_unique<Worker>(nan_is_null));
  base::ordered_pipeline<DocumentBlock, Scored>(
      threads, [&] { return reader.next(); },
      [&](DocumentBlock documents, int worker) {
        Scored scored = score_block(std::move(documents), files, options, *workers[static_cast<std::size_t>(worker)]);
        if (frames) scored.bytes = base::zstd_compress(scored.bytes);
        return scored;
      },
      [&](Scored scored) {
        if (frames) {
          file->write(scored.bytes);
        } else {
          writer->write(scored.bytes);
        }
        records += scored.records;
        refused += scored.refused;
        repeated_keys += scored.repeated_keys;
        non_finite += scored.non_finite;
        tally.add(scored.files);
        if (first_error.empty()) first_error = scored.first_error;
        progress.update(reader.progress(), base::human_count(records) + " records");
      });
  if (frames) {
    file->commit();
  } else {
    writer->commit();
  }
  progress.finish();
  if (!context.quiet) {
    for (const std::string& note : reader.notes()) fmt::print(context.err, "{}\n", note);
    fmt::print(context.err, "{} records scored, {} could not be read{}\n", base::human_count(records),
               base::human_count(refused), refused > 0 ? ", the first: " + first_error : "");
    for (const std::string& note : record_notes(repeated_keys, non_finite, nan_is_null))
      fmt::print(context.err, "{}\n", note);
  }
  if (context.json)
    context.out << nlohmann::json({{"records", records},
                                   {"unreadable", refused},
                                   {"repeated_keys", repeated_keys},
                                   {"non_finite", non_finite}})
                       .dump()
                << "\n";
  const int status = base::tell_losses(tally.losses(files, options.reading.limit == 0), context);
  return refused > 0 ? 1 : status;
}

int run_steps(StepsOptions&, base::Context& context) {
  if (context.json) {
    nlohmann::json all = nlohmann::json::object();
    for (const auto& [name, make] : step_registry()) {
      auto group = make();
      base::OptionSet set(*group);
      nlohmann::json& options = all[name] = nlohmann::json::array();
      for (const base::Option& option : set.options())
        options.push_back({{"option", option.name},
                           {"type", option.type},
                           {"default", option.fallback},
                           {"help", option.help},
                           {"range", option.range.text()},
                           {"choices", option.choices}});
    }
    context.out << base::json_dump(all, 1) << "\n";
    return 0;
  }
  for (const auto& [name, make] : step_registry()) {
    auto group = make();
    base::OptionSet set(*group);
    fmt::print(context.out, "{}\n", name);
    for (const base::Option& option : set.options()) {
      const std::string choices = option.choices.empty() ? "" : " " + base::join(option.choices, "|");
      context.out << base::help_entry(option.name + choices, option.description(), 30);
    }
  }
  return 0;
}

}  // namespace curate
