// Regular expressions, pre-tokenizers and normalizers: what the tokenizers package makes of the same texts
// (scripts/oracle/splits.py), and our hand-written matchers against the patterns that they stand for.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <zlib.h>

#include "tests/error_of.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/models/bpe_tokenizer.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/split/normalizer.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace {

using namespace tokenizer_test;
using nlohmann::json;
using testing::HasSubstr;
using tokenizer::Dialect;
using tokenizer::SplitStep;

tokenizer::BpeSpec spec_with(const char* key, const json& value) {
  json file = {{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}}}, {"merges", json::array()}}}};
  file[key] = value;
  return tokenizer::spec_from_tokenizer_json(file.dump(), "test");
}

std::string pieces(const tokenizer::PreTokenizer& pre_tokenizer, const std::string& text) {
  std::string all;
  bool first = true;
  const auto sink = [&](std::string_view piece, const char*) {
    if (!first) all += '\1';
    first = false;
    all += piece;
  };
  pre_tokenizer.run(text, text.data() + text.size(), 1, sink);
  return all;
}

void expect_hash(const std::string& got, const json& known, std::size_t i, const json& text) {
  const auto hash = crc32(0, reinterpret_cast<const Bytef*>(got.data()), static_cast<uInt>(got.size()));
  EXPECT_EQ(fmt::format("{:08x}", hash), known["hashes"].get_ref<const std::string&>().substr(8 * i, 8))
      << i << " " << text << "\nours " << json(got).dump(-1, ' ', true);
}

TEST(PreTokenizers, CutAsTheTokenizersPackageDoes) {
  const json data = golden("pre_tokenizers");
  ASSERT_GT(data["pre_tokenizers"].size(), 88u);
  for (const json& known : data["pre_tokenizers"]) {
    SCOPED_TRACE(known["value"].dump());
    const tokenizer::PreTokenizer pre_tokenizer(spec_with("pre_tokenizer", known["value"]).splits);
    for (std::size_t i = 0; i < data["texts"].size(); ++i)
      expect_hash(pieces(pre_tokenizer, data["texts"][i].get<std::string>()), known, i, data["texts"][i]);
  }
}

