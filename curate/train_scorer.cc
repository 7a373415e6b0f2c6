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

#include "base/error.h"
#include "base/file.h"
#include "base/inputs.h"
#include "base/json_text.h"
#include "base/text.h"
#include "curate/scorer/fasttext.h"
#include "curate/train/train_textbook.h"

namespace curate {
namespace {

namespace fs = std::filesystem;

/// What was met instead of labels, for the message: the most frequent values with their numbers.
std::string most_frequent(const std::map<std::string, std::uint64_t>& values) {
  constexpr std::size_t kMost = 8;
  std::vector<std::pair<std::uint64_t, std::string>> sorted;
  for (const auto& [value, count] : values) sorted.emplace_back(count, value);
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (std::size_t i = 0; i < std::min(kMost, sorted.size()); ++i)
    text += fmt::format("{}'{}' {} times", i == 0 ? "" : ", ", base::shortened(sorted[i].second, 30),
                        base::human_count(sorted[i].first));
  return text + (sorted.size() > kMost ? ", ..." : "");
}

/// A file that goes when the object does.
struct TemporaryFile {
  fs::path path;
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
};

struct Scored {
  std::vector<double> good, bad;
  double area() const { return area_under_curve(good, bad); }
};

Scored score(const fs::path& path, std::span<const LabelledText* const> texts) {
  FastText model(path);
  FastText::Scratch scratch;
  const int label = model.label("good");
  Scored result;
  for (const LabelledText* text : texts) {
    double p = std::min(1.0, double{model.predict(text->line, scratch)[static_cast<std::size_t>(label)]});
    (text->good ? result.good : result.bad).push_back(p);
  }
  return result;
}

nlohmann::json number(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(); }

nlohmann::json describe(const Scored& scored) {
  nlohmann::json out;
  out["good"] = scored.good.size();
  out["bad"] = scored.bad.size();
  out["auc"] = number(scored.area());
  return out;
}

/// For each tenth of the scores: documents, mean score, share that is good. Then what each threshold would keep.
void add_tables(nlohmann::json& out, const Scored& scored) {
  struct Bin {
    double sum = 0;
    std::size_t count = 0, good = 0;
  };
  std::vector<Bin> bins(10);
  auto add = [&](const std::vector<double>& scores, bool good) {
    for (double p : scores) {
      Bin& bin = bins[std::min<std::size_t>(9, static_cast<std::size_t>(p * 10))];
      bin.sum += p;
      ++bin.count;
      bin.good += good;
    }
  };
  add(scored.good, true);
  add(scored.bad, false);
  out["calibration"] = nlohmann::json::array();
  for (std::size_t i = 0; i < bins.size(); ++i) {
    if (bins[i].count == 0) continue;
    auto count = static_cast<double>(bins[i].count);
    out["calibration"].push_back({{"from", static_cast<double>(i) / 10},
                                  {"documents", bins[i].count},
                                  {"mean_score", bins[i].sum / count},
                                  {"good_share", static_cast<double>(bins[i].good) / count}});
  }
  out["thresholds"] = nlohmann::json::array();
  for (double threshold : {0.1, 0.3, 0.5, 0.7, 0.9}) {
    auto kept = [&](const std::vector<double>& scores) {
      return static_cast<double>(std::count_if(scores.begin(), scores.end(), [&](double p) { return p >= threshold; }));
    };
    double good = kept(scored.good), bad = kept(scored.bad);
    out["thresholds"].push_back({{"min_score", threshold},
                                 {"recall", number(good / static_cast<double>(scored.good.size()))},
                                 {"precision", number(good / (good + bad))},
                                 {"bad_kept", number(bad / static_cast<double>(scored.bad.size()))}});
  }
}

/// --kind style.
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
    context.out << result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    print(context.out, report);
    fmt::print(context.out, "model: {} ({})\n", path,
               base::human_bytes(static_cast<double>(fs::file_size(options.output))));
  }
}

