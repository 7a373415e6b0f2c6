// Our reader of fastText models against the fastText library itself, and against hostile files.
#include "curate/scorer/fasttext.h"

#include <fasttext/fasttext.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "tests/curate/small_fasttext.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using curate::FastText;
using small_fasttext::random_text;
using small_fasttext::train;

std::map<std::string, float> library_prediction(const fasttext::FastText& library, std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::istringstream in(text + "\n");
  std::vector<std::pair<fasttext::real, std::string>> found;
  library.predictLine(in, found, -1, 0.0);
  std::map<std::string, float> result;
  for (const auto& [probability, label] : found) result[label] = probability;
  return result;
}

const std::vector<std::string>& sample_texts() {
  static const std::vector<std::string> kTexts = [] {
    std::vector<std::string> texts = {"",
                                      " ",
                                      "</s>",
                                      "w1 </s> w2",
                                      "__label__1 w2",
                                      "__label__none w3",
                                      "w1\nw2 w3\n",
                                      "w4",
                                      "unseen",
                                      std::string(5000, 'x'),
                                      "a\tb\vc",
                                      "é",
                                      "w1\x7F\x80w2"};
    base::Random random(99);
    for (int i = 0; i < 60; ++i) texts.push_back(random_text(random, 1 + random.below(i < 50 ? 40 : 4000)));
    return texts;
  }();
  return kTexts;
}

// The largest difference over all labels and texts.
double worst_difference(const fs::path& path, std::size_t expand_limit = FastText::kExpandLimit) {
  fasttext::FastText library;
  library.loadModel(path.string());
  FastText model(path, expand_limit);
  FastText::Scratch scratch;
  double worst = 0;
  for (const std::string& text : sample_texts()) {
    auto expected = library_prediction(library, text);
    std::span<const float> ours = model.predict(text, scratch);
    for (std::size_t i = 0; i < ours.size(); ++i) {
      worst = std::max(worst, std::abs(double{ours[i]} - expected["__label__" + model.labels()[i]]));
    }
  }
  return worst;
}

TEST(FastText, ProbabilitiesAreTheLibrarys) {
  using fasttext::loss_name;
  TemporaryFolder folder;
  int number = 0;
  for (loss_name loss : {loss_name::softmax, loss_name::hs, loss_name::ns, loss_name::ova}) {
    for (auto [maxn, ngrams] : {std::pair{0, 1}, {4, 1}, {0, 3}}) {
      std::string name = std::to_string(++number);
      bool quantise = (number + static_cast<int>(loss)) % 2 == 0;
      const fs::path path = train(folder.path(), name, loss, maxn, ngrams, quantise);
      EXPECT_LT(worst_difference(path), 1e-6) << name;
      EXPECT_LT(worst_difference(path, 0), 1e-6) << name << ", its matrix not copied to memory";
    }
    std::string name = "full" + std::to_string(number);
    fs::path all = train(folder.path(), name, loss, 4, 2, true, true, true);
    EXPECT_LT(worst_difference(all), 1e-6);
    EXPECT_LT(worst_difference(all, 0), 1e-6) << "not expanded";
    fs::path pruned = train(folder.path(), name + "p", loss, 4, 2, true, true, false, 600);
    EXPECT_LT(worst_difference(pruned), 1e-6);
    for (auto [minn, maxn] : {std::pair{2, 4}, {2, 3}, {3, 4}, {2, 5}}) {  // up to 4, starts are remembered
      const std::string sizes = name + std::to_string(minn) + std::to_string(maxn);
      EXPECT_LT(worst_difference(train(folder.path(), sizes, loss, maxn, 1, false, false, false, 0, minn)), 1e-6);
      EXPECT_LT(worst_difference(train(folder.path(), sizes + "p", loss, maxn, 1, true, true, false, 600, minn)), 1e-6);
    }
  }
}

TEST(FastText, ASelectionKnowsTheLikeliestLabelAndTheWantedOnes) {
  TemporaryFolder folder;
  for (fasttext::loss_name loss : {fasttext::loss_name::hs, fasttext::loss_name::softmax}) {
    const FastText model(train(folder.path(), "model", loss, 4, 1, false));
    FastText::Scratch scratch, other;
    std::size_t left_out = 0;
    for (const std::string& text : sample_texts()) {
      const std::span<const float> all = model.predict(text, scratch);
      for (int wanted = -1; wanted < static_cast<int>(all.size()); ++wanted) {
        const std::vector<int> labels(wanted < 0 ? 0 : 1, wanted);
        const std::span<const float> some = model.predict(text, other, model.select(labels));
        const auto best = std::max_element(all.begin(), all.end()) - all.begin();
        EXPECT_EQ(std::max_element(some.begin(), some.end()) - some.begin(), best);
        EXPECT_EQ(some[static_cast<std::size_t>(best)], all[static_cast<std::size_t>(best)]);
        const auto also = static_cast<std::size_t>(wanted < 0 ? best : wanted);
        EXPECT_EQ(some[also], all[also]);
        for (std::size_t i = 0; i < all.size(); ++i) left_out += some[i] != all[i];
      }
    }
    EXPECT_EQ(left_out > 0, loss == fasttext::loss_name::hs);
  }
}

