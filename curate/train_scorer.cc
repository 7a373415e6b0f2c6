// `curate train-scorer`: a textbook scorer from labelled records. Tested by tests/curate/train/scorer_test.cc.
#include "curate/train_scorer.h"

#include <fasttext/fasttext.h>
#include <fmt/format.h>
#include <fmt/ostream.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/delimiter.h"
#include "base/error.h"
#include "base/file.h"
#include "base/inputs.h"
#include "base/json_values.h"
#include "base/outputs.h"
#include "base/random.h"
#include "base/records.h"
#include "base/text.h"
#include "curate/scorer/fasttext.h"
#include "curate/text/words.h"
#include "curate/train/evaluation.h"
#include "curate/train/train_textbook.h"

namespace curate {
namespace {

namespace fs = std::filesystem;

// A file that goes when the object does.
struct TemporaryFile {
  fs::path path;
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
};

std::vector<Judged> judge(const fs::path& path, std::span<const LabelledText* const> texts) {
  const FastText model(path);
  FastText::Scratch scratch;
  const int label = model.label("good");
  std::vector<Judged> judged;
  for (const LabelledText* text : texts) {
    const double p = std::min(1.0, double{model.predict(text->line, scratch)[static_cast<std::size_t>(label)]});
    judged.push_back({p, 1, text->good});
  }
  return judged;
}

nlohmann::json describe(const std::vector<Judged>& judged) {
  const auto good = std::ranges::count(judged, true, &Judged::good);
  return {{"good", good},
          {"bad", static_cast<std::ptrdiff_t>(judged.size()) - good},
          {"auc", finite_or_null(area_under_curve(judged))}};
}

// What each threshold would keep.
nlohmann::json thresholds(std::span<const Judged> judged) {
  nlohmann::json rows = nlohmann::json::array();
  for (const double threshold : {0.1, 0.3, 0.5, 0.7, 0.9}) {
    const KeptWeight kept = kept_at(judged, threshold);
    rows.push_back({{"min_score", threshold},
                    {"recall", finite_or_null(kept.recall())},
                    {"precision", finite_or_null(kept.good / (kept.good + kept.bad))},
                    {"bad_kept", finite_or_null(kept.bad_kept())}});
  }
  return rows;
}

// --kind style.
void train_style(const TrainScorerOptions& options, std::vector<LabelledText> texts, base::Context& context) {
  TextbookTraining training;
  training.held_out = options.held_out;
  training.target_precision = options.target_precision;
  training.seed = static_cast<std::uint64_t>(options.seed);
  training.note = options.note;
  std::vector<TextbookDocument> documents;
  for (LabelledText& text : texts) {
    const bool held_out = text.test && !options.split_field.empty();
    documents.push_back({std::move(text.line), std::move(text.group), text.good, held_out});
  }
  TextbookReport report;
  const TextbookModel model = train_textbook(documents, training, report);
  model.save(options.output);
  const std::string path = fs::absolute(options.output).lexically_normal().string();
  if (context.json) {
    nlohmann::json result = to_json(report);
    result["model"] = path;
    result["bytes"] = fs::file_size(options.output);
    context.out << base::json_dump(result, 2) << "\n";
  } else {
    print(context.out, report);
    fmt::print(context.out, "model: {} ({})\n", path,
               base::human_bytes(static_cast<double>(fs::file_size(options.output))));
  }
}

using Texts = std::vector<const LabelledText*>;

// What the fastText scorer learns from, and what it is measured on.
struct Split {
  Texts all, train, test, unseen;
};

Split split(const std::vector<LabelledText>& texts, const TrainScorerOptions& options) {
  Split split;
  for (const LabelledText& text : texts) {
    split.all.push_back(&text);
    const bool new_group =
        !text.group.empty() && base::unit(hash_text(text.group, options.seed + 1)) < options.unseen_groups;
    (new_group ? split.unseen : text.test ? split.test : split.train).push_back(&text);
  }
  for (const bool kind : {true, false}) {
    if (std::ranges::find(split.train, kind, &LabelledText::good) != split.train.end()) continue;
    throw base::Error(
        {"the scorer cannot be measured on documents it never saw", "",
         fmt::format("all {} documents are among those held out", kind ? "good" : "bad"),
         "good and bad documents beside those held out",
         "give records of more groups, or hold fewer out: --unseen-groups 0, --held-out 0, another --seed"});
  }
  return split;
}

// Trains one without what is held out, to measure that.
void measure(const Split& split, const TrainScorerOptions& options, nlohmann::json& result) {
  if (split.test.empty() && split.unseen.empty()) return;
  const TemporaryFile partial{fs::path(fmt::format("{}.{}.held-out.part", options.output, ::getpid()))};
  train_scorer_model(options, split.train, partial.path);
  std::vector<Judged> judged = judge(partial.path, split.test);
  const std::vector<Judged> foreign = judge(partial.path, split.unseen);
  result["unseen_documents"] = describe(judged);
  result["unseen_groups"] = describe(foreign);
  judged.insert(judged.end(), foreign.begin(), foreign.end());
  std::stable_partition(judged.begin(), judged.end(),
                        [](const Judged& one) { return one.good; });  // sums depend on the order, a little
  result["calibration"] = to_json(calibration(judged));
  result["thresholds"] = thresholds(judged);
}

void print_fasttext(std::ostream& out, const nlohmann::json& result) {
  const auto line = [&](const char* what, const char* key) {
    if (!result.contains(key)) return;
    const nlohmann::json& part = result[key];
    const std::string area =
        part["auc"].is_null() ? "not measurable" : fmt::format("{:.4f}", part["auc"].get<double>());
    fmt::print(out, "AUC on {:<18} {}  ({} good, {} bad)\n", what, area, part["good"].get<std::size_t>(),
               part["bad"].get<std::size_t>());
  };
  line("unseen documents:", "unseen_documents");
  line("unseen groups:", "unseen_groups");
  const auto rows = result.value("thresholds", nlohmann::json::array());
  const auto unknown = [](const nlohmann::json& row) { return row["recall"].is_null() || row["bad_kept"].is_null(); };
  if (std::any_of(rows.begin(), rows.end(), unknown))
    fmt::print(out, "what a min_score keeps is not measurable: good and bad documents must be held out\n");
  for (const auto& row : rows) {
    if (unknown(row)) continue;
    const auto share = [&](const char* key) { return row[key].get<double>(); };
    fmt::print(out, "min_score {:.1f}: keeps {:5.1f} % of the good, {:5.1f} % of the bad held-out documents\n",
               row["min_score"].get<double>(), 100 * share("recall"), 100 * share("bad_kept"));
  }
  fmt::print(out, "model: {} ({})\n", result["model"].get<std::string>(),
             base::human_bytes(static_cast<double>(result["bytes"].get<std::uint64_t>())));
}

// --kind fasttext.
void train_fasttext(const TrainScorerOptions& options, const std::vector<LabelledText>& texts, std::size_t good,
                    base::Context& context) {
  const fs::path output = options.output;
  const Split held = split(texts, options);
  nlohmann::json result = {{"good", good}, {"bad", texts.size() - good}};
  measure(held, options, result);
  train_scorer_model(options, held.all, output);
  result["model"] = fs::absolute(output).lexically_normal().string();
  result["bytes"] = fs::file_size(output);
  if (context.json) {
    context.out << base::json_dump(result, 2) << "\n";
  } else {
    print_fasttext(context.out, result);
  }
}

// Both kinds of records are there; else what was met instead is told.
void check_labels(const LabelledRecords& records, std::size_t good) {
  const std::size_t all = records.texts.size();
  if (good != 0 && good != all) return;
  const auto tell = [](const std::string& label, std::uint64_t count) {
    return fmt::format("'{}' {} times", base::shortened(label, 30), base::human_count(count));
  };
  const auto& labels = records.other_labels;
  throw base::Error({"nothing to learn from", "", fmt::format("{} good and {} bad records", good, all - good),
                     "records of both kinds",
                     labels.empty() ? "no record has both --label-field and --text-field: check them and --where"
                                    : "in --label-field stands besides: " +
                                          base::most_frequent({labels.begin(), labels.end()}, 8, tell) +
                                          "; check --good and --bad"});
}

// The help of an option begins with the kind that it is for, if it is not for both.
void check_kind(const TrainScorerOptions& options, const base::Context& context) {
  const std::string other = options.kind == "style" ? "fasttext: " : "style: ";
  if (context.options == nullptr) return;
  for (const base::Option& option : context.options->options())
    if (option.given && option.name != "kind" && option.help.starts_with(other))
      throw base::UsageError({"the option is of the other kind of scorer", option.flag(),
                              base::join(option.get(), ", "), "options of --kind " + options.kind,
                              "take it out, or give --kind " + other.substr(0, other.find(':'))});
}

int run(TrainScorerOptions& options, base::Context& context) {
  check_kind(options, context);
  if (!base::record_format(options.output).empty() || base::is_gguf_name(options.output))
    throw base::UsageError({"the output is a scorer, and its name says something else", "--output", options.output,
                            "a name such as textbook.model or words.ftz", ""});
  options.input = base::expand_inputs(options.input, context);
  base::tell_unused_delimiter(options.text.delimiter, options.input, context);
  LabelledRecords records = read_labelled(options);
  std::vector<LabelledText>& texts = records.texts;
  if (!context.quiet && records.repeated_keys > 0)
    fmt::print(context.err, "{}\n", base::repeated_keys_note(records.repeated_keys));
  const auto good = static_cast<std::size_t>(std::ranges::count(texts, true, &LabelledText::good));
  check_labels(records, good);
  const base::NewFolders folders(options.output);
  if (!context.quiet)
    fmt::print(context.err, "train-scorer: {} good and {} bad documents{}\n", good, texts.size() - good,
               records.unreadable > 0 ? fmt::format("; {} records could not be read", records.unreadable) : "");
  const int status = base::tell_losses(records.losses, context);
  if (options.kind == "style") {
    train_style(options, std::move(texts), context);
  } else {
    train_fasttext(options, texts, good, context);
  }
  return status;
}

}  // namespace

void train_scorer_model(const TrainScorerOptions& options, std::span<const LabelledText* const> texts,
                        const fs::path& model) {
  // The order decides what training ends in: by hash, so that it does not depend on the order of the input.
  std::vector<const LabelledText*> order(texts.begin(), texts.end());
  std::sort(order.begin(), order.end(), [](const LabelledText* a, const LabelledText* b) {
    return std::tie(a->place, a->line, a->group) < std::tie(b->place, b->line, b->group);
  });
  std::string lines;
  for (const LabelledText* text : order) {
    lines += text->good ? "__label__good " : "__label__bad ";
    lines += text->line;
    lines += '\n';
  }
  // fastText writes the part by itself; this holds it against a second run, and puts it in place.
  base::FileWriter written(model);
  const TemporaryFile training{fs::path(model.string() + ".txt.part")};
  base::write_file(training.path, lines);
  fasttext::Args args;
  args.input = training.path.string();
  args.output = model.string();
  args.model = fasttext::model_name::sup;
  args.loss = fasttext::loss_name::softmax;
  args.dim = options.dimension;
  args.epoch = options.epochs;
  args.lr = options.learning_rate;
  args.wordNgrams = options.word_ngrams;
  args.minCount = options.min_count;
  args.bucket = options.buckets;
  args.minn = args.maxn = 0;
  args.thread = 1;
  args.seed = static_cast<int>(options.seed);
  args.verbose = 0;
  try {
    fasttext::FastText trainer;
    trainer.train(args);
    if (options.quantise) {
      fasttext::Args small = args;
      small.qnorm = true;
      small.cutoff = static_cast<std::size_t>(options.max_rows);
      trainer.quantize(small);
    }
    trainer.saveModel(written.part().string());
  } catch (const std::invalid_argument& error) {
    throw base::Error({std::string("fastText cannot train the scorer: ") + error.what(), model.string(), "",
                       "enough labelled records", "give more records, or --no-quantise for very few"});
  }
  written.commit();
}

base::Command train_scorer_command() {
  return base::make_command<TrainScorerOptions>(
      "train-scorer", "train the textbook scorer from labelled records",
      "curate train-scorer corpus/*.jsonl --good 2,3 --bad 0 -o textbook.model", run);
}

}  // namespace curate
