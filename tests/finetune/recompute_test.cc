// Gradient checkpointing: the same numbers with less kept.
#include "finetune/adapt/recompute.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/text.h"
#include "finetune/kernels/device.h"
#include "finetune/kernels/passing.h"
#include "finetune/train/memory.h"
#include "tests/error_of.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::Transformer;
using testing::HasSubstr;

TEST(Recomputed, CallsTheFunctionAgainAndGivesItsGradients) {
  at::manual_seed(1);
  const at::Tensor weight = at::randn({4, 3}).requires_grad_(), unused = at::randn({2}).requires_grad_();
  at::Tensor x = at::randn({5, 3}).requires_grad_();
  int calls = 0;
  const auto f = [&](const at::Tensor& read) {
    ++calls;
    return at::mm(read, weight.t()).tanh();
  };
  const at::Tensor upstream = at::randn({5, 4});
  (f(x) * upstream).sum().backward();
  const at::Tensor of_x = x.grad().clone(), of_weight = weight.grad().clone();
  x.mutable_grad() = at::Tensor(), weight.mutable_grad() = at::Tensor();
  const at::Tensor y = finetune::recomputed(f, x, {weight, unused});
  EXPECT_EQ(calls, 2);
  (y * upstream).sum().backward();
  EXPECT_EQ(calls, 3);
  EXPECT_TRUE(at::equal(x.grad(), of_x));
  EXPECT_TRUE(at::equal(weight.grad(), of_weight));
  EXPECT_FALSE(unused.grad().defined());
}

// Loss and gradients of a row, of which nothing may change.
std::vector<at::Tensor> results(const std::string& name, at::ScalarType dtype, std::size_t recomputed, bool dora,
                                double dropout) {
  Transformer model(lora::ModelFiles(tiny_llama::folder(name).string()), dtype, at::kCPU);
  model.attach({"all-linear"}, 4, 8, dropout, false, 7);
  if (dora) {
    lora::Adapter adapter = model.adapter();
    adapter.dora = true;
    model.attach(adapter);
  }
  at::manual_seed(8);
  {
    at::NoGradGuard no_gradient;
    for (at::Tensor& leaf : model.parameters())
      if (leaf.dim() == 2) leaf.normal_(0, 0.05);
  }
  model.recompute_blocks(recomputed);
  finetune::PackedRow row;
  row.ids = at::arange(40, at::kLong) * 7 % model.config().vocab_size;
  row.targets = at::arange(1, 41, at::kLong) * 5 % model.config().vocab_size;
  row.lengths = {25, 15};
  row.trained = 40;
  const at::Tensor loss = model.loss_sum(row, 11);
  row = {};  // the graph lives by itself
  loss.backward();
  std::vector<at::Tensor> all = {loss.detach()};
  for (const at::Tensor& leaf : model.parameters())
    all.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
  return all;
}

class RecomputedFamily : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, RecomputedFamily,
                         testing::Values("tied", "bias", "gemma2", "phi", "falcon_40b", "mixtral", "qwen3"));

TEST_P(RecomputedFamily, ComputesTheSameBytes) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    for (const auto& [dora, dropout] : {std::pair(false, 0.1), std::pair(true, 0.1), std::pair(true, 0.0)}) {
      if (dora && std::string_view(GetParam()) == "mixtral") continue;
      const std::vector<at::Tensor> expected = results(GetParam(), dtype, 0, dora, dropout);
      for (const std::size_t blocks : {1, 99}) {
        const std::vector<at::Tensor> found = results(GetParam(), dtype, blocks, dora, dropout);
        ASSERT_EQ(found.size(), expected.size());
        for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected[i])) << i;
      }
    }
}

// Memory is used again, never by two tensors at once, and goes on to live as long as its tensor.
TEST(PassingTensor, TakesMemoryInTurns) {
  const auto make = [](std::int64_t rows) { return finetune::passing_tensor({rows, 1024}, at::kFloat); };
  at::Tensor first = make(512).fill_(1), second = make(512).fill_(2);
  EXPECT_NE(first.data_ptr(), second.data_ptr());
  const void* const place = first.data_ptr();
  const at::Tensor part = first.narrow(0, 5, 1);
  first = at::Tensor();
  EXPECT_NE(make(512).data_ptr(), place);  // `part` still has it
  EXPECT_TRUE(part.eq(1).all().item<bool>());
  second = at::Tensor();
  std::vector<at::Tensor> all;
  for (std::int64_t i = 0; i < 20; ++i) all.push_back(make(512 + i).fill_(static_cast<double>(i)));
  for (std::int64_t i = 0; i < 20; ++i)
    EXPECT_TRUE(all[static_cast<std::size_t>(i)].eq(static_cast<double>(i)).all().item<bool>());
  all.clear();
  EXPECT_EQ(finetune::passing_tensor({3, 2}, at::kBFloat16).sizes(), (at::IntArrayRef{3, 2}));
}

TEST(RecomputedBlocks, AreRefusedWhereRoutersHaveALossOfTheirOwn) {
  Transformer model(lora::ModelFiles(tiny_llama::folder("mixtral_router_loss").string()), at::kFloat, at::kCPU);
  EXPECT_THROW(model.recompute_blocks(1), base::UsageError);
  model.recompute_blocks(0);
}

