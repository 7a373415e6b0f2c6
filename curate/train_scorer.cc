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
#include <optional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/inputs.h"
#include "base/json_record.h"
#include "base/random.h"
#include "base/records.h"
#include "base/text.h"
#include "curate/fasttext.h"
#include "curate/scorer_text.h"
#include "curate/train_textbook.h"
#include "curate/words.h"

namespace curate {
namespace {

namespace fs = std::filesystem;

/// One form for a label however it is written: 2, 2.0, "2" and " 2.0" are "2"; "True" and true are "true".
std::string label_form(std::string_view text) {
  std::string label(base::trim(text));
  if (label.find_first_not_of("0123456789+-.eE") == label.npos && label.find_first_of("0123456789") != label.npos) {
    char* end = nullptr;
    const double number = std::strtod(label.c_str(), &end);
    if (*end == '\0' && std::isfinite(number)) return fmt::format("{}", number == 0 ? 0.0 : number);
  }
  if (label == "True" || label == "TRUE") return "true";
  if (label == "False" || label == "FALSE") return "false";
  return label;
}

/// A scalar as text; nothing for null, arrays and objects.
std::optional<std::string> scalar(const base::JsonRecord& record, const std::string& key) {
  simdjson::dom::element element;
  std::string scratch;
  if (!record.find(key, element) || element.is_null() || element.is_array() || element.is_object()) return std::nullopt;
  return std::string(record.scalar(key, scratch));
}

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

std::uint64_t hash_text(std::string_view text, std::int64_t seed) {
  return base::mix64(hash_bytes(text.data(), text.size()) ^ base::mix64(static_cast<std::uint64_t>(seed)));
}

bool chosen(std::uint64_t hash, double share) { return static_cast<double>(hash >> 11) * 0x1.0p-53 < share; }

/// A file that goes when the object does.
struct TemporaryFile {
  fs::path path;
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
};

/// The folders that an output needs. Those that were made go again, if nothing came into them.
struct NewFolders {
  std::vector<fs::path> made;  // innermost first
  explicit NewFolders(const fs::path& folder) {
    for (fs::path path = fs::absolute(folder).lexically_normal(); !fs::exists(path); path = path.parent_path())
      made.push_back(path);
    fs::create_directories(folder);
  }
  ~NewFolders() {
    std::error_code ignored;
    for (const fs::path& path : made) fs::remove(path, ignored);
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
int train_style(const TrainScorerOptions& options, std::vector<LabelledText> texts, base::Context& context) {
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
  return 0;
}

int run(TrainScorerOptions& options, base::Context& context) {
  options.input = base::expand_inputs(options.input, context);
  std::uint64_t unreadable = 0;
  std::map<std::string, std::uint64_t> other_labels;
  std::vector<LabelledText> texts = read_labelled(options, unreadable, &other_labels);
  std::size_t good =
      static_cast<std::size_t>(std::count_if(texts.begin(), texts.end(), [](auto& t) { return t.good; }));
  if (good == 0 || good == texts.size()) {
    throw base::Error(
        {"nothing to learn from", "", fmt::format("{} good and {} bad records", good, texts.size() - good),
         "records of both kinds",
         other_labels.empty()
             ? "no record has both --label-field and --text-field: check them and --where"
             : "in --label-field stands besides: " + most_frequent(other_labels) + "; check --good and --bad"});
  }
  const fs::path output = options.output;
  const NewFolders folders(fs::absolute(output).parent_path());
  if (!context.quiet)
    fmt::print(context.err, "train-scorer: {} good and {} bad documents{}\n", good, texts.size() - good,
               unreadable > 0 ? fmt::format("; {} records could not be read", unreadable) : "");
  if (options.kind == "style") return train_style(options, std::move(texts), context);
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
  return 0;
}

}  // namespace

void TrainScorerOptions::visit(base::OptionVisitor& v) {
  v.positional("input", input, "labelled records");
  v.required("output", output, "the model to write", base::PathKind::kOutput);
  v.choice("kind", kind, {"style", "fasttext"},
           "style: how a text is written, better on new sources; fasttext: a fastText file (.ftz), its words");
  v("text_field", text_field,
    "the field that holds the text; a path where fields are nested, as of the others (meta.text)");
  v("label_field", label_field, "the field that holds the label");
  v("good", good, "values of the label that are good, separated by commas");
  v("bad", bad, "values that are bad; records with any other value are left out");
  v("group_field", group_field, "the field that names the source; some sources are held out as a whole");
  v("split_field", split_field, "a field whose value 'test' holds a record out; else records are chosen by their hash");
  v("where", where, "only records with FIELD=VALUE");
  v("per_group", per_group, "at most so many records of a group and a label (0: all)").at_least(0);
  v("held_out", held_out, "share of records held out to measure on unseen documents").at_least(0).below(1);
  v("unseen_groups", unseen_groups,
    "fasttext: share of groups held out to measure on unseen groups (style: all, in turn)")
      .at_least(0)
      .below(1);
  v("seed", seed, "chooses what is held out, and starts the training");
  v("target_precision", target_precision, "style: the recommended min-score keeps so many good among the kept")
      .between(0, 1);
  v("note", note, "style: a line stored in the model: what it was trained on");
  v("dimension", dimension, "fasttext: length of a word's vector").at_least(1);
  v("epochs", epochs, "fasttext: times each record is seen").at_least(1);
  v("learning_rate", learning_rate, "fasttext: rate at the start").above(0);
  v("word_ngrams", word_ngrams, "fasttext: longest word n-gram").at_least(1);
  v("min_count", min_count, "fasttext: rarer words are left out").at_least(1);
  v("buckets", buckets, "fasttext: rows that word n-grams share").at_least(1);
  v("quantise", quantise, "fasttext: write a small model");
  v("max_rows", max_rows, "fasttext: rows that a small model keeps (0: all)").at_least(0);
}

std::vector<LabelledText> read_labelled(const TrainScorerOptions& options, std::uint64_t& unreadable,
                                        std::map<std::string, std::uint64_t>* other_labels) {
  auto list = [](const std::vector<std::string>& values) {  // "2,3" is two values
    std::vector<std::string> parts;
    for (const std::string& value : values) {
      for (const std::string& part : base::split(value, ',')) parts.push_back(label_form(part));
    }
    return parts;
  };
  const std::vector<std::string> good = list(options.good), bad = list(options.bad);
  std::vector<std::pair<std::string, std::string>> where;
  for (const std::string& condition : options.where) {
    std::size_t equals = condition.find('=');
    if (equals == std::string::npos) {
      throw base::UsageError(base::ErrorFacts{"not a condition", "where", condition, "FIELD=VALUE", ""});
    }
    where.emplace_back(condition.substr(0, equals), label_form(condition.substr(equals + 1)));
  }
  if (options.input.empty()) throw base::UsageError(base::ErrorFacts{"no input", "input", "", "files of records", ""});

  std::vector<LabelledText> texts;
  std::map<std::pair<std::string, bool>, std::set<std::pair<std::uint64_t, std::size_t>>> taken;  // places and indices
  base::BlockReader reader(base::expand_inputs(options.input), {});
  std::vector<base::BadBytes> bad_bytes;
  base::JsonRecord record;
  while (auto block = reader.next(bad_bytes)) {
    base::for_each_line(*block, [&](std::string_view line, const base::Place&) {
      if (!record.parse(line).empty()) {
        ++unreadable;
        return;
      }
      std::string_view text;
      std::optional<std::string> label = scalar(record, options.label_field);
      simdjson::dom::element text_member;
      if (!label || !record.find(options.text_field, text_member) || text_member.get(text)) return;
      for (const auto& [field, value] : where) {
        const std::optional<std::string> is = scalar(record, field);
        if (!is || label_form(*is) != value) return;
      }
      *label = label_form(*label);
      bool is_good = std::find(good.begin(), good.end(), *label) != good.end();
      if (!is_good && std::find(bad.begin(), bad.end(), *label) == bad.end()) {
        if (other_labels != nullptr && (other_labels->size() < 1000 || other_labels->count(*label) > 0))
          ++(*other_labels)[*label];
        return;
      }
      LabelledText entry;
      entry.group = scalar(record, options.group_field).value_or("");
      if (options.kind == "fasttext") {
        scorer_text(text, entry.line);
      } else {
        entry.line = text;
      }
      if (entry.line.empty()) return;
      entry.good = is_good;
      entry.place = hash_text(entry.line, options.seed);
      entry.test = options.split_field.empty() ? chosen(entry.place, options.held_out)
                                               : scalar(record, options.split_field) == "test";
      std::set<std::pair<std::uint64_t, std::size_t>>& places = taken[{entry.group, is_good}];
      if (options.per_group == 0 || static_cast<std::int64_t>(places.size()) < options.per_group) {
        places.emplace(entry.place, texts.size());
        texts.push_back(std::move(entry));
      } else if (auto last = std::prev(places.end()); entry.place < last->first) {
        const std::size_t slot = last->second;
        places.erase(last);
        places.emplace(entry.place, slot);
        texts[slot] = std::move(entry);
      }
    });
  }
  unreadable += bad_bytes.size();
  return texts;
}

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
