// Broken, unsupported and hostile vocabulary files end in a clear error, never in a crash.
#include <gmock/gmock.h>

#include "base/error.h"
#include "base/file.h"
#include "base/gguf.h"
#include "base/random.h"
#include "tests/error_of.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/models/bpe_tokenizer.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/read/sentencepiece_model.h"

namespace {

using namespace tokenizer_test;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

// A good, tiny file to break.
json good() {
  return json::parse(R"({
    "added_tokens": [{"id": 4, "content": "<s>", "special": true, "normalized": false}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "decoder": {"type": "ByteLevel"},
    "post_processor": null,
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "aab": 3}, "merges": ["a b", "a ab"]}
  })");
}

std::string refusal(const std::string& text) {
  try {
    const tokenizer::BpeTokenizer model(tokenizer::spec_from_tokenizer_json(text, "x/tokenizer.json"));
    model.decode(model.encode("aab <s> b", true));
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

std::string refusal_with(const char* pointer, const json& value) {
  json file = good();
  file[json::json_pointer(pointer)] = value;
  return refusal(file.dump());
}

TEST(TokenizerJson, TheGoodOneIsRead) {
  EXPECT_EQ(refusal(good().dump()), "no error");
  const tokenizer::BpeTokenizer model(tokenizer::spec_from_tokenizer_json(good().dump(), "x"));
  EXPECT_EQ(model.encode("aab", true), Ids{3});
  EXPECT_EQ(model.encode("b<s>zab", true), (Ids{1, 4, 2}));  // "z" has no token and there is no unknown token
  EXPECT_EQ(model.size(), 5);
}

// A TemplateProcessing of these: "A" is the text.
json single(const std::vector<std::string>& parts) {
  json list = json::array();
  for (const std::string& part : parts)
    list.push_back({{part == "A" ? "Sequence" : "SpecialToken", {{"id", part}, {"type_id", 0}}}});
  return {{"type", "TemplateProcessing"},
          {"single", list},
          {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {4}}, {"tokens", {"<s>"}}}}}}};
}

TEST(TokenizerJson, MembersThatAreOffAreNoFeature) {
  EXPECT_EQ(refusal_with("/pre_tokenizer/other", nullptr), "no error");
  EXPECT_EQ(refusal_with("/model/other", false), "no error");
}

