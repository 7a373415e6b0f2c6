// The optimizers beside AdamW: against torch's and bitsandbytes', and through whole trainings.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/safetensors.h"
#include "finetune/train/eight_bit_states.h"
#include "finetune/train/optimizer_options.h"
#include "tests/error_of.h"
#include "tests/finetune/train_fixture.h"

namespace {

using finetune::OptimizerSettings;
using finetune::UpdateOptions;
using testing::HasSubstr;

// scripts/oracle/optimizers.py
struct Golden {
  base::SafetensorsReader file{HORNBOOK_SOURCE_DIR "/tests/golden/finetune/optimizers.safetensors"};
  nlohmann::json about = nlohmann::json::parse(file.metadata().at("about"));
  std::size_t count = about["shapes"].size();

  at::Tensor at(const std::string& name) const {
    const base::TensorView& view = file.at(name);
    at::Tensor tensor = at::empty(view.shape, view.type == base::DType::kU8 ? at::kByte : at::kFloat);
    std::memcpy(tensor.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
    return tensor;
  }
  at::Tensor at(const std::string& name, std::size_t i) const { return at(name + "." + std::to_string(i)); }

  // All steps with the golden's gradients; `words` say what the optimizer is.
  std::vector<at::Tensor> train(const UpdateOptions& options,
                                std::unique_ptr<finetune::Optimizer>* after = nullptr) const {
    std::vector<at::Tensor> parameters;
    for (std::size_t i = 0; i < count; ++i) parameters.push_back(at("start", i).set_requires_grad(true));
    OptimizerSettings settings = finetune::settings_of(options);
    settings.weight_decay = about["weight_decay"];
    auto optimizer = finetune::make_optimizer(options.optimizer, parameters, settings);
    for (int step = 0; step < about["steps"].get<int>(); ++step) {
      optimizer->zero_gradients();
      for (std::size_t i = 0; i < count; ++i)
        (parameters[i] * at("gradient." + std::to_string(step), i)).sum().backward();
      optimizer->step(about["rate"]);
    }
    if (after) *after = std::move(optimizer);
    return parameters;
  }
  // The largest difference to what the peer came to, as a share of the largest change.
  double difference(const std::string& name, const UpdateOptions& options) const {
    const std::vector<at::Tensor> found = train(options);
    double gap = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const at::Tensor expected = at(name, i);
      const double change{(expected - at("start", i)).abs().max().item<double>()};
      gap = std::max(gap, (found[i].detach() - expected).abs().max().item<double>() / change);
    }
    return gap;
  }
};

UpdateOptions options_of(const std::string& optimizer) {
  UpdateOptions options;
  options.optimizer = optimizer;
  return options;
}

TEST(Optimizers, SgdIsTorchs) {
  const Golden golden;
  UpdateOptions options = options_of("sgd");
  EXPECT_LT(golden.difference("sgd", options), 1e-6);
  options.momentum = "0.9";
  EXPECT_LT(golden.difference("sgd-momentum", options), 1e-6);
  EXPECT_GT(golden.difference("sgd-nesterov", options), 1e-2) << "the test must see Nesterov's momentum";
  options.nesterov = "true";
  EXPECT_LT(golden.difference("sgd-nesterov", options), 1e-6);
}

TEST(Optimizers, LionIsThePapers) {
  const Golden golden;
  UpdateOptions options = options_of("lion");
  EXPECT_LT(golden.difference("lion", options), 1e-5);
  options.beta2 = "0.999";
  EXPECT_GT(golden.difference("lion", options), 1e-2);
}

// Products in bfloat16 differ between processors; what is wrong differs more.
TEST(Optimizers, MuonIsTorchsAndVectorsTakeAdamW) {
  const Golden golden;
  UpdateOptions options = options_of("muon");
  EXPECT_LT(golden.difference("muon", options), 1e-2);
  options.nesterov = "false";
  EXPECT_GT(golden.difference("muon", options), 3e-2);
  options.adjust_lr_fn = "original";
  EXPECT_LT(golden.difference("muon-original", options), 1e-2);
  EXPECT_GT(golden.difference("muon", options), 3e-2);
  const std::vector<at::Tensor> found = golden.train(options);
  EXPECT_LT(tiny_llama::relative(found[1].detach(), golden.at("adamw", 1)), 1e-6) << "a vector";
}

// The loop chooses the number of threads by the machine's load: it must not show.
TEST(Optimizers, MuonOfSmallMatricesHidesThreads) {
  const int before{at::get_num_threads()};
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2, 3, 4}) {
    at::set_num_threads(threads);
    at::manual_seed(4);
    std::vector<at::Tensor> parameters;
    for (const auto& shape : std::vector<std::vector<std::int64_t>>{{16, 917}, {1536, 64}, {7, 40003}, {33, 576}})
      parameters.push_back((at::randn(shape) * 0.02).requires_grad_());
    auto optimizer = finetune::make_optimizer("muon", parameters, finetune::settings_of(options_of("muon")));
    for (int step = 0; step < 2; ++step) {
      optimizer->zero_gradients();
      for (const at::Tensor& parameter : parameters) (parameter * at::randn_like(parameter)).sum().backward();
      optimizer->step(1e-2);
    }
    EXPECT_EQ(at::get_num_threads(), threads);
    results.push_back(optimizer->values().detach().clone());
  }
  at::set_num_threads(before);
  for (const at::Tensor& result : results) EXPECT_TRUE(at::equal(result, results[0]));
}

