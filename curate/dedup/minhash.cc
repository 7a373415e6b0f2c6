// Shingles and MinHash signatures: how near-duplicates are proposed (Broder 1997; banding: Leskovec et al., ch. 3).
// Tested by tests/curate/dedup/minhash_test.cc.
#include "curate/dedup/minhash.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/random.h"
#include "base/unicode.h"
#include "curate/text/unspaced.h"

namespace curate {
namespace {

// Odd, so that multiplying is a bijection; from the digits of pi.
constexpr std::uint64_t kBase = 0x243F6A8885A308D3ull | 1;
constexpr std::uint64_t kByteFactor = 0x9E3779B97F4A7C15ull;

// Set in an entry of CodePoints: the character is of a script without spaces between words.
constexpr char32_t kUnspaced = 0x80000000;

// One entry per code point of the basic plane: 0 = no word character, else the lower-case code point. Two code points
// do not fit: U+0130 lower-cases to two, U+03A3 by its neighbours. Scripts without spaces have no case; their marks,
// which are no word characters, have an entry too.
class CodePoints {
 public:
  CodePoints() : lower_(0x10000) {
    for (char32_t c = 0; c < 0x10000; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      lower_[c] = slow(c);
    }
  }
  char32_t look_up(char32_t c) const { return c < 0x10000 ? lower_[c] : slow(c); }

 private:
  static char32_t slow(char32_t c) {
    if (is_unspaced(c)) return c | kUnspaced;
    if (!base::is_word_character(c)) return 0;
    std::string one;
    base::append_utf8(one, c);
    std::string low = base::to_lower(one);
    std::size_t position = 0;
    return base::next_code_point(low, position);
  }
  std::vector<char32_t> lower_;
};
const CodePoints& code_points() {
  static const CodePoints table;
  return table;
}

// ASCII: 0 = no word character, 0x80 = not ASCII, else the lower-case letter, digit or '_'.
constexpr auto kAscii = [] {
  std::array<std::uint8_t, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = c;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 32] = c;
  table['_'] = '_';
  for (int c = 128; c < 256; ++c) table[c] = 0x80;
  return table;
}();

// Calls word(hash, begin, end, is_character) for every word, with its place in `text`. A word's hash is that of its
// lower-cased code points, so it does not matter which path read them. `characters`: those of scripts without spaces
// are words.
template <class F>
void for_each_word(std::string_view text, bool characters, F&& word) {
  const auto* const start = reinterpret_cast<const unsigned char*>(text.data());
  const auto* p = start;
  const auto* end = p + text.size();
  const auto* first = p;  // of the word that is read
  std::uint64_t hash = 0;
  auto close = [&](const unsigned char* behind, bool is_character = false) {
    if (hash != 0)
      word(base::mix64(hash), static_cast<std::size_t>(first - start), static_cast<std::size_t>(behind - start),
           is_character);
    hash = 0;
  };
  auto add = [&](char32_t c, const unsigned char* at) {
    if (hash == 0) first = at;
    hash = (hash ^ c) * kByteFactor + 1;
  };
  while (p < end) {
    std::uint8_t c = kAscii[*p];
    if (c != 0 && c != 0x80) {
      do {
        add(c, p);
        c = ++p < end ? kAscii[*p] : 0;
      } while (c != 0 && c != 0x80);
    }
    if (p >= end) break;
    if (c == 0) {
      close(p);
      ++p;
      continue;
    }
    std::size_t position = static_cast<std::size_t>(p - start);
    char32_t point = base::next_code_point(text, position);
    const auto* at = p;
    p = start + position;
    char32_t low = code_points().look_up(point);
    if (low & kUnspaced) {
      if (characters) {
        close(at);
        add(point, at);
        close(p, true);
        continue;
      }
      low = base::is_word_character(point) ? point : 0;
    }
    if (low != 0) {
      add(low, at);
      if (point == 0x130) close(p);  // lower-cases to "i" and a combining dot, which ends the word
    } else {
      close(at);
    }
  }
  close(end);
}

}  // namespace

Shingler::Shingler(int words, bool characters) : words_(words), characters_(characters), leaving_(1) {
  for (int i = 0; i < words; ++i) leaving_ *= kBase;
}