TEST(MemoryPlan, PromisesNoBlocksThatCannotBeComputedAgain) {
  const lora::ModelFiles files(tiny_llama::folder("mixtral_router_loss").string());
  finetune::TrainOptions options;
  const std::uint64_t kept = finetune::plan_memory(options, files, at::kFloat, at::kCPU, 4096).foretold.total();
  options.compute.memory.bytes = kept - 1'000'000;
  const std::string said = error_of([&] { finetune::plan_memory(options, files, at::kFloat, at::kCPU, 4096); });
  EXPECT_THAT(said, HasSubstr(fmt::format("got '{}MB', expected at least {}MB", (kept - 1'000'000) / 1'000'000,
                                          (kept + 999'999) / 1'000'000)));
  EXPECT_THAT(said, HasSubstr("routers have a loss of their own"));
  EXPECT_THAT(said, testing::Not(HasSubstr("--gradient-checkpointing")));
}

TEST(MemoryPlan, CountsWhatTrainsOtherwise) {
  const lora::ModelFiles files(tiny_llama::folder("tied").string());
  const auto foretold = [&](const auto& change) {
    finetune::TrainOptions options;
    change(options);
    return finetune::plan_memory(options, files, at::kFloat, at::kCPU, 4096).foretold;
  };
  const auto plain = foretold([](auto&) {});
  EXPECT_GT(foretold([](auto& options) { options.lora.dora = true; }).activations,
            1.8 * static_cast<double>(plain.activations));
  const auto numbers = static_cast<std::uint64_t>(files.spec().config.vocab_size * files.spec().config.hidden_size);
  const auto embedding = foretold([](auto& options) { options.lora.modules_to_save = {"embed_tokens"}; });
  EXPECT_EQ(embedding.adapter, plain.adapter + 16 * numbers);
  EXPECT_EQ(embedding.scratch, plain.scratch + 4 * numbers);
  const auto both = foretold([](auto& options) { options.lora.modules_to_save = {"embed_tokens", "lm_head"}; });
  EXPECT_EQ(both.adapter, plain.adapter + 32 * numbers) << "parted";
  const auto tied = foretold([](auto& options) {
    options.lora.modules_to_save = {"embed_tokens"};
    options.lora.ensure_weight_tying = true;
  });
  EXPECT_EQ(tied.adapter, embedding.adapter);
  EXPECT_EQ(tied.scratch, plain.scratch + 8 * numbers);
  const auto all = foretold([](auto& options) { options.start.method = "full"; });
  EXPECT_EQ(all.adapter, 16U * static_cast<std::uint64_t>(lora::parameters_of(files.spec())));
  EXPECT_GT(all.saving, all.adapter / 2) << "copies of weights and moments when a checkpoint is written";
  // An adapter that training goes on from says itself what it trains.
  lora::Adapter adapter;
  adapter.saved.push_back({});
  adapter.saved[0].name = files.spec().embedding + ".weight";
  EXPECT_EQ(finetune::plan_memory({}, files, at::kFloat, at::kCPU, 4096, &adapter).foretold.adapter, embedding.adapter);
}

// A file of 16 bits stays so; bfloat16 is computed with in float32 where the processor has no products of it.
TEST(MemoryPlan, CountsWhatIsKeptNarrowAndWhatIsWidened) {
  const lora::ModelFiles files(tiny_llama::folder("tied").string());
  const lora::ModelSpec& spec = files.spec();
  const auto plan = [&](at::ScalarType dtype) {
    return finetune::plan_memory({}, files, dtype, at::kCPU, 4096).foretold;
  };
  const auto narrow = plan(at::kBFloat16), wide = plan(at::kFloat);
  const auto numbers = static_cast<std::uint64_t>(lora::parameters_of(spec));
  EXPECT_EQ(narrow.weights, 2 * numbers);
  EXPECT_LT(wide.weights, 3 * numbers);
  const std::uint64_t plain = lora::training_memory(spec, 16, 4096, 2).scratch;
  if (finetune::multiplies_bfloat16())
    EXPECT_EQ(narrow.scratch, plain);
  else
    EXPECT_GT(narrow.scratch, plain + 4U * 4096 * static_cast<std::uint64_t>(spec.config.hidden_size));
}

TEST(MemoryPlan, ComputesAsFewBlocksAgainAsTheMemoryNeeds) {
  const lora::ModelFiles files(tiny_llama::folder("tied").string());
  finetune::TrainOptions options;
  const auto plan = [&](std::uint64_t bytes, const char* checkpointing = "auto") {
    options.compute.memory.bytes = bytes;
    options.compute.gradient_checkpointing = checkpointing;
    return finetune::plan_memory(options, files, at::kFloat, at::kCPU, 4096);
  };
  const finetune::MemoryPlan none = plan(0, "none"), all = plan(0, "blocks");
  EXPECT_EQ(none.recomputed_blocks, 0U);
  EXPECT_EQ(all.recomputed_blocks, files.spec().blocks.size());
  EXPECT_LT(all.foretold.total(), none.foretold.total());
  EXPECT_EQ(all.to_text(), "2 blocks computed again in the backward pass; the gradient is the same") << "as asked for";
  EXPECT_EQ(plan(none.foretold.total()).recomputed_blocks, 0U);
  EXPECT_EQ(plan(none.foretold.total() - 1).recomputed_blocks, 1U);
  EXPECT_EQ(plan(all.foretold.total()).recomputed_blocks, files.spec().blocks.size());
  EXPECT_THROW(plan(all.foretold.total() - 1), base::UsageError);
  // Rows of a batch one after the other cost nothing, and come first.
  options.plan.rows_per_batch = 4;
  const finetune::MemoryPlan half = plan(none.foretold.total() - 1);
  EXPECT_EQ(half.rows_at_once, 2);
  EXPECT_EQ(half.recomputed_blocks, 0U);
  EXPECT_THAT(half.to_text(), testing::HasSubstr("2 of a batch's rows at once"));
  EXPECT_EQ(plan(none.foretold.total()).rows_at_once, 4);
  EXPECT_EQ(plan(0, "none").rows_at_once, 4);
  options.plan.rows_per_batch = 1;
  EXPECT_THROW(plan(all.foretold.total(), "none"), base::UsageError);
}

}  // namespace
