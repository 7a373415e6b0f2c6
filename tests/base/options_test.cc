#include "base/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/unicode.h"

namespace {

using base::OptionSet;
using base::UsageError;
using testing::HasSubstr;

struct Inner {
  int rank = 16;
  std::vector<double> weights;
  std::vector<std::string> targets = {"all-linear"};
  void visit(base::OptionVisitor& v) {
    v("rank", rank, "rank of the adapter");
    v("targets", targets, "modules").commas();
    v("weights", weights, "of the inputs").at_least(0);
  }
};

struct Outer {
  std::string model;
  double learning_rate = 2e-4;
  bool resume = false;
  base::ByteSize memory{1 << 20};
  std::string schedule = "cosine", cache = "auto";
  std::vector<std::string> input, validation, prompts;
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
  v("validation", validation, "files that validate", base::PathKind::kPath);
  v("cache", cache, "cache", base::PathKind::kCacheFolder);
  v("prompts", prompts, "texts");
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

TEST(Options, ListsTakeAllWordsUpToTheNextFlag) {
  using Words = std::vector<std::string>;
  Outer outer;
  OptionSet set(outer);
  set.read_words({"a.jsonl", "--lora.targets", "q", "v,k", "--lora.weights", "0.7", "-0,1e-1", "b.jsonl", "c.jsonl",
                  "--validation", "d.jsonl", "-", "--prompts", "one, two", "3", "--resume", "e.jsonl", "--",
                  "--f.jsonl"});
  EXPECT_EQ(outer.lora.targets, (Words{"q", "v", "k"}));
  EXPECT_EQ(outer.lora.weights, (std::vector<double>{0.7, 0, 0.1})) << "numbers alone: what follows is an input";
  EXPECT_EQ(outer.validation, (Words{"d.jsonl", "-"}));
  EXPECT_EQ(outer.prompts, (Words{"one, two", "3"})) << "a text may hold commas";
  EXPECT_EQ(outer.input, (Words{"a.jsonl", "b.jsonl", "c.jsonl", "e.jsonl", "--f.jsonl"}));
  set.read_words({"--lora.targets", "q", "--lora.targets=v", "a.jsonl", "--lora.weights=1", "2"});
  EXPECT_EQ(outer.lora.targets, (Words{"q", "v"})) << "behind '=' stands one";
  EXPECT_EQ(outer.lora.weights, std::vector<double>{1});
  EXPECT_EQ(outer.input, (Words{"a.jsonl", "2"}));
  set.read_yaml("model: m\nlora: {targets: 'q,v', weights: [1, '2, 3']}\nprompts: 'a, b'\n", "c.yaml");
  EXPECT_EQ(outer.lora.targets, (Words{"q", "v"}));
  EXPECT_EQ(outer.lora.weights, (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(outer.prompts, Words{"a, b"});

  const auto error = [&](const Words& words) { return error_of([&] { set.read_words(words); }); };
  EXPECT_THAT(error({"--lora.weights", "1", "-2"}), HasSubstr("--lora.weights: out of range: got '-2'"));
  EXPECT_THAT(error({"--lora.weights", "1,x"}), HasSubstr("--lora.weights: not a valid value: got 'x'"));
  EXPECT_THAT(error({"--lora.weights", "1,"}), HasSubstr("--lora.weights: not a valid value"));
  EXPECT_THAT(error({"--validation", "a", ""}), HasSubstr("--validation: an empty value"));
  const std::string here = HORNBOOK_SOURCE_DIR "/tests/base/options_test.cc";
  EXPECT_THAT(error({"--prompts", "a", here}), HasSubstr("--prompts: an input of that name is there"));
  EXPECT_THAT(error({"--prompts", "a", here}), HasSubstr("if it is a value: --prompts=" + here));
  EXPECT_EQ(error({"--prompts", here, "--prompts=" + here, "--validation", here, here}), "no error");
  EXPECT_EQ(outer.prompts, (Words{here, here}));
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

TEST(Options, ACacheFolderIsAPathUnlessItIsAWord) {
  const auto read = [](const std::string& value) {
    Outer outer;
    OptionSet set(outer);
    set.read_yaml("cache: " + value, "/some/where/c.yaml");
    return outer.cache;
  };
  EXPECT_EQ(read("kept"), "/some/where/kept");
  const char* home = std::getenv("HOME");
  EXPECT_EQ(read("~/kept"), home == nullptr ? "/some/where/~/kept" : std::string(home) + "/kept");
  EXPECT_EQ(read("/kept"), "/kept");
  EXPECT_EQ(read("auto"), "auto");
  EXPECT_EQ(read("none"), "none");
  Outer outer;
  OptionSet set(outer);
  EXPECT_THAT(set.to_yaml(), HasSubstr("cache: \"auto\"\n"));
  outer.cache = "kept";
  EXPECT_THAT(set.to_yaml(), HasSubstr("cache: \"" + std::filesystem::absolute("kept").string() + "\"\n"));
}

TEST(Options, APresetsListIsNotReplacedInSilence) {
  Outer outer;
  OptionSet set(outer);
  set.read_preset("model: m\nsteps: [gopher]\n", "small");
  set.read_yaml("learning_rate: 0.1\n", "c.yaml");
  EXPECT_THAT(error_of([&] { set.read_yaml("steps: [gopher]\n", "d.yaml"); }),
              testing::AllOf(HasSubstr("d.yaml:1"), HasSubstr("preset"), HasSubstr("steps")));
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
  saved = set.to_yaml();
  again_set.read_yaml(saved, "saved.yaml");
  EXPECT_EQ(again.input, outer.input);
  EXPECT_EQ(base::find_invalid_utf8(saved), std::string::npos);    // others read it as YAML too
  again_set.read_yaml("input: [\"/caf\xe9\"]\n", "earlier.yaml");  // as it was written before
  EXPECT_EQ(again.input, std::vector<std::string>{"/caf\xe9"});
}

TEST(Options, AKeyIsAName) {
  for (const char* text : {"\"\": 5\n", "model: m\n? [a]\n: b\n", "~: 5\n", "lora:\n  ? {a: 1}\n  : 2\n"}) {
    Outer outer;
    OptionSet set(outer);
    EXPECT_THAT(error_of([&] { set.read_yaml(text, "c.yaml"); }),
                testing::ContainsRegex("c.yaml:[12]: .*name of an option"))
        << text;
  }
}

struct Numbers {
  int level = 3;
  double share = 0.5, rate = 1e-4;
  std::uint64_t limit = 0;
  std::int64_t window = 8;
  base::ByteSize size{64};
  std::vector<double> weights;
  std::string output, device = "auto";
  void visit(base::OptionVisitor& v) {
    v("level", level, "zstd level").between(1, 19);
    v("share", share, "held out").at_least(0).below(1);
    v("rate", rate, "peak rate").above(0);
    v("limit", limit, "records, 0 = all");
    v("window", window, "longest").at_least(2).unit("tokens");
    v("size", size, "longest line").at_least(1);
    v("weights", weights, "of the parts").above(0).at_most(1);
    v("output", output, "where to", base::PathKind::kOutputFolder);
    v.choice("device", device, {"auto", "cpu", "cuda"}, "where");
  }
};

std::string numbers_error(const std::vector<std::string>& words) {
  Numbers numbers;
  OptionSet set(numbers);
  return error_of([&] { set.read_words(words); });
}

TEST(Options, ARangeIsSaidOnceCheckedAndShown) {
  EXPECT_EQ(numbers_error({"--level", "25"}), "--level: out of range: got '25', expected 1 to 19");
  EXPECT_EQ(numbers_error({"--level", "x"}), "--level: not a valid value: got 'x', expected a whole number, 1 to 19");
  EXPECT_EQ(numbers_error({"--share", "1"}), "--share: out of range: got '1', expected 0 to below 1");
  EXPECT_EQ(numbers_error({"--rate=0"}), "--rate: out of range: got '0', expected above 0");
  EXPECT_EQ(numbers_error({"--window=-3"}), "--window: out of range: got '-3', expected 2 or more tokens");
  EXPECT_EQ(numbers_error({"--weights=0.5", "--weights=2"}),
            "--weights: out of range: got '2', expected above 0, at most 1");
  EXPECT_EQ(numbers_error({"--size=0"}), "--size: out of range: got '0', expected 1 or more");
  for (const char* value : {"nan", "inf", "-inf", "1e400", "-1e400", "", " ", "0x10", "1,5", "1_000", "٣"})
    for (const char* option : {"--share", "--level", "--rate", "--limit", "--size", "--weights"})
      EXPECT_NE(numbers_error({option, value}), "no error") << option << value;
  for (const char* value : {"-1", "99999999999999999999", "1.5"})
    EXPECT_NE(numbers_error({"--limit", value}), "no error");
  EXPECT_EQ(numbers_error({"--level", "19", "--share", "0", "--rate", "1e-300", "--weights", "1"}), "no error");
  Numbers numbers;
  OptionSet set(numbers);
  EXPECT_THAT(set.help(), HasSubstr("zstd level (1 to 19) [3]\n"));
  EXPECT_THAT(set.help(), HasSubstr("longest (2 or more tokens) [8]\n"));
  EXPECT_THAT(set.help(), HasSubstr("held out (0 to below 1) [0.5]\n"));
  EXPECT_THAT(error_of([&] { set.read_yaml("share: 1.5", "c.yaml"); }),
              HasSubstr("c.yaml:1: share: out of range: got '1.5', expected 0 to below 1"));
}

// What run.yaml has of the size.
std::string numbers_text(const OptionSet& set) {
  const std::string yaml = set.to_yaml();
  const std::size_t begin{yaml.find("size: ") + 6};
  return yaml.substr(begin, yaml.find('\n', begin) - begin);
}

TEST(Options, Sizes) {
  auto size = [](const std::string& text) {
    Numbers numbers;
    OptionSet set(numbers);
    set.read_words({"--size", text});
    return numbers.size.bytes;
  };
  EXPECT_EQ(size("123"), 123u);
  EXPECT_EQ(size("123B"), 123u);
  EXPECT_EQ(size("64k"), 65536u);
  EXPECT_EQ(size("64 KiB"), 65536u);
  EXPECT_EQ(size("100MB"), 100'000'000u);
  EXPECT_EQ(size("100mb"), 100'000'000u);
  EXPECT_EQ(size("1.5G"), std::uint64_t{3} << 29);
  EXPECT_EQ(size("2GiB"), std::uint64_t{2} << 30);
  EXPECT_EQ(size("3T"), std::uint64_t{3} << 40);
  for (const char* bad :
       {"-1", "-1M", "1.5", "M", "1X", "1MM", "1iB", "1e3M", "nanM", "infG", "99999999999T", "1.2.3M"})
    EXPECT_NE(numbers_error({"--size", bad}), "no error") << bad;
  Numbers numbers;
  numbers.size.bytes = 256 << 20;
  OptionSet set(numbers);
  EXPECT_THAT(set.help(), HasSubstr("[256M]"));
  EXPECT_THAT(set.to_yaml(), HasSubstr("size: 256M\n"));
  for (const char* text : {"20GB", "1023", "1000", "64k", "1500MB", "40G", "1GB", "7TB", "18446744073709551615"}) {
    numbers.size.bytes = size(text);
    EXPECT_EQ(size(numbers_text(set)), size(text)) << text;
    EXPECT_LE(numbers_text(set).size(), std::string_view(text).size());
  }
}

TEST(Options, NothingIsTakenInSilence) {
  EXPECT_THAT(numbers_error({"--level", "1", "--level", "2"}),
              HasSubstr("--level: given more than once: got '1' and '2'"));
  EXPECT_EQ(numbers_error({"--level", "1", "--level", "1"}), "no error");
  EXPECT_THAT(numbers_error({"--output", "--level"}), HasSubstr("--output: missing value"));
  EXPECT_THAT(numbers_error({"--output", ""}), HasSubstr("--output: an empty value"));
  auto yaml = [](const std::string& text) {
    Outer outer;
    OptionSet set(outer);
    return error_of([&] { set.read_yaml(text, "c.yaml"); });
  };
  EXPECT_THAT(yaml(""), HasSubstr("c.yaml: the config file holds no options"));
  EXPECT_THAT(yaml("# nothing\n"), HasSubstr("holds no options"));
  EXPECT_THAT(yaml("---\n"), HasSubstr("holds no options"));
  EXPECT_THAT(yaml("model: x\n---\nresume: true\n"),
              HasSubstr("c.yaml:3: the config file holds more than one document"));
  EXPECT_THAT(yaml("lora: {rank: 4}\nlora.rank: 8\n"), HasSubstr("c.yaml:2: the key stands twice"));
  EXPECT_THAT(yaml("steps: [gopher: {min_words: 1, min_words: 2}]\n"), HasSubstr("the key stands twice"));
  EXPECT_EQ(yaml("resume:\n"),
            "c.yaml:1: 'resume' has no value: expected true or false\n  write one, or delete the line");
  EXPECT_EQ(yaml("lora: {rank: [8, 16]}\n"),
            "c.yaml:1: 'lora.rank' takes one value: got '[8, 16]', expected a whole number");
  EXPECT_THAT(yaml("lora: 3\n"),
              HasSubstr("c.yaml:1: 'lora' is a group of options: got '3', expected 'option: value'"));
  EXPECT_THAT(yaml("steps: [gopher: 3]\n"), HasSubstr("'gopher' takes options: got '3', expected {option: value}"));
  EXPECT_THAT(yaml("input: [[a]]\n"), HasSubstr("'input' takes plain values: got '[a]', expected a list of paths"));
  EXPECT_THAT(yaml("model: ''\n"), HasSubstr("c.yaml:1: model: an empty value"));
  EXPECT_THAT(yaml("input: [a, '']\n"), HasSubstr("c.yaml:1: input: an empty value"));
  EXPECT_THAT(yaml("- model\n"), HasSubstr("not a config file"));
  EXPECT_EQ(yaml("input: a.jsonl\n"), "no error");  // a list of one
  EXPECT_EQ(yaml("resume: False\n"), "no error");   // YAML has it so too
  EXPECT_THAT(yaml("quiet: true\n"), HasSubstr("it is for the command line alone"));
}

// As PEFT's configs have `rank_pattern`.
TEST(Options, AListOfTextsTakesAMapping) {
  Outer outer;
  OptionSet set(outer);
  set.read_yaml("lora:\n  targets: {q_proj: 2, 'layers.0.*': 4}\n", "c.yaml");
  EXPECT_EQ(outer.lora.targets, (std::vector<std::string>{"q_proj=2", "layers.0.*=4"}));
  EXPECT_EQ(error_of([&] { set.read_yaml("lora: {rank: {a: 1}}\n", "c.yaml"); }),
            "c.yaml:1: 'lora.rank' takes no mapping: got '{a: 1}', expected a whole number");
  EXPECT_THAT(error_of([&] { set.read_yaml("lora: {weights: {a: 1}}\n", "c.yaml"); }), HasSubstr("takes no mapping"));
  EXPECT_THAT(error_of([&] { set.read_yaml("lora: {targets: {a: [1]}}\n", "c.yaml"); }), HasSubstr("plain values"));
}

TEST(Options, AGroupIsGivenByItsOptions) {
  Outer outer;
  OptionSet set(outer);
  const int rank{outer.lora.rank};
  set.read_yaml("lora:\n  # rank: 8\nmodel: a\n", "c.yaml");  // all of it commented out
  EXPECT_EQ(outer.lora.rank, rank);
  for (const char* wrong : {"lora: true\n", "lora: [rank]\n"})
    EXPECT_THAT(error_of([&] { set.read_yaml(wrong, "c.yaml"); }),
                testing::AllOf(HasSubstr("c.yaml:1"), HasSubstr("a group of options"), HasSubstr("--lora.OPTION")));
  EXPECT_THAT(error_of([&] { set.read_yaml("steps:\n  - gopher: {zzz: 1}\n", "c.yaml"); }),
              HasSubstr("its options: min_words"));
}

TEST(Options, AnEmptyChoiceHasAWord) {
  struct Start {
    std::string start = "a";
    void visit(base::OptionVisitor& v) { v.choice("start", start, {"", "a"}, "how it starts"); }
  } start;
  OptionSet set(start);
  set.read_words({"--start", "none"});
  EXPECT_EQ(start.start, "");
  set.read_yaml(set.to_yaml(), "run.yaml");
  EXPECT_EQ(start.start, "");
  EXPECT_THAT(error_of([&] { set.read_words({"--start", "b"}); }), HasSubstr("expected one of none, a"));
  EXPECT_THAT(set.help(), HasSubstr("none|a"));
}

TEST(Options, OutputHasALetter) {
  Numbers numbers;
  OptionSet set(numbers);
  set.read_words({"-o", "x.jsonl"});
  EXPECT_EQ(numbers.output, "x.jsonl");
  set.read_words({"-o=y.jsonl"});
  EXPECT_EQ(numbers.output, "y.jsonl");
  EXPECT_THAT(numbers_error({"-o"}), HasSubstr("--output: missing value"));
  EXPECT_THAT(set.help(), HasSubstr("--output, -o PATH"));
  Inner inner;
  OptionSet without(inner);
  EXPECT_THAT(error_of([&] { without.read_words({"-o", "x"}); }), HasSubstr("unknown option"));
}

TEST(Options, NamesOfOtherTools) {
  auto outer_error = [](const std::string& flag) {
    Outer outer;
    OptionSet set(outer);
    return error_of([&] { set.read_words({flag, "1"}); });
  };
  EXPECT_THAT(outer_error("--lr"), HasSubstr("did you mean 'learning_rate'?"));
  EXPECT_THAT(outer_error("--lora-r"), HasSubstr("did you mean 'lora.rank'?"));
  EXPECT_THAT(outer_error("--rank"), HasSubstr("did you mean 'lora.rank'?"));
  EXPECT_THAT(outer_error("--targets"), HasSubstr("did you mean 'lora.targets'?"));
  EXPECT_THAT(outer_error("--base_model"), HasSubstr("did you mean 'model'?"));
  EXPECT_THAT(outer_error("--quite"), HasSubstr("did you mean 'quiet'?"));
  EXPECT_THAT(outer_error("--xx"), HasSubstr("the help of this command"));
  EXPECT_THAT(outer_error("--val_set_size"), HasSubstr("the help of this command"));  // Outer has no such option
  EXPECT_THAT(numbers_error({"--device", "gpu"}), HasSubstr("did you mean 'cuda'?"));
  EXPECT_THAT(numbers_error({"--device", "gup"}), testing::Not(HasSubstr("did you mean")));
}

}  // namespace