TEST(Optimizers, MuonLeavesWhatIsNoMatrixToAdamW) {
  const auto step = [](std::vector<bool> matrices) {
    at::Tensor parameter = at::ones({4, 6}).set_requires_grad(true);
    OptimizerSettings settings = finetune::settings_of(options_of("muon"));
    settings.matrices = std::move(matrices);
    auto optimizer = finetune::make_optimizer("muon", {parameter}, settings);
    parameter.mutable_grad().copy_(at::arange(24, at::kFloat).view({4, 6}) + 1);
    optimizer->step(0.1);
    return parameter.detach();
  };
  EXPECT_TRUE(at::allclose(step({false}), at::full({4, 6}, 0.9)));  // AdamW's first step is the rate's length
  EXPECT_FALSE(at::allclose(step({true}), at::full({4, 6}, 0.9), 1e-2));
  EXPECT_TRUE(at::equal(step({true}), step({})));
}

TEST(EightBits, TablesAreBitsandbytes) {
  const Golden golden;
  EXPECT_TRUE(at::allclose(finetune::DynamicTable(true, at::kCPU).values(), golden.at("table.signed"), 1e-6, 0));
  EXPECT_TRUE(at::allclose(finetune::DynamicTable(false, at::kCPU).values(), golden.at("table.unsigned"), 1e-6, 0));
}

TEST(EightBits, AdamWIsBitsandbytes) {
  const Golden golden;
  std::unique_ptr<finetune::Optimizer> optimizer;
  golden.train(options_of("adamw-8bit"), &optimizer);
  EXPECT_LT(golden.difference("adamw-8bit", options_of("adamw-8bit")), 1e-4);
  EXPECT_GT(golden.difference("adamw-8bit", options_of("adamw")), 1e-2) << "the test must see the rounding";
  // The numbers themselves: parameters 0 and 3 are quantised, the last block of 3 is filled up.
  const auto state = [&](const std::string& name) {
    for (const auto& [own, tensor] : optimizer->state())
      if (own == name) return tensor;
    return at::Tensor();
  };
  for (const auto& [moment, number] :
       std::map<std::string, std::string>{{"first_moment", "1"}, {"second_moment", "2"}}) {
    const at::Tensor theirs =
        at::cat({golden.at("adamw-8bit.state" + number, 0), golden.at("adamw-8bit.state" + number, 3)});
    const at::Tensor ours = state(moment + "_numbers").narrow(0, 0, theirs.numel());
    EXPECT_LT(ours.ne(theirs).sum().item<double>(), 10) << moment;
    const at::Tensor scales =
        at::cat({golden.at("adamw-8bit.absmax" + number, 0), golden.at("adamw-8bit.absmax" + number, 3)});
    EXPECT_TRUE(at::allclose(state(moment + "_scales"), scales, 1e-3)) << moment;
  }
}

TEST(EightBits, StateTakesAByteANumberAndAScaleABlock) {
  const auto bytes = [](const char* optimizer, std::vector<std::int64_t> sizes) {
    std::vector<at::Tensor> parameters;
    for (const std::int64_t size : sizes) parameters.push_back(at::zeros({size}).set_requires_grad(true));
    return finetune::make_optimizer(optimizer, parameters, {})->state_bytes();
  };
  EXPECT_EQ(bytes("adamw", {8192, 5000, 10}), 2 * 4 * (8192 + 5000 + 10));
  EXPECT_EQ(bytes("adamw-8bit", {8192, 5000, 10}), 2 * ((32 + 20) * (256 + 4) + 4 * 10));
  EXPECT_EQ(bytes("sgd", {100}), 0);
  EXPECT_EQ(bytes("lion", {100}), 400);
}

// A parameter above the most that is computed at once, and its neighbours, are the same parameters apart.
TEST(EightBits, PiecesAreOnlyPieces) {
  const std::int64_t most{1LL << 22};
  const auto values_after = [](std::vector<at::Tensor> parameters) {
    auto optimizer = finetune::make_optimizer("adamw-8bit", parameters, {});
    for (int step = 0; step < 2; ++step) {
      optimizer->zero_gradients();
      for (at::Tensor& parameter : parameters)
        parameter.mutable_grad().copy_(at::sin(at::arange(parameter.numel(), at::kFloat) * (step + 1)));
      optimizer->step(0.1);
    }
    return optimizer->values();
  };
  const auto leaf = [](std::int64_t size) { return at::zeros({size}).set_requires_grad(true); };
  const at::Tensor together = values_after({leaf(5000), leaf(most + 5000), leaf(8192), leaf(9)});
  const at::Tensor apart = at::cat({values_after({leaf(5000)}), values_after({leaf(most + 5000)}),
                                    values_after({leaf(8192)}), values_after({leaf(9)})});
  EXPECT_TRUE(at::equal(together, apart));
}

