// The examples of a training or of its validation. Tested by tests/finetune/data_test.cc.
#include "finetune/data/examples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "base/random.h"

namespace finetune {
namespace {

std::shared_ptr<const PreparedData> prepared(const std::vector<Example>& examples, const std::vector<Origin>& origins) {
  MemoryWriter memory;
  for (std::size_t i = 0; i < examples.size(); ++i) memory.writer().add(examples[i], origins.at(i));
  return memory.finish("");
}

}  // namespace

Examples::Examples(std::shared_ptr<const PreparedData> data) : data_(std::move(data)), chosen_(data_->size()) {
  std::iota(chosen_.begin(), chosen_.end(), 0u);
}

Examples::Examples(const std::vector<Example>& examples, const std::vector<Origin>& origins)
    : Examples(prepared(examples, origins)) {}

Examples::Examples(const std::vector<Example>& examples)
    : Examples(examples, std::vector<Origin>(examples.size(), Origin{})) {}

ExampleView Examples::operator[](std::size_t i) const {
  ExampleView view = (*data_)[chosen_[i]];
  if (!references_.empty()) view.reference = references_[i];
  return view;
}

Examples Examples::at(const std::vector<std::uint32_t>& places) const {
  Examples result;
  result.data_ = data_;
  for (const std::uint32_t place : places) result.chosen_.push_back(chosen_[place]);
  if (!references_.empty())
    for (const std::uint32_t place : places) result.references_.push_back(references_[place]);
  return result;
}

void Examples::set_reference(std::size_t i, const std::array<double, 2>& reference) {
  references_.resize(chosen_.size());
  references_[i] = reference;
}

Example copy_of(const ExampleView& example) {
  return {{example.ids.begin(), example.ids.end()}, {example.trained.begin(), example.trained.end()}, example.second};
}

Examples take_validation(Examples& examples, double share, std::uint64_t seed) {
  std::vector<std::uint32_t> order;  // where records begin
  for (std::uint32_t i = 0; i < examples.size(); ++i)
    if (examples[i].origin.piece == 0) order.push_back(i);
  const std::size_t records = order.size();
  const auto count =
      std::max<std::size_t>(1, static_cast<std::size_t>(std::llround(share * static_cast<double>(records))));
  if (!(share > 0 && share < 1) || count >= records) {
    throw base::UsageError({"the validation share leaves nothing to train or to validate on", "--validation-share",
                            fmt::format("{} of {} records", share, records),
                            "above 0 and below 1, with a record left on either side", ""});
  }
  base::Random random(base::mix64(seed ^ 0x76616C6964617465ull));  // "validate": not the stream that orders the rows
  base::shuffle(order, random);
  std::vector<std::uint32_t> validation, training;
  for (std::size_t i = 0; i < records; ++i) {
    std::vector<std::uint32_t>& side = i < count ? validation : training;
    std::uint32_t piece = order[i];
    do side.push_back(piece++);
    while (piece < examples.size() && examples[piece].origin.piece > 0);
  }
  std::ranges::sort(validation);
  std::ranges::sort(training);
  Examples held_out = examples.at(validation);
  examples = examples.at(training);
  return held_out;
}

std::size_t count_trained(const Examples& validation, const Examples& training) {
  const auto text_of = [](const ExampleView& example) {
    return std::string_view(reinterpret_cast<const char*>(example.ids.data()), example.ids.size_bytes());
  };
  std::unordered_map<std::string_view, std::size_t> left;  // how often each stands in `validation`
  for (std::size_t i = 0; i < validation.size(); ++i) ++left[text_of(validation[i])];
  std::size_t count = 0;
  for (std::size_t i = 0; i < training.size() && !left.empty(); ++i)
    if (const auto found = left.find(text_of(training[i])); found != left.end()) {
      count += found->second;
      left.erase(found);
    }
  return count;
}

std::uint64_t fingerprint(const Examples& examples) {
  std::uint64_t hash = base::mix64(examples.size());
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const ExampleView example = examples[i];
    hash = base::mix64(hash ^ example.ids.size());
    if (example.second > 0) hash = base::mix64(hash ^ example.second);
    for (std::size_t j = 0; j < example.ids.size(); ++j) {
      const std::uint64_t id{static_cast<std::uint64_t>(example.ids[j])}, trained{example.trained[j]};
      hash = base::mix64(hash ^ (id << 1 | (trained & 1) | (trained & kUndesirable) << 40));
    }
  }
  return hash;
}

}  // namespace finetune
