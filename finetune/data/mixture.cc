// A mixture of sources by weight. Tested by tests/finetune/mixture_test.cc.
#include "finetune/data/mixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "base/text.h"

namespace finetune {
namespace {

[[noreturn]] void refuse(const std::string& what, const std::string& value, const std::string& expected) {
  throw base::UsageError({what, "--data-weights", value, expected, ""});
}

// How many of `all` each weight gets: rounded down, and one more for the largest remainders.
std::vector<std::uint64_t> shares(const std::vector<MixturePart>& parts, std::uint64_t all) {
  double sum = 0;
  for (const MixturePart& part : parts) sum += part.weight;
  std::vector<std::uint64_t> counts;
  std::vector<double> remainders;
  for (const MixturePart& part : parts) {
    const double exact = part.weight / sum * static_cast<double>(all);
    counts.push_back(static_cast<std::uint64_t>(exact));
    remainders.push_back(exact - std::floor(exact));
  }
  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return remainders[a] > remainders[b]; });
  const std::uint64_t given = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  for (std::size_t i = 0; given + i < all; ++i) ++counts[order[i % order.size()]];
  return counts;
}

// `count` of `places`: all of them as often as they go into it, and some of them.
void take(std::vector<std::uint32_t> places, std::uint64_t count, std::uint64_t seed,
          std::vector<std::uint32_t>& chosen) {
  for (std::uint64_t i = 0; i < count / places.size(); ++i) chosen.insert(chosen.end(), places.begin(), places.end());
  base::Random random(seed);
  base::shuffle(places, random);
  chosen.insert(chosen.end(), places.begin(), places.begin() + static_cast<std::ptrdiff_t>(count % places.size()));
}

}  // namespace

std::string MixturePart::to_text(std::uint64_t all) const {
  using base::human_count;
  if (weight == 0) return fmt::format("{}: weight 0, nothing of it is trained", name);
  if (taken == 0)
    return fmt::format("{}: its weight is too small for one of {} examples, nothing of it is trained", name,
                       human_count(all));
  const double percent = all == 0 ? 0 : 100 * static_cast<double>(taken) / static_cast<double>(all);
  std::string text =
      fmt::format("{}: {} of {} examples of an epoch ({:.1f}%): ", name, human_count(taken), human_count(all), percent);
  const std::uint64_t times = taken / available, more = taken % available;
  if (taken < available)
    return text +
           fmt::format("some of its {}, {} are left out", human_count(available), human_count(available - taken));
  text += fmt::format("all of its {}", human_count(available));
  if (more == 0) return times == 1 ? text : text + fmt::format(", each {} times", times);
  return text + fmt::format(", {} of them {} times and {} {}", human_count(more), times + 1,
                            human_count(available - more), times == 1 ? "once" : fmt::format("{} times", times));
}

std::string weights_text(const std::vector<double>& weights) {
  std::string text;
  for (const double weight : weights) text += fmt::format("{}{}", text.empty() ? "" : ",", weight);
  return text;
}

void check_weights(const std::vector<double>& weights, std::size_t count) {
  const std::string all = weights_text(weights);
  if (count == 1 && weights.size() == 1)
    throw base::UsageError({"a weight is a share beside others, and there is one source", "--data-weights", all,
                            "two or more of --data", "leave it out; --limit reads a part of the records"});
  if (weights.size() != count)
    refuse("not one weight for each of --data", all,
           fmt::format("{} numbers: --data-weights 0.7 0.3 in the order of --data", count));
  if (std::ranges::all_of(weights, [](double weight) { return weight == 0; }))
    refuse("every weight is 0", all, "one above 0");
}

Examples mixed(const Examples& examples, const std::vector<std::size_t>& part_of_file, std::uint64_t seed,
               std::vector<MixturePart>& parts) {
  std::vector<std::vector<std::uint32_t>> places(parts.size());
  for (std::uint32_t i = 0; i < examples.size(); ++i) places[part_of_file.at(examples[i].origin.file)].push_back(i);
  const std::vector<std::uint64_t> counts = shares(parts, examples.size());
  std::vector<std::uint32_t> chosen;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i].available = places[i].size();
    parts[i].taken = counts[i];
    if (counts[i] == 0) continue;
    if (places[i].empty())
      throw base::Error({"a source with a weight has no example to train on", parts[i].name,
                         fmt::format("{}", parts[i].weight), "an example that is neither behind --limit nor held out",
                         "raise --limit, lower --validation-share, or give it the weight 0"});
    take(std::move(places[i]), counts[i], base::mix64(seed ^ (0x6D6978ull + i)), chosen);  // "mix"
  }
  std::ranges::sort(chosen);
  return examples.at(chosen);
}

}  // namespace finetune
