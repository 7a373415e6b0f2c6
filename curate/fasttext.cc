// Predicting with a fastText model. Compiled without contraction to fused multiply-add, and rows are added in the
// library's order, so that the sums are the library's to the last bit.
#include "curate/fasttext.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "curate/words.h"

namespace curate {
namespace {

constexpr std::string_view kEndOfLine = "</s>";
constexpr int kKnownShift = 64 - 17;
constexpr std::size_t kKnownWords = std::size_t{1} << (64 - kKnownShift),
                      kKnownRows = 1 << 20;  ///< remembered by one thread
constexpr std::size_t kLongWord = 100;       ///< bytes; not remembered
constexpr std::size_t kRowBuffer = 1 << 15;  ///< rows that are summed at once
constexpr std::size_t kPiece = 16;           ///< rows that are copied at once
/// Room for what one word, or one piece of a long one, adds: at most 255 n-grams begin at a byte.
constexpr std::size_t kMostRows = 256 * (kLongWord + 2) + kPiece;

std::uint32_t step(std::uint32_t hash, char c) {
  return (hash ^ static_cast<std::uint32_t>(static_cast<std::int32_t>(static_cast<signed char>(c)))) * 16777619u;
}

constexpr std::array<bool, 256> kSeparators = [] {
  std::array<bool, 256> table{};
  for (char c : {' ', '\n', '\r', '\t', '\v', '\f', '\0'}) table[static_cast<unsigned char>(c)] = true;
  return table;
}();
bool is_separator(char c) { return kSeparators[static_cast<unsigned char>(c)]; }

/// The position of the first separator behind `position`, or the end.
std::size_t end_of_word(std::string_view text, std::size_t position) {
  typedef signed char Bytes __attribute__((vector_size(16)));
  while (position + 16 <= text.size()) {
    Bytes bytes;
    std::memcpy(&bytes, text.data() + position, 16);
    // Separators are 0, 9 to 13 and 32. The halves of the answer, 0xFF for each separator, are searched as numbers.
    const Bytes found = (bytes == 0) | (bytes == 32) | ((bytes >= 9) & (bytes <= 13));
    std::uint64_t halves[2];
    std::memcpy(halves, &found, 16);
    if (halves[0] != 0) return position + static_cast<std::size_t>(std::countr_zero(halves[0])) / 8;
    if (halves[1] != 0) return position + 8 + static_cast<std::size_t>(std::countr_zero(halves[1])) / 8;
    position += 16;
  }
  while (position < text.size() && !is_separator(text[position])) ++position;
  return position;
}

typedef float Floats __attribute__((vector_size(64)));  // 16 floats; the compiler cuts it to the machine's width

/// Adds the rows' columns [begin, begin + 16 * N) while the sums stay in registers.
template <int N>
inline __attribute__((always_inline)) void add_block(const std::byte* matrix, std::size_t columns, std::size_t begin,
                                                     const std::int32_t* rows, std::size_t count, float* sum) {
  Floats sums[N];
  std::memcpy(sums, sum + begin, sizeof(sums));
  for (std::size_t i = 0; i < count; ++i) {
    if (i + 6 < count) __builtin_prefetch(matrix + (static_cast<std::size_t>(rows[i + 6]) * columns + begin) * 4);
    const std::byte* row = matrix + (static_cast<std::size_t>(rows[i]) * columns + begin) * 4;
    for (int part = 0; part < N; ++part) {
      Floats values;
      std::memcpy(&values, row + part * 64, 64);
      sums[part] += values;
    }
  }
  std::memcpy(sum + begin, sums, sizeof(sums));
}

inline __attribute__((always_inline)) void add_all(const std::byte* matrix, std::size_t columns,
                                                   const std::int32_t* rows, std::size_t count, float* sum) {
  std::size_t begin = 0;
  for (; begin + 64 <= columns; begin += 64) add_block<4>(matrix, columns, begin, rows, count, sum);
  for (; begin + 32 <= columns; begin += 32) add_block<2>(matrix, columns, begin, rows, count, sum);
  for (; begin + 16 <= columns; begin += 16) add_block<1>(matrix, columns, begin, rows, count, sum);
  if (begin == columns) return;
  float rest[16] = {};
  const std::size_t width = columns - begin;
  std::memcpy(rest, sum + begin, width * 4);
  for (std::size_t i = 0; i < count; ++i) {
    float values[16];
    std::memcpy(values, matrix + (static_cast<std::size_t>(rows[i]) * columns + begin) * 4, width * 4);
    for (std::size_t j = 0; j < width; ++j) rest[j] += values[j];
  }
  std::memcpy(sum + begin, rest, width * 4);
}

void add_portable(const std::byte* m, std::size_t c, const std::int32_t* r, std::size_t n, float* s) {
  add_all(m, c, r, n, s);
}
#if defined(__x86_64__)
[[gnu::target("avx2")]] void add_avx2(const std::byte* m, std::size_t c, const std::int32_t* r, std::size_t n,
                                      float* s) {
  add_all(m, c, r, n, s);
}
[[gnu::target("avx512f")]] void add_avx512(const std::byte* m, std::size_t c, const std::int32_t* r, std::size_t n,
                                           float* s) {
  add_all(m, c, r, n, s);
}
#endif

/// How many of the lowest `bit` bits are set.
std::uint32_t bits_below(std::uint64_t bits, std::uint32_t bit) {
  bits &= (std::uint64_t{1} << bit) - 1;
  bits -= (bits >> 1) & 0x5555555555555555;  // the usual sum of pairs, nibbles and bytes: not every machine has popcnt
  bits = (bits & 0x3333333333333333) + ((bits >> 2) & 0x3333333333333333);
  bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0F;
  return static_cast<std::uint32_t>((bits * 0x0101010101010101) >> 56);
}

/// The library's sigmoid: a table of 512 steps between -8 and 8.
float table_sigmoid(float x) {
  static const std::vector<float> table = [] {
    std::vector<float> values;
    for (int i = 0; i <= 512; ++i) {
      float at = static_cast<float>(i * 2 * 8) / 512 - 8;
      values.push_back(static_cast<float>(1.0 / (1.0 + std::exp(-at))));
    }
    return values;
  }();
  if (!(x >= -8)) return 0;  // also when x is not a number
  if (x > 8) return 1;
  return table[static_cast<std::size_t>((x + 8) * 512 / 8 / 2)];
}

float log_of(float x) { return static_cast<float>(std::log(x + 1e-5)); }

}  // namespace

std::span<const FastText::Kernel> FastText::kernels() {
  static const std::vector<Kernel> kernels = [] {
    std::vector<Kernel> usable = {{"portable", add_portable}};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) usable.push_back({"avx2", add_avx2});
    if (__builtin_cpu_supports("avx512f")) usable.push_back({"avx512", add_avx512});
#endif
    return usable;
  }();
  return kernels;
}

