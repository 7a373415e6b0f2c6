// The commands of the built program, as a user types them.
#include <gmock/gmock.h>

#include "base/file.h"
#include "tests/tokenizer/golden.h"

namespace {

using namespace tokenizer_test;
using testing::HasSubstr;

struct Outcome {
  int code;
  std::string out, err;
};

class Program : public testing::Test {
 protected:
  Outcome run(const std::string& words) {
    const std::string out = folder_ / "out", err = folder_ / "err";
    const std::string command = HORNBOOK_BINARY_DIR "/bin/tokenizer " + words + " >" + out + " 2>" + err;
    const int status = std::system(command.c_str());
    return {WEXITSTATUS(status), base::read_file(out), base::read_file(err)};
  }
  std::string file(const std::string& name, const std::string& text) {
    base::write_file(folder_ / name, text);
    return " " + (folder_ / name);
  }

  TemporaryFolder folder_;
  const std::string model_ = " --model " + smollm2().string() + " ";
};

TEST_F(Program, EncodesAndDecodesTexts) {
  const std::string files = file("a.txt", "Hello world 12") + file("b.txt", "<|im_end|>");
  const auto encoded = run("encode" + model_ + files);
  EXPECT_EQ(encoded.code, 0) << encoded.err;
  EXPECT_EQ(encoded.out, "19556 905 216 33 34\n44 108 306 79 486 108 46\n");
  EXPECT_EQ(run("encode --special" + model_ + file("b.txt", "<|im_end|>")).out, "2\n");
  const std::string ids = file("ids", "19556 905,2\n");
  EXPECT_EQ(run("decode" + model_ + ids).out, "Hello world<|im_end|>");
  EXPECT_EQ(run("decode --skip-special" + model_ + ids).out, "Hello world");
  const auto bad = run("decode" + model_ + file("ids", "19556 x"));
  EXPECT_EQ(bad.code, 1);
  EXPECT_THAT(bad.err, HasSubstr("ids@6"));
}

TEST_F(Program, RecordsComeBackInOrder) {
  const auto texts = golden("texts"), expected = golden("smollm2");
  std::string lines, wanted;
  for (int copy = 0; copy < 10; ++copy)
    for (std::size_t i = 0; i < texts.size(); ++i) {
      lines += nlohmann::json{{"id", i}, {"text", texts[i]}}.dump() + "\n";
      wanted += nlohmann::json{{"ids", expected["ids"][i]}}.dump() + "\n";
    }
  const std::string records = file("texts.jsonl", lines);
  for (const char* threads : {"1", "3"})
    EXPECT_TRUE(run("encode --json --special --threads " + std::string(threads) + model_ + records).out == wanted);
  const std::string decoded = run("decode --json" + model_ + file("ids.jsonl", wanted)).out;
  EXPECT_EQ(std::count(decoded.begin(), decoded.end(), '\n'), 20000);

  const auto bad = run("encode --json" + model_ + file("bad.jsonl", "{\"text\": \"a\"}\n{\"body\": \"b\"}\n"));
  EXPECT_EQ(bad.code, 1);
  EXPECT_THAT(bad.err, HasSubstr("bad.jsonl:2"));
  EXPECT_THAT(bad.err, HasSubstr("--text-field"));
}

TEST_F(Program, ReadsNestedFieldsAndSaysWhereAKeyIsTwice) {
  const std::string records =
      file("nested.jsonl", R"({"data":{"body":{"text":"lost","text":"Hello world 12"}},"n":NaN})"
                           "\n"
                           R"({"data.body.text":"Hello world 12","n":1e999})"
                           "\n");
  const std::string field = " --text-field data.body.text" + model_;
  const auto encoded = run("encode --json" + field + records);
  EXPECT_EQ(encoded.out, "{\"ids\":[19556,905,216,33,34]}\n{\"ids\":[19556,905,216,33,34]}\n") << encoded.err;
  EXPECT_EQ(encoded.err, "1 record had a key twice: the last one counts\n");
  const auto counted = run("count --json" + field + records);
  EXPECT_THAT(counted.out, HasSubstr("\"texts\":2,\"tokens\":10"));
  EXPECT_THAT(counted.err, HasSubstr("1 record had a key twice"));
  EXPECT_EQ(run("count --json --quiet" + field + records).err, "");
  const auto decoded = run("decode --json" + model_ + file("ids.jsonl", "{\"ids\":[1],\"ids\":[19556]}\n"));
  EXPECT_EQ(decoded.out, "{\"text\":\"Hello\"}\n");
  EXPECT_THAT(decoded.err, HasSubstr("1 record had a key twice"));
  const auto chat =
      run("chat" + model_ + file("chat.jsonl", R"({"messages":[{"role":"user","content":"Q","content":"R"}]})"));
  EXPECT_THAT(chat.err, HasSubstr("1 record had a key twice"));
  const auto without = run("count" + model_ + records);
  EXPECT_EQ(without.code, 1);
  EXPECT_THAT(without.err, HasSubstr("--text-field (data.text where it is nested)"));
}

TEST_F(Program, CountsAndTells) {
  const auto counted = run("count --json" + model_ + file("a.txt", "Hello world 12") +
                           file("b.jsonl", "{\"text\": \"Hello\"}\n{\"text\": \"\"}\n"));
  EXPECT_THAT(counted.out, HasSubstr(R"("texts":1,"tokens":5})"));
  EXPECT_THAT(counted.out, HasSubstr(R"("texts":2,"tokens":1})"));
  EXPECT_THAT(counted.out, HasSubstr(R"({"bytes":19,"bytes_per_token":3.167,"file":"total","texts":3,"tokens":6})"));
  const auto info = run("info --json" + model_);
  EXPECT_THAT(info.out, HasSubstr(R"("size":49152)"));
  EXPECT_THAT(info.out, HasSubstr(R"(ends it with <|im_end|>)"));
  EXPECT_EQ(run("info --model " + (folder_ / "none")).code, 1);
  const auto by_place = run("info " + smollm2().string());
  EXPECT_EQ(by_place.out, run("info" + model_).out);
  EXPECT_THAT(by_place.out, HasSubstr("GGUF: gpt2, smollm"));
  EXPECT_THAT(run("info a b").err, HasSubstr("one tokenizer, please"));
  EXPECT_EQ(run("encode" + model_).code, 2);
}

TEST_F(Program, ShowsWhatIsTrained) {
  const auto shown =
      run("chat" + model_ +
          file("c.jsonl", R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes"}]})"));
  EXPECT_THAT(shown.out,
              HasSubstr("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n\u27E6Yes<|im_end|>\u27E7\n"));
  EXPECT_THAT(shown.err, HasSubstr("2 of them trained"));
  EXPECT_EQ(run("chat" + model_ + file("c.jsonl", R"({"messages":[{"role":"user"}]})")).code, 1);
}

TEST_F(Program, WhatCannotBePrintedIsAnError) {
  for (const char* words : {"--help", "help", "--version", "help encode", "encode --help"})
    for (const char* out : {" >/dev/full", " >&-"}) {
      const std::string command =
          std::string(HORNBOOK_BINARY_DIR "/bin/tokenizer ") + words + out + " 2>" + (folder_ / "err");
      EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1) << command;
      EXPECT_THAT(base::read_file(folder_ / "err"), HasSubstr("cannot write to standard output"));
    }
}