void Shingler::clear() {
  word_hashes_.clear();
  run_ends_.clear();
  in_characters_ = false;
}

void Shingler::add(std::uint64_t hash, bool is_character) {
  if (is_character != in_characters_ && !word_hashes_.empty()) run_ends_.push_back(word_hashes_.size());
  in_characters_ = is_character;
  word_hashes_.push_back(hash);
}

std::span<const std::uint64_t> Shingler::shingles(std::string_view text) {
  clear();
  auto keep = [&](std::uint64_t hash, std::size_t, std::size_t, bool is_character) { add(hash, is_character); };
  // Capital sigma lower-cases by its neighbours: such rare texts take the slow way.
  if (text.find("\xCE\xA3") != text.npos) {
    for_each_word(base::to_lower(text), characters_, keep);
  } else {
    for_each_word(text, characters_, keep);
  }
  return roll({}, nullptr);
}

std::span<const std::uint64_t> Shingler::shingles(std::string_view lower, std::vector<WordPlace>& places) {
  clear();
  std::vector<WordPlace> words;
  for_each_word(lower, characters_, [&](std::uint64_t hash, std::size_t begin, std::size_t end, bool is_character) {
    add(hash, is_character);
    words.push_back({begin, end});
  });
  return roll(words, &places);
}

std::span<const std::uint64_t> Shingler::shingles(std::span<const std::uint64_t> word_hashes,
                                                  std::span<const WordPlace> words, std::vector<WordPlace>* places) {
  clear();
  for (std::uint64_t hash : word_hashes) add(base::mix64(hash), false);
  return roll(words, places);
}

std::span<const std::uint64_t> Shingler::roll(std::span<const WordPlace> words, std::vector<WordPlace>* places) {
  const std::size_t k = static_cast<std::size_t>(words_);
  run_ends_.push_back(word_hashes_.size());
  shingles_.clear();
  if (places != nullptr) places->clear();
  std::size_t begin = 0;
  for (const std::size_t end : run_ends_) {
    std::uint64_t rolling = 0;
    for (std::size_t i = begin; i < end; ++i) {
      rolling = rolling * kBase + word_hashes_[i];
      if (i - begin >= k) rolling -= leaving_ * word_hashes_[i - k];
      if (i - begin + 1 < k && i + 1 < end) continue;
      shingles_.push_back(base::mix64(rolling));
      if (places != nullptr) places->push_back({words[i - begin + 1 < k ? begin : i + 1 - k].begin, words[i].end});
    }
    begin = end;
  }
  return shingles_;
}

void shingle_words(std::string_view lower, bool characters, std::vector<std::uint64_t>& hashes,
                   std::vector<WordPlace>& places) {
  hashes.clear();
  places.clear();
  for_each_word(lower, characters, [&](std::uint64_t hash, std::size_t begin, std::size_t end, bool) {
    hashes.push_back(hash);
    places.push_back({begin, end});
  });
}

void make_set(std::vector<std::uint64_t>& shingles) {
  std::sort(shingles.begin(), shingles.end());
  shingles.erase(std::unique(shingles.begin(), shingles.end()), shingles.end());
}

double jaccard(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b, double at_least) {
  const double total = static_cast<double>(a.size() + b.size());
  if (total == 0) return 0;
  // shared / (total - shared) >= t  <=>  shared >= t / (1 + t) * total; a hair less, so that rounding never rejects.
  const double needed = at_least / (1 + at_least) * total - 1e-6;
  const std::uint64_t *x = a.data(), *x_end = x + a.size(), *y = b.data(), *y_end = y + b.size();
  std::size_t shared = 0;
  while (x < x_end && y < y_end) {
    // What is left can add at most the shorter rest.
    if (static_cast<double>(shared + static_cast<std::size_t>(std::min(x_end - x, y_end - y))) < needed) return -1;
    for (int i = 0; i < 64 && x < x_end && y < y_end; ++i) {
      std::uint64_t u = *x, v = *y;
      shared += u == v;
      x += u <= v;
      y += v <= u;
    }
  }
  double result = static_cast<double>(shared) / (total - static_cast<double>(shared));
  return result < at_least ? -1 : result;
}