FastText::Scratch::Scratch()
    : known(kKnownWords), rows_of_known(kKnownRows + kMostRows), rows(kRowBuffer + kMostRows) {}

int FastText::label(std::string_view name) const {
  if (name.starts_with("__label__")) name.remove_prefix(9);
  auto found = std::find(labels_.begin(), labels_.end(), name);
  return found == labels_.end() ? -1 : static_cast<int>(found - labels_.begin());
}

std::int32_t FastText::find_word(std::uint64_t key) const {
  for (std::size_t slot = key & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot].id < 0 || slots_[slot].key == key) return slots_[slot].id;
  }
}

/// Where in kept_rows_ the row of a bucket stands; of a bucket that was pruned, that of the next one kept.
std::uint32_t FastText::place_of_kept(std::uint32_t bucket) const {
  const KeptBuckets& kept = kept_[bucket >> 6];
  return kept.before + bits_below(kept.bits, bucket & 63);
}

/// Writes the row of a bucket; returns the end of what is written, which is `rows` when the bucket was pruned. One more
/// value is written in any case.
std::int32_t* FastText::add_bucket(std::uint32_t bucket, std::int32_t* rows) const {
  if (prune_size_ < 0) {
    *rows = word_count_ + static_cast<std::int32_t>(bucket);
    return rows + 1;
  }
  if (prune_size_ == 0) return rows;
  // Without a branch: half of the n-grams of a usual text were pruned, and no processor foresees which.
  *rows = word_count_ + kept_rows_[place_of_kept(bucket)];
  return rows + ((kept_[bucket >> 6].bits >> (bucket & 63)) & 1);
}

