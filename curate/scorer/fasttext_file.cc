// Reading a fastText model file: nothing in it is believed before it is checked. Tested by
// tests/curate/scorer/fasttext_test.cc.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/text.h"
#include "curate/scorer/fasttext.h"
#include "curate/text/words.h"

namespace curate {
namespace {

constexpr std::int32_t kMagic = 793712314, kNewest = 12;
constexpr std::int32_t kCentroids = 256;  // of one part of a quantised row

}  // namespace

// Takes values off the mapped file in order.
class FastText::Reader {
 public:
  explicit Reader(const base::MappedFile& file) : file_(file), bytes_(file.bytes()) {}

  template <class T>
  T take(const char* what) {
    T value;
    std::memcpy(&value, need(sizeof(T), what), sizeof(T));
    return value;
  }
  // `count` elements of `size` bytes.
  const std::byte* need(std::uint64_t size, const char* what, std::uint64_t count = 1) {
    std::uint64_t left = bytes_.size() - at_;
    if (size != 0 && count > left / size) fail(std::string("the file ends within ") + what);
    const std::byte* data = bytes_.data() + at_;
    at_ += size * count;
    return data;
  }
  std::string_view take_text(const char* what) {
    const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + at_;
    const void* end = std::memchr(begin, 0, bytes_.size() - at_);
    if (!end) fail(std::string("the file ends within ") + what);
    std::string_view text(begin, static_cast<std::size_t>(static_cast<const char*>(end) - begin));
    at_ += text.size() + 1;
    return text;
  }
  std::vector<float> take_floats(std::uint64_t count, const char* what) {
    const std::byte* data = need(sizeof(float), what, count);
    std::vector<float> values(count);
    if (count > 0) std::memcpy(values.data(), data, count * sizeof(float));
    return values;
  }
  [[noreturn]] void fail(const std::string& problem, const std::string& value = "",
                         const std::string& expected = "") const {
    throw base::Error({"cannot use the fastText model: " + problem, file_.path().string() + "@" + std::to_string(at_),
                       value, expected, "train or fetch it again"});
  }
  void expect(bool good, const std::string& what, std::int64_t value, const std::string& expected) const {
    if (!good) fail("bad " + what, std::to_string(value), expected);
  }