TEST(FastText, TheComparisonCanFail) {
  TemporaryFolder folder;
  fs::path path = train(folder.path(), "one", fasttext::loss_name::softmax, 3, 1, false);
  std::string bytes = base::read_file(path);
  std::size_t minn = 8 + 9 * 4;
  std::int32_t two = 2;
  std::memcpy(&bytes[minn], &two, 4);  // character n-grams from 2 instead of from 1
  fs::path changed = folder.path() / "changed.bin";
  base::write_file(changed, bytes);
  fasttext::FastText library;
  library.loadModel(path.string());
  FastText::Scratch scratch;
  double worst = 0;
  auto expected = library_prediction(library, "w1 bato nder");
  FastText model(changed);
  std::span<const float> ours = model.predict("w1 bato nder", scratch);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    worst = std::max(worst, std::abs(double{ours[i]} - expected["__label__" + model.labels()[i]]));
  }
  EXPECT_GT(worst, 1e-6);
}

TEST(FastText, KernelsGiveTheSameBits) {
  base::Random random(3);
  for (std::size_t columns : {1, 10, 16, 17, 64, 100, 300}) {
    std::vector<float> matrix(50 * columns);
    for (float& value : matrix) value = static_cast<float>(random.uniform() - 0.5);
    std::vector<std::byte> file(matrix.size() * 4 + 1);
    std::memcpy(file.data() + 1, matrix.data(), matrix.size() * 4);
    std::vector<std::int32_t> rows;
    for (int i = 0; i < 500; ++i) rows.push_back(static_cast<std::int32_t>(random.below(50)));
    const std::byte* bytes = file.data() + 1;  // as in a file: not aligned
    std::vector<float> expected(columns, 0.0f);
    for (std::int32_t row : rows) {
      for (std::size_t i = 0; i < columns; ++i) {
        float value;
        std::memcpy(&value, bytes + (static_cast<std::size_t>(row) * columns + i) * 4, 4);
        expected[i] += value;
      }
    }
    for (const FastText::Kernel& kernel : FastText::kernels()) {
      std::vector<float> sum(columns, 0.0f);
      kernel.add_rows(bytes, columns, rows.data(), rows.size(), sum.data());
      EXPECT_EQ(std::memcmp(sum.data(), expected.data(), columns * 4), 0) << kernel.name << " " << columns;
    }
  }
}

TEST(FastText, HostileFilesAreRefusedOrHarmless) {
  TemporaryFolder folder;
  using fasttext::loss_name;
  base::Random random(11);
  int refused = 0, used = 0;
  for (fs::path good : {train(folder.path(), "hs", loss_name::hs, 4, 2, true, true, true, 600),
                        train(folder.path(), "softmax", loss_name::softmax, 2, 2, false)}) {
    const std::string bytes = base::read_file(good);
    fs::path path = folder.path() / "hostile.bin";
    auto attempt = [&](const std::string& content) {
      std::ofstream(path, std::ios::binary) << content;
      try {
        FastText model(path);
        FastText::Scratch scratch;
        model.predict("bato n der w1 w2 w3 漢 something else", scratch);
        ++used;
      } catch (const base::Error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("hostile.bin"));
        ++refused;
      }
    };
    for (int i = 0; i < 60; ++i) attempt(bytes.substr(0, random.below(bytes.size())));
    for (int i = 0; i < 400; ++i) {  // most of them in the header and the dictionary
      std::string changed = bytes;
      std::size_t at = random.below(i % 2 ? 200 : bytes.size() - 8);
      std::uint64_t value = i % 3 == 0 ? random() : i % 3 == 1 ? ~std::uint64_t{0} : random.below(300);
      std::memcpy(&changed[at], &value, 1 + random.below(8));
      attempt(changed);
    }
  }
  EXPECT_GT(refused, 300);
  EXPECT_GT(used, 50);
}

// As the library, which says "Encountered NaN".
TEST(FastText, NumbersThatAreNotFiniteAreRefused) {
  TemporaryFolder folder;
  using fasttext::loss_name;
  const float bad[] = {std::nanf(""), INFINITY};
  for (const fs::path& good : {train(folder.path(), "softmax", loss_name::softmax, 2, 2, false),
                               train(folder.path(), "tree", loss_name::hs, 2, 2, false)}) {
    std::string bytes = base::read_file(good);
    const std::size_t output = bytes.size() - 12 * 10 * sizeof(float);  // the last matrix
    const std::size_t input = output - 17 - 10 * sizeof(float);         // the last row of the other one
    for (const std::size_t place : {output, input}) {
      for (const float value : bad) {
        std::string changed = bytes;
        for (int i = 0; i < 10; ++i) std::memcpy(&changed[place + 4 * static_cast<std::size_t>(i)], &value, 4);
        const std::string path = folder.write("bad.bin", changed);
        EXPECT_THAT(error_of([&] { FastText model(path); }), testing::HasSubstr("not finite"));
      }
    }
    // A matrix that is not copied is met on the way.
    std::string all = bytes;
    const std::size_t rows = 3000 * 10 * sizeof(float);
    for (std::size_t i = 0; i < rows; i += 4) std::memcpy(&all[output - 17 - rows + i], bad, 4);
    const FastText model(folder.write("mapped.bin", all), 0);
    FastText::Scratch scratch;
    EXPECT_THAT(error_of([&] { model.predict("bato n der w1 w2 w3", scratch); }), testing::HasSubstr("not finite"));
  }
}

TEST(FastText, WordVectorsAreNoClassifier) {
  TemporaryFolder folder;
  fs::path path = train(folder.path(), "x", fasttext::loss_name::softmax, 0, 1, false);
  std::string bytes = base::read_file(path);
  std::int32_t skipgram = 2;
  std::memcpy(&bytes[8 + 7 * 4], &skipgram, 4);
  base::write_file(path, bytes);
  try {
    FastText model(path);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("word vectors have no labels"));
  }
}

}  // namespace
