#include "lora/adapter/merged_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "lora/adapter/write_model.h"
#include "lora/model/licence.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/lora/";

TEST(MergedCard, SaysLicenceDataAndFigures) {
  const TemporaryFolder folder;
  fs::copy(kGolden + "base", folder.path() / "base");
  base::write_file(folder.path() / "base/README.md", "---\nlicense: apache-2.0\ntags: [x]\n---\n# Base\n");
  base::write_file(folder.path() / "run/run.yaml", "data:\n  - /somewhere/private/chats.jsonl\nmodel: base\n");
  base::write_file(folder.path() / "run/metrics.jsonl",
                   "{\"step\":0,\"validation_loss\":3.5}\n{\"step\":1,\"loss\":3.25}\n{\"step\":20,\"loss\":1.125}\n"
                   "{\"step\":20,\"validation_loss\":2.0}\n");
  lora::Adapter adapter = lora::read_adapter(kGolden + "plain");
  adapter.base_model = "org/model";
  const lora::ModelFiles base((folder.path() / "base").string());
  const std::string card = lora::merged_card(adapter, base, folder.path() / "run", base::DType::kBF16);
  EXPECT_THAT(card, HasSubstr("---\nbase_model: org/model\nbase_model_relation: finetune\nlicense: apache-2.0\n"));
  EXPECT_THAT(card, HasSubstr("14 LoRA modules merged into its weights, in BF16"));
  EXPECT_THAT(
      card,
      HasSubstr("- data: chats.jsonl\n- steps: 20\n- loss: 3.2500 -> 1.1250\n- validation loss: 3.5000 -> 2.0000\n"));
  EXPECT_THAT(card, Not(HasSubstr("/somewhere")));
  const std::string full = lora::merged_card(adapter, base, folder.path() / "run", base::DType::kBF16, true);
  EXPECT_THAT(
      full,
      HasSubstr(
          "# Trained model\n\n[org/model](https://huggingface.co/org/model), every weight of it trained, in BF16."));
  EXPECT_THAT(full, HasSubstr("- loss: 3.2500 -> 1.1250\n"));
}

// A GGUF has a place for it.
TEST(MergedCard, TheLicenceGoesThroughAGguf) {
  const TemporaryFolder folder;
  fs::copy(kGolden + "base", folder.path() / "base");
  base::write_file(folder.path() / "base/README.md", "---\nlicense: apache-2.0\n---\n# Base\n");
  const lora::ModelFiles base((folder.path() / "base").string());
  lora::write_gguf(lora::MergedModel(base, nullptr), folder.path() / "base.gguf", {base::DType::kF32, 1, {}});
  EXPECT_EQ(lora::licence_of(lora::ModelFiles(folder / "base.gguf")), "apache-2.0");
}

TEST(MergedCard, WhatIsNotKnownIsNotMadeUp) {
  lora::Adapter adapter = lora::read_adapter(kGolden + "plain");
  const lora::ModelFiles base(kGolden + "base");
  const std::string card = lora::merged_card(adapter, base, "", base::DType::kF32);
  EXPECT_THAT(card, Not(HasSubstr("license:")));
  EXPECT_THAT(card, Not(HasSubstr("base_model:")));
  EXPECT_THAT(card, HasSubstr("name no licence"));
  EXPECT_THAT(card, Not(HasSubstr("loss")));
}

}  // namespace
