#include "curate/score.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/pipeline.h"
#include "base/progress.h"
#include "base/stream.h"
#include "base/text.h"
#include "curate/record.h"
#include "curate/run_options.h"

namespace curate {

ScoreOptions::ScoreOptions() {
  for (const char* name : {"language", "textbook"}) {
    auto found = step_registry().find(name);
    if (found != step_registry().end()) steps.push_back({name, name, found->second()});
  }
}

void ScoreOptions::visit(base::OptionVisitor& v) {
  reading.visit(v);
  v.required("output", output, "file to write: .jsonl, .jsonl.zst or .jsonl.gz", base::PathKind::kOutput);
  v.list("steps", steps, step_registry(),
         "the steps whose scores are wanted; the usual ones are language and textbook");
  v("values", values, "also every measured value of every step, under hornbook.values");
}

namespace {

struct Worker {
  RecordParser parser;
  Document document;
  std::vector<Measure> measures;
};

struct Scored {
  std::string bytes;
  std::uint64_t records = 0, bad = 0;
  std::string first_error;
};

Scored score_block(base::Block block, const FieldNames& fields, const std::vector<std::string>& files,
                   const ScoreOptions& options, Worker& worker) {
  Scored result;
  std::vector<base::BadBytes> bad;
  base::decode_block(block, bad);
  result.bad = bad.size();
  if (!bad.empty())
    result.first_error = fmt::format("{}:{}: {}", files[bad[0].place.file], bad[0].place.line, bad[0].error);
  block.bytes.reserve(block.bytes.size() + 64);  // the parser may read behind the last line
  const char* end = block.bytes.data() + block.bytes.capacity();
  base::for_each_line(block, [&](std::string_view line, const base::Place& place) {
    Record record;
    std::string error =
        worker.parser.parse(line, static_cast<std::size_t>(end - (line.data() + line.size())), fields, record);
    if (!error.empty()) {
      if (result.bad++ == 0) result.first_error = fmt::format("{}:{}: {}", files[place.file], place.line, error);
      return;
    }
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
    append_record(result.bytes, record.line, fields.text, nullptr, members);
    ++result.records;
  });
  return result;
}

}  // namespace

int run_score(ScoreOptions& options, base::Context& context) {
  const std::vector<std::string> files = options.reading.files(context);
  prepare_steps(options.steps, context);
  const int threads = base::thread_count(options.reading.threads);
  base::RecordOptions record_options = options.reading.records();
  record_options.lazy = true;
  FieldReader reader(files, record_options, options.reading.fields());
  std::uint64_t unread = 0;  // pieces of files that are in no block
  std::string first_unread;
  auto next = [&] {
    std::vector<base::BadBytes> bad;
    std::optional<base::Block> block = reader.next(bad);
    if (unread == 0 && !bad.empty())
      first_unread = fmt::format("{}@{}: {}", files[bad[0].place.file], bad[0].place.offset, bad[0].error);
    unread += bad.size();
    return block;
  };
  // Frames are compressed by the workers; other codecs by the writer.
  const bool frames = options.output.ends_with(".zst");
  std::unique_ptr<base::ByteWriter> writer = frames ? nullptr : base::open_writer(options.output);
  std::optional<base::FileWriter> file;
  if (frames) file.emplace(options.output);
  std::uint64_t records = 0, unreadable = 0;
  std::string first_error;
  base::Progress progress(context.err, context.quiet, "curate score");
  std::vector<Worker> workers(static_cast<std::size_t>(threads));
  auto score = [&](base::Block block, int worker) {
    Scored scored =
        score_block(std::move(block), reader.fields(), files, options, workers[static_cast<std::size_t>(worker)]);
    if (frames) scored.bytes = base::zstd_compress(scored.bytes);
    return scored;
  };
  auto take = [&](Scored scored) {
    if (frames) {
      file->write(scored.bytes);
    } else {
      writer->write(scored.bytes);
    }
    records += scored.records;
    unreadable += scored.bad;
    if (first_error.empty()) first_error = scored.first_error;
    progress.update(reader.progress(), base::human_count(records) + " records");
  };
  std::optional<base::Block> first = next();
  for (; first && !reader.detected(); first = next()) take(score(std::move(*first), 0));
  if (!context.quiet) fmt::print(context.err, "text: \"{}\"\n", reader.fields().text);
  base::ordered_pipeline<base::Block, Scored>(
      threads,
      [&]() -> std::optional<base::Block> {
        if (!first) return std::nullopt;
        base::Block block = std::move(*first);
        first = next();
        return block;
      },
      score, take);
  if (frames) {
    file->commit();
  } else {
    writer->commit();
  }
  progress.finish();
  if (first_error.empty()) first_error = first_unread;
  unreadable += unread;
  if (!context.quiet)
    fmt::print(context.err, "{} records scored, {} could not be read{}\n", base::human_count(records),
               base::human_count(unreadable), unreadable > 0 ? ", the first: " + first_error : "");
  if (context.json) context.out << nlohmann::json({{"records", records}, {"unreadable", unreadable}}).dump() << "\n";
  return unreadable > 0 ? 1 : 0;
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
    context.out << all.dump(1) << "\n";
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