namespace {

struct Permutations {
  alignas(64) std::uint32_t a[kPermutations], b[kPermutations];
};
constexpr Permutations make_permutations() {
  Permutations p{};
  for (int i = 0; i < kPermutations; ++i) {
    p.a[i] = static_cast<std::uint32_t>(base::mix64(2 * i + 1) >> 32) | 1;
    p.b[i] = static_cast<std::uint32_t>(base::mix64(2 * i + 2) >> 32);
  }
  return p;
}
constexpr Permutations kPermutation = make_permutations();

// The kernel, compiled once per instruction set: `kLanes` values to a vector, `kTogether` vectors kept in registers
// while the shingles go by.
template <int kLanes, int kTogether>
[[gnu::always_inline]] inline void sign_lanes(const std::uint64_t* shingles, std::size_t count, std::uint32_t* out) {
  typedef std::uint32_t Vector [[gnu::vector_size(kLanes * 4)]];
  static_assert(kPermutations % (kLanes * kTogether) == 0);
  for (int start = 0; start < kPermutations; start += kLanes * kTogether) {
    Vector a[kTogether], b[kTogether], least[kTogether];
    for (int j = 0; j < kTogether; ++j) {
      std::memcpy(&a[j], kPermutation.a + start + j * kLanes, sizeof(Vector));
      std::memcpy(&b[j], kPermutation.b + start + j * kLanes, sizeof(Vector));
      least[j] = Vector{} - 1;
    }
    for (std::size_t i = 0; i < count; ++i) {
      Vector x = Vector{} + static_cast<std::uint32_t>(shingles[i] >> 32);
#pragma GCC unroll 16
      for (int j = 0; j < kTogether; ++j) {
        Vector value = a[j] * x + b[j];
        least[j] = value < least[j] ? value : least[j];
      }
    }
    for (int j = 0; j < kTogether; ++j) std::memcpy(out + start + j * kLanes, &least[j], sizeof(Vector));
  }
}

using SignKernel = void (*)(const std::uint64_t*, std::size_t, std::uint32_t*);
void sign_portable(const std::uint64_t* shingles, std::size_t count, std::uint32_t* out) {
  sign_lanes<4, 4>(shingles, count, out);
}
#if defined(__x86_64__)
[[gnu::target("avx2")]] void sign_avx2(const std::uint64_t* shingles, std::size_t count, std::uint32_t* out) {
  sign_lanes<8, 2>(shingles, count, out);
}
[[gnu::target("avx512f")]] void sign_avx512(const std::uint64_t* shingles, std::size_t count, std::uint32_t* out) {
  sign_lanes<16, 7>(shingles, count, out);
}
#endif

struct NamedKernel {
  const char* name;
  SignKernel kernel;
};
std::vector<NamedKernel> runnable_kernels() {
  std::vector<NamedKernel> kernels = {{"portable", sign_portable}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) kernels.push_back({"avx2", sign_avx2});
  if (__builtin_cpu_supports("avx512f")) kernels.push_back({"avx512", sign_avx512});
#endif
  return kernels;
}

}  // namespace

Signature sign(std::span<const std::uint64_t> shingles) {
  static const SignKernel best = runnable_kernels().back().kernel;
  Signature signature;
  best(shingles.data(), shingles.size(), signature.data());
  return signature;
}

Signature sign_with(std::string_view kernel, std::span<const std::uint64_t> shingles) {
  for (const NamedKernel& candidate : runnable_kernels()) {
    if (candidate.name != kernel) continue;
    Signature signature;
    candidate.kernel(shingles.data(), shingles.size(), signature.data());
    return signature;
  }
  throw base::Error("this processor cannot run the signature kernel", std::string(kernel));
}

std::vector<std::string> sign_kernels() {
  std::vector<std::string> names;
  for (const NamedKernel& kernel : runnable_kernels()) names.push_back(kernel.name);
  return names;
}

BandKeys band_keys(const Signature& signature) {
  BandKeys keys;
  for (int band = 0; band < kBands; ++band) {
    std::uint64_t key = static_cast<std::uint64_t>(band);
    for (int row = 0; row < kRows; ++row) key = base::mix64(key ^ signature[band * kRows + row]) + row;
    keys[band] = key;
  }
  return keys;
}

}  // namespace curate