/// Character n-grams that begin in the bytes [begin, end) of "<word>". Writes at most maxn_ rows for each byte, and one
/// value more.
std::int32_t* FastText::add_subwords(std::string_view padded, std::size_t begin, std::size_t end,
                                     std::int32_t* rows) const {
  const std::size_t size = padded.size();
  const std::int32_t minn = minn_, maxn = maxn_;  // copies: what is written could be a member, to the compiler
  const auto bucket_count = static_cast<std::uint32_t>(bucket_);
  const std::uint64_t inverse = bucket_inverse_;
  auto continues = [&](std::size_t i) { return (padded[i] & 0xC0) == 0x80; };
  for (std::size_t i = begin; i < end; ++i) {
    if (continues(i)) continue;
    std::uint32_t hash = 2166136261u;
    std::size_t j = i;
    for (std::int32_t n = 1; j < size && n <= maxn; ++n) {
      hash = step(hash, padded[j++]);
      while (j < size && continues(j)) hash = step(hash, padded[j++]);
      if (n < minn || (n == 1 && (i == 0 || j == size))) continue;
      // hash % bucket_count by a multiplication (Lemire, Kaser, Kurz 2019).
      const auto low = static_cast<unsigned __int128>(inverse * hash);
      rows = add_bucket(static_cast<std::uint32_t>((low * bucket_count) >> 64), rows);
    }
  }
  return rows;
}

void FastText::add_word(std::string_view word, std::uint64_t key, Scratch& scratch) const {
  if (word.size() >= kLongWord) return add_long_word(word, scratch);
  Scratch::Known& known = scratch.known[key >> kKnownShift];
  if (!known.filled || known.key != key) {
    if (scratch.known_end > kKnownRows) {
      scratch.known_end = 0;
      for (Scratch::Known& old : scratch.known) old.filled = false;
    }
    char padded[kLongWord + 2] = {'<'};
    std::memcpy(padded + 1, word.data(), word.size());
    padded[word.size() + 1] = '>';
    std::uint32_t hash = 2166136261u;
    for (char c : word) hash = step(hash, c);
    std::int32_t id = find_word(key);
    known = {key, static_cast<std::uint32_t>(scratch.known_end), 0, hash, true, false};
    known.counts = id >= 0 ? id < word_count_ : !word.starts_with("__label__");
    if (known.counts) {
      std::int32_t* const rows = scratch.rows_of_known.data() + scratch.known_end;
      std::int32_t* end = rows;
      if (id >= 0) *end++ = id;
      if (word != kEndOfLine) end = add_subwords({padded, word.size() + 2}, 0, word.size() + 2, end);
      known.count = static_cast<std::uint32_t>(end - rows);
      scratch.known_end += known.count;
    }
  }
  if (!known.counts) return;
  // In pieces of a fixed size, which is faster than the exact copy of a few values.
  const std::int32_t* from = scratch.rows_of_known.data() + known.begin;
  std::int32_t* to = scratch.rows.data() + scratch.row_end;
  for (std::size_t i = 0; i < known.count; i += kPiece) std::memcpy(to + i, from + i, kPiece * sizeof(*to));
  scratch.row_end += known.count;
  if (word_ngrams_ > 1) scratch.hashes.push_back(static_cast<std::int32_t>(known.hash));
}

