// Records of preferences in every shape: what of them is trained, what is carried, counted and refused; how they are
// packed.
#include "finetune/data/pairs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "finetune/data/data.h"
#include "finetune/data/packing.h"
#include "tests/finetune/byte_tokenizer.h"
#include "tests/finetune/tiny_llama.h"
#include "tests/finetune/with_references.h"
#include "tests/temporary_folder.h"

namespace {

using finetune::Example;
using finetune::ExampleMaker;
using finetune::RecordNotes;
using finetune::Wanted;
using testing::Contains;
using testing::HasSubstr;

struct Read {
  std::string chosen, rejected;                  // all of each document
  std::string trained_chosen, trained_rejected;  // what of it is trained
  std::vector<std::string> unused;
};

Example example_of(const std::string& record, Wanted wanted, RecordNotes* notes = nullptr) {
  static const ByteTokenizer tokenizer;
  finetune::MakerOptions options;
  options.wanted = wanted;
  return ExampleMaker(tokenizer, options).make(record, notes);
}

Read read(const std::string& record) {
  static const ByteTokenizer tokenizer;
  RecordNotes notes;
  const Example pair = example_of(record, Wanted::kPairs, &notes);
  const Example chosen = part_of(pair, 0, pair.second), rejected = part_of(pair, pair.second, pair.ids.size());
  return {tokenizer.decode(chosen.ids, false), tokenizer.decode(rejected.ids, false), trained_text(tokenizer, chosen),
          trained_text(tokenizer, rejected), notes.unused};
}

std::string error_of(const std::string& record, Wanted wanted) {
  try {
    example_of(record, wanted);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

const std::string kAsk = R"({"role":"user","content":"Q"})";
const std::string kGood = R"({"role":"assistant","content":"good"})", kBad = R"({"role":"assistant","content":"bad"})";
const std::string kChat = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n";

TEST(Pairs, OfMessagesInEveryShapeAreTheSame) {
  for (const std::string& record : {
           R"({"prompt":[)" + kAsk + R"(],"chosen":[)" + kGood + R"(],"rejected":[)" + kBad + "]}",
           R"({"chosen":[)" + kAsk + "," + kGood + R"(],"rejected":[)" + kAsk + "," + kBad + "]}",
           R"({"prompt":"Q","chosen":[)" + kAsk + "," + kGood + R"(],"rejected":[)" + kAsk + "," + kBad + "]}",
           R"({"prompt":"Q","chosen":[)" + kGood + R"(],"rejected":[)" + kBad + "]}",
           R"({"messages":[)" + kAsk + R"(],"chosen":)" + kGood + R"(,"rejected":)" + kBad + "}",
           std::string(R"({"conversations":[{"from":"human","value":"Q"}],"chosen":{"from":"gpt","value":"good"},)") +
               R"("rejected":{"from":"gpt","value":"bad"}})",
           std::string(R"({"question":"Q","chosen":"good","rejected":"bad"})"),
           std::string(R"({"instruction":"Q","input":"","chosen":"good","rejected":"bad"})"),
       }) {
    const Read found = read(record);
    EXPECT_EQ(found.chosen, kChat + "good<|im_end|>\n") << record;
    EXPECT_EQ(found.rejected, kChat + "bad<|im_end|>\n") << record;
    EXPECT_EQ(found.trained_chosen, "good<|im_end|>") << record;
    EXPECT_EQ(found.trained_rejected, "bad<|im_end|>") << record;
  }
}

TEST(Pairs, AnswersOfTheCommonPromptAreNotTrained) {
  const std::string before = kAsk + R"(,{"role":"assistant","content":"A"},{"role":"user","content":"R"},)";
  const Read found = read(R"({"chosen":[)" + before + kGood + R"(],"rejected":[)" + before + kBad + "]}");
  EXPECT_THAT(found.chosen, HasSubstr("A<|im_end|>"));
  EXPECT_EQ(found.trained_chosen, "good<|im_end|>");
  EXPECT_EQ(found.trained_rejected, "bad<|im_end|>");
  const Read system =
      read(R"({"system":"S","chosen":[)" + kAsk + "," + kGood + R"(],"rejected":[)" + kAsk + "," + kBad + "]}");
  EXPECT_THAT(system.chosen, testing::StartsWith("<|im_start|>system\nS"));
  EXPECT_THAT(system.rejected, testing::StartsWith("<|im_start|>system\nS"));
}

TEST(Pairs, OfTextsEndWithTheEndOfText) {
  const Read stated = read(R"({"prompt":"The sky is","chosen":" blue","rejected":" green"})"),
             found = read(R"({"chosen":"The sky is blue","rejected":"The sky is green"})");
  for (const Read& pair : {stated, found}) {
    EXPECT_EQ(pair.chosen, "The sky is blue<|endoftext|>");
    EXPECT_EQ(pair.trained_chosen, " blue<|endoftext|>");
    EXPECT_EQ(pair.trained_rejected, " green<|endoftext|>");
  }
  EXPECT_EQ(read(R"({"chosen":"one","rejected":"two"})").trained_chosen, "one<|endoftext|>" + std::string());
}

TEST(Pairs, OtherMembersAreCountedAndALabelIsNoVerdict) {
  for (const std::string value : {"true", "false", "1", "\"True\"", "\"sports\""})
    for (const std::string name : {"label", "kto_tag", "chosen_score", "margin"}) {
      const Read texts = read(R"({"prompt":"P","chosen":"C","rejected":"R",")" + name + "\":" + value + "}");
      EXPECT_THAT(texts.unused, Contains(name)) << value;
      EXPECT_EQ(texts.trained_chosen, "C<|endoftext|>");
      const Read chat = read(R"({"chosen":[)" + kAsk + "," + kGood + R"(],"rejected":[)" + kAsk + "," + kBad + "],\"" +
                             name + "\":" + value + "}");
      EXPECT_THAT(chat.unused, Contains(name)) << value;
    }
}

// Where chosen and rejected ask otherwise, no prompt is made of both.
TEST(Pairs, OfDifferentPromptsAreRefused) {
  const std::string other = R"({"role":"user","content":"Q "})", system = R"({"role":"system","content":"S"})";
  const auto pair = [](const std::string& chosen, const std::string& rejected) {
    return R"({"prompt":"Q","chosen":[)" + chosen + R"(],"rejected":[)" + rejected + "]}";
  };
  for (const std::string& record :
       {pair(kAsk + "," + kGood, other + "," + kBad), pair(system + "," + kAsk + "," + kGood, kAsk + "," + kBad),
        pair(kAsk + "," + kGood, kBad), pair(kGood, kAsk + "," + kBad),
        pair(system + "," + kAsk + "," + kGood, system + "," + other + "," + kBad)})
    EXPECT_THAT(error_of(record, Wanted::kPairs), HasSubstr("begin with different prompts")) << record;
  const auto call = [](const std::string& name) {
    return R"({"role":"assistant","content":"","tool_calls":[{"name":")" + name + R"("}]},)";
  };
  tokenizer::Conversation conversation;
  const std::string other_call = pair(kAsk + "," + call("f") + kGood, kAsk + "," + call("g") + kBad);
  EXPECT_FALSE(
      tokenizer::read_conversation(nlohmann::ordered_json::parse(other_call), tokenizer::role_map({}), conversation));
  EXPECT_EQ(conversation.prompt, 1u) << "what calls another tool is no common prompt";
}

TEST(Pairs, ThatAreTheSameOnceTheyAreCutAreBad) {
  static const ByteTokenizer tokenizer;
  const TemporaryFolder folder;
  finetune::MakerOptions making;
  making.wanted = Wanted::kPairs;
  const std::string file = folder.write("a.jsonl",
                                        "{\"prompt\":\"P\",\"chosen\":\"same long A\",\"rejected\":\"same long B\"}\n"
                                        "{\"prompt\":\"P\",\"chosen\":\"A same long\",\"rejected\":\"B same long\"}\n");
  const auto report = finetune::read_dataset({file}, ExampleMaker(tokenizer, making), {.max_length = 8}).report;
  EXPECT_EQ(report.used, 1u);
  EXPECT_EQ(report.bad, 1u);
  EXPECT_THAT(report.first_bad, HasSubstr("a.jsonl:1: "));
  EXPECT_THAT(report.first_bad, HasSubstr("chosen and rejected are the same once they are truncated"));
}

TEST(Pairs, WhatIsNoPairIsRefused) {
  for (const std::string record :
       {R"({"prompt":"P","completion":"C"})", R"({"prompt":"P","completion":"C","label":true})", R"({"text":"T"})",
        R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]})"})
    EXPECT_THAT(error_of(record, Wanted::kPairs), HasSubstr("no pair of answers")) << record;
  EXPECT_THAT(error_of(R"({"prompt":"P","chosen":"C","rejected":"C"})", Wanted::kPairs), HasSubstr("the same"));
  EXPECT_THAT(error_of(R"({"prompt":"P","chosen":["A","B"],"rejected":"C"})", Wanted::kPairs), HasSubstr("chosen"));
  EXPECT_THAT(error_of(R"({"prompt":"P","chosen":{},"rejected":"C"})", Wanted::kPairs), HasSubstr("chosen"));
}

TEST(Verdicts, OfAnswersInEveryShape) {
  const ByteTokenizer tokenizer;
  for (const auto& [value, good] : std::map<std::string, bool>{
           {"true", true}, {"1", true}, {"\"True\"", true}, {"false", false}, {"0", false}, {"\"false\"", false}}) {
    const std::string label = R"("label":)" + value, tag = R"("kto_tag":)" + value;
    for (const std::string& record :
         {R"({"prompt":"P","completion":"C",)" + label + "}", R"({"prompt":"P","completion":"C",)" + tag + "}",
          R"({"messages":[)" + kAsk + "," + kGood + "]," + label + "}",
          R"({"prompt":[)" + kAsk + R"(],"completion":[)" + kGood + "]," + label + "}",
          R"({"conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"good"}],)" + tag + "}",
          R"({"instruction":"Q","output":"good",)" + label + "}"}) {
      RecordNotes notes;
      const Example example = example_of(record, Wanted::kVerdicts, &notes);
      const std::string text = trained_text(tokenizer, example);
      EXPECT_TRUE(text == "C<|endoftext|>" || text == "good<|im_end|>") << record << text;
      const auto other = good ? finetune::kUndesirable : std::uint8_t{1};
      EXPECT_EQ(std::ranges::count(example.trained, other), 0) << record;
      EXPECT_EQ(example.targets(), std::ranges::count_if(example.trained, [](auto t) { return t != 0; })) << record;
      EXPECT_TRUE(notes.unused.empty()) << record;
    }
  }
}