TEST(TokenizerJson, UnsupportedFeaturesAreNamed) {
  const std::vector<std::tuple<const char*, json, const char*>> cases = {
      {"/other", 1, "the file: other"},
      {"/version", "2.0", "version 2.0"},
      {"/model/other", true, "model BPE: other"},
      {"/added_tokens/0/other", "x", "added token '<s>': other"},
      {"/pre_tokenizer/other", 0, "pre_tokenizer ByteLevel: other"},
      {"/normalizer",
       {{"type", "Sequence"}, {"normalizers", json::array()}, {"other", 1}},
       "normalizer Sequence: other"},
      {"/model/type", "WordPiece", "WordPiece"},
      {"/model/type", "WordLevel", "WordLevel"},
      {"/model/dropout", 0.1, "dropout"},
      {"/model/continuing_subword_prefix", "##", "continuing_subword_prefix"},
      {"/model/end_of_word_suffix", "</w>", "end_of_word_suffix"},
      {"/normalizer", {{"type", "Upper"}}, "normalizer Upper"},
      {"/pre_tokenizer", {{"type", "RandomChunkSplit"}}, "pre_tokenizer RandomChunkSplit"},
      {"/pre_tokenizer", {{"type", "Punctuation"}, {"behavior", "Other"}}, "behavior Other"},
      {"/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}}, "scheme last"},
      {"/decoder", {{"type", "Other"}}, "decoder Other"},
      {"/post_processor", {{"type", "Other"}}, "post_processor Other"},
      {"/post_processor", single({"A", "A"}), "more than one text"},
      {"/post_processor", single({"<s>", "<s>", "A"}), "several tokens on one side"},
      {"/post_processor", single({"<s>"}), "without a text"},
  };
  for (const auto& [pointer, value, name] : cases)
    EXPECT_THAT(refusal_with(pointer, value),
                AllOf(HasSubstr("not supported"), HasSubstr(name), HasSubstr("x/tokenizer.json")))
        << pointer << value;
}

TEST(TokenizerJson, BrokenFilesAreRefused) {
  EXPECT_THAT(refusal(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal("{\"model\":"), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("broken"));
  EXPECT_THAT(refusal("{}"), HasSubstr("model"));
  EXPECT_THAT(refusal(std::string(5000, '[')), HasSubstr("not valid JSON"));
  const std::vector<std::tuple<const char*, json, const char*>> cases = {
      {"/model/vocab", json::array(), "model.vocab"},
      {"/model/vocab/a", -1, "id of a"},
      {"/model/vocab/a", 1e300, "id of a"},
      {"/model/vocab/a", 4000000000u, "id of a"},
      {"/model/vocab/a", 16000000, "id of a"},
      {"/model/vocab/a", "0", "id of a"},
      {"/model/vocab/a", 1, "one token for each id"},
      {"/model/vocab/", 9, "empty token"},
      {"/model/merges", nullptr, "model.merges"},
      {"/model/merges/0", "ab", "merge 0"},
      {"/model/merges/0", "a b c", "merge 0"},
      {"/model/merges/0", 7, "merge 0"},
      {"/model/merges/0", json::array({"a"}), "merge 0"},
      {"/model/merges/1", "b a", "'ba' is not in model.vocab"},
      {"/model/merges/1", "q a", "'q' is not in model.vocab"},
      {"/model/unk_token", "<unk>", "unk_token"},
      {"/model/byte_fallback", "yes", "byte_fallback"},
      {"/added_tokens", json::object(), "added_tokens"},
      {"/added_tokens/0/id", -4, "id of <s>"},
      {"/added_tokens/0/id", 2, "one token for each id"},
      {"/added_tokens/0/id", 9000000, "id of <s>"},
      {"/added_tokens/0/content", nullptr, "content"},
      {"/added_tokens/0/content", "a", "one id"},
      {"/pre_tokenizer", {{"type", "Sequence"}}, "pretokenizers"},
      {"/pre_tokenizer", 3, "pre_tokenizer"},
      {"/normalizer", {{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", "x"}}, "Replace of nothing"},
      {"/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", nullptr}}, "precompiled_charsmap"},
      {"/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "?"}}, "base 64"},
      {"/pre_tokenizer", {{"type", "FixedLength"}, {"length", 0}}, "length 0"},
      {"/pre_tokenizer", {{"type", "CharDelimiterSplit"}, {"delimiter", "ab"}}, "pre_tokenizer.delimiter 'ab'"},
      {"/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", ""}}, "pre_tokenizer.replacement is empty"},
      {"/decoder", {{"type", "WordPiece"}, {"prefix", ""}}, "decoder.prefix is empty"},
      {"/decoder", {{"type", "Strip"}, {"content", " "}, {"start", -1}}, "start -1"},
      {"/post_processor",
       {{"type", "BertProcessing"}, {"cls", {"<s>", 4}}, {"sep", {"</s>", 9}}},
       "post_processor.sep: id 9"},
      {"/post_processor", {{"type", "BertProcessing"}, {"cls", "<s>"}}, "post_processor.cls"},
      {"/post_processor", single({"</s>", "A"}), "post_processor.special_tokens['</s>']"},
  };
  for (const auto& [pointer, value, name] : cases)
    EXPECT_THAT(refusal_with(pointer, value), AllOf(HasSubstr(name), HasSubstr("x/tokenizer.json")))
        << pointer << value;
}

// What is found when the tokenizer is made names the file as well.
TEST(TokenizerJson, BrokenMapsAndPatternsAreRefusedWithTheFile) {
  const TemporaryFolder folder;
  const auto map = [](const char* bytes) { return json{{"type", "Precompiled"}, {"precompiled_charsmap", bytes}}; };
  const json pattern = {{"Regex", "a("}};
  const std::vector<std::tuple<const char*, json, const char*>> cases = {
      {"/normalizer", map("AAAA"), "a map of 3 bytes"},
      {"/normalizer", map("CAAAAAAAAAA="), "a tree of 8 bytes"},
      {"/normalizer", map("BAAAAAAAAAD/"), "no UTF-8 at byte 0"},
      {"/normalizer", {{"type", "Replace"}, {"pattern", pattern}, {"content", ""}}, "a( at byte 2"},
      {"/pre_tokenizer", {{"type", "Split"}, {"pattern", pattern}, {"behavior", "Isolated"}}, "a( at byte 2"},
      {"/decoder", {{"type", "Replace"}, {"pattern", pattern}, {"content", ""}}, "a( at byte 2"},
  };
  for (const auto& [pointer, value, name] : cases) {
    json file = good();
    file[json::json_pointer(pointer)] = value;
    base::write_file(folder / "tokenizer.json", file.dump());
    EXPECT_THAT(error_of([&] { tokenizer::load(folder / "tokenizer.json"); }),
                AllOf(HasSubstr(name), HasSubstr(folder / "tokenizer.json")))
        << pointer << value;
  }
}

json unigram() {
  json file = good();
  file["model"] = json::parse(
      R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1.5], ["b", -2], ["aab", -2.5]]})");
  return file;
}

