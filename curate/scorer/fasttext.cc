// Predicting with a fastText model. Compiled without contraction to fused multiply-add, and rows are added in the
// library's order, so that the sums are the library's to the last bit. Tested by tests/curate/scorer/fasttext_test.cc.
#include "curate/scorer/fasttext.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/error.h"
#include "curate/text/words.h"

namespace curate {
namespace {

constexpr std::string_view kEndOfLine = "</s>";
constexpr int kKnownShift = 64 - 18;
constexpr std::size_t kKnownWords = std::size_t{1} << (64 - kKnownShift),
                      kKnownRows = 1 << 21;      // remembered by one thread
constexpr int kStartBits = 16;                   // the rows of 2 to the 16 starts of n-grams are remembered
constexpr std::uint32_t kTopBits = 0x80808080u;  // of four bytes; 0 in ASCII
constexpr std::size_t kLongWord = 100;           // bytes; not remembered
constexpr std::size_t kRowBuffer = 1 << 15;      // rows that are summed at once
constexpr std::size_t kPiece = 16;               // rows that are copied at once
// Room for what one word, or one piece of a long one, adds: at most 255 n-grams begin at a byte.
constexpr std::size_t kMostRows = 256 * (kLongWord + 2) + kPiece;

std::uint32_t step(std::uint32_t hash, char c) {
  return (hash ^ static_cast<std::uint32_t>(static_cast<std::int32_t>(static_cast<signed char>(c)))) * 16777619u;
}

// The file format's own hash.
std::uint32_t hash_of(std::string_view word) {
  std::uint32_t hash = 2166136261u;
  for (char c : word) hash = step(hash, c);
  return hash;
}

constexpr std::array<bool, 256> kSeparators = [] {
  std::array<bool, 256> table{};
  for (char c : {' ', '\n', '\r', '\t', '\v', '\f', '\0'}) table[static_cast<unsigned char>(c)] = true;
  return table;
}();
bool is_separator(char c) { return kSeparators[static_cast<unsigned char>(c)]; }

// The position of the first separator behind `position`, or the end.
std::size_t end_of_word(std::string_view text, std::size_t position) {
#if defined(__SSE2__)
  for (; position + 16 <= text.size(); position += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + position));
    // Separators are 0, 9 to 13 and 32.
    const __m128i controls =
        _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8(8)), _mm_cmplt_epi8(bytes, _mm_set1_epi8(14)));
    const __m128i others =
        _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_setzero_si128()), _mm_cmpeq_epi8(bytes, _mm_set1_epi8(32)));
    const auto found = static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_or_si128(controls, others)));
    if (found != 0) return position + static_cast<std::size_t>(std::countr_zero(found));
  }
#endif
  while (position < text.size() && !is_separator(text[position])) ++position;
  return position;
}

// How many of the lowest `bit` bits are set; with the instruction for it, or with the usual sum of pairs, nibbles and
// bytes.
template <bool kPopcount>
inline __attribute__((always_inline)) std::uint32_t bits_below(std::uint64_t bits, std::uint32_t bit) {
  bits &= (std::uint64_t{1} << bit) - 1;
  if constexpr (kPopcount) return static_cast<std::uint32_t>(__builtin_popcountll(bits));
  bits -= (bits >> 1) & 0x5555555555555555;
  bits = (bits & 0x3333333333333333) + ((bits >> 2) & 0x3333333333333333);
  bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0F;
  return static_cast<std::uint32_t>((bits * 0x0101010101010101) >> 56);
}

// The library's sigmoid: a table of 512 steps between -8 and 8.
float table_sigmoid(float x) {
  static const std::vector<float> table = [] {
    std::vector<float> values;
    for (int i = 0; i <= 512; ++i) {
      float at = static_cast<float>(i * 2 * 8) / 512 - 8;
      values.push_back(static_cast<float>(1.0 / (1.0 + std::exp(-at))));
    }
    return values;
  }();
  if (x < -8) return 0;
  if (x > 8) return 1;
  return table[static_cast<std::size_t>((x + 8) * 512 / 8 / 2)];
}

