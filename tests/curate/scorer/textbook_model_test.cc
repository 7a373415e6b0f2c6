// The style model: equal to a slow and obvious one, hostile files refused, the same bytes for the same documents.
#include "curate/scorer/textbook_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <xxhash.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "curate/train/textbook_excerpts.h"
#include "curate/train/train_textbook.h"
#include "tests/curate/random_pieces.h"
#include "tests/curate/slow_style.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using curate::StyleFeatures;
using curate::TextbookModel;
using curate::TextbookWeights;
using testing::HasSubstr;

const std::vector<std::string> kWords = {"the", "of", "and", "to", "you", "because", "it", "don't", "naïve"};

// Text of everything the tokens know: words, capitals, numbers, identifiers, marks in runs, breaks, indents, beyond
// ASCII.
std::string random_text(base::Random& random, std::size_t pieces) {
  static const std::vector<std::string> kPieces = {
      "the",     "The", "of",     "running", "Nation", "GNU",  "A",       "I",       "camelCase", "don't", "don’t",
      "it's5",   "x_1", "__x",    "42",      "7",      "2024", "1234567", "0x7f",    "naïve",     "Ünder", "ñ",
      "日本語",  "и",   ".",      ". ",      "... ",   "…",    "?! ",     ", ",      "; ",        ": ",    "\"",
      "“",       "”",   "‘",      "'",       "(",      ") ",   "----",    "=====\n", "—",         "* ",    "- ",
      "\n",      "\n",  "\n\n",   "\n\n\n",  "\r\n",   "\n  ", "\n    ",  "\n\t",    "\n \n",     " ",     " ",
      " ",       "  ",  "\t",     "\u00a0",  "\u2003", "©",    "→",       "。",      "！",        "words", "kindly",
      "because", "you", "end.\n", "Begin ",  "{",      "};\n"};
  return random_pieces(random, kPieces, pieces, 2 / 3.0);
}

// A model with random weights, whose trees look at every statistic.
TextbookWeights random_weights(base::Random& random) {
  TextbookWeights weights;
  weights.note = "random";
  weights.words = kWords;
  weights.gram_unit = 1e-4f;
  weights.gram_bias = 0.1f;
  weights.offset = -0.2f;
  weights.tree_weight = 0.5f;
  for (int i = 0; i < 1 << StyleFeatures::kBits; ++i) {
    weights.grams.push_back(static_cast<std::int16_t>(static_cast<int>(random.below(60000)) - 30000));
  }
  std::size_t feature = 0;
  for (int t = 0; t < 40; ++t) {
    curate::StyleTree tree;
    for (int n = 0; n < 7; ++n) {
      tree.feature[n] = static_cast<std::uint16_t>(feature++ % curate::style_statistic_names().size());
      tree.threshold[n] = static_cast<float>(random.uniform());
    }
    for (float& leaf : tree.leaf) leaf = static_cast<float>(random.uniform() - 0.5);
    weights.trees.push_back(tree);
  }
  return weights;
}

TEST(TextbookFeatures, EqualASlowReader) {
  base::Random random(11);
  StyleFeatures features;
  const curate::StyleVocabulary vocabulary(kWords);
  for (int round = 0; round < 400; ++round) {
    const std::string text = random_text(random, random.below(400));
    if (text.size() > StyleFeatures::kMostBytes) continue;
    features.read(text, vocabulary);
    slow_style::Page page = slow_style::read(text, kWords);
    std::map<std::uint32_t, int> grams;
    for (auto [bucket, count] : features.grams()) grams[bucket] = static_cast<int>(count);
    ASSERT_EQ(grams, page.grams) << text;
    for (std::size_t i = 0; i < features.statistics().size(); ++i) {
      const std::string& name = curate::style_statistic_names()[i];
      ASSERT_NEAR(features.statistics()[i], page.statistics[name], 1e-5) << name << "\n" << text;
    }
    ASSERT_EQ(page.statistics.size(), features.statistics().size()) << "both know the same names";
  }
}

TEST(TextbookFeatures, TheComparisonCanFail) {
  const std::string text = "You don't run. You stop.\nYou run.";
  slow_style::Page page = slow_style::read(text, kWords);
  EXPECT_NE(page.grams, slow_style::read(text, {"the"}).grams);
  EXPECT_NEAR(page.statistics["sentence_length"], std::log1p((3 + 2 + 2) / 3.0), 1e-9);
  EXPECT_NEAR(page.statistics["lines_begin_alike"], 0.5, 1e-9);
  EXPECT_NEAR(slow_style::read("One.two.", kWords).statistics["sentence_length"], std::log1p(2), 1e-9);
}

TEST(TextbookFeatures, ALongTextIsReadInTwoPieces) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "line " + std::to_string(i) + " é\n";
  const auto [first, second] = StyleFeatures::sample(text);
  EXPECT_LE(first.size() + second.size(), StyleFeatures::kMostBytes);
  EXPECT_GT(first.size() + second.size(), StyleFeatures::kMostBytes * 9 / 10);
  EXPECT_EQ(first.substr(0, 7), "line 0 ");
  EXPECT_EQ(second.substr(0, 5), "line ");
  EXPECT_NEAR(static_cast<double>(second.data() - text.data()), static_cast<double>(text.size()) / 2, 6000);
  std::string one_line;
  while (one_line.size() < 50000) one_line += "é";
  const auto pieces = StyleFeatures::sample(one_line);
  EXPECT_EQ(pieces.first.size() % 2, 0u);
  EXPECT_EQ(pieces.second.size() % 2, 0u);
}