TEST(TokenizerJson, BrokenUnigramsAreRefused) {
  EXPECT_EQ(refusal(unigram().dump()), "no error");
  const std::vector<std::tuple<const char*, json, const char*>> cases = {
      {"/model/vocab", json::object(), "model.vocab"},
      {"/model/vocab", json::array(), "model.vocab is empty"},
      {"/model/vocab/1", json::array({"a"}), R"(model.vocab[1] ["a"])"},
      {"/model/vocab/1/0", 7, "model.vocab[1] [7,-1.5]"},
      {"/model/vocab/1/1", "x", "model.vocab[1]"},
      {"/model/unk_id", 4, "unk_id 4"},
      {"/model/unk_id", "<unk>", "unk_id"},
      {"/model/unk_id", nullptr, "has a character that the vocabulary does not know"},
      {"/added_tokens/0/id", 3, "one token for each id"},
  };
  for (const auto& [pointer, value, name] : cases) {
    json file = unigram();
    file[json::json_pointer(pointer)] = value;
    EXPECT_THAT(refusal(file.dump()), HasSubstr(name)) << pointer << value;
  }
}

// Random damage: bytes changed, removed and doubled. Whatever is still read must encode and decode without a crash.
TEST(TokenizerJson, RandomDamageNeverCrashes) {
  base::Random random(23);
  const json models = golden("small")["models"];
  std::vector<std::string> files = {good().dump()};
  for (const auto& [name, model] : models.items()) files.push_back(model["tokenizer"].dump());
  std::size_t refused = 0, read = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = files[round % 4 ? 0 : random.below(files.size())];
    const std::uint64_t changes = 1 + random.below(4);
    for (std::uint64_t i = 0; i < changes; ++i) {
      const std::size_t at = random.below(text.size());
      switch (random.below(4)) {
        case 0:
          text[at] = static_cast<char>(random.below(256));
          break;
        case 1:
          text[at] = "{}[]\",:0123456789-etfn"[random.below(22)];
          break;
        case 2:
          text.erase(at, random.below(20));
          break;
        default:
          text.insert(at, text.substr(random.below(text.size()), random.below(30)));
      }
      if (text.empty()) text = "x";
    }
    (refusal(text) == "no error" ? read : refused)++;
  }
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(read, 10u);
}