/// Without character n-grams a word is one row, or none: nothing to remember.
void FastText::add_plain_word(std::string_view word, std::uint64_t key, Scratch& scratch) const {
  std::int32_t id = find_word(key);
  if (id >= word_count_ || (id < 0 && word.starts_with("__label__"))) return;
  if (id >= 0) scratch.rows[scratch.row_end++] = id;
  if (word_ngrams_ < 2) return;
  std::uint32_t hash = 2166136261u;
  for (char c : word) hash = step(hash, c);
  scratch.hashes.push_back(static_cast<std::int32_t>(hash));
}

/// Not remembered, and summed piece by piece: a word can be a megabyte of base64.
void FastText::add_long_word(std::string_view word, Scratch& scratch) const {
  std::uint32_t hash = 2166136261u;
  for (char c : word) hash = step(hash, c);
  std::int32_t id = find_word(hash_bytes(word.data(), word.size()));
  if (id >= word_count_ || (id < 0 && word.starts_with("__label__"))) return;
  if (id >= 0) scratch.rows[scratch.row_end++] = id;
  const std::string padded = "<" + std::string(word) + ">";
  for (std::size_t begin = 0; maxn_ > 0 && begin < padded.size(); begin += kLongWord) {
    std::int32_t* const rows = scratch.rows.data() + scratch.row_end;
    scratch.row_end +=
        static_cast<std::size_t>(add_subwords(padded, begin, std::min(begin + kLongWord, padded.size()), rows) - rows);
    if (scratch.row_end > kRowBuffer) sum_rows(scratch);
  }
  scratch.hashes.push_back(static_cast<std::int32_t>(hash));
}

void FastText::add_text(std::string_view text, Scratch& scratch) const {
  const bool plain = maxn_ == 0;
  // Words wait in a ring while the memory that tells about them is fetched: it rarely is in the nearest cache.
  struct Waiting {
    std::string_view word;
    std::uint64_t key;
  };
  constexpr std::size_t kWaiting = 8;
  Waiting ring[kWaiting];
  std::size_t taken = 0, added = 0;
  auto take = [&](std::string_view word) {
    Waiting& place = ring[taken++ % kWaiting];
    place = {word, hash_bytes(word.data(), word.size())};
    if (plain) {
      __builtin_prefetch(&slots_[place.key & (slots_.size() - 1)]);
    } else {
      __builtin_prefetch(&scratch.known[place.key >> kKnownShift]);
    }
  };
  auto add_oldest = [&] {
    const Waiting& place = ring[added++ % kWaiting];
    if (plain) {
      add_plain_word(place.word, place.key, scratch);
    } else {
      add_word(place.word, place.key, scratch);
    }
    if (scratch.row_end > kRowBuffer) sum_rows(scratch);
  };
  std::size_t position = 0;
  for (;;) {
    while (position < text.size() && is_separator(text[position])) ++position;
    if (position == text.size()) break;
    const std::size_t begin = position;
    position = end_of_word(text, position);
    std::string_view word = text.substr(begin, position - begin);
    if (word == kEndOfLine) break;  // it ends the line for the library, wherever it stands
    if (taken - added == kWaiting) add_oldest();
    take(word);
  }
  while (added < taken) add_oldest();
  take(kEndOfLine);
  add_oldest();
  if (word_ngrams_ < 2) return;
  const auto n = static_cast<std::size_t>(word_ngrams_);
  for (std::size_t i = 0; i < scratch.hashes.size(); ++i) {
    auto hash = static_cast<std::uint64_t>(std::int64_t{scratch.hashes[i]});
    for (std::size_t j = i + 1; j < scratch.hashes.size() && j < i + n; ++j) {
      hash = hash * 116049371 + static_cast<std::uint64_t>(std::int64_t{scratch.hashes[j]});
      auto bucket = static_cast<std::uint32_t>(hash % static_cast<std::uint32_t>(bucket_));
      std::int32_t* const rows = scratch.rows.data() + scratch.row_end;
      scratch.row_end += static_cast<std::size_t>(add_bucket(bucket, rows) - rows);
      if (scratch.row_end > kRowBuffer) sum_rows(scratch);
    }
  }
}

