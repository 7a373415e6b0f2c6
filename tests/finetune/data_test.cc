#include "finetune/data/data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "tests/finetune/byte_tokenizer.h"
#include "tests/temporary_folder.h"

namespace {

using finetune::DataOptions;
using finetune::Dataset;
using finetune::Example;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(Data, EveryShapeTrainsItsAnswer) {
  const ByteTokenizer tokenizer;
  const finetune::ExampleMaker maker(tokenizer);
  auto text = [&](const char* record) { return tokenizer.decode(maker.make(record).ids, false); };
  auto trained = [&](const char* record) { return trained_text(tokenizer, maker.make(record)); };
  const std::string chat = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n";

  const char* messages = R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]})";
  EXPECT_EQ(text(messages), chat);
  EXPECT_EQ(trained(messages), "A<|im_end|>");
  const char* parts =
      R"({"messages":[{"role":"user","content":[{"type":"text","text":"Q"}]},{"role":"assistant","content":"A"}]})";
  EXPECT_EQ(text(parts), chat);
  const char* sharegpt = R"({"conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]})";
  EXPECT_EQ(text(sharegpt), chat);
  EXPECT_EQ(trained(sharegpt), "A<|im_end|>");
  const char* alpaca = R"({"instruction":"I","input":"X","output":"A"})";
  EXPECT_EQ(text(alpaca), "<|im_start|>user\nI\nX<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n");
  EXPECT_EQ(trained(alpaca), "A<|im_end|>");
  EXPECT_EQ(text(R"({"instruction":"Q","input":"","output":"A"})"), chat);
  const char* completion = R"({"prompt":"P ","completion":"C"})";
  EXPECT_EQ(text(completion), "P C<|endoftext|>");
  EXPECT_EQ(trained(completion), "C<|endoftext|>");
  const char* plain = R"({"text":"T<|im_end|>","id":7})";
  EXPECT_EQ(trained(plain), "T<|im_end|><|endoftext|>");
  EXPECT_EQ(maker.make(plain).ids.size(), 12u) << "what looks like a special token in user data is plain text";
}

TEST(Data, BosComesFirstWhereTheTokenizerWantsIt) {
  ByteTokenizer tokenizer;
  tokenizer.bos = 257;
  tokenizer.add_bos = true;
  const finetune::ExampleMaker maker(tokenizer);
  const Example example = maker.make(R"({"text":"a"})");
  EXPECT_THAT(example.ids, ElementsAre(257, 'a', 258));
  EXPECT_THAT(example.trained, ElementsAre(0, 1, 1));
}