float log_of(float x) { return static_cast<float>(std::log(x + 1e-5)); }

}  // namespace

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

// Where in kept_rows_ the row of a bucket stands; of a bucket that was pruned, that of the next one kept. Used when
// the model is read; portable, so that reading and predicting check each other.
std::uint32_t FastText::place_of_kept(std::uint32_t bucket) const {
  const KeptBuckets& kept = kept_[bucket >> 6];
  return kept.before + bits_below<false>(kept.bits, bucket & 63);
}

// Writes the row of a bucket; returns the end of what is written, which is `rows` when the bucket was pruned. One more
// value is written in any case.
template <bool kPopcount>
inline __attribute__((always_inline)) std::int32_t* FastText::add_bucket(std::uint32_t bucket,
                                                                         std::int32_t* rows) const {
  if (prune_size_ < 0) {
    *rows = word_count_ + static_cast<std::int32_t>(bucket);
    return rows + 1;
  }
  if (prune_size_ == 0) return rows;
  // Without a branch: half of the n-grams of a usual text were pruned, and no processor foresees which.
  const KeptBuckets& kept = kept_[bucket >> 6];
  *rows = word_count_ + kept_rows_[kept.before + bits_below<kPopcount>(kept.bits, bucket & 63)];
  return rows + ((kept.bits >> (bucket & 63)) & 1);
}

// Character n-grams that begin in the bytes [begin, end) of "<word>". Writes at most maxn_ rows for each byte, and one
// value more.
template <bool kPopcount>
inline __attribute__((always_inline)) std::int32_t* FastText::add_n_grams(std::string_view padded, std::size_t begin,
                                                                          std::size_t end, std::int32_t* rows) const {
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
      rows = add_bucket<kPopcount>(static_cast<std::uint32_t>((low * bucket_count) >> 64), rows);
    }
  }
  return rows;
}

#if defined(__x86_64__)
const bool kHasPopcount = __builtin_cpu_supports("popcnt");

[[gnu::target("popcnt")]] std::int32_t* FastText::add_with_popcount(std::string_view padded, std::size_t begin,
                                                                    std::size_t end, std::int32_t* rows) const {
  return add_n_grams<true>(padded, begin, end, rows);
}
#endif

std::int32_t* FastText::add_new_subwords(std::string_view padded, std::size_t begin, std::size_t end,
                                         std::int32_t* rows) const {
#if defined(__x86_64__)
  if (kHasPopcount) return add_with_popcount(padded, begin, end, rows);
#endif
  return add_n_grams<false>(padded, begin, end, rows);
}

// Rows of the character n-grams that begin in the bytes [begin, end) of "<word>", behind which four zero bytes follow.
// Writes at most maxn_ rows for each byte, and three values more.
std::int32_t* FastText::add_subwords(std::string_view padded, std::size_t begin, std::size_t end, std::int32_t* rows,
                                     base::HugeVector<Scratch::Start>& starts) const {
  // Remembering only pays where the rows of buckets have to be looked up.
  if (prune_size_ < 0 || minn_ < 2 || maxn_ > 4) return add_new_subwords(padded, begin, end, rows);
  // At most three n-grams begin at a byte. They depend on maxn_ code points: on so many bytes, where all are ASCII.
  const auto all = static_cast<std::uint32_t>((std::uint64_t{1} << (8 * maxn_)) - 1);
  for (std::size_t i = begin; i < end; ++i) {
    std::uint32_t bytes;
    std::memcpy(&bytes, padded.data() + i, 4);
    bytes &= all;
    if (bytes & kTopBits) {
      rows = add_new_subwords(padded, i, i + 1, rows);
      continue;
    }
    Scratch::Start& start = starts[(bytes * 0x9E3779B1u) >> (32 - kStartBits)];
    if ((start.bytes & ~kTopBits) != bytes) {
      std::int32_t found[4];
      const auto count = static_cast<std::uint32_t>(add_new_subwords(padded, i, i + 1, found) - found);
      start.bytes = bytes | (count & 1) << 7 | (count & 2) << 14;
      std::memcpy(start.rows, found, sizeof(start.rows));
    }
    std::memcpy(rows, start.rows, sizeof(start.rows));
    rows += (start.bytes >> 7 & 1) | (start.bytes >> 14 & 2);
  }
  return rows;
}

