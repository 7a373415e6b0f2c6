// The textbook score: one number from 0 to 1, from how a text is written. Tested by
// tests/curate/scorer/textbook_model_test.cc.
#include "curate/scorer/textbook_model.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "base/unicode.h"

namespace curate {
namespace {

static_assert(std::endian::native == std::endian::little);

std::uint64_t names_hash() {
  std::string all;
  for (const std::string& name : style_statistic_names()) all += name + '\n';
  return XXH3_64bits(all.data(), all.size());
}

template <class T>
void put(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Takes values off the bytes of a file; every size is checked before it is used.
class Reader {
 public:
  Reader(std::string_view bytes, std::string path) : bytes_(bytes), path_(std::move(path)) {}
  [[noreturn]] void fail(std::string_view value, std::string_view expected) const {
    throw base::Error({"cannot use the textbook model", fmt::format("{}@{}", path_, at_), std::string(value),
                       std::string(expected), "train it again with curate train-scorer"});
  }
  std::string_view take(std::size_t size) {
    if (size > bytes_.size() - at_) fail("the file ends", fmt::format("{} more bytes", size));
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  template <class T>
  T value() {
    T result;
    std::memcpy(&result, take(sizeof result).data(), sizeof result);
    return result;
  }
  float number() {
    const float result = value<float>();
    if (!std::isfinite(result)) fail("a number that is not finite", "finite numbers");
    return result;
  }
  std::uint32_t count(std::uint32_t most, std::string_view what) {
    const auto result = value<std::uint32_t>();
    if (result > most) fail(std::to_string(result), fmt::format("at most {} {}", most, what));
    return result;
  }
  bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::string_view bytes_;
  std::string path_;
  std::size_t at_ = 0;
};

constexpr std::uint32_t kMostNote = 4096, kMostTrees = 4096;

TextbookWeights read(const std::filesystem::path& path) {
  const base::MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  Reader in(bytes, path.string());
  if (bytes.substr(0, TextbookModel::kMagic.size()) != TextbookModel::kMagic) {
    in.fail(base::shortened(bytes.substr(0, 8)), fmt::format("\"{}\" at its start", TextbookModel::kMagic));
  }
  if (bytes.size() > TextbookModel::kMostFileBytes) in.fail(base::human_bytes(bytes.size()), "at most 2 MB");
  in.take(TextbookModel::kMagic.size());
  TextbookWeights weights;
  weights.note = in.take(in.count(kMostNote, "bytes of a note"));
  if (base::find_invalid_utf8(weights.note) != std::string_view::npos) in.fail("the note is not UTF-8", "UTF-8");
  if (const auto bits = in.value<std::uint32_t>(); bits != StyleFeatures::kBits) {
    in.fail(fmt::format("{} bits", bits), fmt::format("{} bits in the gram table", StyleFeatures::kBits));
  }
  const std::uint32_t words = in.count(StyleVocabulary::kMost, "words");
  for (std::uint32_t i = 0; i < words; ++i) weights.words.emplace_back(in.take(in.value<std::uint8_t>()));
  const auto statistics = in.value<std::uint32_t>();
  if (statistics != style_statistic_names().size() || in.value<std::uint64_t>() != names_hash()) {
    in.fail("other statistics", "a model of this version of curate");
  }
  weights.gram_weight = in.number();
  weights.tree_weight = in.number();
  weights.offset = in.number();
  weights.gram_bias = in.number();
  weights.gram_unit = in.number();
  weights.grams.resize(std::size_t{1} << StyleFeatures::kBits);
  const std::size_t table_bytes = weights.grams.size() * sizeof weights.grams[0];
  std::memcpy(weights.grams.data(), in.take(table_bytes).data(), table_bytes);
  weights.trees.resize(in.count(kMostTrees, "trees"));
  for (StyleTree& tree : weights.trees) {
    for (std::size_t node = 0; node < 7; ++node) {
      tree.feature[node] = in.value<std::uint16_t>();
      if (tree.feature[node] >= statistics) in.fail(std::to_string(tree.feature[node]), "the number of a statistic");
      tree.threshold[node] = in.number();
    }
    for (float& leaf : tree.leaf) leaf = in.number();
  }
  const std::uint64_t hash = XXH3_64bits(bytes.data(), bytes.size() < 8 ? 0 : bytes.size() - 8);
  if (in.value<std::uint64_t>() != hash) in.fail("another checksum", "the file as it was written");
  if (!in.at_end()) in.fail("more bytes", "the end of the file");
  return weights;
}

}  // namespace

TextbookModel::TextbookModel(TextbookWeights weights) : weights_(std::move(weights)), vocabulary_(weights_.words) {}

TextbookModel::TextbookModel(const std::filesystem::path& path) : TextbookModel(read(path)) {}

bool TextbookModel::recognises(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, kMagic.size()> start{};
  return file.read(start.data(), start.size()) && std::string_view(start.data(), start.size()) == kMagic;
}

std::string TextbookModel::serialise() const {
  const TextbookWeights& w = weights_;
  std::string bytes(kMagic);
  put(bytes, static_cast<std::uint32_t>(w.note.size()));
  bytes += w.note;
  put(bytes, static_cast<std::uint32_t>(StyleFeatures::kBits));
  put(bytes, static_cast<std::uint32_t>(w.words.size()));
  for (const std::string& word : w.words) {
    put(bytes, static_cast<std::uint8_t>(word.size()));
    bytes += word;
  }
  put(bytes, static_cast<std::uint32_t>(style_statistic_names().size()));
  put(bytes, names_hash());
  for (float value : {w.gram_weight, w.tree_weight, w.offset, w.gram_bias, w.gram_unit}) put(bytes, value);
  bytes.append(reinterpret_cast<const char*>(w.grams.data()), w.grams.size() * sizeof w.grams[0]);
  put(bytes, static_cast<std::uint32_t>(w.trees.size()));
  for (const StyleTree& tree : w.trees) {
    for (std::size_t node = 0; node < 7; ++node) {
      put(bytes, tree.feature[node]);
      put(bytes, tree.threshold[node]);
    }
    for (float leaf : tree.leaf) put(bytes, leaf);
  }
  put(bytes, static_cast<std::uint64_t>(XXH3_64bits(bytes.data(), bytes.size())));
  return bytes;
}

void TextbookModel::save(const std::filesystem::path& path) const { base::write_file(path, serialise()); }

TextbookModel::Heads TextbookModel::heads(std::string_view text, StyleFeatures& features) const {
  features.read(text, vocabulary_);
  Heads heads;
  // Each gram's value is the square root of how often it came, over the root of the sum: the vector has length 1.
  double sum = 0, total = 0;
  for (const StyleFeatures::Gram& gram : features.grams()) {
    sum += std::sqrt(static_cast<double>(gram.count)) * weights_.grams[gram.bucket];
    total += gram.count;
  }
  heads.grams = weights_.gram_bias + (total > 0 ? weights_.gram_unit * sum / std::sqrt(total) : 0);
  for (const StyleTree& tree : weights_.trees) heads.trees += tree.value(features.statistics());
  return heads;
}

double TextbookModel::probability(const Heads& heads) const {
  const double log_odds = weights_.gram_weight * heads.grams + weights_.tree_weight * heads.trees + weights_.offset;
  return 1 / (1 + std::exp(-log_odds));
}

double TextbookModel::score(std::string_view text, StyleFeatures& features) const {
  const Heads said = heads(text, features);
  return features.tokens() == 0 ? 0 : probability(said);
}

}  // namespace curate