TEST(Verdicts, AreOfWhatStandsBehindTheLastMessageOfTheUser) {
  const ByteTokenizer tokenizer;
  const std::string record = R"({"messages":[)" + kAsk + R"(,{"role":"assistant","content":"A","train":true},)" + kAsk +
                             "," + kGood + R"(],"label":false})";
  EXPECT_EQ(trained_text(tokenizer, example_of(record, Wanted::kVerdicts)), "good<|im_end|>");
}

TEST(Verdicts, ThatAreNoneAreRefused) {
  const auto error = [](const std::string& record) { return error_of(record, Wanted::kVerdicts); };
  EXPECT_THAT(error(R"({"prompt":"P","completion":"C"})"), HasSubstr("without a verdict"));
  EXPECT_THAT(error(R"({"prompt":"P","completion":"C","label":null})"), HasSubstr("without a verdict"));
  EXPECT_THAT(error(R"({"prompt":"P","completion":"C","label":"sports"})"), HasSubstr("label"));
  EXPECT_THAT(error(R"({"prompt":"P","completion":"C","label":0.5})"), HasSubstr("label"));
  EXPECT_THAT(error(R"({"prompt":"P","completion":"C","label":true,"kto_tag":false})"), HasSubstr("two verdicts"));
  EXPECT_EQ(error(R"({"prompt":"P","completion":"C","label":true,"kto_tag":1})"), "no error");
  EXPECT_THAT(error(R"({"messages":[)" + kAsk + R"(],"label":true})"), HasSubstr("no answer"));
  EXPECT_THAT(error(R"({"text":"T","label":true})"), HasSubstr("no answer"));
  EXPECT_THAT(error_of(R"({"prompt":"P","completion":"C","label":false})", Wanted::kAnswers), HasSubstr("kto"));
}

