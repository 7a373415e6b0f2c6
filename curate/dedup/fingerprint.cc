// Exact and near-duplicates: what each document leaves behind, and which documents are dropped for which. Tested by
// tests/curate/dedup/deduplicate_test.cc.
#include "curate/dedup/fingerprint.h"

#include <xxhash.h>

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "base/unicode.h"
#include "curate/dedup/simplify.h"

namespace curate {

Fingerprinter::Fingerprinter(const DuplicateOptions& options)
    : options_(options), shingler_(options.words, options.shingle == "character") {}

std::span<const std::uint64_t> Fingerprinter::shingles_of(std::string_view text) {
  if (options_.shingle != "datatrove") return shingler_.shingles(text);
  simplified_ = simplify_text(text);
  words_.split(simplified_);
  word_hashes_.clear();
  for (const Word& word : words_.all()) word_hashes_.push_back(word.hash);
  return shingler_.shingles(word_hashes_);
}

Fingerprint Fingerprinter::fingerprint(std::string_view text, std::string_view id) {
  Fingerprint print;
  XXH128_hash_t content = XXH3_128bits(text.data(), text.size());
  print.content[0] = content.high64;
  print.content[1] = content.low64;
  print.id_hash = XXH3_64bits(id.data(), id.size());
  last_ = {};
  if (options_.near) {
    auto shingles = last_ = shingles_of(text);
    print.shingles = shingles.size();
    if (!shingles.empty()) print.bands = band_keys(sign(shingles));
  }
  return print;
}

void Fingerprinter::shingle_set(std::string_view text, std::vector<std::uint64_t>& set) {
  auto shingles = shingles_of(text);
  set.assign(shingles.begin(), shingles.end());
  make_set(set);
}

ShingledText Fingerprinter::shingled(std::string_view text) {
  ShingledText result;
  std::span<const std::uint64_t> shingles;
  if (options_.shingle != "datatrove") {
    result.text = base::to_lower(text);
    shingles = shingler_.shingles(result.text, result.places);
  } else {
    shingles_of(text);
    result.text = words_.base();
    std::vector<WordPlace> words;
    for (const Word& word : words_.all()) words.push_back({word.offset, word.offset + word.bytes});
    shingles = shingler_.shingles(word_hashes_, words, &result.places);
  }
  result.shingles.assign(shingles.begin(), shingles.end());
  return result;
}

std::vector<std::string_view> only_in(const ShingledText& text, const ShingledText& other, std::size_t most) {
  const std::unordered_set<std::uint64_t> others(other.shingles.begin(), other.shingles.end());
  const std::string_view whole = text.text;
  std::vector<std::string_view> pieces;
  std::size_t begin = 0, end = 0;  // where all shingles are missing: the piece that may still grow
  auto close = [&] {
    if (begin < end) pieces.push_back(whole.substr(begin, end - begin));
  };
  for (std::size_t i = 0; i < text.shingles.size() && pieces.size() < most; ++i) {
    if (others.count(text.shingles[i]) > 0) continue;
    if (end <= text.places[i].begin) {
      close();
      begin = text.places[i].begin;
    }
    end = text.places[i].end;
  }
  if (pieces.size() < most) close();
  return pieces;
}

}  // namespace curate
