// A validation that several processes share. The processes themselves: tests/cli/processes_finetune.py.
#include "finetune/train/evaluate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "finetune/data/pairs.h"
#include "finetune/train/preference_objective.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::Evaluation;
using finetune::Example;
using finetune::Examples;

// Threads in the place of processes.
class Meeting {
 public:
  explicit Meeting(int size) : given_(static_cast<std::size_t>(size)) {}
  void sum(int rank, const at::Tensor& tensor) {
    std::unique_lock lock(mutex_);
    given_[static_cast<std::size_t>(rank)] = tensor.clone();
    const std::int64_t round{round_};
    if (++come_ == static_cast<int>(given_.size())) {
      sum_ = at::stack(given_).sum(0);
      come_ = 0, ++round_;
      all_.notify_all();
    }
    all_.wait(lock, [&] { return round_ != round; });
    tensor.copy_(sum_);
  }
  int size() const { return static_cast<int>(given_.size()); }

 private:
  std::mutex mutex_;
  std::condition_variable all_;
  std::vector<at::Tensor> given_;
  at::Tensor sum_;
  int come_ = 0;
  std::int64_t round_ = 0;
};

class Member final : public finetune::Group {
 public:
  Member(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return meeting_.size(); }
  void all_reduce(const at::Tensor& tensor) const override {
    const at::NoGradGuard no_gradient;
    meeting_.sum(rank_, tensor);
  }

 private:
  Meeting& meeting_;
  int rank_;
};

// Rows of other lengths, as pairs where `is_pair`.
Examples made(bool is_pair) {
  std::vector<Example> examples;
  for (int i = 0; i < 7; ++i) {
    const auto answer = [&](int which) {
      Example example;
      for (int j = 0; j < 5 + 2 * i + which; ++j) {
        example.ids.push_back((7 * i + (3 + which) * j) % 250);
        example.trained.push_back(j > 2);
      }
      return example;
    };
    examples.push_back(is_pair ? finetune::joined(answer(0), answer(1)) : answer(0));
  }
  return examples;
}

struct Shared {
  std::vector<std::optional<Evaluation>> results;
  std::vector<int> calls;  // of go_on, by each
};

// `last`: the rank that says no at its third row, -1: none.
Shared shared(const finetune::Transformer& model, const finetune::Objective& objective, const Examples& examples,
              int size, int last = -1) {
  Shared all{std::vector<std::optional<Evaluation>>(static_cast<std::size_t>(size)),
             std::vector<int>(static_cast<std::size_t>(size))};
  Meeting meeting(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank, place = static_cast<std::size_t>(rank)] {
      const Member group(meeting, rank);
      const auto go_on = [&](double) { return ++all.calls[place] < 3 || rank != last; };
      all.results[place] = finetune::evaluate(model, objective, examples, 64, false, go_on, group);
    });
  for (std::thread& thread : threads) thread.join();
  return all;
}

TEST(Evaluate, SeveralProcessesFindWhatOneFinds) {
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  for (const char* name : {"answers", "dpo", "orpo", "kto"}) {
    finetune::PreferenceOptions options;
    options.objective = name;
    Examples examples = made(options.is_on());
    if (options.is_of_verdicts()) {
      std::vector<Example> copies;
      for (std::size_t i = 0; i < examples.size(); ++i) copies.push_back(finetune::copy_of(examples[i]));
      examples = finetune::with_mismatches(copies, 64);
    }
    if (options.has_reference())
      for (std::size_t i = 0; i < examples.size(); ++i) examples.set_reference(i, {-10.0 - static_cast<double>(i), -9});
    const auto objective = finetune::objective_of(options);
    const auto always = [](double) { return true; };
    const Evaluation one = finetune::evaluate(model, *objective, examples, 64, false, always).value();
    const auto rows = static_cast<int>(examples.size());
    for (const int size : {2, 3, rows + 2}) {
      const Shared found = shared(model, *objective, examples, size);
      int calls = 0;
      for (std::size_t rank = 0; rank < found.results.size(); ++rank) {
        ASSERT_TRUE(found.results[rank]) << name << " " << size;
        const Evaluation& its = *found.results[rank];
        EXPECT_NEAR(its.loss, one.loss, 1e-6 * std::abs(one.loss)) << name << " " << size;
        EXPECT_EQ(its.perplexity.has_value(), one.perplexity.has_value());
        EXPECT_EQ(its.trained_tokens, one.trained_tokens);
        EXPECT_EQ(its.tokens, one.tokens);
        ASSERT_EQ(its.figures.size(), one.figures.size());
        for (std::size_t i = 0; i < one.figures.size(); ++i)
          EXPECT_NEAR(its.figures[i], one.figures[i], 1e-6 * std::max(1.0, std::abs(one.figures[i]))) << name << i;
        EXPECT_LE(found.calls[rank], 2 * ((rows + size - 1) / size)) << "each computes its share alone";
        calls += found.calls[rank];
      }
      EXPECT_EQ(calls, 2 * rows) << "twice: totals, then losses";
    }
  }
}

TEST(Evaluate, OneThatEndsEndsAllWithoutWaiting) {
  const finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  for (const int size : {1, 2, 3})
    for (const int last : {0, size - 1})
      for (const auto& result : shared(model, finetune::AnswerObjective(), made(false), size, last).results)
        EXPECT_FALSE(result) << size << " " << last;
}

}  // namespace