TEST(TextbookModel, ScoresAsTheSlowOne) {
  base::Random random(3);
  const TextbookModel model(random_weights(random));
  StyleFeatures features;
  for (int round = 0; round < 200; ++round) {
    const std::string text = random_text(random, 1 + random.below(400));
    if (text.size() > StyleFeatures::kMostBytes) continue;
    if (slow_style::tokens(text).empty()) continue;
    ASSERT_NEAR(model.score(text, features), slow_style::score(model.weights(), text), 1e-6) << text;
  }
  EXPECT_EQ(model.score("", features), 0);
  EXPECT_EQ(model.score(" \t ", features), 0);
}

TEST(TextbookModel, AnyBytesAreScored) {
  base::Random random(4);
  const TextbookModel model(random_weights(random));
  StyleFeatures features;
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (std::size_t i = random.below(round < 290 ? 300 : 60000); i > 0; --i)
      text += static_cast<char>(random.below(256));
    const double score = model.score(text, features);
    EXPECT_TRUE(score >= 0 && score <= 1);
  }
}

std::string error_of(const fs::path& path) {
  try {
    TextbookModel model(path);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

// The bytes with a checksum that fits them again.
std::string sealed(std::string bytes) {
  const std::uint64_t hash = XXH3_64bits(bytes.data(), bytes.size() - 8);
  std::memcpy(bytes.data() + bytes.size() - 8, &hash, 8);
  return bytes;
}

TEST(TextbookModel, AFileIsReadBackOrRefused) {
  TemporaryFolder folder;
  base::Random random(5);
  const TextbookModel model(random_weights(random));
  const std::string bytes = model.serialise();
  EXPECT_LT(bytes.size(), TextbookModel::kMostFileBytes);
  model.save(folder / "a.model");
  EXPECT_TRUE(TextbookModel::recognises(folder / "a.model"));
  EXPECT_EQ(TextbookModel(folder / "a.model").serialise(), bytes);
  auto refused = [&](const std::string& changed) {
    base::write_file(folder / "b.model", changed);
    return error_of(folder / "b.model");
  };
  for (std::size_t size = 0; size < bytes.size(); size += size < 600 ? 1 : 997) {
    ASSERT_THAT(refused(bytes.substr(0, size)), HasSubstr("b.model@")) << size;
  }
  EXPECT_THAT(refused(bytes + "x"), HasSubstr("another checksum"));
  for (int round = 0; round < 200; ++round) {
    std::string changed = bytes;
    changed[random.below(changed.size())] ^= static_cast<char>(1 + random.below(255));
    ASSERT_THAT(refused(changed), HasSubstr("b.model@"));
  }
  // Harm that a checksum does not show.
  const std::size_t tree = bytes.size() - 8 - 40 * (7 * 6 + 8 * 4);
  std::string changed = bytes;
  changed[tree + 1] = 3;  // a statistic above 768
  EXPECT_THAT(refused(sealed(changed)), HasSubstr("the number of a statistic"));
  changed = bytes;
  const float infinite = INFINITY;
  std::memcpy(changed.data() + tree + 2, &infinite, 4);
  EXPECT_THAT(refused(sealed(changed)), HasSubstr("not finite"));
  changed = bytes;
  changed[8] = changed[9] = changed[10] = changed[11] = '\xFF';
  EXPECT_THAT(refused(sealed(changed)), HasSubstr("at most 4096"));
  EXPECT_THAT(refused(std::string(TextbookModel::kMagic) + std::string(3 << 20, 'x')), HasSubstr("at most 2 MB"));
  EXPECT_THAT(refused("not a model"), HasSubstr("HBSTYLE1"));
  EXPECT_FALSE(TextbookModel::recognises(folder / "b.model"));
  EXPECT_FALSE(TextbookModel::recognises(folder / "missing"));
  // Any file that is accepted can be used.
  StyleFeatures features;
  for (int round = 0; round < 300; ++round) {
    changed = bytes;
    for (int i = 0; i < 3; ++i) changed[random.below(changed.size())] = static_cast<char>(random.below(256));
    base::write_file(folder / "b.model", sealed(changed));
    try {
      EXPECT_TRUE(std::isfinite(TextbookModel(folder / "b.model").score("You can use it.", features)));
    } catch (const base::Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("b.model@"));
    }
  }
}

TEST(TextbookExcerpts, LinesOfAParagraphAreJoined) {
  const std::string line = "this line is more than forty bytes long, yes";
  EXPECT_EQ(curate::reflowed(line + "\nand goes on\n\nNew one"), line + " and goes on\n\nNew one");
  EXPECT_EQ(curate::reflowed("short\nlines\nstay"), "short\nlines\nstay");
  EXPECT_EQ(curate::reflowed(line + "\n  indented"), line + "\n  indented");
  EXPECT_EQ(curate::reflowed("  " + line + "\n  same"), "  " + line + " same");
  EXPECT_EQ(curate::reflowed(line + "\n* item\n"), line + "\n* item");
  EXPECT_EQ(curate::reflowed(""), "");
  base::Random random(1);
  std::string text;
  while (text.size() < 9000) text += "é";
  for (int i = 0; i < 100; ++i) {
    const std::string piece = curate::excerpt(text, random);
    EXPECT_EQ(piece.size() % 2, 0u);
    EXPECT_GE(piece.size(), 298u);
    EXPECT_LE(piece.size(), 2002u);
  }
  EXPECT_EQ(curate::excerpt("short", random), "short");
}

std::vector<curate::TextbookDocument> corpus() {
  base::Random random(9);
  std::vector<curate::TextbookDocument> documents;
  for (int i = 0; i < 240; ++i) {
    const bool good = i % 2 == 0;
    std::string text;
    for (int k = 0; k < 12; ++k) {
      const std::string topic(1 + random.below(6), static_cast<char>('a' + random.below(26)));
      text += good ? "If you look at the " + topic + " again, you will see why it is " + topic +
                         ", and not the other way round. "
                   : "2024-01-0" + std::to_string(k % 9 + 1) + " " + topic +
                         "[42]: ERROR code=" + std::to_string(random.below(900)) + "\n";
    }
    documents.push_back({text, "source" + std::to_string(i % 8), good, false});
  }
  return documents;
}

TEST(TrainTextbook, SameDocumentsSameBytes) {
  std::vector<curate::TextbookDocument> documents = corpus();
  curate::TextbookTraining options;
  options.trees.trees = 20;
  options.note = "made up";
  curate::TextbookReport report;
  const std::string bytes = curate::train_textbook(documents, options, report).serialise();
  EXPECT_EQ(report.good, 120u);
  EXPECT_EQ(report.groups, 8u);
  EXPECT_GT(report.unseen_groups_auc, 0.99);
  EXPECT_GT(report.unseen_documents_auc, 0.99);
  EXPECT_GT(report.held_out, 5u);
  EXPECT_EQ(report.fold_auc.size(), 4u);
  EXPECT_LT(report.recommended, 0.9);
  for (const curate::ScoreThreshold& t : report.thresholds) {
    EXPECT_LE(t.bad_kept, 1);
    EXPECT_TRUE(t.min_score < report.recommended || t.precision >= options.target_precision) << t.min_score;
  }
  base::Random random(2);
  base::shuffle(documents, random);
  curate::TextbookReport again;
  EXPECT_EQ(curate::train_textbook(documents, options, again).serialise(), bytes) << "another order";
  EXPECT_EQ(again.unseen_groups_auc, report.unseen_groups_auc);
  options.seed = 1;
  EXPECT_NE(curate::train_textbook(documents, options, again).serialise(), bytes) << "another seed";

  StyleFeatures features;
  const TextbookModel model = curate::train_textbook(documents, options, again);
  EXPECT_EQ(model.weights().note, "made up");
  EXPECT_GT(model.score("You may ask why it is the case that you see it, and not the other way round.", features), 0.5);
  EXPECT_LT(model.score("2024-02-03 q[17]: ERROR code=55\n2024-02-04 q[17]: ERROR code=56\n", features), 0.5);
}

TEST(TrainTextbook, TheScoreIsAProbabilityOnGroupsNeverSeen) {
  // One class in three of each group lies: no model can know, so honest scores stay near 2/3 and 1/3.
  std::vector<curate::TextbookDocument> documents = corpus();
  for (std::size_t i = 0; i < documents.size(); ++i) {
    if (i / 8 % 3 == 0) documents[i].good = !documents[i].good;
  }
  curate::TextbookTraining options;
  options.trees.trees = 20;
  curate::TextbookReport report;
  const TextbookModel model = curate::train_textbook(documents, options, report);
  StyleFeatures features;
  double prose = 0, logs = 0;
  for (const auto& d : corpus()) (d.good ? prose : logs) += model.score(d.text, features) / 120;
  EXPECT_NEAR(prose, 2.0 / 3, 0.12);
  EXPECT_NEAR(logs, 1.0 / 3, 0.12);
  EXPECT_LT(report.unseen_groups_auc, 0.8);
}

TEST(TrainTextbook, RefusesWhatCannotBeMeasured) {
  std::vector<curate::TextbookDocument> documents = corpus();
  for (auto& d : documents) d.group = d.good ? "a" : "b";
  curate::TextbookReport report;
  try {
    curate::train_textbook(documents, {}, report);
    FAIL() << "good and bad in one group each";
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("--group-field"));
  }
  for (auto& d : documents) d.group = "";
  curate::TextbookTraining options;
  options.trees.trees = 5;
  curate::train_textbook(documents, options, report);
  EXPECT_EQ(report.groups, documents.size()) << "a document without a group is a group of its own";
}

}  // namespace
