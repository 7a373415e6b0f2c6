// The words of a text, whichever splitter found them: spacy_words.h, nltk_words.h, or white space.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace curate {

/// What counts as a word.
enum class Splitter {
  kSpacy,       ///< datatrove >= 0.4: the tokens of spaCy's English tokenizer
  kNltk,        ///< datatrove before: NLTK's word_tokenize
  kWhitespace,  ///< str.split()
  kDictionary,  ///< kSpacy, and in scripts without spaces the words of ICU's dictionaries
};

/// Both halves of a product in one: the mixing step of wyhash.
inline std::uint64_t multiply_fold(std::uint64_t a, std::uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// A fast hash of bytes; equal bytes, equal hash. Reads only [data, data + size).
inline std::uint64_t hash_bytes(const char* data, std::size_t size) {
  auto load = [](const char* p) {
    std::uint64_t x;
    std::memcpy(&x, p, 8);
    return x;
  };
  constexpr std::uint64_t k1 = 0x9E3779B97F4A7C15ull, k2 = 0xE7037ED1A0B428DBull;
  std::uint64_t hash = (size + 1) * 0x8EBC6AF09C88C6E3ull;
  if (size > 8) {
    const char* last = data + size - 8;
    for (; data < last; data += 8) hash = multiply_fold(load(data) ^ k2, hash ^ k1);
    return multiply_fold(load(last) ^ k2, hash ^ k1);
  }
  std::uint64_t x = 0;
  if (size >= 4) {
    std::uint32_t low, high;
    std::memcpy(&low, data, 4);
    std::memcpy(&high, data + size - 4, 4);
    x = low | (static_cast<std::uint64_t>(high) << 32);
  } else if (size > 0) {
    x = static_cast<unsigned char>(data[0]) |
        (static_cast<std::uint64_t>(static_cast<unsigned char>(data[size / 2])) << 8) |
        (static_cast<std::uint64_t>(static_cast<unsigned char>(data[size - 1])) << 16);
  }
  return multiply_fold(x ^ k2, hash ^ k1);
}

/// A hash of `text` that another seed makes another one.
inline std::uint64_t hash_text(std::string_view text, std::int64_t seed) {
  return base::mix64(hash_bytes(text.data(), text.size()) ^ base::mix64(static_cast<std::uint64_t>(seed)));
}

/// A fast hash of a word; equal bytes, equal hash. It is made of blocks of 16 bytes and a last one of 1 to 16 (of an
/// empty word, 0), without a branch that depends on the size of a usual word: no processor would foresee it.
class WordHash {
 public:
  static constexpr std::size_t kBlock = 16;

  /// The next block of a word that does not end with it.
  void add_block(const char* data) {
    std::uint64_t a, b;
    std::memcpy(&a, data, 8);
    std::memcpy(&b, data + 8, 8);
    state_ = multiply_fold(a ^ k2, b ^ state_);
  }
  /// The hash of a word of `size` bytes in all whose last `left` bytes stand at `data`; the bytes behind them are read
  /// as well, but not at or behind `end`.
  std::uint64_t finish(const char* data, std::size_t left, const char* end, std::size_t size) const {
    static constexpr std::array<std::array<std::uint64_t, 2>, kBlock + 1> kMasks = [] {
      std::array<std::array<std::uint64_t, 2>, kBlock + 1> masks{};
      for (std::size_t i = 0; i < kBlock; ++i) {
        masks[i + 1] = masks[i];
        masks[i + 1][i / 8] |= std::uint64_t{0xFF} << i % 8 * 8;
      }
      return masks;
    }();
    std::uint64_t parts[2] = {};
    if (end - data >= static_cast<std::ptrdiff_t>(kBlock)) [[likely]] {
      std::memcpy(parts, data, kBlock);
      parts[0] &= kMasks[left][0];
      parts[1] &= kMasks[left][1];
    } else {
      std::memcpy(parts, data, left);
    }
    return multiply_fold(parts[0] ^ k2, parts[1] ^ state_ ^ (size + 1) * 0x8EBC6AF09C88C6E3ull);
  }

 private:
  static constexpr std::uint64_t k2 = 0xE7037ED1A0B428DBull;
  std::uint64_t state_ = 0x9E3779B97F4A7C15ull;
};

/// Reads [data, data + size), and what lies between that and `end`.
inline std::uint64_t hash_word(const char* data, std::size_t size, const char* end) {
  WordHash hash;
  std::size_t left = size;
  for (; left > WordHash::kBlock; data += WordHash::kBlock, left -= WordHash::kBlock) hash.add_block(data);
  return hash.finish(data, left, end, size);
}
inline std::uint64_t hash_word(std::string_view word) {
  return hash_word(word.data(), word.size(), word.data() + word.size());
}

/// One word of a text. `offset` counts from the start of the split text (of a special case, from its own).
struct Word {
  enum Flag : std::uint32_t {
    kHasAlpha = 1,          ///< a code point that is alphabetic to Python
    kHasNonSymbol = 2,      ///< a code point outside datatrove's PUNCTUATION_SET
    kAllPunctuation = 4,    ///< spaCy's is_punct
    kEndsSentence = 8,      ///< one of the sentencizer's characters, alone
    kAfterSpace = 16,       ///< white space, or nothing, stands before it
    kAfterSpaceToken = 32,  ///< the white space before it is a token to spaCy: not exactly one ' ' between two words
  };
  std::uint64_t hash = 0;  ///< hash_word of its bytes
  std::uint32_t offset = 0, bytes = 0, code_points = 0;
  std::uint32_t flags = 0;
};

/// The words of one text, in order. Buffers are kept from one text to the next.
class Words {
 public:
  const std::vector<Word>& all() const { return words_; }
  std::size_t size() const { return words_.size(); }
  std::string_view text(const Word& word) const { return base_.substr(word.offset, word.bytes); }
  /// What the words' offsets refer to. Not always the split text: see the splitters.
  std::string_view base() const { return base_; }

 protected:
  std::string_view base_;
  std::vector<Word> words_;
};

/// Words between white space. They carry the flags kHasAlpha and kHasNonSymbol only.
class WhitespaceWords : public Words {
 public:
  /// Splits `text` (valid UTF-8, below 4 GB), which must outlive the use of the words.
  void split(std::string_view text);
};

}  // namespace curate
