#include "finetune/model/generate.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::generate;
using finetune::SamplingOptions;
using finetune::Session;

const std::vector<std::int32_t> kPrompt = {1, 17, 203, 88, 5};

// The most probable next token by the whole forward pass over everything so far.
std::int32_t slow_next(const finetune::Transformer& model, const std::vector<std::int32_t>& ids) {
  at::NoGradGuard no_gradient;
  finetune::PackedRow row;
  row.ids = at::tensor(std::vector<std::int64_t>(ids.begin(), ids.end()));
  row.lengths = {row.ids.size(0)};
  at::Tensor hidden = model.hidden(row);
  return static_cast<std::int32_t>(model.logits(hidden.narrow(0, hidden.size(0) - 1, 1)).argmax().item<std::int64_t>());
}

TEST(Generate, GreedyEqualsTheWholeForwardPass) {
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("llama3_rope"));
  Session session;
  SamplingOptions options;
  options.max_tokens = 30;
  std::vector<std::int32_t> told;
  std::vector<std::int32_t> got = generate(model, kPrompt, {}, options, session, [&](std::int32_t id) {
    told.push_back(id);
    return true;
  });
  ASSERT_EQ(got.size(), 30u);
  EXPECT_EQ(told, got);
  std::vector<std::int32_t> ids = kPrompt;
  for (std::int32_t id : got) {
    EXPECT_EQ(id, slow_next(model, ids)) << "after " << ids.size();
    ids.push_back(id);
  }
}

TEST(Generate, StopsAtAStopIdAndAtTheEndOfTheContext) {
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  SamplingOptions options;
  options.max_tokens = 1000;
  options.temperature = 2;
  Session session;
  std::vector<std::int32_t> all = generate(model, kPrompt, {}, options, session);
  EXPECT_EQ(kPrompt.size() + all.size(), 129u) << "128 tokens of context, and the one that they predict";
  std::size_t first = static_cast<std::size_t>(std::find(all.begin(), all.end(), all[40]) - all.begin());
  Session again;
  std::vector<std::int32_t> stopped = generate(model, kPrompt, {all[40]}, options, again);
  EXPECT_EQ(stopped, std::vector<std::int32_t>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(first)));
  EXPECT_THROW(generate(model, std::vector<std::int32_t>(128, 3), {}, options, again), base::Error);
  EXPECT_THROW(generate(model, {}, {}, options, again), base::Error);
}

TEST(Generate, ASessionOnlySavesWork) {
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  SamplingOptions options;
  options.max_tokens = 10;
  Session session;
  std::vector<std::int32_t> turn = kPrompt;
  for (int i = 0; i < 3; ++i) {
    std::vector<std::int32_t> kept = generate(model, turn, {}, options, session);
    Session fresh;
    EXPECT_EQ(kept, generate(model, turn, {}, options, fresh)) << "turn " << i;
    turn.insert(turn.end(), kept.begin(), kept.end() - 3);  // the next turn leaves the common path
    turn.push_back(7 + i);
  }
  Session fresh;
  EXPECT_EQ(generate(model, kPrompt, {}, options, session), generate(model, kPrompt, {}, options, fresh))
      << "back to the beginning";
}

TEST(Generate, StopsWhenItIsTold) {
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  Session session;
  int count = 0;
  std::vector<std::int32_t> got = generate(model, kPrompt, {}, {}, session, [&](std::int32_t) { return ++count < 3; });
  EXPECT_EQ(got.size(), 3u);
}

TEST(Sample, SameSeedSameTokens) {
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  SamplingOptions options;
  options.max_tokens = 20;
  options.temperature = 1;
  auto run = [&](std::uint64_t seed) {
    Session session;
    options.seed = seed;
    return generate(model, kPrompt, {}, options, session);
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

}  // namespace
