// Training the textbook model (curate/scorer/textbook_model.h) from labelled texts, and measuring it on sources it
// never saw. Tested by tests/curate/scorer/textbook_model_test.cc.
#include "curate/train/train_textbook.h"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <tuple>
#include <unordered_map>

#include "base/error.h"
#include "base/random.h"
#include "curate/train/textbook_excerpts.h"

namespace curate {
namespace {

using Chosen = std::vector<const TextbookDocument*>;

constexpr double kExcerptShare = 0.4;    // of a document's weight, that its excerpt has
constexpr double kNonsenseShare = 0.05;  // of a good document's weight, that its scrambled excerpt has among the bad

std::uint64_t hash_of(std::string_view text, std::uint64_t seed) {
  return base::mix64(XXH3_64bits(text.data(), text.size()) ^ base::mix64(seed));
}

// Group number of each document; a document without a group is one of its own.
std::vector<std::uint32_t> number_groups(const Chosen& documents) {
  std::map<std::string_view, std::uint32_t> numbers;
  std::vector<std::uint32_t> groups;
  std::uint32_t next = 0;
  for (const TextbookDocument* d : documents) {
    if (d->group.empty()) {
      groups.push_back(next++);
    } else {
      const auto [found, fresh] = numbers.try_emplace(d->group, next);
      next += fresh;
      groups.push_back(found->second);
    }
  }
  return groups;
}

// The words found in most groups, then in most documents, then alphabetically: words of English rather than of a
// topic. Only ASCII letters and apostrophes.
std::vector<std::string> general_words(const Chosen& documents, std::size_t most) {
  struct Found {
    std::string word;
    std::uint32_t documents = 0, groups = 0, last_group = ~0u, last_document = ~0u;
  };
  // Group by group, so that "groups" counts each once.
  const std::vector<std::uint32_t> groups = number_groups(documents);
  std::vector<std::uint32_t> order(documents.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return groups[a] < groups[b]; });
  std::unordered_map<std::uint64_t, Found> table;
  for (std::uint32_t i : order) {
    const auto pieces = StyleFeatures::sample(documents[i]->text);
    for (std::string_view piece : {pieces.first, pieces.second}) {
      for_each_style_token(piece, [&](const StyleToken& token) {
        if (token.kind != StyleKind::kWord || token.end - token.begin > 20) return;
        Found& found = table[token.hash];
        if (found.last_document == i) return;
        if (found.documents == 0) {
          found.word = token.text(piece);
          for (char& c : found.word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
        }
        found.last_document = i;
        ++found.documents;
        if (found.last_group != groups[i]) ++found.groups;
        found.last_group = groups[i];
      });
    }
  }
  std::vector<const Found*> ranking;
  for (const auto& [hash, found] : table) {
    auto plain = [](char c) { return (c >= 'a' && c <= 'z') || c == '\''; };
    if (std::all_of(found.word.begin(), found.word.end(), plain)) ranking.push_back(&found);
  }
  std::sort(ranking.begin(), ranking.end(), [](const Found* a, const Found* b) {
    return std::tie(b->groups, b->documents, a->word) < std::tie(a->groups, a->documents, b->word);
  });
  ranking.resize(std::min(ranking.size(), most));
  std::vector<std::string> words;
  for (const Found* found : ranking) words.push_back(found->word);
  return words;
}

// A document of a group and class of n counts n^-power; both classes count the same; the mean is 1.
std::vector<double> document_weights(const Chosen& documents, double power) {
  const std::vector<std::uint32_t> groups = number_groups(documents);
  std::map<std::pair<std::uint32_t, bool>, double> sizes;
  for (std::size_t i = 0; i < documents.size(); ++i) ++sizes[{groups[i], documents[i]->good}];
  std::vector<double> weights(documents.size());
  double sums[2] = {};
  for (std::size_t i = 0; i < documents.size(); ++i) {
    weights[i] = std::pow(sizes[{groups[i], documents[i]->good}], -power);
    sums[documents[i]->good] += weights[i];
  }
  for (std::size_t i = 0; i < documents.size(); ++i) {
    weights[i] *= static_cast<double>(documents.size()) / (2 * sums[documents[i]->good]);
  }
  return weights;
}

// Both heads learned from the documents; not yet weighed against each other.
TextbookModel train_heads(const Chosen& documents, const TextbookTraining& options) {
  TextbookWeights learned;
  learned.words = general_words(documents, static_cast<std::size_t>(std::max(0, options.words)));
  const StyleVocabulary vocabulary(learned.words);
  const std::vector<double> weights = document_weights(documents, options.group_power);
  std::vector<StyleExample> examples;
  StyleFeatures features;
  auto add = [&](std::string_view text, bool good, double weight) {
    features.read(text, vocabulary);
    if (features.tokens() == 0) return;
    StyleExample& example = examples.emplace_back(style_example(features));
    example.good = good;
    example.weight = static_cast<float>(weight);
  };
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const TextbookDocument& document = *documents[i];
    base::Random random(hash_of(document.text, options.seed + 3));
    add(document.text, document.good, (1 - kExcerptShare) * weights[i]);
    const std::string piece = excerpt(document.text, random);
    add(piece, document.good, kExcerptShare * weights[i]);
    if (document.good) add(scrambled(piece, random), false, kNonsenseShare * weights[i]);
  }
  std::vector<const StyleExample*> pointers;
  for (const StyleExample& example : examples) pointers.push_back(&example);
  const LinearHead head = train_linear_head(pointers, options.cost, options.passes, options.seed + 1);
  float largest = 0;
  for (float w : head.weights) largest = std::max(largest, std::abs(w));
  learned.gram_unit = largest > 0 ? largest / 32767 : 1;
  for (float w : head.weights) learned.grams.push_back(static_cast<std::int16_t>(std::lround(w / learned.gram_unit)));
  learned.gram_bias = head.bias;
  learned.trees = train_trees(pointers, options.trees);
  learned.note = options.note;
  return TextbookModel(std::move(learned));
}

bool both_kinds(const Chosen& documents) {
  auto good = [](const TextbookDocument* d) { return d->good; };
  return std::any_of(documents.begin(), documents.end(), good) &&
         !std::all_of(documents.begin(), documents.end(), good);
}

// Deals whole groups into folds, the largest first into the fold that has least of its majority class.
std::vector<int> deal_groups(const Chosen& documents, int folds, std::uint64_t seed) {
  const std::vector<std::uint32_t> groups = number_groups(documents);
  struct Group {
    std::uint64_t hash = 0;
    double count[2] = {};
  };
  std::vector<Group> sizes(groups.empty() ? 0 : 1 + *std::max_element(groups.begin(), groups.end()));
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const TextbookDocument& d = *documents[i];
    sizes[groups[i]].hash = hash_of(d.group.empty() ? d.text : d.group, seed);
    ++sizes[groups[i]].count[d.good];
  }
  std::vector<std::uint32_t> order(sizes.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) {
    const Group &x = sizes[a], &y = sizes[b];
    return std::make_tuple(-(x.count[0] + x.count[1]), x.hash) < std::make_tuple(-(y.count[0] + y.count[1]), y.hash);
  });
  std::vector<std::array<double, 2>> filled(static_cast<std::size_t>(folds));
  std::vector<int> fold_of(sizes.size());
  for (std::uint32_t g : order) {
    const int kind = sizes[g].count[1] > sizes[g].count[0];
    std::size_t best = 0;
    for (std::size_t f = 1; f < filled.size(); ++f) {
      if (filled[f][kind] < filled[best][kind]) best = f;
    }
    fold_of[g] = static_cast<int>(best);
    for (int k = 0; k < 2; ++k) filled[best][k] += sizes[g].count[k];
  }
  std::vector<int> result;
  for (std::uint32_t g : groups) result.push_back(fold_of[g]);
  return result;
}