TEST(OptimizerOptions, WhatAnOptimizerIgnoresIsRefused) {
  const auto refusal = [](const char* optimizer, auto change) {
    UpdateOptions options = options_of(optimizer);
    change(options);
    return error_of([&] { finetune::settings_of(options); });
  };
  EXPECT_THAT(refusal("adamw", [](auto& o) { o.momentum = "0.9"; }),
              testing::AllOf(HasSubstr("--momentum"), HasSubstr("--optimizer sgd, muon")));
  EXPECT_THAT(refusal("sgd", [](auto& o) { o.beta1 = "0.9"; }), HasSubstr("--beta1"));
  EXPECT_THAT(refusal("lion", [](auto& o) { o.epsilon = "1e-8"; }), HasSubstr("--epsilon"));
  EXPECT_THAT(refusal("lion", [](auto& o) { o.nesterov = "true"; }), HasSubstr("--nesterov"));
  EXPECT_THAT(refusal("sgd", [](auto& o) { o.adjust_lr_fn = "original"; }), HasSubstr("--adjust-lr-fn"));
  EXPECT_THAT(refusal("sgd", [](auto& o) { o.nesterov = "true"; }), HasSubstr("--momentum"));
  for (const char* value : {"1", "-0.1", "nan", "0.9x", "", "0,9"})
    EXPECT_THAT(refusal("adamw", [&](auto& o) { o.beta1 = value; }), HasSubstr("--beta1")) << value;
  EXPECT_THAT(refusal("adamw", [](auto& o) { o.epsilon = "0"; }), HasSubstr("--epsilon"));
  UpdateOptions right = options_of("muon");
  right.beta1 = "0.8", right.momentum = "0.9", right.nesterov = "false";
  const OptimizerSettings settings = finetune::settings_of(right);
  EXPECT_EQ(settings.beta1, 0.8);
  EXPECT_EQ(settings.momentum, 0.9);
  EXPECT_FALSE(settings.nesterov);
  EXPECT_EQ(finetune::settings_of(options_of("lion")).beta2, 0.99);
}

// Each optimizer learns, and a resumed run ends with the bytes of one that never stopped.
TEST_F(Train, EveryOptimizerResumesToTheSameBytes) {
  std::set<std::string> results;
  for (const char* optimizer : {"adamw", "adamw-8bit", "sgd", "lion", "muon"}) {
    TrainOptions unbroken = options(std::string("unbroken-") + optimizer);
    unbroken.lora.rank = 48;  // of 64 columns: quantised
    unbroken.optimizer.update.optimizer = optimizer;
    if (unbroken.optimizer.update.optimizer == "sgd") unbroken.optimizer.update.momentum = "0.9";
    unbroken.intervals.save_every = 3;
    EXPECT_THAT(run(unbroken), HasSubstr(std::string(optimizer) + " keeps"));
    TrainOptions resumed = unbroken;
    resumed.output.folder += "-resumed";
    fs::create_directories(fs::path(resumed.output.folder) / "checkpoints");
    fs::copy(fs::path(unbroken.output.folder) / "checkpoints/step-3",
             fs::path(resumed.output.folder) / "checkpoints/step-3", fs::copy_options::recursive);
    resumed.output.resume = true;
    EXPECT_THAT(run(resumed), HasSubstr("going on after step 3"));
    EXPECT_EQ(adapter_bytes(resumed), adapter_bytes(unbroken)) << optimizer;
    results.insert(adapter_bytes(unbroken));
    TrainOptions other = resumed;
    std::string& changed = other.optimizer.update.optimizer;
    changed = changed == "adamw" ? "lion" : changed == "sgd" ? "muon" : "adamw";
    EXPECT_THAT(error_of<base::UsageError>(other), HasSubstr("--optimizer"));
  }
  EXPECT_EQ(results.size(), 5U) << "five optimizers, five results";
}

// With every weight training, embedding and head are no matrices to Muon.
TEST_F(Train, MuonTrainsAWholeModel) {
  TrainOptions whole = options("whole");
  whole.start.method = "full";
  whole.optimizer.update.optimizer = "muon";
  run(whole);
  const auto checkpoint = finetune::read_newest_checkpoint(fs::path(whole.output.folder) / "checkpoints");
  ASSERT_TRUE(checkpoint);
  const finetune::Transformer model = tiny_llama::load(model_.path());
  const std::int64_t vectors{5 * 64}, vocabulary{257 * 64};  // norms of two blocks and the last one; embedding
  for (const auto& [name, tensor] : checkpoint->optimizer)
    EXPECT_EQ(tensor.numel(),
              name == "second_moment" ? vectors + vocabulary : finetune::flat_values(checkpoint->adapter).numel())
        << name;
}

}  // namespace
