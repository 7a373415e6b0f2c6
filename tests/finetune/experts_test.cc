// Experts: LoRA on all of a layer at once as PEFT has it on transformers 5 (scripts/oracle/expert_parameters.py), the
// loss of the routers.
#include "finetune/model/experts.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "lora/adapter/start.h"
#include "lora/compose/upcycle.h"
#include "tests/finetune/tiny_llama.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using finetune::PackedRow;
using finetune::Transformer;
using tiny_llama::Golden;
using tiny_llama::relative;

struct Stacked {
  const char *name, *model;
};
void PrintTo(const Stacked& stacked, std::ostream* out) { *out << stacked.name; }

class StackedExperts : public testing::TestWithParam<Stacked> {
 protected:
  fs::path folder() const {
    return fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/lora/expert_parameters" / GetParam().name;
  }
  lora::ModelFiles base() const { return lora::ModelFiles(tiny_llama::folder(GetParam().model).string()); }
  double error_of(const Transformer& model) const {
    const base::SafetensorsReader golden(folder() / "logits.safetensors");
    const at::Tensor ids = tiny_llama::to_tensor(golden.at("ids"));
    at::NoGradGuard no_gradient;
    return relative(model.logits(model.hidden({ids, {}, {ids.size(0)}, 0})),
                    tiny_llama::to_tensor(golden.at("logits")));
  }
};
INSTANTIATE_TEST_SUITE_P(Peft, StackedExperts,
                         testing::Values(Stacked{"mixtral", "mixtral"}, Stacked{"mixtral_router", "mixtral"},
                                         Stacked{"mixtral_of_4", "mixtral"}, Stacked{"qwen2_moe", "qwen2_moe"},
                                         Stacked{"qwen3_moe", "qwen3_moe"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(StackedExperts, AreComputedAndMerged) {
  Transformer model = tiny_llama::load(tiny_llama::folder(GetParam().model));
  EXPECT_GT(error_of(model), 0.02) << "the adapter does something";
  const lora::ModelFiles files = base();
  const lora::Adapter adapter = lora::plain_adapter(lora::read_adapter(folder()), files, 1);
  model.attach(adapter);
  EXPECT_LT(error_of(model), 1e-5);
  TemporaryFolder merged;
  fs::copy(fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/lora/base/tokenizer.json", merged.path());
  lora_tests::write_merged(files, &adapter, merged.path());
  EXPECT_LT(error_of(tiny_llama::load(merged.path())), 1e-5);
}

// With B of two experts in each other's place.
TEST_P(StackedExperts, OrderInTheStackShows) {
  const lora::ModelFiles files = base();
  lora::Adapter adapter = lora::plain_adapter(lora::read_adapter(folder()), files, 1);
  const auto of_expert = [&](const std::string& expert) {
    return std::ranges::find_if(adapter.modules, [&](const lora::AdapterModule& module) {
      return module.name.find("experts." + expert + ".") != std::string::npos;
    });
  };
  ASSERT_NE(of_expert("1"), adapter.modules.end());
  std::swap(of_expert("0")->b, of_expert("1")->b);
  Transformer model = tiny_llama::load(tiny_llama::folder(GetParam().model));
  model.attach(adapter);
  EXPECT_GT(error_of(model), 1e-3);
}

TEST_P(StackedExperts, AreRefusedWithoutTheirBase) {
  const lora::Adapter adapter = lora::read_adapter(folder());
  TemporaryFolder out;
  EXPECT_THROW(lora::write_adapter(adapter, out.path()), base::Error);
  const lora::ModelFiles other(tiny_llama::folder("mixtral_router_loss").string());  // it has three experts
  EXPECT_THROW(lora::plain_adapter(adapter, other, 1), base::Error);
}

// Experts that are the MLP compute what it computes, whatever the router says; with noise they do not.
TEST(Upcycle, StartsWithTheLogitsOfItsBase) {
  for (const char* name : {"untied", "mistral"}) {
    const lora::ModelFiles files(tiny_llama::folder(name).string());
    const Golden golden(name);
    const auto error_of = [&](const lora::UpcycleSettings& settings) {
      TemporaryFolder folder;
      const lora::MadeModel made = lora::upcycled(files, settings, base::DType::kF32, false);
      lora_tests::write_made(made, files, base::DType::kF32, folder.path());
      at::NoGradGuard no_gradient;
      const Transformer model = tiny_llama::load(folder.path());
      return relative(model.logits(model.hidden(golden.row(0))), golden.at("base/logits"));
    };
    EXPECT_LT(error_of({4, 2, 0, false, 1}), 1e-5) << name;
    EXPECT_LT(error_of({3, 3, 0, true, 1}), 1e-5) << name;
    EXPECT_GT(error_of({4, 2, 0.1, true, 1}), 1e-3) << name;
  }
}

// As transformers' load_balancing_loss_func, written plainly.
TEST(RouterShares, AreTheSwitchLossOverAllLayers) {
  at::manual_seed(3);
  finetune::RouterShares shares;
  at::Tensor counts = at::zeros({5}), sums = at::zeros({5});
  for (int layer = 0; layer < 3; ++layer) {
    const at::Tensor probabilities = at::softmax(at::randn({7, 5}), 1);
    const at::Tensor chosen = std::get<1>(probabilities.topk(2, 1));
    shares.add(probabilities, chosen);
    for (std::int64_t token = 0; token < 7; ++token) {
      for (std::int64_t slot = 0; slot < 2; ++slot) counts[chosen[token][slot].item<std::int64_t>()] += 1;
      sums += probabilities[token];
    }
  }
  EXPECT_LT(relative(shares.loss(), 5 * (counts / 21 * sums / 21).sum()), 1e-6);
}

TEST(RouterLoss, CountsOnlyInTraining) {
  const Golden golden("mixtral_router_loss");
  const Transformer model = tiny_llama::load(tiny_llama::folder("mixtral_router_loss"));
  const PackedRow row = golden.row(0);
  const double trained{model.loss_sum(row).item<double>()};
  at::NoGradGuard no_gradient;
  const double evaluated{model.loss_sum(row).item<double>()};
  EXPECT_LT(relative(at::tensor(evaluated / static_cast<double>(row.trained)), golden.at("base/loss")), 1e-5);
  EXPECT_GT(trained, evaluated + 0.2 * static_cast<double>(row.trained)) << "0.3 times something near 1, a token";
}

TEST(Experts, GiveTheSameBitsAgain) {
  const Golden golden("qwen2_moe");
  Transformer model = tiny_llama::load(tiny_llama::folder("qwen2_moe"));
  model.attach({"all-linear"}, 4, 8, 0.1, false, 1);
  golden.set_adapter(model, "start");
  at::set_num_threads(2);
  const auto gradients = [&] {
    for (at::Tensor& leaf : model.parameters()) leaf.mutable_grad() = at::Tensor();
    model.loss_sum(golden.row(0), 7).backward();
    std::vector<at::Tensor> flat;
    for (const at::Tensor& leaf : model.parameters()) flat.push_back(leaf.grad().reshape({-1}));
    return at::cat(flat);
  };
  const at::Tensor once = gradients();
  EXPECT_TRUE(at::equal(once, gradients()));
  at::set_num_threads(1);
}

}  // namespace
