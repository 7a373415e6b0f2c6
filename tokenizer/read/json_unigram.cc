// The scores of a Unigram vocabulary, to the last bit as the tokenizers package reads them.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "tokenizer/read/json_parts.h"

namespace tokenizer {
namespace {

// A number as digits and a power of ten.
struct Decimal {
  std::uint64_t digits = 0;
  std::int64_t power = 0;
};

// Digits that have no place are dropped, and counted where they stand before the point.
Decimal decimal_of(std::string_view number) {
  Decimal decimal;
  bool full = false, behind_point = false;
  std::size_t i = 0;
  for (; i < number.size() && number[i] != 'e' && number[i] != 'E'; ++i) {
    if (number[i] == '.') {
      behind_point = true;
      continue;
    }
    const auto digit = static_cast<std::uint64_t>(number[i] - '0');
    full = full || decimal.digits > (std::numeric_limits<std::uint64_t>::max() - digit) / 10;
    if (!full) decimal.digits = decimal.digits * 10 + digit;
    decimal.power += full ? !behind_point : behind_point ? -1 : 0;
  }
  if (i == number.size()) return decimal;
  std::string_view exponent = number.substr(i + 1);
  if (exponent.starts_with('+')) exponent.remove_prefix(1);
  std::int64_t value = 0;
  std::from_chars(exponent.data(), exponent.data() + exponent.size(), value);
  decimal.power += value;
  return decimal;
}

constexpr std::int64_t kMostPower = 308;

// 10^n, n from 0 to kMostPower, as the nearest double.
double power_of_ten(std::int64_t n) {
  static const std::vector<double> kPowers = [] {
    std::vector<double> powers(kMostPower + 1);
    for (std::size_t i = 0; i < powers.size(); ++i) {
      const std::string text = "1e" + std::to_string(i);
      std::from_chars(text.data(), text.data() + text.size(), powers[i]);
    }
    return powers;
  }();
  return kPowers[static_cast<std::size_t>(n)];
}

// serde_json's quick way: the digits as a double, times or divided by a power of ten. Up to one bit beside the truth,
// which decides between two ways to write a text that cost the same.
double as_serde_reads(std::string_view number) {
  const bool negative = number.starts_with('-');
  if (negative) number.remove_prefix(1);
  Decimal decimal = decimal_of(number);
  auto value = static_cast<double>(decimal.digits);
  while (decimal.power < -kMostPower && value != 0) {
    value /= power_of_ten(kMostPower);
    decimal.power += kMostPower;
  }
  if (value != 0 && decimal.power < 0) value /= power_of_ten(-decimal.power);
  if (value != 0 && decimal.power > 0) value *= power_of_ten(std::min(decimal.power, kMostPower));
  return negative ? -value : value;
}

}  // namespace

std::vector<double> unigram_scores(std::string_view json) {
  namespace ondemand = simdjson::ondemand;
  std::vector<double> scores;
  const simdjson::padded_string padded(json);
  ondemand::parser parser;
  ondemand::document document;
  ondemand::array vocabulary;
  if (parser.iterate(padded).get(document) || document["model"]["vocab"].get(vocabulary)) return scores;
  for (auto entry : vocabulary) {
    ondemand::value score;
    if (entry.at(1).get(score)) return {};
    std::string_view text = score.raw_json_token();
    text = text.substr(0, text.find_first_not_of("0123456789+-.eE"));
    scores.push_back(as_serde_reads(text));
  }
  return scores;
}

}  // namespace tokenizer