TEST(Data, BadRecordsSayWhy) {
  const ByteTokenizer tokenizer;
  const finetune::ExampleMaker maker(tokenizer);
  auto error = [&](const char* record) -> std::string {
    try {
      maker.make(record);
    } catch (const base::Error& caught) {
      return caught.what();
    }
    return "no error";
  };
  EXPECT_EQ(error("{"), "not valid JSON: got 'unexpected end of input (column 2)'");
  EXPECT_THAT(error("[1]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(error(R"({"question":"?"})"), HasSubstr("no known shape"));
  EXPECT_THAT(error(R"({"question":"?"})"), HasSubstr("question"));
  EXPECT_THAT(error(R"({"messages":"x"})"), HasSubstr("not a list of messages"));
  EXPECT_THAT(error(R"({"text":5})"), HasSubstr("not text"));
  EXPECT_THAT(error(R"({"messages":[]})"), HasSubstr("no messages"));
  EXPECT_THAT(error(R"({"messages":[{"role":"user"}]})"), HasSubstr("without its keys"));
  EXPECT_THAT(error(R"({"messages":[{"role":"owl","content":"hoot"}]})"), HasSubstr("owl"));
  EXPECT_THAT(error(R"({"messages":[{"role":"assistant","content":"","tool_calls":[1]}]})"), HasSubstr("tool_calls"));
  EXPECT_THAT(error(R"({"messages":[{"role":"user","content":[{"type":"image"}]}]})"), HasSubstr("not text"));
}

TEST(Data, EveryRecordIsAccountedFor) {
  const ByteTokenizer tokenizer;
  const finetune::ExampleMaker maker(tokenizer);
  const TemporaryFolder folder;
  const std::string jsonl = folder.write("a.jsonl",
                                         "{\"prompt\":\"pppp\",\"completion\":\"cc\"}\n"
                                         "not json\n"
                                         "{\"prompt\":\"0123456789\",\"completion\":\"c\"}\n"   // truncated: no target
                                         "{\"prompt\":\"01\",\"completion\":\"23456789ab\"}\n"  // truncated or split
                                         "{\"other\":1}\n"
                                         "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\n");  // no answer
  const std::string csv = folder.write("b.csv", "prompt,completion\nx,y\n");
  const std::string array = folder.write("c.json", "[{\"text\":\"t\"},{\"text\":\"u\"}]");
  DataOptions options{.max_length = 8};
  auto read = [&](const std::string& policy) {
    options.too_long = policy;
    return finetune::read_dataset({jsonl, csv, array}, maker, options);
  };
  auto consistent = [](const finetune::DataReport& report) {
    return report.read == report.used + report.untrained + report.dropped + report.bad && report.read == 9;
  };

  Dataset truncated = read("truncate");
  EXPECT_TRUE(consistent(truncated.report));
  EXPECT_EQ(truncated.report.bad, 2u);
  EXPECT_EQ(truncated.report.too_long, 3u);   // the user turn is longer than 8 too
  EXPECT_EQ(truncated.report.untrained, 2u);  // its completion was cut away; a conversation without an answer
  EXPECT_EQ(truncated.report.used, 5u);
  EXPECT_EQ(truncated.examples.size(), 5u);
  EXPECT_THAT(truncated.report.first_bad, HasSubstr("a.jsonl:2"));
  EXPECT_THAT(truncated.report.to_text(options), HasSubstr("5 used (1 truncated to 8 tokens)"));
  EXPECT_THAT(truncated.report.to_text(options),
              HasSubstr("2 without trained tokens (2 of them longer than 8 tokens)"));
  for (std::size_t i = 0; i < truncated.examples.size(); ++i) EXPECT_LE(truncated.examples[i].ids.size(), 8u);

  Dataset dropped = read("drop");
  EXPECT_TRUE(consistent(dropped.report));
  EXPECT_EQ(dropped.report.dropped, 3u);
  EXPECT_EQ(dropped.report.used, 4u);

  Dataset split = read("split");
  EXPECT_TRUE(consistent(split.report));
  EXPECT_EQ(split.report.used, 6u);
  EXPECT_EQ(split.examples.size(), 7u);
  std::int64_t targets = 0;
  for (std::size_t i = 0; i < split.examples.size(); ++i) targets += split.examples[i].targets();
  EXPECT_EQ(static_cast<std::uint64_t>(targets), split.report.trained_tokens);
  // "cc" and end; "c" and end; of "01234567" the last six. A piece's first token has no context and gives no loss.
  EXPECT_EQ(split.examples[0].targets(), 3);
  EXPECT_EQ(split.examples[1].targets(), 2);
  EXPECT_EQ(split.examples[2].targets(), 6);
  EXPECT_EQ(split.examples[3].targets(), 4);
  EXPECT_EQ(split.report.untrained_pieces, 1u) << "01234567";
  EXPECT_THAT(split.report.to_text(options),
              HasSubstr("6 used (2 split at 8 tokens; 1 pieces without trained tokens left out)"));
  EXPECT_EQ(split.examples[3].origin.piece, 1u);

  options.max_bad = {1};
  EXPECT_THROW(read("truncate"), base::Error);
}

TEST(Data, RecordsWithAKeyTwiceAreCounted) {
  const ByteTokenizer tokenizer;
  const finetune::ExampleMaker maker(tokenizer);
  TemporaryFolder folder;
  const std::string file = folder.write("a.jsonl", R"({"prompt":"P ","completion":"lost","completion":"C"})"
                                                   "\n"
                                                   R"({"text":"T","n":{"a":NaN,"a":1e999}})"
                                                   "\n"
                                                   R"({"text":"T","n":[{"a":1},{"a":1}]})"
                                                   "\n"
                                                   R"({"chosen":"x","chosen":"y","rejected":"z"})"
                                                   "\n");
  const Dataset dataset = finetune::read_dataset({file}, maker, {});
  EXPECT_EQ(trained_text(tokenizer, dataset.examples[0]), "C<|endoftext|>");
  EXPECT_EQ(dataset.report.bad, 1u);
  EXPECT_EQ(dataset.report.repeated_keys, 3u);
  EXPECT_THAT(dataset.report.to_text({}), HasSubstr("3 records had a key twice: the last one counts"));
}

TEST(Data, TheSameForAnyNumberOfThreads) {
  const ByteTokenizer tokenizer;
  const finetune::ExampleMaker maker(tokenizer);
  const TemporaryFolder folder;
  std::string bytes;
  for (int i = 0; i < 20000; ++i) bytes += "{\"text\":\"document number " + std::to_string(i) + "\"}\n";
  const std::string file = folder.write("many.jsonl", bytes);
  std::set<std::uint64_t> prints;
  for (int threads : {1, 2, 5}) {
    const Dataset dataset = finetune::read_dataset({file}, maker, {.threads = threads});
    EXPECT_EQ(dataset.examples.size(), 20000u);
    prints.insert(finetune::fingerprint(dataset.examples));
  }
  EXPECT_EQ(prints.size(), 1u);
}

TEST(Data, NothingToTrainOnIsAnError) {
  const ByteTokenizer tokenizer, no_chat(false);
  const TemporaryFolder folder;
  const std::string cut = folder.write("cut.jsonl", "{\"prompt\":\"0123456789\",\"completion\":\"c\"}\n");
  try {
    finetune::read_dataset({cut}, finetune::ExampleMaker(tokenizer), {.max_length = 8});
    FAIL() << "no error";
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("nothing to train on"));
    EXPECT_THAT(error.what(), HasSubstr("--max-length, or use --too-long split"));
  }
  try {
    finetune::read_dataset({cut}, finetune::ExampleMaker(tokenizer), {.max_length = 8, .can_split = false});
    FAIL() << "no error";
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("split")));
  }
  const std::string chat = folder.write("chat.jsonl", "{\"messages\":[{\"role\":\"assistant\",\"content\":\"A\"}]}\n");
  try {
    finetune::read_dataset({chat}, finetune::ExampleMaker(no_chat), {});
    FAIL() << "no error";
  } catch (const base::UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("chat template"));
  }
}