/// Adds the collected rows to the hidden sum, in order.
void FastText::sum_rows(Scratch& scratch) const {
  std::vector<float>& hidden = scratch.hidden;
  const std::span<const std::int32_t> rows(scratch.rows.data(), scratch.row_end);
  scratch.row_count += rows.size();
  if (input_.quantised && input_.expanded.empty()) {
    std::vector<float>& values = scratch.output;
    values.resize(std::max(labels_.size(), hidden.size()));
    for (std::int32_t row : rows) {
      expand_row(input_, row, values.data(), true);
      for (std::size_t i = 0; i < hidden.size(); ++i) hidden[i] += values[i];
    }
  } else {
    const auto* matrix = input_.quantised ? reinterpret_cast<const std::byte*>(input_.expanded.data()) : input_.values;
    static const auto add_rows = kernels().back().add_rows;
    add_rows(matrix, hidden.size(), rows.data(), rows.size(), hidden.data());
  }
  scratch.row_end = 0;
}

float FastText::dot(std::int32_t output_row, const std::vector<float>& hidden) const {
  const float* values = output_rows_.data() + static_cast<std::size_t>(output_row) * hidden.size();
  float sum = 0;
  for (std::size_t i = 0; i < hidden.size(); ++i) sum += hidden[i] * values[i];
  return sum * output_norms_[static_cast<std::size_t>(output_row)];
}

void FastText::score_tree(Scratch& scratch) const {
  const float least = log_of(0.0f);  // below it the library leaves a label out
  scratch.open_nodes.assign(1, {static_cast<std::int32_t>(tree_.size()) - 1, 0.0f});
  while (!scratch.open_nodes.empty()) {
    auto [node, score] = scratch.open_nodes.back();
    scratch.open_nodes.pop_back();
    if (!(score >= least)) continue;
    const Node& here = tree_[static_cast<std::size_t>(node)];
    if (here.left < 0) {
      scratch.output[static_cast<std::size_t>(node)] = std::exp(score);
      continue;
    }
    float f = dot(node - label_count_, scratch.hidden);
    f = static_cast<float>(1. / (1 + std::exp(-f)));
    scratch.open_nodes.emplace_back(here.left, score + log_of(1.0f - f));
    scratch.open_nodes.emplace_back(here.right, score + log_of(f));
  }
}

std::span<const float> FastText::predict(std::string_view text, Scratch& scratch) const {
  if (scratch.owner != serial_) {
    for (Scratch::Known& known : scratch.known) known.filled = false;
    scratch.known_end = 0;
    scratch.owner = serial_;
  }
  std::vector<float>& hidden = scratch.hidden;
  std::vector<float>& output = scratch.output;
  scratch.row_end = 0;
  scratch.hashes.clear();
  scratch.row_count = 0;
  hidden.assign(static_cast<std::size_t>(dim_), 0.0f);
  add_text(text, scratch);
  sum_rows(scratch);
  output.assign(labels_.size(), 0.0f);
  if (scratch.row_count == 0) return output;
  const auto share = static_cast<float>(1.0 / static_cast<double>(scratch.row_count));
  for (float& value : hidden) value *= share;

  if (loss_ == Loss::kHierarchicalSoftmax) {
    score_tree(scratch);
    return output;
  }
  for (std::size_t i = 0; i < output.size(); ++i) output[i] = dot(static_cast<std::int32_t>(i), hidden);
  if (loss_ == Loss::kSoftmax) {
    float largest = *std::max_element(output.begin(), output.end()), sum = 0;
    for (float& value : output) {
      value = static_cast<float>(std::exp(static_cast<double>(value - largest)));
      sum += value;
    }
    for (float& value : output) value /= sum;
  } else {
    for (float& value : output) value = table_sigmoid(value);
  }
  for (float& value : output) {
    value = std::exp(log_of(value));
    if (!(value >= 0)) value = 0;  // a hostile file can hold values that are not numbers
  }
  return output;
}

}  // namespace curate