inline void FastText::add_word(std::string_view word, std::uint64_t key, Scratch& scratch) const {
  if (word.size() >= kLongWord) return add_long_word(word, scratch);
  Scratch::Known& known = scratch.known_[key >> kKnownShift];
  if (known.key != key || known.count == Scratch::Known::kEmpty) learn_word(word, key, scratch, known);
  std::int32_t* const to = scratch.rows_.data() + scratch.row_end_;
  std::memcpy(to, known.rows, sizeof(known.rows));
  if (known.count > std::size(known.rows)) {
    if (known.count == Scratch::Known::kIgnored) return;
    // In pieces of a fixed size, which is faster than the exact copy of a few values.
    const std::int32_t* from = scratch.rows_of_known_.data() + known.rows[0];
    for (std::size_t i = 0; i < known.count; i += kPiece) std::memcpy(to + i, from + i, kPiece * sizeof(*to));
  }
  scratch.row_end_ += known.count;
  if (word_ngrams_ > 1) scratch.hashes_.push_back(static_cast<std::int32_t>(hash_of(word)));
}

void FastText::learn_word(std::string_view word, std::uint64_t key, Scratch& scratch, Scratch::Known& known) const {
  if (scratch.known_end_ > kKnownRows) {
    scratch.known_end_ = 0;
    for (Scratch::Known& old : scratch.known_) old.count = Scratch::Known::kEmpty;
  }
  char padded[kLongWord + 6] = {'<'};
  std::memcpy(padded + 1, word.data(), word.size());
  padded[word.size() + 1] = '>';
  known.key = key;
  const std::int32_t id = find_word(key);
  if (id >= 0 ? id >= word_count_ : word.starts_with("__label__")) {
    known.count = Scratch::Known::kIgnored;
    return;
  }
  std::int32_t* const rows = scratch.rows_of_known_.data() + scratch.known_end_;
  std::int32_t* end = rows;
  if (id >= 0) *end++ = id;
  if (word != kEndOfLine) end = add_subwords({padded, word.size() + 2}, 0, word.size() + 2, end, scratch.starts_);
  known.count = static_cast<std::uint32_t>(end - rows);
  if (known.count <= std::size(known.rows)) {
    std::memcpy(known.rows, rows, sizeof(known.rows));
  } else {
    known.rows[0] = static_cast<std::int32_t>(scratch.known_end_);
    scratch.known_end_ += known.count;
  }
}

// Without character n-grams a word is one row, or none: nothing to remember.
void FastText::add_plain_word(std::string_view word, std::uint64_t key, Scratch& scratch) const {
  std::int32_t id = find_word(key);
  if (id >= word_count_ || (id < 0 && word.starts_with("__label__"))) return;
  if (id >= 0) scratch.rows_[scratch.row_end_++] = id;
  if (word_ngrams_ < 2) return;
  scratch.hashes_.push_back(static_cast<std::int32_t>(hash_of(word)));
}

// Not remembered, and summed piece by piece: a word can be a megabyte of base64.
void FastText::add_long_word(std::string_view word, Scratch& scratch) const {
  std::int32_t id = find_word(hash_word(word));
  if (id >= word_count_ || (id < 0 && word.starts_with("__label__"))) return;
  if (id >= 0) scratch.rows_[scratch.row_end_++] = id;
  const std::string with_zeros = "<" + std::string(word) + ">" + std::string(4, '\0');
  const std::string_view padded(with_zeros.data(), word.size() + 2);
  for (std::size_t begin = 0; maxn_ > 0 && begin < padded.size(); begin += kLongWord) {
    std::int32_t* const rows = scratch.rows_.data() + scratch.row_end_;
    scratch.row_end_ += static_cast<std::size_t>(
        add_subwords(padded, begin, std::min(begin + kLongWord, padded.size()), rows, scratch.starts_) - rows);
    if (scratch.row_end_ > kRowBuffer) sum_rows(scratch);
  }
  scratch.hashes_.push_back(static_cast<std::int32_t>(hash_of(word)));
}