int run(TrainScorerOptions& options, base::Context& context) {
  options.input = base::expand_inputs(options.input, context);
  LabelledRecords records = read_labelled(options);
  std::vector<LabelledText>& texts = records.texts;
  if (!context.quiet && records.repeated_keys > 0)
    fmt::print(context.err, "{}\n", base::repeated_keys_note(records.repeated_keys));
  std::size_t good =
      static_cast<std::size_t>(std::count_if(texts.begin(), texts.end(), [](auto& t) { return t.good; }));
  if (good == 0 || good == texts.size()) {
    throw base::Error(
        {"nothing to learn from", "", fmt::format("{} good and {} bad records", good, texts.size() - good),
         "records of both kinds",
         records.other_labels.empty()
             ? "no record has both --label-field and --text-field: check them and --where"
             : "in --label-field stands besides: " + most_frequent(records.other_labels) + "; check --good and --bad"});
  }
  const fs::path output = options.output;
  const base::NewFolders folders(output);
  if (!context.quiet)
    fmt::print(context.err, "train-scorer: {} good and {} bad documents{}\n", good, texts.size() - good,
               records.unreadable > 0 ? fmt::format("; {} records could not be read", records.unreadable) : "");
  const int status = base::tell_losses(records.losses, context);
  if (options.kind == "style") {
    train_style(options, std::move(texts), context);
    return status;
  }
  std::vector<const LabelledText*> all, train, test, unseen;
  for (const LabelledText& text : texts) {
    all.push_back(&text);
    bool new_group = !text.group.empty() && chosen(hash_text(text.group, options.seed + 1), options.unseen_groups);
    (new_group ? unseen : text.test ? test : train).push_back(&text);
  }
  const auto has = [](const auto& some, bool kind) {
    return std::any_of(some.begin(), some.end(), [&](const LabelledText* text) { return text->good == kind; });
  };
  for (bool kind : {true, false}) {
    if (has(train, kind)) continue;
    throw base::Error(
        {"the scorer cannot be measured on documents it never saw", "",
         fmt::format("all {} documents are among those held out", kind ? "good" : "bad"),
         "good and bad documents beside those held out",
         "give records of more groups, or hold fewer out: --unseen-groups 0, --held-out 0, another --seed"});
  }
  TemporaryFile partial{fs::path(options.output + ".held-out.part")};
  nlohmann::json result;
  result["good"] = good;
  result["bad"] = texts.size() - good;
  if (!test.empty() || !unseen.empty()) {
    train_scorer_model(options, train, partial.path);
    Scored seen = score(partial.path, test), foreign = score(partial.path, unseen);
    result["unseen_documents"] = describe(seen);
    result["unseen_groups"] = describe(foreign);
    Scored both = seen;
    both.good.insert(both.good.end(), foreign.good.begin(), foreign.good.end());
    both.bad.insert(both.bad.end(), foreign.bad.begin(), foreign.bad.end());
    add_tables(result, both);
  }
  train_scorer_model(options, all, output);
  result["model"] = fs::absolute(output).lexically_normal().string();
  result["bytes"] = fs::file_size(output);

  if (context.json) {
    context.out << result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    auto line = [&](const char* what, const char* key) {
      if (!result.contains(key)) return;
      const nlohmann::json& part = result[key];
      std::string area = part["auc"].is_null() ? "not measurable" : fmt::format("{:.4f}", part["auc"].get<double>());
      fmt::print(context.out, "AUC on {:<18} {}  ({} good, {} bad)\n", what, area, part["good"].get<std::size_t>(),
                 part["bad"].get<std::size_t>());
    };
    line("unseen documents:", "unseen_documents");
    line("unseen groups:", "unseen_groups");
    const auto thresholds = result.value("thresholds", nlohmann::json::array());
    const auto unknown = [](const nlohmann::json& row) { return row["recall"].is_null() || row["bad_kept"].is_null(); };
    if (std::any_of(thresholds.begin(), thresholds.end(), unknown))
      fmt::print(context.out, "what a min_score keeps is not measurable: good and bad documents must be held out\n");
    for (const auto& row : thresholds) {
      if (unknown(row)) continue;
      auto share = [&](const char* key) { return row[key].get<double>(); };
      fmt::print(context.out,
                 "min_score {:.1f}: keeps {:5.1f} % of the good, {:5.1f} % of the bad held-out documents\n",
                 row["min_score"].get<double>(), 100 * share("recall"), 100 * share("bad_kept"));
    }
    fmt::print(context.out, "model: {} ({})\n", result["model"].get<std::string>(),
               base::human_bytes(static_cast<double>(result["bytes"].get<std::uint64_t>())));
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
  TemporaryFile training{fs::path(model.string() + ".txt.part")}, written{fs::path(model.string() + ".part")};
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
    trainer.saveModel(written.path.string());
  } catch (const std::invalid_argument& error) {
    throw base::Error({std::string("fastText cannot train the scorer: ") + error.what(), model.string(), "",
                       "enough labelled records", "give more records, or --no-quantise for very few"});
  }
  fs::rename(written.path, model);
}

double area_under_curve(std::span<const double> good, std::span<const double> bad) {
  if (good.empty() || bad.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::vector<double> sorted(bad.begin(), bad.end());
  std::sort(sorted.begin(), sorted.end());
  double wins = 0;
  for (double score : good) {
    auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), score);
    wins += static_cast<double>((first - sorted.begin()) + (last - sorted.begin())) / 2;
  }
  return wins / (static_cast<double>(good.size()) * static_cast<double>(bad.size()));
}

base::Command train_scorer_command() {
  return base::make_command<TrainScorerOptions>(
      "train-scorer", "train the textbook scorer from labelled records",
      "curate train-scorer corpus/*.jsonl --good 2,3 --bad 0 -o textbook.model", run);
}

}  // namespace curate