// [prompt..., answer...] of which the answer is trained.
Example answer(std::vector<std::int32_t> prompt, const std::vector<std::int32_t>& ids, std::uint8_t trained = 1) {
  Example example{std::move(prompt), {}};
  example.trained.resize(example.ids.size(), 0);
  example.ids.insert(example.ids.end(), ids.begin(), ids.end());
  example.trained.resize(example.ids.size(), trained);
  return example;
}

using finetune::kCompared;

TEST(Verdicts, StandBesideTheAnswerToAnotherPrompt) {
  const std::vector<Example> made =
      finetune::with_mismatches({answer({1}, {11, 12}), answer({2}, {21}, finetune::kUndesirable), answer({2}, {22}),
                                 answer({3}, {31}, finetune::kUndesirable)},
                                3);
  ASSERT_EQ(made.size(), 4u);
  EXPECT_EQ(made[0].ids, (std::vector<std::int32_t>{1, 11, 12, 1, 31}));
  EXPECT_EQ(made[1].ids, (std::vector<std::int32_t>{2, 21, 2, 11, 12}));
  EXPECT_EQ(made[2].ids, (std::vector<std::int32_t>{2, 22, 2, 11, 12}));  // not the one before: its prompt is the same
  EXPECT_EQ(made[3].ids, (std::vector<std::int32_t>{3, 31, 3, 22}));
  EXPECT_EQ(made[2].trained, (std::vector<std::uint8_t>{0, 1, 0, kCompared, kCompared}));
  EXPECT_EQ(made[0].trained,
            (std::vector<std::uint8_t>{0, 1, 1, 0, kCompared}));  // though the other answer is a bad one
  EXPECT_EQ(made[1].second, 2u);
  EXPECT_EQ(made[1].trained, (std::vector<std::uint8_t>{0, finetune::kUndesirable, 0, kCompared, kCompared}));
  const finetune::PackedRow row = finetune::make_row(made, std::vector<std::uint32_t>{0, 1, 3});
  EXPECT_EQ(row.desirable, (std::vector<bool>{true, false, false}));
  EXPECT_EQ(row.lengths, (std::vector<std::int64_t>{3, 2, 2, 3, 2, 2}));
  EXPECT_EQ(row.trained, 4) << "nothing is learned of what is compared";
  EXPECT_EQ(made[0].targets(), 2);
  EXPECT_EQ(row.targets.ge(0).sum().item<std::int64_t>(), 8) << "whose probability is asked for";
  EXPECT_EQ(finetune::with_mismatches({answer({1, 2}, {11}), answer({3}, {31, 32, 33})}, 4)[0].ids,
            (std::vector<std::int32_t>{1, 2, 11, 1, 2, 31, 32}));  // cut
  EXPECT_THROW(finetune::with_mismatches({answer({1}, {2})}, 8), base::Error);
}

