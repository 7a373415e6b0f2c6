#include "base/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"

namespace {

using base::OptionSet;
using base::UsageError;
using testing::HasSubstr;

struct Inner {
  int rank = 16;
  std::vector<std::string> targets = {"all-linear"};
  void visit(base::OptionVisitor& v) {
    v("rank", rank, "rank of the adapter");
    v("targets", targets, "modules");
  }
};

struct Outer {
  std::string model;
  double learning_rate = 2e-4;
  bool resume = false;
  base::ByteSize memory{1 << 20};
  std::string schedule = "cosine";
  std::vector<std::string> input;
  Inner lora;
  std::vector<base::NamedGroup> steps;
  void visit(base::OptionVisitor& v);
};

struct Gopher : base::OptionGroup {
  int min_words = 50;
  void visit(base::OptionVisitor& v) override { v("min_words", min_words, "fewest words"); }
};

const base::GroupRegistry kRegistry = {{"gopher", [] { return std::make_unique<Gopher>(); }}};

void Outer::visit(base::OptionVisitor& v) {
  v.required("model", model, "the base model", base::PathKind::kModel);
  v("learning_rate", learning_rate, "peak rate");
  v("resume", resume, "go on");
  v("memory", memory, "memory");
  v.choice("schedule", schedule, {"cosine", "linear"}, "schedule");
  v.positional("input", input, "input files");
  v.group("lora", lora);
  v.list("steps", steps, kRegistry, "the steps");
}

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Options, WordsInEverySpelling) {
  Outer outer;
  OptionSet set(outer);
  set.read_words({"a.jsonl", "--learning-rate", "1e-3", "--resume", "b.jsonl", "--lora.rank=8", "--memory", "2G",
                  "--lora.targets", "q", "--lora.targets", "v", "--model", "-"});
  EXPECT_EQ(outer.learning_rate, 1e-3);
  EXPECT_TRUE(outer.resume);
  EXPECT_EQ(outer.input, (std::vector<std::string>{"a.jsonl", "b.jsonl"}));
  EXPECT_EQ(outer.lora.rank, 8);
  EXPECT_EQ(outer.memory.bytes, std::uint64_t{2} << 30);
  EXPECT_EQ(outer.lora.targets, (std::vector<std::string>{"q", "v"}));
  EXPECT_EQ(outer.model, "-");
  set.read_words({"--no-resume"});
  EXPECT_FALSE(outer.resume);
  set.read_words({"--resume=true", "--learning_rate=-1"});
  EXPECT_TRUE(outer.resume);
  EXPECT_EQ(outer.learning_rate, -1);
}

TEST(Options, BadWordsAreRefusedWithASuggestion) {
  Outer outer;
  OptionSet set(outer);
  EXPECT_THAT(error_of([&] { set.read_words({"--learning-rat", "1"}); }), HasSubstr("did you mean 'learning_rate'"));
  EXPECT_THAT(error_of([&] { set.read_words({"--learn", "1"}); }), HasSubstr("unknown option"));
  EXPECT_THAT(error_of([&] { set.read_words({"--schedule", "cosin"}); }), HasSubstr("did you mean 'cosine'"));
  EXPECT_THAT(error_of([&] { set.read_words({"--lora.rank", "8.5"}); }), HasSubstr("--lora.rank"));
  EXPECT_THAT(error_of([&] { set.read_words({"--learning-rate", "nan"}); }), HasSubstr("finite"));
  EXPECT_THAT(error_of([&] { set.read_words({"--learning-rate"}); }), HasSubstr("missing value"));
  EXPECT_THAT(error_of([&] { set.read_words({"--memory", "99999999999T"}); }), HasSubstr("size"));
  EXPECT_THAT(error_of([&] { set.read_words({"-x"}); }), HasSubstr("unknown option"));
  EXPECT_THAT(error_of([&] { set.check_required(); }), HasSubstr("missing option --model"));
}

TEST(Options, YamlWithLineNumbersAndRelativePaths) {
  Outer outer;
  OptionSet set(outer);
  set.read_yaml(
      "model: org/name\ninput: [x.jsonl, /abs.jsonl]\nlora:\n  rank: 4\nsteps:\n  - gopher\n  - gopher: {min_words: "
      "7}\n",
      "/some/where/c.yaml");
  EXPECT_EQ(outer.model, "org/name");  // not a file there: left alone
  EXPECT_EQ(outer.input, (std::vector<std::string>{"/some/where/x.jsonl", "/abs.jsonl"}));
  EXPECT_EQ(outer.lora.rank, 4);
  ASSERT_EQ(outer.steps.size(), 2u);
  EXPECT_EQ(outer.steps[1].label, "gopher#2");
  EXPECT_EQ(dynamic_cast<Gopher&>(*outer.steps[1].group).min_words, 7);
  set.read_words({"--gopher.min-words", "9", "--gopher#2.min_words", "11"});
  EXPECT_EQ(dynamic_cast<Gopher&>(*outer.steps[0].group).min_words, 9);
  EXPECT_EQ(dynamic_cast<Gopher&>(*outer.steps[1].group).min_words, 11);

  auto bad = [&](const std::string& yaml) {
    Outer fresh;
    OptionSet fresh_set(fresh);
    return error_of([&] { fresh_set.read_yaml(yaml, "c.yaml"); });
  };
  EXPECT_THAT(bad("model: x\nlearning_rte: 1\n"), HasSubstr("c.yaml:2"));
  EXPECT_THAT(bad("model: x\nlearning_rte: 1\n"), HasSubstr("did you mean 'learning_rate'"));
  EXPECT_THAT(bad("lora: {rnk: 1}\n"), HasSubstr("lora.rank"));
  EXPECT_THAT(bad("steps:\n  - gophr\n"), HasSubstr("did you mean 'gopher'"));
  EXPECT_THAT(bad("steps:\n  - gopher: {min_wrds: 1}\n"), HasSubstr("gopher.min_words"));
  EXPECT_THAT(bad("model: [a, b]\n"), HasSubstr("one value"));
  EXPECT_THAT(bad("model: x\nmodel: y\n"), HasSubstr("twice"));
  EXPECT_THAT(bad("a: [\n"), HasSubstr("not valid YAML"));
}

TEST(Options, SavedYamlReadsBackTheSame) {
  Outer outer;
  OptionSet set(outer);
  set.read_yaml("model: 'a: #b'\nsteps: [gopher, gopher: {min_words: 3}]\nlearning_rate: 0.1\n", "/c.yaml");
  std::string saved = set.to_yaml();
  Outer again;
  OptionSet again_set(again);
  again_set.read_yaml(saved, "/elsewhere/run.yaml");
  EXPECT_EQ(again.model, "a: #b");
  EXPECT_EQ(again.learning_rate, 0.1);
  ASSERT_EQ(again.steps.size(), 2u);
  EXPECT_EQ(dynamic_cast<Gopher&>(*again.steps[1].group).min_words, 3);
  EXPECT_EQ(again_set.to_yaml(), saved);
  // A path of any bytes.
  std::string bytes = "/";
  for (int c = 1; c < 256; ++c) bytes += static_cast<char>(c);
  outer.input = {"/plain", bytes, "/caf\xe9"};
  again_set.read_yaml(set.to_yaml(), "saved.yaml");
  EXPECT_EQ(again.input, outer.input);
}

}  // namespace
