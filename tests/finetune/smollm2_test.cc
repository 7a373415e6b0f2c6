// A real model out of a GGUF file: the logits and losses that transformers computes (scripts/oracle/smollm2.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "finetune/model/model.h"
#include "tests/finetune/tiny_llama.h"

namespace {

std::string model_path() {
  if (const char* given = std::getenv("HORNBOOK_SMOLLM2")) return given;
  return HORNBOOK_SOURCE_DIR "/build/data/smollm2.gguf";
}

TEST(SmolLM2, LogitsAndLossesOfTransformers) {
  ASSERT_TRUE(std::filesystem::exists(model_path())) << model_path() << " is missing: run scripts/install.sh";
  finetune::Transformer model = tiny_llama::load(model_path());
  auto golden = nlohmann::json::parse(base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/smollm2.json"));
  ASSERT_EQ(golden.at("texts").size(), 5u);
  at::NoGradGuard no_gradient;
  for (const auto& text : golden.at("texts")) {
    auto ids = text.at("ids").get<std::vector<std::int64_t>>();
    finetune::PackedRow row;
    row.ids = at::tensor(ids);
    row.lengths = {row.ids.size(0)};
    row.targets = at::cat({row.ids.narrow(0, 1, row.ids.size(0) - 1), at::full({1}, -100, at::kLong)});
    at::Tensor hidden = model.hidden(row);
    at::Tensor last = model.logits(hidden.narrow(0, hidden.size(0) - 1, 1)).squeeze(0);
    auto [values, top] = last.topk(10);
    for (std::int64_t i = 0; i < 10; ++i) {
      const auto& expected = text.at("last_top10").at(static_cast<std::size_t>(i));
      EXPECT_EQ(top[i].item<std::int64_t>(), expected.at(0).get<std::int64_t>()) << text.at("text") << " place " << i;
      EXPECT_NEAR(values[i].item<double>(), expected.at(1).get<double>(), 5e-4) << text.at("text") << " place " << i;
    }
    EXPECT_NEAR(model.loss_sum(row).item<double>() / static_cast<double>(ids.size() - 1),
                text.at("mean_nll").get<double>(), 2e-5)
        << text.at("text");
  }
}

}  // namespace