// Correlation of score and log of the text's length within each class, the mean of both.
double length_correlation(const Chosen& documents, const std::vector<Judged>& judged) {
  double result = 0;
  for (bool good : {false, true}) {
    double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    for (std::size_t i = 0; i < documents.size(); ++i) {
      if (judged[i].good != good) continue;
      const double size = std::log1p(static_cast<double>(documents[i]->text.size())), score = judged[i].score;
      n += 1, x += size, y += score, xx += size * size, yy += score * score, xy += size * score;
    }
    const double spread = std::sqrt(std::max(0.0, (n * xx - x * x) * (n * yy - y * y)));
    if (spread > 0) result += (n * xy - x * y) / spread / 2;
  }
  return result;
}

void measure(const std::vector<Judged>& judged, double target_precision, TextbookReport& report) {
  report.calibration = calibration(judged);
  auto at = [&](double threshold) {
    const KeptWeight kept = kept_at(judged, threshold);
    const double good = kept.recall(), bad = kept.bad_kept();
    return ScoreThreshold{threshold, good + bad > 0 ? good / (good + bad) : 1, good, bad};
  };
  for (int i = 1; i < 20; ++i) report.thresholds.push_back(at(i / 20.0));
  report.recommended = 1;
  for (int i = 1; i < 100 && report.recommended == 1; ++i) {
    const ScoreThreshold t = at(i / 100.0);
    if (t.precision >= target_precision && t.recall > 0) report.recommended = t.min_score;
  }
}