void FastText::add_text(std::string_view text, Scratch& scratch) const {
  const bool plain = maxn_ == 0;
  // Words wait in batches while the memory that tells about them is fetched: it rarely is in the nearest cache.
  struct Waiting {
    std::string_view word;
    std::uint64_t key;
  };
  constexpr std::size_t kBatch = 32;
  Waiting batch[kBatch];
  const char* const text_end = text.data() + text.size();
  for (std::size_t position = 0, count = kBatch; count == kBatch;) {
    for (count = 0; count < kBatch; ++count) {
      while (position < text.size() && is_separator(text[position])) ++position;
      const std::size_t begin = position;
      position = end_of_word(text, position);
      std::string_view word = text.substr(begin, position - begin);
      if (word.empty() || word == kEndOfLine) break;  // it ends the line for the library, wherever it stands
      const std::uint64_t key = hash_word(word.data(), word.size(), text_end);
      batch[count] = {word, key};
      if (plain) {
        __builtin_prefetch(&slots_[key & (slots_.size() - 1)]);
      } else {
        __builtin_prefetch(&scratch.known_[key >> kKnownShift]);
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (plain) {
        add_plain_word(batch[i].word, batch[i].key, scratch);
      } else {
        add_word(batch[i].word, batch[i].key, scratch);
      }
      if (scratch.row_end_ > kRowBuffer) sum_rows(scratch);
    }
  }
  if (plain) {
    add_plain_word(kEndOfLine, hash_word(kEndOfLine), scratch);
  } else {
    add_word(kEndOfLine, hash_word(kEndOfLine), scratch);
  }
  if (word_ngrams_ < 2) return;
  const auto n = static_cast<std::size_t>(word_ngrams_);
  for (std::size_t i = 0; i < scratch.hashes_.size(); ++i) {
    auto hash = static_cast<std::uint64_t>(std::int64_t{scratch.hashes_[i]});
    for (std::size_t j = i + 1; j < scratch.hashes_.size() && j < i + n; ++j) {
      hash = hash * 116049371 + static_cast<std::uint64_t>(std::int64_t{scratch.hashes_[j]});
      auto bucket = static_cast<std::uint32_t>(hash % static_cast<std::uint32_t>(bucket_));
      std::int32_t* const rows = scratch.rows_.data() + scratch.row_end_;
      scratch.row_end_ += static_cast<std::size_t>(add_bucket<false>(bucket, rows) - rows);
      if (scratch.row_end_ > kRowBuffer) sum_rows(scratch);
    }
  }
}

// Adds the collected rows to the hidden sum, in order.
void FastText::sum_rows(Scratch& scratch) const {
  std::vector<float>& hidden = scratch.hidden_;
  const std::span<const std::int32_t> rows(scratch.rows_.data(), scratch.row_end_);
  scratch.row_count_ += rows.size();
  if (input_.quantised && input_.expanded.empty()) {
    std::vector<float>& values = scratch.output_;
    values.resize(std::max(labels_.size(), hidden.size()));
    for (std::int32_t row : rows) {
      expand_row(input_, row, values.data(), true);
      for (std::size_t i = 0; i < hidden.size(); ++i) hidden[i] += values[i];
    }
  } else {
    const auto* matrix =
        input_.expanded.empty() ? input_.values : reinterpret_cast<const std::byte*>(input_.expanded.data());
    static const auto add_rows = kernels().back().add_rows;
    add_rows(matrix, hidden.size(), rows.data(), rows.size(), hidden.data());
  }
  scratch.row_end_ = 0;
}

float FastText::dot(std::int32_t output_row, const std::vector<float>& hidden) const {
  const float* values = output_rows_.data() + static_cast<std::size_t>(output_row) * hidden.size();
  float sum = 0;
  for (std::size_t i = 0; i < hidden.size(); ++i) sum += hidden[i] * values[i];
  sum *= output_norms_[static_cast<std::size_t>(output_row)];
  if (!std::isfinite(sum)) refuse_number();
  return sum;
}

void FastText::refuse_number() const {
  throw base::Error({"cannot use the fastText model: it holds numbers that are not finite", path().string(), "", "",
                     "train or fetch it again"});
}

FastText::Selection FastText::select(std::span<const int> labels) const {
  Selection selection;
  selection.nodes_.assign(tree_.size(), false);
  if (tree_.empty()) return selection;
  for (int label : labels) selection.nodes_[static_cast<std::size_t>(label)] = true;
  // Children stand before their parents.
  for (std::size_t node = labels_.size(); node < tree_.size(); ++node)
    selection.nodes_[node] = selection.nodes_[static_cast<std::size_t>(tree_[node].left)] ||
                             selection.nodes_[static_cast<std::size_t>(tree_[node].right)];
  return selection;
}

void FastText::score_tree(Scratch& scratch, const Selection* wanted) const {
  const float least = log_of(0.0f);  // below it the library leaves a label out
  // The sum of logarithms can grow on the way down, by 1e-5 a node.
  const float slack = 2e-5f * static_cast<float>(label_count_);
  float best = least;
  scratch.open_nodes_.assign(1, {static_cast<std::int32_t>(tree_.size()) - 1, 0.0f});
  while (!scratch.open_nodes_.empty()) {
    auto [node, score] = scratch.open_nodes_.back();
    scratch.open_nodes_.pop_back();
    if (!(score >= least)) continue;
    if (wanted != nullptr && score + slack < best && !wanted->nodes_[static_cast<std::size_t>(node)]) continue;
    const Node& here = tree_[static_cast<std::size_t>(node)];
    if (here.left < 0) {
      scratch.output_[static_cast<std::size_t>(node)] = std::exp(score);
      best = std::max(best, score);
      continue;
    }
    float f = dot(node - label_count_, scratch.hidden_);
    f = static_cast<float>(1. / (1 + std::exp(-f)));
    const std::pair<std::int32_t, float> left(here.left, score + log_of(1.0f - f)),
        right(here.right, score + log_of(f));
    const bool left_first = left.second > right.second;  // the likelier side first: then more of the other is left out
    scratch.open_nodes_.push_back(left_first ? right : left);
    scratch.open_nodes_.push_back(left_first ? left : right);
  }
}

std::span<const float> FastText::score(std::string_view text, Scratch& scratch, const Selection* wanted) const {
  if (scratch.owner_ != serial_) {
    const bool remembers = maxn_ > 0;  // else a word is one row at most
    scratch.known_.assign(remembers ? kKnownWords : 0, {});
    scratch.rows_of_known_.resize(remembers ? kKnownRows + kMostRows : 0);
    scratch.starts_.assign(remembers ? std::size_t{1} << kStartBits : 0, {});
    scratch.rows_.resize(kRowBuffer + kMostRows);
    scratch.known_end_ = 0;
    scratch.owner_ = serial_;
  }
  std::vector<float>& hidden = scratch.hidden_;
  std::vector<float>& output = scratch.output_;
  scratch.row_end_ = 0;
  scratch.hashes_.clear();
  scratch.row_count_ = 0;
  hidden.assign(static_cast<std::size_t>(dim_), 0.0f);
  add_text(text, scratch);
  sum_rows(scratch);
  output.assign(labels_.size(), 0.0f);
  if (scratch.row_count_ == 0) return output;
  const auto share = static_cast<float>(1.0 / static_cast<double>(scratch.row_count_));
  for (float& value : hidden) value *= share;

  if (loss_ == Loss::kHierarchicalSoftmax) {
    score_tree(scratch, wanted);
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
  for (float& value : output) value = std::exp(log_of(value));
  return output;
}

}  // namespace curate
