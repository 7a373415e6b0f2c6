// Options that were given and would change nothing are refused, or said where another comes before them.
#include "finetune/train/unused_options.h"

#include <gmock/gmock.h>

#include <sstream>

#include "base/error.h"
#include "lora/model/model_files.h"

namespace {

using testing::HasSubstr;

// What is refused or said of a command line.
std::string told(const std::vector<std::string>& words, bool has_lora_on_embedding = false,
                 const char* base = "untied") {
  finetune::TrainOptions options;
  base::OptionSet declared(options);
  declared.read_words(words);
  std::ostringstream out, err;
  const base::Context context{out, err, false, false, "", "finetune", &declared};
  const lora::ModelFiles files(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/" + std::string(base));
  try {
    finetune::check_unused(options, context);
    finetune::check_unused_of(files.spec(), options, &declared);
    finetune::check_adamw_part(options, has_lora_on_embedding, &declared);
    finetune::check_loraplus(options.lora, has_lora_on_embedding, &declared);
  } catch (const base::UsageError& error) {
    return error.what();
  }
  return err.str();
}

TEST(UnusedOptions, AreRefusedByName) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"--quantization", "nf4", "--method", "full"},
                                             {"--eval-every", "7"},
                                             {"--samples", "9"},
                                             {"--sample-tokens", "9"},
                                             {"--samples", "9", "--sample-prompts", "prompts.txt"},
                                             {"--validation-limit", "9"},
                                             {"--validation-limit", "9", "--validation-share", "0.1"},
                                             {"--lora.layers-pattern", "layers"},
                                             {"--sample-tokens", "9", "--samples", "0", "--validation-share", "0.1"},
                                             {"--beta1", "0.5", "--optimizer", "muon"},
                                             {"--epsilon", "0.1", "--optimizer", "muon"},
                                             {"--lora.ensure-weight-tying"},
                                             {"--lora.loraplus-lr-embedding", "1e-5"},
                                             {"--lora.loraplus-lr-embedding", "1e-5", "--lora.loraplus-lr-ratio", "4"},
                                             {"--data-cache-limit", "1GB", "--data-cache", "none"}})
    EXPECT_THAT(told(words), HasSubstr(words[0])) << words[0];
}

TEST(UnusedOptions, WhatIsReadOrTheDefaultIsNot) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {},
           {"--eval-every", "7", "--samples", "9", "--sample-tokens", "9", "--validation-share", "0.1"},
           {"--eval-every", "7", "--sample-tokens", "9", "--sample-prompts", "prompts.txt"},
           {"--validation-limit", "9", "--validation-data", "val.jsonl"},
           {"--eval-every", "100", "--samples", "3"},
           {"--eval-every", "0", "--samples", "0"},
           {"--samples", "0", "--sample-prompts", "prompts.txt"},
           {"--lora.layers-pattern", "layers", "--lora.layers-to-transform", "0"},
           {"--data-cache-limit", "1GB"}})
    EXPECT_EQ(told(words), "");
  EXPECT_EQ(told({"--lora.loraplus-lr-embedding", "1e-5", "--lora.loraplus-lr-ratio", "4"}, true), "");
  EXPECT_EQ(told({"--beta1", "0.5", "--optimizer", "muon"}, true), "");
  EXPECT_THAT(told({"--lora.ensure-weight-tying"}, false, "tied"), HasSubstr("neither head nor embedding trains"));
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{"--lora.targets", "q_proj", "lm_head"},
                                             {"--lora.modules-to-save", "embed_tokens"},
                                             {"--lora.trainable-tokens", "7"},
                                             {"--new-tokens", "<x>"}}) {
    std::vector<std::string> words = {"--lora.ensure-weight-tying"};
    words.insert(words.end(), more.begin(), more.end());
    EXPECT_EQ(told(words, false, "tied"), "") << more[0];
  }
}

TEST(UnusedOptions, WhichOfTwoDecidesIsSaid) {
  EXPECT_EQ(told({"--steps", "20", "--epochs", "3"}), "note: --steps 20 decides, --epochs 3 does not count\n");
  EXPECT_EQ(told({"--warmup-steps", "2", "--warmup-ratio", "0.1"}),
            "note: --warmup-steps 2 decides, --warmup-ratio 0.1 does not count\n");
  EXPECT_EQ(told({"--schedule", "wsd", "--decay-steps", "2", "--decay-ratio", "0.3"}),
            "note: --decay-steps 2 decides, --decay-ratio 0.3 does not count\n");
  EXPECT_EQ(told({"--steps", "20"}), "");
}

}  // namespace