TEST(SentencePieceModelFile, DamageIsRefused) {
  const std::string bytes = base::read_file(mistral());
  EXPECT_EQ(tokenizer::parse_sentencepiece_model(bytes, "m").pieces.size(), 32000u);
  const auto refused = [&](const std::string& text) -> std::string {
    try {
      tokenizer::parse_sentencepiece_model(text, "m.model");
    } catch (const base::Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(refused(""), HasSubstr("no pieces"));
  EXPECT_THAT(refused("not a model at all"), HasSubstr("m.model@"));
  EXPECT_THAT(refused(bytes.substr(0, 100001)), HasSubstr("truncated"));
  base::Random random(29);
  for (int round = 0; round < 2000; ++round) {
    std::string text = bytes.substr(0, 3000);
    for (int i = 0; i < 5; ++i) text[random.below(text.size())] = static_cast<char>(random.below(256));
    refused(text);
  }
  const TemporaryFolder folder;
  base::write_file(folder / "tokenizer.model", bytes.substr(0, 200000));
  EXPECT_THROW(tokenizer::load(folder / "tokenizer.model"), base::Error);
}

// A GGUF that holds only a vocabulary.
void write_gguf(const std::filesystem::path& path, std::vector<std::pair<std::string, base::GgufValue>> metadata) {
  base::GgufWriter writer(path, metadata, {});
  writer.commit();
}

TEST(GgufVocabulary, BrokenOnesAreRefused) {
  using base::GgufValue;
  const TemporaryFolder folder;
  const auto file = folder / "x.gguf";
  const auto refused = [&](const std::string& key, const std::optional<GgufValue>& value) -> std::string {
    std::vector<std::pair<std::string, GgufValue>> metadata = {
        {"general.architecture", GgufValue::text("llama")},
        {"tokenizer.ggml.model", GgufValue::text("gpt2")},
        {"tokenizer.ggml.pre", GgufValue::text("smollm")},
        {"tokenizer.ggml.tokens", GgufValue::texts({"a", "b", "ab", "<s>"})},
        {"tokenizer.ggml.token_type", GgufValue::i32s({1, 1, 1, 3})},
        {"tokenizer.ggml.merges", GgufValue::texts({"a b"})},
        {"tokenizer.ggml.bos_token_id", GgufValue::u32(3)}};
    std::erase_if(metadata, [&](const auto& entry) { return entry.first == key; });
    if (value) metadata.emplace_back(key, *value);
    write_gguf(file, metadata);
    try {
      const auto model = tokenizer::load(file);
      EXPECT_EQ(model->encode("ab<s>", true), (Ids{2, 3}));
    } catch (const base::Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(refused("none", std::nullopt), "no error");
  EXPECT_THAT(refused("tokenizer.ggml.model", GgufValue::text("bert")), HasSubstr("'bert'"));
  EXPECT_THAT(refused("tokenizer.ggml.model", std::nullopt), HasSubstr("tokenizer.ggml.model"));
  EXPECT_THAT(refused("tokenizer.ggml.pre", GgufValue::text("superbpe")),
              AllOf(HasSubstr("superbpe"), HasSubstr("smollm")));
  EXPECT_THAT(refused("tokenizer.ggml.pre", std::nullopt), HasSubstr("tokenizer.ggml.pre"));
  EXPECT_THAT(refused("tokenizer.ggml.tokens", std::nullopt), HasSubstr("tokenizer.ggml.tokens"));
  EXPECT_THAT(refused("tokenizer.ggml.tokens", GgufValue::i32s({1})), HasSubstr("tokenizer.ggml.tokens"));
  EXPECT_THAT(refused("tokenizer.ggml.token_type", GgufValue::i32s({1})), HasSubstr("1 token types"));
  EXPECT_THAT(refused("tokenizer.ggml.merges", std::nullopt), HasSubstr("tokenizer.ggml.merges"));
  EXPECT_THAT(refused("tokenizer.ggml.merges", GgufValue::texts({"ab"})), HasSubstr("merge 0"));
  EXPECT_THAT(refused("tokenizer.ggml.merges", GgufValue::texts({"b a"})), HasSubstr("'ba'"));
  EXPECT_THAT(refused("tokenizer.ggml.bos_token_id", GgufValue::u32(4)), HasSubstr("bos_token_id = 4"));
}

TEST(Load, SaysWhatItLookedFor) {
  const TemporaryFolder folder;
  const auto message = [&](const std::filesystem::path& path) -> std::string {
    try {
      tokenizer::load(path);
    } catch (const base::Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message(folder.path()), HasSubstr("tokenizer.json, tokenizer.model, tekken.json or one .tiktoken file"));
  EXPECT_THAT(message(folder / "none"), HasSubstr("no tokenizer there"));
  base::write_file(folder / "x.bin", "x");
  EXPECT_THAT(message(folder / "x.bin"), HasSubstr(".bin"));
  base::write_file(folder / "tokenizer.json", "");
  EXPECT_THAT(message(folder.path()), HasSubstr("not valid JSON"));
  base::write_file(folder / "tokenizer.json", good().dump());
  EXPECT_EQ(message(folder.path()), "no error");
  base::write_file(folder / "tokenizer_config.json", "[1]");
  EXPECT_THAT(message(folder.path()), HasSubstr("tokenizer_config.json"));
}

}  // namespace
