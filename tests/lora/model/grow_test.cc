// A model with rows of new tokens: what they begin with, and that the files' own rows stay.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lora/adapter/merge.h"
#include "lora/adapter/write_model.h"
#include "tests/lora/whole.h"
#include "tests/temporary_folder.h"
#include "tokenizer/spec/bpe_spec.h"

namespace {

using lora::ModelFiles;
using lora_tests::whole;

const std::string kUntied = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/untied";
const std::string kTied = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/tied";
const std::string kBias = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/phi";  // a head with a bias
const std::string kEmbedding = "model.embed_tokens.weight", kHead = "lm_head.weight";

std::vector<tokenizer::AddedToken> tokens_from(std::int64_t first, int count) {
  std::vector<tokenizer::AddedToken> tokens(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    tokens[static_cast<std::size_t>(i)].id = static_cast<std::int32_t>(first + i);
    tokens[static_cast<std::size_t>(i)].content = "<new " + std::to_string(i) + ">";
  }
  return tokens;
}

// Of column `column` in the first `rows` of [rows, width].
double mean(const std::vector<float>& values, std::int64_t rows, std::int64_t width, std::int64_t column) {
  double sum = 0;
  for (std::int64_t row = 0; row < rows; ++row)
    sum += static_cast<double>(values[static_cast<std::size_t>(row * width + column)]);
  return sum / static_cast<double>(rows);
}

std::vector<float> row(const std::vector<float>& values, std::int64_t id, std::int64_t width) {
  return {values.begin() + id * width, values.begin() + (id + 1) * width};
}

TEST(GrownModel, NewRowsAreTheMeanOfTheOthers) {
  const ModelFiles before(kUntied);
  ModelFiles files(kUntied);
  const std::int64_t size{before.config().vocab_size}, width{before.config().hidden_size};
  files.grow(tokens_from(size, 2), size + 2, ModelFiles::NewRows::kMean);
  EXPECT_EQ(files.config().vocab_size, size + 2);
  for (const std::string& name : {kEmbedding, kHead}) {
    EXPECT_EQ(files.shape(name), (std::vector<std::int64_t>{size + 2, width}));
    EXPECT_EQ(files.new_rows(name), 2);
    const std::vector<float> all = whole(files, name), own = whole(before, name);
    EXPECT_EQ(std::vector<float>(all.begin(), all.begin() + size * width), own);
    EXPECT_EQ(row(all, size, width), row(all, size + 1, width));
    for (std::int64_t i = 0; i < width; ++i)
      EXPECT_EQ(row(all, size, width)[static_cast<std::size_t>(i)], static_cast<float>(mean(own, size, width, i)));
  }
  EXPECT_EQ(files.new_rows("model.norm.weight"), 0);
}

TEST(GrownModel, PaddingBecomesTheMeanToo) {
  const ModelFiles before(kTied);
  ModelFiles files(kTied);
  const std::int64_t size{before.config().vocab_size}, width{before.config().hidden_size}, own{size - 3};
  files.grow(tokens_from(own, 2), size, ModelFiles::NewRows::kMean);  // the last row of padding stays
  EXPECT_EQ(files.config().vocab_size, size);
  EXPECT_EQ(files.new_rows(kEmbedding), 3);
  const std::vector<float> all = whole(files, kEmbedding), was = whole(before, kEmbedding);
  EXPECT_EQ(std::vector<float>(all.begin(), all.begin() + own * width),
            std::vector<float>(was.begin(), was.begin() + own * width));
  for (std::int64_t i = 0; i < width; ++i)
    EXPECT_EQ(row(all, own + 1, width)[static_cast<std::size_t>(i)], static_cast<float>(mean(was, own, width, i)));
  EXPECT_EQ(row(all, size - 1, width), row(was, size - 1, width));
}

TEST(GrownModel, RowsAreReadAcrossTheBorder) {
  ModelFiles files(kTied);
  const std::int64_t size{files.config().vocab_size}, width{files.config().hidden_size};
  files.grow(tokens_from(size, 3), size + 3, ModelFiles::NewRows::kMean);
  const std::vector<float> all = whole(files, kEmbedding);
  for (const auto& [first, count] :
       {std::pair{size - 2, std::int64_t{4}}, {size, std::int64_t{2}}, {size + 2, std::int64_t{1}}}) {
    std::vector<float> rows(static_cast<std::size_t>(count * width));
    files.read_rows(kEmbedding, first, count, rows);
    EXPECT_EQ(rows, std::vector<float>(all.begin() + first * width, all.begin() + (first + count) * width));
  }
}

TEST(GrownModel, ABiasIsTheMeanWithOrWithoutAnAdapter) {
  const ModelFiles before(kBias);
  const std::int64_t size{before.config().vocab_size};
  const std::vector<float> own = whole(before, "lm_head.bias");
  for (const auto begin : {ModelFiles::NewRows::kMean, ModelFiles::NewRows::kZero}) {
    ModelFiles files(kBias);
    files.grow(tokens_from(size, 1), size + 1, begin);
    EXPECT_EQ(whole(files, "lm_head.bias").back(), static_cast<float>(mean(own, size, 1, 0)));
    const std::vector<float> head = whole(files, kHead);
    const std::vector<float> last(head.end() - files.config().hidden_size, head.end());
    EXPECT_EQ(last == std::vector<float>(last.size()), begin == ModelFiles::NewRows::kZero);
  }
}

// The new rows go through every writer: a folder, and a GGUF whose blocks hold 32 numbers.
TEST(GrownModel, IsWrittenWhole) {
  ModelFiles files(kUntied);
  const std::int64_t size{files.config().vocab_size};
  files.grow(tokens_from(size, 2), size + 2, ModelFiles::NewRows::kMean);
  TemporaryFolder folder;
  lora::write_hf_folder(lora::MergedModel(files, nullptr), folder.path(), {base::DType::kF32, 2, {}});
  const ModelFiles written(folder.path().string());
  EXPECT_EQ(written.config().vocab_size, size + 2);
  for (const std::string& name : files.names()) EXPECT_EQ(whole(written, name), whole(files, name)) << name;
}

}  // namespace
