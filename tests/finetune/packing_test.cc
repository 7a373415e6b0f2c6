#include "finetune/data/packing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/random.h"

namespace {

using finetune::Example;
using finetune::RowPlan;

std::vector<Example> examples_of(const std::vector<std::size_t>& lengths) {
  std::vector<Example> examples;
  std::int32_t id = 0;
  for (std::size_t length : lengths) {
    Example example;
    for (std::size_t i = 0; i < length; ++i) {
      example.ids.push_back(id++);
      example.trained.push_back(1);
    }
    examples.push_back(example);
  }
  return examples;
}

std::vector<Example> random_examples(std::uint64_t seed, std::size_t count, std::size_t longest) {
  base::Random random(seed);
  std::vector<std::size_t> lengths;
  for (std::size_t i = 0; i < count; ++i) lengths.push_back(1 + random.below(longest));
  return examples_of(lengths);
}

std::size_t tokens(const RowPlan& row, const std::vector<Example>& examples) {
  std::size_t sum = 0;
  for (std::uint32_t document : row) sum += examples[document].ids.size();
  return sum;
}

// The slow, obvious best-fit-decreasing: looks at every row for every document. Gives how full the rows are.
std::vector<std::size_t> naive_fills(const std::vector<Example>& examples, std::size_t max_length) {
  std::vector<std::size_t> lengths, fills;
  for (const Example& example : examples) lengths.push_back(example.ids.size());
  std::sort(lengths.rbegin(), lengths.rend());
  for (std::size_t length : lengths) {
    std::size_t* best = nullptr;
    for (std::size_t& fill : fills) {
      if (fill + length <= max_length && (!best || fill > *best)) best = &fill;
    }
    if (best) {
      *best += length;
    } else {
      fills.push_back(length);
    }
  }
  std::sort(fills.begin(), fills.end());
  return fills;
}

TEST(Packing, EveryDocumentOnceInRowsAsFullAsBestFitDecreasingMakesThem) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const std::vector<Example> examples = random_examples(seed, 1 + seed * 7, 50);
    const std::vector<RowPlan> rows = finetune::plan_rows(examples, 64, true, seed);
    std::vector<std::uint32_t> seen;
    std::vector<std::size_t> fills;
    for (const RowPlan& row : rows) {
      seen.insert(seen.end(), row.begin(), row.end());
      fills.push_back(tokens(row, examples));
    }
    std::sort(seen.begin(), seen.end());
    std::sort(fills.begin(), fills.end());
    std::vector<std::uint32_t> all(examples.size());
    std::iota(all.begin(), all.end(), 0u);
    EXPECT_EQ(seen, all);
    EXPECT_EQ(fills, naive_fills(examples, 64));
  }
}

TEST(Packing, WithoutPackingADocumentARow) {
  const std::vector<Example> examples = random_examples(1, 20, 9);
  const std::vector<RowPlan> rows = finetune::plan_rows(examples, 64, false, 5);
  ASSERT_EQ(rows.size(), 20u);
  for (const RowPlan& row : rows) EXPECT_EQ(row.size(), 1u);
}

TEST(Packing, AnEpochsOrderDependsOnSeedAndEpochAlone) {
  const std::vector<Example> examples = random_examples(2, 200, 40);
  finetune::RowStream stream(examples, 64, true, 7), again(examples, 64, true, 7), other(examples, 64, true, 8);
  const std::int64_t epoch = stream.rows_per_epoch();
  std::vector<RowPlan> first, second, other_seed;
  for (std::int64_t i = 0; i < epoch; ++i) first.push_back(stream.row(i));
  for (std::int64_t i = 0; i < epoch; ++i) second.push_back(stream.row(epoch + i));
  for (std::int64_t i = 0; i < epoch; ++i) other_seed.push_back(other.row(i));
  EXPECT_NE(first, second);
  EXPECT_NE(first, other_seed);
  // A stream that begins in the second epoch sees the same rows as one that came through the first.
  for (std::int64_t i = epoch - 1; i >= 0; --i) {
    EXPECT_EQ(again.row(epoch + i), second[static_cast<std::size_t>(i)]);
  }
}

TEST(Packing, TargetsStayInsideTheirDocument) {
  std::vector<Example> examples(2);
  examples[0] = {{10, 11, 12}, {1, 0, 1}};
  examples[1] = {{20, 21}, {1, 1}};
  const std::vector<std::uint32_t> documents = {0, 1};
  const finetune::PackedRow row = finetune::make_row(examples, documents);
  auto numbers = [](const at::Tensor& t) {
    return std::vector<std::int64_t>(t.const_data_ptr<std::int64_t>(), t.const_data_ptr<std::int64_t>() + t.numel());
  };
  EXPECT_THAT(numbers(row.ids), testing::ElementsAre(10, 11, 12, 20, 21));
  // 11 is not trained; 12 and 20 have no successor or would look across; 20's own label is ignored.
  EXPECT_THAT(numbers(row.targets), testing::ElementsAre(-100, 12, -100, 21, -100));
  EXPECT_THAT(row.lengths, testing::ElementsAre(3, 2));
  EXPECT_EQ(row.trained, 2);
  EXPECT_EQ(examples[0].targets() + examples[1].targets(), 2);
}

}  // namespace
