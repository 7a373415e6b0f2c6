// A packed row as people see it: borders, the mask, where it came from.
#include "finetune/data/show_batch.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "finetune/data/data.h"
#include "finetune/data/pairs.h"
#include "tests/finetune/byte_tokenizer.h"
#include "tests/temporary_folder.h"

namespace {

class ShowBatch : public testing::Test {
 protected:
  finetune::Dataset read(const std::string& records, bool pairs = false) {
    finetune::MakerOptions making;
    if (pairs) making.wanted = finetune::Wanted::kPairs;
    return finetune::read_dataset({folder_.write("a.jsonl", records)}, finetune::ExampleMaker(tokenizer_, making), {});
  }
  const TemporaryFolder folder_;
  const ByteTokenizer tokenizer_;
};

TEST_F(ShowBatch, MarksWhatIsTrained) {
  const finetune::Dataset data = read(
      "{\"prompt\":\"P \",\"completion\":\"C\"}\n"
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Q\"},{\"role\":\"assistant\",\"content\":\"A\"}]}\n");
  const std::string a = folder_ / "a.jsonl";
  EXPECT_EQ(finetune::shown_row(data.examples, {1, 0}, data.report, tokenizer_, false),
            "--- document 1 of 2: " + a +
                ":2; 23 tokens, 2 trained ---\n"
                "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n⟦A<|im_end|>⟧\n\n"
                "--- document 2 of 2: " +
                a +
                ":1; 4 tokens, 2 trained ---\n"
                "P ⟦C<|endoftext|>⟧\n"
                "--- 27 tokens, 4 of them trained (in ⟦brackets⟧) ---\n");
  EXPECT_EQ(finetune::shown_row(data.examples, {0}, data.report, tokenizer_, true),
            "--- document 1 of 1: " + a +
                ":1; 4 tokens, 2 trained ---\nP \033[32mC<|endoftext|>\033[0m\n"
                "--- 4 tokens, 2 of them trained (green) ---\n");
  const auto json = finetune::row_json(data.examples, {0}, data.report, tokenizer_);
  EXPECT_EQ(json.dump(), "[{\"record\":\"" + a +
                             ":1\",\"ids\":[80,32,67,258],\"targets\":[-100,-100,67,258],"
                             "\"text\":\"P C<|endoftext|>\"}]");
}

TEST_F(ShowBatch, TheFirstTokenOfADocumentIsNeverTrained) {
  const finetune::Dataset data = read("{\"text\":\"TU\"}\n");
  EXPECT_NE(finetune::shown_row(data.examples, {0}, data.report, tokenizer_, false).find("T⟦U<|endoftext|>⟧"),
            std::string::npos);
}

TEST_F(ShowBatch, VerdictsHaveTheirNames) {
  using finetune::Example;
  const std::vector<Example> answers =
      finetune::with_mismatches({Example{{'P', 'C'}, {0, 1}}, Example{{'Q', 'D'}, {0, finetune::kUndesirable}}}, 8);
  const finetune::Examples examples(answers, {{0, 3}, {1, 7}});
  finetune::DataReport report;
  report.files = {"a.jsonl", "b.jsonl"};
  const auto json = finetune::row_json(examples, {0, 1}, report, tokenizer_, true);
  std::string names;
  for (const auto& document : json) names += document["record"].get<std::string>() + "; ";
  EXPECT_EQ(json[1]["targets"], (std::vector<int>{-100, -100}));
  EXPECT_EQ(names, "a.jsonl:3, good; a.jsonl:3, mismatched; b.jsonl:7, bad; b.jsonl:7, mismatched; ");
  EXPECT_NE(finetune::shown_row(examples, {1}, report, tokenizer_, false, true).find("b.jsonl:7, bad; 2 tokens"),
            std::string::npos);
}

TEST_F(ShowBatch, PairsAreTwoDocuments) {
  const finetune::Dataset data = read("{\"prompt\":\"P\",\"chosen\":\"C\",\"rejected\":\"R\"}\n", true);
  const std::string text = finetune::shown_row(data.examples, {0}, data.report, tokenizer_, false);
  EXPECT_NE(text.find("1 of 2: " + (folder_ / "a.jsonl") + ":1, chosen; 3 tokens, 2 trained ---\nP⟦C<|endoftext|>⟧\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find(":1, rejected; 3 tokens, 2 trained ---\nP⟦R<|endoftext|>⟧\n"), std::string::npos) << text;
}

}  // namespace
