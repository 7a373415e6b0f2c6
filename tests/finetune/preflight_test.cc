// What is known before the first step: memory, time, and whether the base holds numbers.
#include "finetune/train/preflight.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "finetune/train/memory.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::Example;
using testing::HasSubstr;

std::vector<Example> some_examples() { return {{{1, 2, 3, 4, 5}, {0, 1, 1, 1, 1}}, {{6, 7, 8}, {1, 1, 1}}}; }

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

// `change` spoils tensors of the model.
std::string found_in(const std::function<void(const std::string&, at::Tensor&)>& change) {
  const tiny_llama::Changed folder("untied", change);
  const lora::ModelFiles files(folder.path().string());
  const finetune::Transformer model(files, at::kFloat, at::kCPU);
  return error_of([&] { finetune::check_weights(model, files, some_examples(), 2); });
}

TEST(Preflight, FindsWeightsThatAreNoNumbers) {
  EXPECT_EQ(found_in([](const std::string&, at::Tensor&) {}), "no error");
  const float kBad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()};
  for (const float bad : kBad)
    for (const char* part : {"layers.1.self_attn.v_proj.weight", "layers.0.mlp.down_proj.weight", "norm.weight",
                             "lm_head.weight", "layers.1.input_layernorm.weight", "layers.0.self_attn.q_proj.weight",
                             "layers.1.self_attn.k_proj.weight", "layers.1.mlp.gate_proj.weight"}) {
      const std::string error = found_in([&](const std::string& name, at::Tensor& tensor) {
        if (name.ends_with(part)) tensor.view({-1})[3] = bad;
      });
      EXPECT_THAT(error, HasSubstr("not finite")) << part;
      EXPECT_THAT(error, HasSubstr(part));
    }
  // A token that no example has.
  EXPECT_THAT(found_in([&](const std::string& name, at::Tensor& tensor) {
                if (name.ends_with("embed_tokens.weight")) tensor[100][5] = kBad[0];
              }),
              HasSubstr("embed_tokens.weight"));
}

// For every type and every place of a not-a-number in a block: as the expanded numbers say.
TEST(Preflight, FindsScalesThatAreNoNumbers) {
  for (int type = 0; type <= static_cast<int>(base::DType::kMXFP4); ++type) {
    base::TensorView view;
    view.type = static_cast<base::DType>(type);
    if (view.type >= base::DType::kI64 && view.type <= base::DType::kBool) continue;
    const std::size_t block = base::block_bytes(view.type), elements = base::block_elements(view.type);
    int found = 0;
    for (std::size_t place = 0; place + 2 <= block; place += 2) {
      std::vector<std::byte> bytes(3 * block);
      bytes[block + place] = std::byte{0xFF};
      bytes[block + place + 1] = std::byte{0x7F};
      view.bytes = bytes;
      view.shape = {3, static_cast<std::int64_t>(elements)};
      std::vector<float> numbers(3 * elements);
      base::to_float(view.type, view.bytes, numbers);
      const bool is_fine = std::ranges::all_of(numbers, [](float number) { return std::isfinite(number); });
      EXPECT_EQ(finetune::holds_numbers(view), is_fine) << base::name_of(view.type) << " at " << place;
      found += !is_fine;
    }
    EXPECT_GT(found, 0) << base::name_of(view.type);
  }
}

TEST(Preflight, RefusesWhatTheMachineCannotHold) {
  lora::TrainingMemory memory;
  memory.weights = 10'000'000'000;
  memory.activations = 3'000'000'000;
  EXPECT_EQ(error_of([&] { finetune::check_memory(memory, 13'000'000'000); }), "no error");
  EXPECT_EQ(error_of([&] { finetune::check_memory(memory, 11'900'000'000); }), "no error") << "it may be wrong";
  const std::string heavy = error_of([&] { finetune::check_memory(memory, 11'000'000'000); });
  EXPECT_THAT(heavy, HasSubstr("more memory than there is"));
  EXPECT_THAT(heavy, HasSubstr("13.0 GB"));
  EXPECT_THAT(heavy, HasSubstr("--quantization"));
  memory.activations = 30'000'000'000;
  EXPECT_THAT(error_of([&] { finetune::check_memory(memory, 11'000'000'000); }), HasSubstr("--rows-per-batch"));
}

TEST(Preflight, MemoryIsThatOfTheLargestBatch) {
  std::vector<Example> examples;
  for (const std::size_t length : {10u, 30u, 40u, 50u})
    examples.push_back({std::vector<std::int32_t>(length, 1), std::vector<std::uint8_t>(length, 1)});
  finetune::PlanOptions plan;
  plan.rows.max_length = 64;
  EXPECT_EQ(finetune::largest_batch(examples, plan, 1), 60) << "50 + 10; 40; 30";
  plan.rows_per_batch = 3;
  EXPECT_EQ(finetune::largest_batch(examples, plan, 1), 130);
  plan.rows_per_batch = 1000;
  EXPECT_EQ(finetune::largest_batch(examples, plan, 1), 130) << "no batch is larger than all the rows of the run";
  plan.steps = 5;
  EXPECT_EQ(finetune::largest_batch(examples, plan, 1), 333 * 130 + 60) << "1000 of 3 rows";
  plan.steps = 0;
  plan.rows.packing = false;
  plan.rows_per_batch = 1;
  EXPECT_EQ(finetune::largest_batch(examples, plan, 1), 50);

  const tiny_llama::Changed folder("untied", [](const std::string&, at::Tensor& w) { w.mul_(1.0001); });
  const lora::ModelFiles files(folder.path().string());
  finetune::TrainOptions options;
  const auto total = [&](at::ScalarType dtype) {
    return finetune::plan_memory(options, files, dtype, at::kCPU, 100).foretold.weights;
  };
  EXPECT_EQ(total(at::kFloat), 2 * total(at::kBFloat16));
  const auto dense = total(at::kFloat);
  options.compute.quantization = "nf4";
  EXPECT_LT(total(at::kFloat), dense);
}

TEST(Preflight, SaysMemoryAndTime) {
  finetune::Preflight preflight;
  preflight.memory.weights = 2'000'000'000;
  EXPECT_EQ(preflight.lines().size(), 1u);
  EXPECT_FALSE(preflight.to_json().contains("seconds"));
  preflight.seconds = 90;
  preflight.tried = 256;
  EXPECT_THAT(preflight.lines()[0], HasSubstr("about 2.0 GB"));
  EXPECT_THAT(preflight.lines()[1], HasSubstr("as 256 tokens take that were tried"));
  EXPECT_EQ(preflight.to_json()["seconds"], 90);
}

}  // namespace