TEST(Verdicts, OfPairsAreTwo) {
  const std::vector<Example> made =
      finetune::with_mismatches({finetune::joined(answer({1}, {11}), answer({1}, {12})), answer({2}, {21})}, 8);
  ASSERT_EQ(made.size(), 3u);
  EXPECT_EQ(made[0].ids, (std::vector<std::int32_t>{1, 11, 1, 21}));
  EXPECT_EQ(made[1].ids, (std::vector<std::int32_t>{1, 12, 1, 21}));
  EXPECT_EQ(made[1].trained, (std::vector<std::uint8_t>{0, finetune::kUndesirable, 0, kCompared}));
  const auto print = [](const Example& example) { return finetune::fingerprint(std::vector<Example>{example}); };
  EXPECT_NE(print(made[0]), print(made[1]));
  Example turned = made[0];
  std::ranges::replace(turned.trained, std::uint8_t{1}, finetune::kUndesirable);
  EXPECT_NE(print(made[0]), print(turned));
}

TEST(Pairs, StayTogetherWhenTheyArePackedAndSeeNothingElse) {
  std::vector<Example> pairs;
  for (std::int32_t i = 0; i < 12; ++i)
    pairs.push_back(
        finetune::joined(answer({3, 4, i}, {30 + i, 7}), answer({3, 4, i}, std::vector(1 + i % 3, 60 + i))));
  const std::vector<finetune::RowPlan> rows = finetune::plan_rows(pairs, 40, true, 3);
  EXPECT_LT(rows.size(), pairs.size());
  finetune::Transformer model = tiny_llama::load(tiny_llama::folder("tied"));
  finetune::Examples examples(pairs);
  tiny_llama::add_references(model, examples);
  std::size_t seen = 0;
  for (const finetune::RowPlan& plan : rows) {
    const finetune::PackedRow row = finetune::make_row(examples, plan);
    EXPECT_LE(row.ids.numel(), 40);
    EXPECT_EQ(row.lengths.size(), 2 * plan.size());
    const at::NoGradGuard no_gradient;
    const at::Tensor logs = model.log_probabilities(row);
    for (std::size_t i = 0; i < plan.size(); ++i, ++seen)
      for (int side = 0; side < 2; ++side)
        EXPECT_NEAR(logs[static_cast<std::int64_t>(2 * i) + side].item<double>(), examples[plan[i]].reference[side],
                    1e-4);
  }
  EXPECT_EQ(seen, pairs.size());
  // A pair of two long answers has a row of its own, longer than the rest.
  pairs.push_back(finetune::joined(answer({3}, std::vector(30, 5)), answer({3}, std::vector(30, 6))));
  for (const finetune::RowPlan& plan : finetune::plan_rows(pairs, 40, true, 3))
    EXPECT_TRUE(std::ranges::find(plan, 12u) == plan.end() || plan.size() == 1);
}

}  // namespace
