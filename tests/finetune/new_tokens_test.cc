// Training with new tokens: what is saved and what it loads into. train_variants_test.cc resumes it.
#include <gmock/gmock.h>

#include "finetune/model/load.h"
#include "finetune/train/token_rows.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/write_model.h"
#include "lora/locate.h"
#include "tests/finetune/train_fixture.h"
#include "tokenizer/spec/tokenizer.h"

namespace {

using testing::HasSubstr;

class NewTokens : public Train {
 protected:
  // 60 records, the first of which write the new token.
  TrainOptions options(const std::string& output) const {
    TrainOptions options = Train::options(output);
    const fs::path file = model_.path() / "calls.jsonl";
    base::write_file(file, R"({"prompt":"a: ","completion":"x<tool>y"})" + std::string("\n") +
                               base::read_file(model_.path() / "data.jsonl"));
    options.sources.data = {file.string()};
    options.start.new_tokens = {"<tool>"};
    options.start.new_special_tokens = {"<|call|>"};
    return options;
  }
};

TEST_F(NewTokens, AreRowsOfTheAdapterAndLoadWithIt) {
  TrainOptions given = options("run");
  given.lora.trainable_tokens = {"<tool>"};  // which trains anyway
  run(given);
  const std::string folder = given.output.folder;
  const lora::Adapter adapter = lora::read_adapter(fs::path(folder) / "adapter");
  lora::ModelFiles files(given.start.model);
  const std::int64_t before{files.config().vocab_size}, own{tokenizer::load(files.path())->size()};
  ASSERT_EQ(adapter.tokens.size(), 1u);
  EXPECT_EQ(adapter.tokens[0].ids.front(), std::min(before, own));
  EXPECT_EQ(adapter.tokens[0].ids.back(), own + 1);
  finetune::load_adapter(folder, files, 1);
  EXPECT_EQ(files.config().vocab_size, std::max(before, own + 2));
  finetune::ModelOptions model;
  model.adapter = folder, model.threads = 1;
  const finetune::LoadedModel loaded = finetune::load_model(model);
  EXPECT_EQ(loaded.tokenizer->encode("<tool>"), std::vector<std::int32_t>{static_cast<std::int32_t>(own)});
  EXPECT_TRUE(loaded.tokenizer->is_special(static_cast<std::int32_t>(own + 1)));
}

TEST_F(NewTokens, AWholeNumberIsATokensNumberAlsoWhereATokenIsCalledSo) {
  const lora::ModelFiles files(model_.path().string());
  const auto tokenizer = tokenizer::load(files.path());
  ASSERT_TRUE(tokenizer->id_of("3"));
  ASSERT_NE(*tokenizer->id_of("3"), 3);
  EXPECT_EQ(finetune::token_numbers({"3"}, *tokenizer, files.config()), std::vector<std::int64_t>{3});
  EXPECT_EQ(finetune::token_numbers({"a"}, *tokenizer, files.config()),
            std::vector<std::int64_t>{*tokenizer->id_of("a")});
  EXPECT_THROW(finetune::token_numbers({"3", "3"}, *tokenizer, files.config()), base::UsageError);
  TrainOptions told = Train::options("told");
  told.lora.trainable_tokens = {"3"};
  told.plan.steps = 1;
  EXPECT_THAT(run(told), HasSubstr("rows of the embedding that train: 3 \""));
}

TEST_F(NewTokens, BeginWithTheMean) {
  TrainOptions given = options("run");
  given.plan.steps = 1, given.optimizer.learning_rate = 1e-30;
  run(given);  // nothing is learned
  const lora::Adapter adapter = lora::read_adapter(fs::path(given.output.folder) / "adapter");
  const lora::ModelFiles files(given.start.model);
  const std::string name = files.spec().embedding + ".weight";
  const std::vector<std::int64_t> shape = files.shape(name);
  at::Tensor rows = at::empty(shape, at::kFloat);
  files.read(name, {rows.mutable_data_ptr<float>(), static_cast<std::size_t>(rows.numel())});
  // The base's rows of padding are none of its vocabulary.
  const std::int64_t own{std::min<std::int64_t>(shape[0], tokenizer::load(files.path())->size())};
  const at::Tensor mean = rows.slice(0, 0, own).to(at::kDouble).mean(0).to(at::kFloat);
  const std::vector<float>& values = adapter.tokens[0].values;
  for (std::int64_t i = 0; i < shape[1]; ++i)
    EXPECT_NEAR(values[static_cast<std::size_t>(i)], mean[i].item<float>(), 1e-6);
}

TEST_F(NewTokens, AMergedFolderHasThemAndTheSameLogits) {
  const TrainOptions given = options("run");
  run(given);
  lora::ModelFiles files(given.start.model);
  const lora::Adapter adapter = finetune::load_adapter(given.output.folder, files, 1);
  const fs::path merged = model_.path() / "merged";
  fs::create_directories(merged);
  lora::write_hf_folder(lora::MergedModel(files, &adapter), merged, {base::DType::kF32, 1, {}});
  const lora::ModelFiles written(merged.string());
  EXPECT_EQ(written.config().vocab_size, files.config().vocab_size);
  const auto tokenizer = tokenizer::load(merged);
  const std::vector<std::int32_t> ids = tokenizer->encode("a<tool>b<|call|>", true);
  EXPECT_EQ(ids.size(), 4u);
  finetune::Transformer base(files, at::kFloat, at::kCPU);
  base.attach(adapter);
  const finetune::Transformer whole(written, at::kFloat, at::kCPU);
  const at::Tensor text = at::tensor(std::vector<std::int64_t>(ids.begin(), ids.end()));
  finetune::KvCache one, other;
  EXPECT_LT(tiny_llama::relative(whole.next_logits(text, one), base.next_logits(text, other)), 1e-5);
}

TEST_F(NewTokens, AreRefused) {
  TrainOptions given = options("run");
  given.start.new_tokens = {"<|endoftext|>"};
  EXPECT_THAT(error_of<base::UsageError>(given), HasSubstr("has this token already"));
  given = options("run");
  given.lora.targets = {"q_proj", "embed_tokens"};
  EXPECT_THAT(error_of<base::UsageError>(given), HasSubstr("LoRA on a matrix that gets rows of new tokens"));
  given = options("run");
  given.lora.modules_to_save = {"embed_tokens"};
  EXPECT_THAT(error_of<base::UsageError>(given), HasSubstr("trains apart from the other"));
  given = options("run");
  given.start.adapter = "some";
  EXPECT_THAT(error_of<base::UsageError>(given), HasSubstr("only for a fresh adapter"));
}

TEST_F(NewTokens, TrainWithEveryWeight) {
  TrainOptions given = options("run");
  given.start.method = "full";
  run(given);
  const fs::path folder = fs::path(given.output.folder) / "model";
  const auto tokenizer = tokenizer::load(folder);
  EXPECT_EQ(tokenizer->encode("<tool>").size(), 1u);
  EXPECT_GE(lora::ModelFiles(folder.string()).config().vocab_size, tokenizer->size());
}

}  // namespace