// In an order that does not depend on the input's.
Chosen in_own_order(std::span<const TextbookDocument> documents, std::uint64_t seed) {
  Chosen all;
  for (const TextbookDocument& d : documents) all.push_back(&d);
  const auto key = [&](const TextbookDocument* d) {
    return std::make_tuple(hash_of(d->text, seed), std::string_view(d->text), std::string_view(d->group), d->good);
  };
  std::ranges::sort(all, {}, key);
  return all;
}

// One training: its documents, dealt into folds, and what is found on the way.
class Training {
 public:
  Training(std::span<const TextbookDocument> documents, const TextbookTraining& options, TextbookReport& report)
      : options_(options), report_(report), all_(in_own_order(documents, options.seed)) {
    report = {};
    report.unseen_documents_auc = report.unseen_groups_auc = std::numeric_limits<double>::quiet_NaN();
    const std::vector<std::uint32_t> groups = number_groups(all_);
    for (const TextbookDocument* d : all_) ++(d->good ? report.good : report.bad);
    report.groups = groups.empty() ? 0 : 1 + *std::max_element(groups.begin(), groups.end());
    folds_ = std::min<int>(std::max(2, options.folds), static_cast<int>(report.groups));
    fold_ = deal_groups(all_, std::max(1, folds_), options.seed);
    weights_ = document_weights(all_, options.group_power);
  }

  TextbookModel train() {
    score_unseen_groups();
    std::vector<std::uint8_t> good;
    for (const TextbookDocument* d : all_) good.push_back(d->good);
    combination_ = combine(heads_, good, weights_);
    measure_unseen_documents();
    TextbookModel model = finished(train_heads(all_, options_));
    measure_unseen_groups(model);
    return model;
  }

 private:
  // Every document scored by a model that never saw its group.
  void score_unseen_groups() {
    heads_.resize(all_.size());
    for (int f = 0; f < folds_; ++f) {
      Chosen rest;
      for (std::size_t i = 0; i < all_.size(); ++i)
        if (fold_[i] != f) rest.push_back(all_[i]);
      if (folds_ < 2 || !both_kinds(rest))
        throw base::Error(
            {"the scorer cannot be measured on sources it never saw", "",
             fmt::format("{} good and {} bad documents in {} groups", report_.good, report_.bad, report_.groups),
             "good and bad documents in several groups",
             "name the source of each record with --group-field, or leave it empty"});
      const TextbookModel model = train_heads(rest, options_);
      for (std::size_t i = 0; i < all_.size(); ++i)
        if (fold_[i] == f) heads_[i] = model.heads(all_[i]->text, features_);
    }
  }

  TextbookModel finished(const TextbookModel& model) const {
    TextbookWeights w = model.weights();
    w.gram_weight = static_cast<float>(combination_.gram_weight);
    w.tree_weight = static_cast<float>(combination_.tree_weight);
    w.offset = static_cast<float>(combination_.offset);
    return TextbookModel(std::move(w));
  }

