// Exact and near-duplicates: what each document leaves behind, and which documents are dropped for which. Tested by
// tests/curate/dedup/deduplicate_test.cc.
#include "curate/dedup/fingerprint.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <ctime>
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

namespace {

// The digits of a date as YYYYMMDDhhmmss; a bare number above 9999 is seconds (or milliseconds) since 1970.
std::uint64_t date_rank(std::string_view date) {
  std::string digits;
  bool bare = true;
  for (std::size_t i = 0; i < date.size() && digits.size() < 14; ++i) {
    if (std::isdigit(static_cast<unsigned char>(date[i]))) {
      digits += date[i];
    } else {
      bare = false;
      if (date[i] == '.' || date[i] == '+' || date[i] == 'Z') break;  // fractions and zones
    }
  }
  if (digits.empty()) return 0;
  if (bare && digits.size() != 4 && digits.size() != 8 && digits.size() != 14) {
    std::uint64_t number = std::stoull(digits);
    std::time_t seconds = static_cast<std::time_t>(number > 100'000'000'000ull ? number / 1000 : number);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char text[32];
    std::strftime(text, sizeof text, "%Y%m%d%H%M%S", &utc);
    return std::stoull(text);
  }
  digits.resize(14, '0');
  return std::stoull(digits);
}

// Larger doubles give larger integers.
std::uint64_t ordered(double value) {
  if (std::isnan(value)) return 0;
  auto bits = std::bit_cast<std::uint64_t>(value);
  return bits >> 63 ? ~bits : bits | (1ull << 63);
}

}  // namespace

std::uint64_t preference_of(const DuplicateOptions& options, std::uint64_t characters, double score,
                            std::string_view date, std::string_view source) {
  if (options.keep == "longest") return characters;
  if (options.keep == "best_score") return ordered(score);
  if (options.keep == "newest") return date_rank(date);
  if (options.keep == "source_order") {
    auto found = std::find(options.sources.begin(), options.sources.end(), source);
    return static_cast<std::uint64_t>(options.sources.end() - found);
  }
  return 0;
}

}  // namespace curate