TEST(Data, ValidationShareIsDisjointAndSeeded) {
  auto make = [] {
    std::vector<Example> examples;
    for (std::int32_t i = 0; i < 50; ++i) examples.push_back({{i, i}, {1, 1}});
    return finetune::Examples(examples);
  };
  auto ids = [](const finetune::Examples& examples) {
    std::set<std::int32_t> set;
    for (std::size_t i = 0; i < examples.size(); ++i) set.insert(examples[i].ids[0]);
    return set;
  };
  finetune::Examples training = make(), again = make(), other = make();
  const auto validation = finetune::take_validation(training, 0.1, 1);
  EXPECT_EQ(validation.size(), 5u);
  EXPECT_EQ(training.size(), 45u);
  std::set<std::int32_t> all = ids(training);
  all.merge(ids(validation));
  EXPECT_EQ(all.size(), 50u);
  EXPECT_EQ(ids(finetune::take_validation(again, 0.1, 1)), ids(validation));
  EXPECT_NE(ids(finetune::take_validation(other, 0.1, 2)), ids(validation));
  EXPECT_THROW(finetune::take_validation(other, 1, 1), base::UsageError);
}

// What one record says stands on one side.
TEST(Data, PiecesOfARecordAreHeldOutTogether) {
  const ByteTokenizer tokenizer;
  const TemporaryFolder folder;
  std::string records = "[";  // all on one line
  for (int i = 0; i < 10; ++i)
    records += std::string(i ? "," : "") + "{\"text\":\"" + std::string(20, static_cast<char>('a' + i)) + "\"}";
  Dataset data = finetune::read_dataset({folder.write("a.json", records + "]")}, finetune::ExampleMaker(tokenizer),
                                        {.max_length = 8, .too_long = "split"});
  ASSERT_EQ(data.examples.size(), 30u);
  const finetune::Examples validation = finetune::take_validation(data.examples, 0.3, 1);
  EXPECT_EQ(validation.size(), 9u);
  std::set<std::int32_t> held, trained;
  for (std::size_t i = 0; i < validation.size(); ++i) held.insert(validation[i].ids[0]);
  for (std::size_t i = 0; i < data.examples.size(); ++i) trained.insert(data.examples[i].ids[0]);
  EXPECT_EQ(held.size(), 3u);
  EXPECT_EQ(trained.size(), 7u);
  for (const std::int32_t letter : held) EXPECT_FALSE(trained.contains(letter));
}

TEST(Data, BadRecordsAreCountedOneByOne) {
  const ByteTokenizer tokenizer;
  const TemporaryFolder folder;
  std::string rows = "text,other\na,b\n";
  for (int i = 0; i < 25'000; ++i) rows += "alone\n";
  const std::string file = folder.write("a.csv", rows + "c,d\n");
  try {
    finetune::read_dataset({file}, finetune::ExampleMaker(tokenizer), {.max_bad = {24'999}});
    FAIL() << "no error";
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("25000 of 25002 records are bad"));
  }
}

TEST(Data, FingerprintSeesIdsMasksAndOrder) {
  const Example a{{1, 2}, {0, 1}}, b{{1, 2}, {1, 1}}, c{{1, 3}, {0, 1}};
  const auto print = [](const std::vector<Example>& examples) { return finetune::fingerprint(examples); };
  const std::set<std::uint64_t> prints = {print({a, b}), print({b, a}), print({a}), print({c, b})};
  EXPECT_EQ(prints.size(), 4u);
}

}  // namespace