  void measure_unseen_documents() {
    const bool given = std::any_of(all_.begin(), all_.end(), [](const TextbookDocument* d) { return d->held_out; });
    Chosen test, rest;
    for (const TextbookDocument* d : all_) {
      const bool held = given ? d->held_out : base::unit(hash_of(d->text, options_.seed + 2)) < options_.held_out;
      (held ? test : rest).push_back(d);
    }
    if (test.empty() || !both_kinds(rest)) return;
    const TextbookModel model = finished(train_heads(rest, options_));
    std::vector<Judged> judged;
    for (const TextbookDocument* d : test) judged.push_back({model.score(d->text, features_), 1, d->good});
    report_.held_out = test.size();
    report_.unseen_documents_auc = area_under_curve(std::move(judged));
  }

  void measure_unseen_groups(const TextbookModel& model) {
    std::vector<Judged> judged;
    for (std::size_t i = 0; i < all_.size(); ++i)
      judged.push_back({model.probability(heads_[i]), weights_[i], all_[i]->good});
    report_.unseen_groups_auc = area_under_curve(judged);
    for (int f = 0; f < folds_; ++f) {
      std::vector<Judged> part;
      for (std::size_t i = 0; i < all_.size(); ++i)
        if (fold_[i] == f) part.push_back(judged[i]);
      report_.fold_auc.push_back(area_under_curve(std::move(part)));
    }
    report_.length_correlation = length_correlation(all_, judged);
    measure(judged, options_.target_precision, report_);
  }

  const TextbookTraining& options_;
  TextbookReport& report_;
  const Chosen all_;
  int folds_ = 0;
  std::vector<int> fold_;        // of each document
  std::vector<double> weights_;  // of each document
  std::vector<TextbookModel::Heads> heads_;
  Combination combination_;
  StyleFeatures features_;
};

}  // namespace

TextbookModel train_textbook(std::span<const TextbookDocument> documents, const TextbookTraining& options,
                             TextbookReport& report) {
  return Training(documents, options, report).train();
}

nlohmann::json to_json(const TextbookReport& report) {
  nlohmann::json json = {
      {"good", report.good},
      {"bad", report.bad},
      {"groups", report.groups},
      {"unseen_documents", {{"documents", report.held_out}, {"auc", finite_or_null(report.unseen_documents_auc)}}},
      {"unseen_groups", {{"auc", finite_or_null(report.unseen_groups_auc)}, {"fold_auc", nlohmann::json::array()}}},
      {"length_correlation", report.length_correlation},
      {"recommended_min_score", report.recommended}};
  for (double auc : report.fold_auc) json["unseen_groups"]["fold_auc"].push_back(finite_or_null(auc));
  json["calibration"] = to_json(report.calibration);
  for (const ScoreThreshold& t : report.thresholds) {
    json["thresholds"].push_back(
        {{"min_score", t.min_score}, {"precision", t.precision}, {"recall", t.recall}, {"bad_kept", t.bad_kept}});
  }
  return json;
}

void print(std::ostream& out, const TextbookReport& report) {
  fmt::print(out, "{} good and {} bad documents of {} groups\n", report.good, report.bad, report.groups);
  if (report.held_out > 0) {
    fmt::print(out, "AUC on unseen documents of seen groups: {:.4f} ({} documents)\n", report.unseen_documents_auc,
               report.held_out);
  }
  std::string folds;
  for (double auc : report.fold_auc) folds += fmt::format(" {:.4f}", auc);
  fmt::print(out, "AUC on groups never seen: {:.4f} (within each part:{})\n", report.unseen_groups_auc, folds);
  fmt::print(out, "correlation of score and log length within a class: {:+.3f}\n", report.length_correlation);
  fmt::print(out, "on groups never seen, both classes weighing the same:\n");
  for (const ScoreBin& bin : report.calibration) {
    fmt::print(out, "  score {:.1f}-{:.1f}: {:6} documents, mean score {:.3f}, good {:.3f}\n", bin.from, bin.from + 0.1,
               bin.documents, bin.mean_score, bin.good_share);
  }
  for (std::size_t i = 1; i < report.thresholds.size(); i += 2) {
    const ScoreThreshold& t = report.thresholds[i];
    fmt::print(out, "  min_score {:.1f}: precision {:.3f}, recall {:.3f}, keeps {:.3f} of the bad\n", t.min_score,
               t.precision, t.recall, t.bad_kept);
  }
  fmt::print(out, "recommended min_score: {:.2f}\n", report.recommended);
}

}  // namespace curate