 private:
  const base::MappedFile& file_;
  std::span<const std::byte> bytes_;
  std::uint64_t at_ = 0;
};

FastText::FastText(const std::filesystem::path& path, std::size_t expand_limit) : file_(path) {
  static std::atomic<std::uint64_t> models = 0;
  serial_ = ++models;
  Reader in(file_);
  auto magic = in.take<std::int32_t>("the header");
  if (magic != kMagic) in.fail("it does not begin as one", std::to_string(magic), std::to_string(kMagic));
  auto version = in.take<std::int32_t>("the header");
  in.expect(version >= 1 && version <= kNewest, "version", version, "at most 12");
  dim_ = in.take<std::int32_t>("the arguments");
  for (int skipped = 0; skipped < 4; ++skipped) in.take<std::int32_t>("the arguments");  // ws, epoch, minCount, neg
  word_ngrams_ = in.take<std::int32_t>("the arguments");
  auto loss = in.take<std::int32_t>("the arguments");
  auto model = in.take<std::int32_t>("the arguments");
  bucket_ = in.take<std::int32_t>("the arguments");
  minn_ = in.take<std::int32_t>("the arguments");
  maxn_ = in.take<std::int32_t>("the arguments");
  in.take<std::int32_t>("the arguments");  // lrUpdateRate
  in.take<double>("the arguments");        // t
  in.expect(model == 3, "kind of model", model, "3: a supervised classifier; word vectors have no labels");
  in.expect(loss >= 1 && loss <= 4, "loss", loss, "1 to 4");
  in.expect(dim_ >= 1 && dim_ <= 1 << 20, "dimension", dim_, "1 to 1048576");
  in.expect(word_ngrams_ >= 0 && word_ngrams_ <= 255, "length of word n-grams", word_ngrams_, "0 to 255");
  in.expect(minn_ >= 0 && minn_ <= 255 && maxn_ >= 0 && maxn_ <= 255, "length of character n-grams", maxn_, "0 to 255");
  if (version == 11) maxn_ = 0;  // such models were trained without character n-grams
  loss_ = static_cast<Loss>(loss);
  const bool hashed = maxn_ > 0 || word_ngrams_ > 1;
  in.expect(bucket_ >= (hashed ? 1 : 0), "number of buckets", bucket_, "at least 1, because n-grams are used");
  if (bucket_ > 0) bucket_inverse_ = ~std::uint64_t{0} / static_cast<std::uint32_t>(bucket_) + 1;

  read_dictionary(in);
  bool quantised = in.take<std::uint8_t>("the input matrix") != 0;
  input_ = read_matrix(in, quantised);
  if (!quantised && prune_size_ >= 0) in.fail("a pruned dictionary goes with a quantised input matrix");
  bool quantised_output = in.take<std::uint8_t>("the output matrix") != 0;
  output_ = read_matrix(in, quantised && quantised_output);

  in.expect(input_.columns == dim_ && output_.columns == dim_, "number of columns", input_.columns,
            std::to_string(dim_));
  in.expect(output_.rows == label_count_, "number of output rows", output_.rows,
            std::to_string(label_count_) + ", one for each label");
  std::int64_t rows = word_count_;
  if (hashed && prune_size_ < 0) rows += bucket_;
  for (std::int32_t row : kept_rows_) rows = std::max(rows, std::int64_t{word_count_} + row + 1);
  in.expect(input_.rows >= rows, "number of input rows", input_.rows, "at least " + std::to_string(rows));

  // Also of a dense matrix, whose rows lie anywhere in the file: in memory a row of 16 columns is one cache line.
  const auto floats = static_cast<std::uint64_t>(input_.rows) * static_cast<std::uint64_t>(input_.columns);
  if (floats <= expand_limit / sizeof(float)) {
    input_.expanded.resize(floats);
    if (!input_.quantised) std::memcpy(input_.expanded.data(), input_.values, floats * sizeof(float));
    for (std::int64_t row = 0; input_.quantised && row < input_.rows; ++row)
      expand_row(input_, row, input_.expanded.data() + row * input_.columns, true);
  }
  in.expect(output_.rows * output_.columns <= std::int64_t{1} << 28, "number of output rows", output_.rows,
            "at most 268435456 values in all");
  output_rows_.resize(static_cast<std::size_t>(output_.rows * output_.columns));
  output_norms_.assign(static_cast<std::size_t>(output_.rows), 1.0f);
  for (std::int64_t row = 0; row < output_.rows; ++row) {
    float* values = output_rows_.data() + row * output_.columns;
    if (output_.quantised) {
      expand_row(output_, row, values, false);
      if (output_.norms) output_norms_[static_cast<std::size_t>(row)] = output_.norm_centroids[output_.norm_codes[row]];
    } else {
      std::memcpy(values, output_.values + row * output_.columns * 4, static_cast<std::size_t>(output_.columns) * 4);
    }
  }
  const auto is_finite = [](float value) { return std::isfinite(value); };
  if (!std::ranges::all_of(input_.expanded, is_finite) || !std::ranges::all_of(input_.centroids, is_finite) ||
      !std::ranges::all_of(input_.norm_centroids, is_finite) || !std::ranges::all_of(output_rows_, is_finite) ||
      !std::ranges::all_of(output_norms_, is_finite))
    refuse_number();
  if (loss_ == Loss::kHierarchicalSoftmax) build_tree(label_counts_);
}

void FastText::read_dictionary(Reader& in) {
  auto size = in.take<std::int32_t>("the dictionary");
  word_count_ = in.take<std::int32_t>("the dictionary");
  label_count_ = in.take<std::int32_t>("the dictionary");
  in.take<std::int64_t>("the dictionary");  // tokens
  prune_size_ = in.take<std::int64_t>("the dictionary");
  in.expect(word_count_ >= 0, "number of words", word_count_, "at least 0");
  in.expect(label_count_ >= 1, "number of labels", label_count_, "at least 1");
  in.expect(std::int64_t{word_count_} + label_count_ == size, "size of the dictionary", size, "words and labels");
  in.expect(prune_size_ >= -1 && prune_size_ <= bucket_, "number of pruned buckets", prune_size_, "-1 to the buckets");

  auto table_size = [](std::uint64_t entries) { return std::bit_ceil(entries * 2 + 2); };
  for (std::int32_t i = 0; i < size; ++i) {
    std::string_view word = in.take_text("a word");
    auto count = in.take<std::int64_t>("a word");
    auto type = in.take<std::int8_t>("a word");
    in.expect(type == (i < word_count_ ? 0 : 1), "type of entry " + std::to_string(i), type, "words, then labels");
    words_.push_back(word);
    if (i < word_count_) continue;
    label_counts_.push_back(count);
    labels_.emplace_back(word.starts_with("__label__") ? word.substr(9) : word);
  }
  slots_.resize(table_size(static_cast<std::uint64_t>(size)));
  for (std::int32_t i = 0; i < size; ++i) {
    std::string_view word = words_[static_cast<std::size_t>(i)];
    const std::uint64_t key = hash_word(word);
    std::size_t slot = key & (slots_.size() - 1);
    while (slots_[slot].id >= 0 && slots_[slot].key != key) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = {key, i};
  }
  if (prune_size_ <= 0) return;
  const std::byte* pairs = in.need(8, "the pruned buckets", static_cast<std::uint64_t>(prune_size_));
  in.expect(bucket_ <= 1 << 28, "number of buckets", bucket_, "at most 268435456 in a pruned model");
  kept_.resize(static_cast<std::size_t>(bucket_) / 64 + 1);
  auto pair_at = [&](std::int64_t i) {
    std::array<std::int32_t, 2> pair;
    std::memcpy(pair.data(), pairs + i * 8, 8);
    return pair;
  };
  for (std::int64_t i = 0; i < prune_size_; ++i) {
    const auto pair = pair_at(i);
    in.expect(pair[0] >= 0 && pair[0] < bucket_, "pruned bucket", pair[0], "a bucket");
    in.expect(pair[1] >= 0 && pair[1] < (1 << 30), "row of a pruned bucket", pair[1], "a row");
    kept_[static_cast<std::size_t>(pair[0] >> 6)].bits |= std::uint64_t{1} << (pair[0] & 63);
  }
  std::uint32_t before = 0;
  for (KeptBuckets& kept : kept_) {
    kept.before = before;
    before += static_cast<std::uint32_t>(std::popcount(kept.bits));
  }
  kept_rows_.resize(before + 1);
  for (std::int64_t i = 0; i < prune_size_; ++i) {
    const auto [bucket, row] = pair_at(i);
    kept_rows_[place_of_kept(static_cast<std::uint32_t>(bucket))] = row;
  }
}

FastText::Matrix FastText::read_matrix(Reader& in, bool quantised) {
  Matrix matrix;
  matrix.quantised = quantised;
  if (quantised) matrix.norms = in.take<std::uint8_t>("a matrix") != 0;
  matrix.rows = in.take<std::int64_t>("a matrix");
  matrix.columns = in.take<std::int64_t>("a matrix");
  in.expect(matrix.rows >= 1 && matrix.rows <= std::int64_t{1} << 40, "number of rows", matrix.rows, "at least 1");
  in.expect(matrix.columns >= 1 && matrix.columns <= 1 << 20, "number of columns", matrix.columns, "1 to 1048576");
  auto rows = static_cast<std::uint64_t>(matrix.rows), columns = static_cast<std::uint64_t>(matrix.columns);
  if (!quantised) {
    matrix.values = in.need(columns * sizeof(float), "a matrix", rows);
    return matrix;
  }
  auto code_size = in.take<std::int32_t>("a quantised matrix");
  in.expect(code_size >= 0, "size of the codes", code_size, "at least 0");
  matrix.codes = reinterpret_cast<const std::uint8_t*>(in.need(1, "the codes", static_cast<std::uint64_t>(code_size)));
  auto read_quantiser = [&](std::int64_t dim, Matrix& shape) {
    auto stored = in.take<std::int32_t>("a quantiser");
    in.expect(stored == dim, "dimension of a quantiser", stored, std::to_string(dim));
    shape.parts = in.take<std::int32_t>("a quantiser");
    shape.part_size = in.take<std::int32_t>("a quantiser");
    shape.last_size = in.take<std::int32_t>("a quantiser");
    in.expect(shape.part_size >= 1 && shape.part_size <= dim, "size of a part", shape.part_size, "1 to the dimension");
    in.expect(shape.parts == (dim + shape.part_size - 1) / shape.part_size, "number of parts", shape.parts,
              "as many as cover the dimension");
    in.expect(shape.last_size == dim - (shape.parts - 1) * std::int64_t{shape.part_size}, "size of the last part",
              shape.last_size, "what is left of the dimension");
    return in.take_floats(static_cast<std::uint64_t>(dim) * kCentroids, "the centroids");
  };
  matrix.centroids = read_quantiser(matrix.columns, matrix);
  in.expect(static_cast<std::uint64_t>(code_size) / static_cast<std::uint64_t>(matrix.parts) >= rows,
            "size of the codes", code_size, "one byte for each part of each row");
  if (matrix.norms) {
    matrix.norm_codes = reinterpret_cast<const std::uint8_t*>(in.need(1, "the codes of the norms", rows));
    Matrix shape;
    matrix.norm_centroids = read_quantiser(1, shape);
  }
  return matrix;
}

void FastText::expand_row(const Matrix& matrix, std::int64_t row, float* values, bool with_norm) {
  float norm = with_norm && matrix.norms ? matrix.norm_centroids[matrix.norm_codes[row]] : 1.0f;
  const std::uint8_t* codes = matrix.codes + row * matrix.parts;
  for (std::int32_t part = 0; part < matrix.parts; ++part) {
    bool last = part + 1 == matrix.parts;
    std::int32_t size = last ? matrix.last_size : matrix.part_size;
    std::size_t start = static_cast<std::size_t>(part) * kCentroids * static_cast<std::size_t>(matrix.part_size) +
                        static_cast<std::size_t>(codes[part]) * static_cast<std::size_t>(size);
    for (std::int32_t i = 0; i < size; ++i) {
      values[part * matrix.part_size + i] = norm * matrix.centroids[start + static_cast<std::size_t>(i)];
    }
  }
}

// The Huffman tree that training built from the labels' counts; a leaf is a label.
void FastText::build_tree(const std::vector<std::int64_t>& counts) {
  const auto labels = static_cast<std::int32_t>(counts.size());
  tree_.resize(static_cast<std::size_t>(2 * labels - 1));
  for (Node& node : tree_) node.count = 1'000'000'000'000'000;
  for (std::int32_t i = 0; i < labels; ++i)
    tree_[static_cast<std::size_t>(i)].count = counts[static_cast<std::size_t>(i)];
  std::int32_t leaf = labels - 1, node = labels;
  for (std::int32_t i = labels; i < 2 * labels - 1; ++i) {
    std::int32_t smallest[2];
    for (std::int32_t& chosen : smallest) {
      bool take_leaf =
          leaf >= 0 && tree_[static_cast<std::size_t>(leaf)].count < tree_[static_cast<std::size_t>(node)].count;
      // A hostile file can have counts that would join a node with itself or with one that does not exist yet.
      if (!take_leaf && node >= i) take_leaf = leaf >= 0;
      chosen = take_leaf ? leaf-- : node++;
    }
    tree_[static_cast<std::size_t>(i)] = {
        smallest[0], smallest[1],
        static_cast<std::int64_t>(static_cast<std::uint64_t>(tree_[static_cast<std::size_t>(smallest[0])].count) +
                                  static_cast<std::uint64_t>(tree_[static_cast<std::size_t>(smallest[1])].count))};
  }
}

}  // namespace curate