TEST_F(Program, AConfigIsAFileOfSomeLines) {
  for (const char* config : {"/dev/zero", "/dev/tty"}) {
    const Outcome refused = run("count x --config " + std::string(config));
    EXPECT_EQ(refused.code, 2);
    EXPECT_THAT(refused.err, HasSubstr("the config file cannot be read"));
  }
  const std::string endless =
      "bash -c '" HORNBOOK_BINARY_DIR "/bin/tokenizer count x --config <(yes \"# a\")' 2>" + (folder_ / "err");
  EXPECT_EQ(WEXITSTATUS(std::system(endless.c_str())), 2);
  EXPECT_THAT(base::read_file(folder_ / "err"), HasSubstr("too large, or has no end"));
  const std::string large = folder_ / "large.yaml";
  base::write_file(large, std::string(17 << 20, '#'));
  EXPECT_THAT(run("count x --config " + large).err, HasSubstr("too large"));
}

TEST_F(Program, TooLittleMemoryIsSaid) {
  const std::string command = "bash -c 'ulimit -v 60000; " HORNBOOK_BINARY_DIR "/bin/tokenizer info --quiet" + model_ +
                              "' 2>" + (folder_ / "err") + " >/dev/null";
  const int code = WEXITSTATUS(std::system(command.c_str()));
  const std::string error = base::read_file(folder_ / "err");
  EXPECT_EQ(code, 1) << error;
  EXPECT_THAT(error, HasSubstr("memory"));
  EXPECT_THAT(error, HasSubstr("ulimit -v"));
  EXPECT_THAT(error, testing::Not(HasSubstr("bad_alloc")));
}

TEST_F(Program, AnInterruptedConversionCanBeginAgain) {
  const std::string folder = folder_ / "half";
  base::write_file(folder + "/tokenizer_config.json", "{}");
  const Outcome refused = run("convert" + model_ + "--output " + folder);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--overwrite"));
  EXPECT_EQ(run("convert --overwrite" + model_ + "--output " + folder).code, 0);
  EXPECT_EQ(run("info --model " + folder).code, 0);
  // Not a file of the two is left where one cannot be written.
  const std::string full = folder_ / "full";
  const std::string command = "bash -c 'ulimit -f 100; " HORNBOOK_BINARY_DIR "/bin/tokenizer convert" + model_ +
                              "--output " + full + "' 2>/dev/null";
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1);
  EXPECT_FALSE(std::filesystem::exists(full + "/tokenizer_config.json"));
}

TEST_F(Program, ConvertsBothWaysAndOverwritesNothing) {
  const std::string folder = folder_ / "hf", again = folder_ / "again.gguf";
  EXPECT_EQ(run("convert" + model_ + "--output " + folder).code, 0);
  EXPECT_EQ(run("convert" + model_ + "--output " + folder).code, 2);
  EXPECT_EQ(run("convert --model " + folder + " --output " + again).code, 0);
  EXPECT_EQ(run("convert --model " + folder + " --output " + again).code, 2);
  EXPECT_EQ(run("info --model " + again).out, run("info" + model_).out);
}

}  // namespace