// Which pieces come from the first character of the text, so that "first" puts a "▁" (id 0) before each: ids of
// tokenizers 0.23.3. A mark behind a composed character does not, the blank behind an ideograph does.
TEST(PreTokenizers, TellPiecesOfTheFirstCharacter) {
  const auto sequence = [](const char* list, const json& steps) { return json{{"type", "Sequence"}, {list, steps}}; };
  json file = {{"model", {{"type", "BPE"}, {"vocab", {{"▁", 0}, {"?", 1}}}, {"merges", {}}, {"unk_token", "?"}}}};
  file["model"]["merges"] = json::array();
  file["normalizer"] = sequence("normalizers", {{{"type", "NFC"}},
                                                {{"type", "BertNormalizer"},
                                                 {"clean_text", false},
                                                 {"handle_chinese_chars", true},
                                                 {"strip_accents", false},
                                                 {"lowercase", false}},
                                                {{"type", "Prepend"}, {"prepend", " "}}});
  file["pre_tokenizer"] =
      sequence("pretokenizers", {{{"type", "ByteLevel"}, {"add_prefix_space", true}},
                                 {{"type", "UnicodeScripts"}},
                                 {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}}});
  const tokenizer::BpeTokenizer model(tokenizer::spec_from_tokenizer_json(file.dump(), "test"));
  EXPECT_EQ(model.encode("\u0967\u0968"), (Ids{0, 1, 1, 0, 1, 1, 1, 1, 1}));
  EXPECT_EQ(model.encode("\u4e2d\u4e2d"), (Ids{0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(model.encode("A\u0301\u0302"), (Ids{0, 1, 1, 1, 1, 1}));
  EXPECT_EQ(model.encode("ab"), (Ids{0, 1, 1, 1}));
}

TEST(Normalizers, ChangeAsTheTokenizersPackageDoes) {
  const json data = golden("pre_tokenizers");
  ASSERT_GT(data["normalizers"].size(), 29u);
  for (const json& known : data["normalizers"]) {
    SCOPED_TRACE(known["value"].dump());
    const tokenizer::Normalizer normalizer(spec_with("normalizer", known["value"]).normalizer);
    for (std::size_t i = 0; i < data["texts"].size(); ++i) {
      const auto text = data["texts"][i].get<std::string>();
      const std::string changed = normalizer.run(text);
      expect_hash(changed, known, i, data["texts"][i]);
      std::vector<tokenizer::ByteRange> origins;
      for (std::size_t b = 0; b < text.size(); ++b) origins.push_back({b, b + 1});
      ASSERT_EQ(normalizer.run(text, &origins), changed);
      ASSERT_EQ(origins.size(), changed.size());
    }
  }
}

TEST(WordPatterns, EqualTheExpressionsThatTheyStandFor) {
  auto texts = golden("vocabularies")["texts"].get<std::vector<std::string>>();
  for (const char* extra : {"a\xFF"
                            "b",
                            "\xE2\x82", " \xFFx", "ABC\xCC\x81 \xCC\x81"})
    texts.emplace_back(extra);
  for (const auto kind : {SplitStep::kGpt2, SplitStep::kLlama3, SplitStep::kQwen2, SplitStep::kQwen35,
                          SplitStep::kCl100k, SplitStep::kO200k, SplitStep::kTekken, SplitStep::kDeepSeek3}) {
    const std::string pattern = tokenizer::pattern_of_step(kind);
    ASSERT_NE(pattern, "");
    EXPECT_EQ(tokenizer::step_of_pattern(pattern, Dialect::kRust), SplitStep(kind));
    const tokenizer::PreTokenizer by_hand({kind}), by_pattern({SplitStep(pattern, Dialect::kRust)});
    for (const std::string& text : texts)
      ASSERT_EQ(pieces(by_hand, text), pieces(by_pattern, text)) << pattern << "\n" << text;
  }
}

TEST(Patterns, WhatIsNotUnderstoodIsRefusedByName) {
  const auto refusal = [](const std::string& pattern) {
    return error_of([&] { tokenizer::parse_pattern(pattern, Dialect::kOniguruma); });
  };
  EXPECT_EQ(refusal("a"), "no error");
  for (const auto& [pattern, name] :
       std::vector<std::pair<std::string, std::string>>{{"(?<=a)", "this kind of group"},
                                                        {"(a", "without ')'"},
                                                        {"a)", "a ')' too many"},
                                                        {"*a", "a repeat of nothing"},
                                                        {"(a*)*", "may be empty"},
                                                        {"\\h", "\\h"},
                                                        {"\\1", "\\1"},
                                                        {"\\p{Greekish}", "Greekish"},
                                                        {"[[:alpha:]]", "POSIX"},
                                                        {"[z-a]", "ends before it begins"},
                                                        {"[a", "ends too early"},
                                                        {"a{2", "without '}'"},
                                                        {"a{9999}", "beyond 1000"},
                                                        {"(?i:ss)", "without regard to case"},
                                                        {"\\x{110000}", "number"},
                                                        {"a\\", "ends too early"},
                                                        {"a\xFF", "UTF-8"}})
    EXPECT_THAT(refusal(pattern), HasSubstr(name)) << pattern;
  EXPECT_THAT(refusal(std::string(1000, '(')), HasSubstr("deep"));
  EXPECT_THAT(refusal("((((a{1000}){1000}){1000}){1000})"), HasSubstr("20000 steps"));
}

TEST(Patterns, EndlessTryingIsAnError) {
  const tokenizer::Pattern pattern("(?:a|a)+b", Dialect::kRust);
  tokenizer::Pattern::Workspace workspace;
  EXPECT_THAT(error_of([&] { pattern.find(std::string(60, 'a'), 0, workspace); }), HasSubstr("takes too long"));
}

// A megabyte without a blank, where an engine that tries every character anew would take hours.
TEST(Patterns, ALongTextIsReadInOnePass) {
  for (const auto kind : {SplitStep::kO200k, SplitStep::kTekken, SplitStep::kDeepSeek3, SplitStep::kCl100k}) {
    const tokenizer::PreTokenizer by_hand({kind}),
        by_pattern({SplitStep(tokenizer::pattern_of_step(kind), Dialect::kRust)});
    for (const std::string part : {"a", "A", "aB", "\u4E2D", " ", "\n", "7", "!", "e\u0301"}) {
      std::string text;
      while (text.size() < 1'000'000) text += part;
      EXPECT_EQ(pieces(by_hand, text), pieces(by_pattern, text));
    }
  }
}

}  // namespace
