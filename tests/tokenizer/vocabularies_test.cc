// The vocabularies that models come with, each as its own tokenizer reads it: ids of 3,000 texts by their hashes
// (scripts/oracle/vocabularies.py --golden), and what the files say beside.
#include <gmock/gmock.h>

#include <map>

#include "base/file.h"
#include "tests/error_of.h"
#include "tests/tokenizer/golden.h"

namespace {

using namespace tokenizer_test;
using testing::AllOf;
using testing::HasSubstr;

std::filesystem::path vocabulary(const std::string& name) { return model_file("vocabularies/" + name); }

TEST(Vocabularies, GiveTheIdsOfTheirOwnTokenizers) {
  const auto data = golden("vocabularies");
  const auto texts = data["texts"].get<std::vector<std::string>>();
  ASSERT_EQ(texts.size(), 3000u);
  ASSERT_GE(data["vocabularies"].size(), 14u);
  for (const auto& [name, known] : data["vocabularies"].items()) {
    SCOPED_TRACE(name + " in " + known["peer"].get<std::string>());
    const auto model = tokenizer::load(vocabulary(known["file"]));
    const auto hashes = known["hashes"].get<std::string>();
    std::size_t different = 0, lost = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Ids ids = model->encode(texts[i]);
      if (hash_of(ids) != hashes.substr(8 * i, 8) && different++ < 3)
        ADD_FAILURE() << "text " << i << ": " << nlohmann::json(texts[i]) << "\nours " << nlohmann::json(ids);
      lost += model->decode(ids) != texts[i];
    }
    EXPECT_EQ(different, 0u);
    // Only normalisers change a text: NFC, SentencePiece's own "▁", NFKC a good many, XLM-RoBERTa's all white space;
    // Falcon has no token for some bytes.
    const std::map<std::string, std::size_t> most = {
        {"qwen", 400}, {"qwen3_6", 400}, {"falcon", 100}, {"anthropic", 1500}, {"xlm-roberta", 2300}};
    const auto found = most.find(name);
    EXPECT_LT(lost, found != most.end() ? found->second : model->kind == "sentencepiece" ? 400u : 1u);
  }
}

// Texts full of the vocabulary's own special tokens, whole and in parts: ordinary text, unless they are asked for.
TEST(Vocabularies, SpecialTokensInATextAreTextUnlessAskedFor) {
  const auto data = golden("vocabularies");
  std::size_t asked = 0;
  for (const auto& [name, known] : data["vocabularies"].items()) {
    SCOPED_TRACE(name + " in " + known["peer"].get<std::string>());
    const auto texts = known["special_texts"].get<std::vector<std::string>>();
    const auto model = tokenizer::load(vocabulary(known["file"]));
    ASSERT_EQ(texts.size(), 200u);
    for (const bool special : {false, true}) {
      if (special && !known.contains("found")) continue;
      asked += special;
      const auto hashes = known[special ? "found" : "as_text"].get<std::string>();
      std::size_t specials = 0;
      for (std::size_t i = 0; i < texts.size(); ++i) {
        Ids ids = special ? tokenizer::encode_from_start(*model, texts[i], true) : model->encode(texts[i]);
        if (special && model->add_eos && (ids.empty() || ids.back() != *model->eos)) ids.push_back(*model->eos);
        EXPECT_EQ(hash_of(ids), hashes.substr(8 * i, 8))
            << nlohmann::json(texts[i]) << "\nours " << nlohmann::json(ids);
        for (const std::int32_t id : ids) specials += model->is_special(id) && id != model->unknown;
      }
      EXPECT_TRUE(special ? specials >= 100 : specials == 0) << specials;
    }
  }
  EXPECT_GE(asked, 10u);
}

TEST(Vocabularies, RankFilesAreKnownByTheirContent) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(vocabulary("llama3.model"), folder / "tokenizer.model");
  for (const std::filesystem::path& path : {folder.path(), std::filesystem::path(folder / "tokenizer.model")}) {
    const auto model = tokenizer::load(path);
    EXPECT_EQ(model->origin, "tiktoken ranks: Llama 3");
    EXPECT_EQ(model->size(), 128256);
    EXPECT_EQ(model->bos, 128000);
    EXPECT_EQ(model->end_ids(), (Ids{128001, 128009, 128008}));
    EXPECT_TRUE(model->add_bos);
    EXPECT_EQ(model->encode("<|eot_id|>", true), (Ids{128009}));
    EXPECT_GT(model->encode("<|eot_id|>").size(), 3u);
    EXPECT_EQ(model->token(128255), "<|reserved_special_token_245|>");
  }
  // What the folder lists takes the place of what we know.
  base::write_file(
      folder / "tokenizer_config.json",
      R"({"eos_token": "<|stop|>", "added_tokens_decoder": {"128000": {"content": "<|go|>", "special": true},
                       "128001": {"content": "<|stop|>", "special": true}}})");
  const auto model = tokenizer::load(folder.path());
  EXPECT_EQ(model->size(), 128002);
  EXPECT_EQ(model->end_ids(), (Ids{128001}));
  EXPECT_EQ(model->encode("<|go|>", true), (Ids{128000}));
}

TEST(Vocabularies, Llama4sSpecialTokensLieWhereItsCodeHasThem) {
  const auto model = tokenizer::load(vocabulary("llama4.model"));
  EXPECT_EQ(model->size(), 202048);
  for (const auto& [id, token] : std::map<int, std::string>{{200009, "<|step|>"},
                                                            {200015, "<|text_post_train_reserved_special_token_5|>"},
                                                            {200018, "<|finetune_right_pad|>"},
                                                            {200079, "<|text_post_train_reserved_special_token_68|>"},
                                                            {200080, "<|image_start|>"},
                                                            {200092, "<|patch|>"},
                                                            {201133, "<|vision_reserved_special_token_1047|>"},
                                                            {201143, "<|reasoning_thinking_end|>"},
                                                            {202047, "<|reserved_special_token_903|>"}})
    EXPECT_EQ(model->token(id), token);
}

TEST(Vocabularies, TekkenTakesTheRanksBehindItsSpecialTokens) {
  const auto model = tokenizer::load(vocabulary("tekken-240718.json"));
  EXPECT_EQ(model->origin, "tekken.json v3");
  EXPECT_EQ(model->size(), 131072);
  EXPECT_EQ(model->bos, 1);
  EXPECT_EQ(model->token(3), "[INST]");
  EXPECT_EQ(model->token(999), "<SPECIAL_999>");
  EXPECT_EQ(model->encode("[INST]", true), (Ids{3}));
  EXPECT_EQ(model->encode(std::string(1, '\0')), (Ids{1000}));
}

// Fifteen ranks that no model has.
constexpr const char* kSmall = "YQ== 0\nYg== 1\nYWI= 2\nIA== 3\n";

TEST(RankFiles, UnknownOnesAreRefusedWithTheWayOut) {
  const TemporaryFolder folder;
  base::write_file(folder / "tokenizer.model", kSmall);
  EXPECT_THAT(error_of([&] { tokenizer::load(folder / "tokenizer.model"); }),
              AllOf(HasSubstr("does not say how texts are split"), HasSubstr("4 tokens"), HasSubstr("pat_str")));
  base::write_file(folder / "tokenizer_config.json",
                   R"({"pat_str": "a|[^a]", "added_tokens_decoder": {"4": {"content": "<e>", "special": true}}})");
  const auto model = tokenizer::load(folder.path());
  EXPECT_EQ(model->encode("ab <e>", true), (Ids{0, 1, 3, 4}));
  EXPECT_EQ(model->decode({2, 4}), "ab<e>");
  // By its usual name, too; then it must leave room for that model's special tokens.
  base::write_file(folder / "r50k_base.tiktoken", kSmall);
  std::filesystem::remove(folder / "tokenizer_config.json");
  EXPECT_EQ(tokenizer::load(folder / "r50k_base.tiktoken")->encode("ab ab"), (Ids{2, 3, 2}));
}

TEST(RankFiles, BrokenOnesSayTheLine) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& text) {
    base::write_file(folder / "x.tiktoken", text);
    return error_of([&] { tokenizer::load(folder / "x.tiktoken"); });
  };
  EXPECT_THAT(refused("YQ== 0\nY!== 1\n"), AllOf(HasSubstr("x.tiktoken:2"), HasSubstr("Y!== 1"), HasSubstr("base 64")));
  EXPECT_THAT(refused("YQ== 0\nYg==\n"), HasSubstr("x.tiktoken:2"));
  EXPECT_THAT(refused("YQ== 0\nYg== x\n"), HasSubstr("x.tiktoken:2"));
  EXPECT_THAT(refused("YQ== 0\n\nYg== 0\n"), AllOf(HasSubstr("x.tiktoken:3"), HasSubstr("rank 0 twice")));
  EXPECT_THAT(refused("YQ== 0\nYQ== 1\n"), HasSubstr("ranks 0 and 1 have the same token"));
  EXPECT_THAT(refused("YQ== 99999999999\n"), HasSubstr("rank 99999999999"));
  EXPECT_THAT(refused("YQ== 900000\n"), HasSubstr("few holes"));
  EXPECT_THAT(refused("YQ== -1\n"), HasSubstr("x.tiktoken:1"));
  EXPECT_THAT(refused(""), HasSubstr("empty"));
}

// As mistral-common writes it, the list of tokens is scanned; in any other order its JSON is read. Both take the same
// files, and both say the same of others.
TEST(Tekken, TheListIsReadAlikeWhateverTheLayout) {
  const TemporaryFolder folder;
  const auto loaded = [&](const std::string& before, const std::string& vocab, const std::string& behind) {
    base::write_file(folder / "tekken.json", "{" + before + R"("vocab" : [)" + vocab + "]" + behind + "}");
    std::string ids;
    const std::string error = error_of([&] {
      for (const auto id : tokenizer::load(folder / "tekken.json")->encode("ab<s>", true)) ids += std::to_string(id);
    });
    const std::size_t place = error.find(": got '", error.find("not valid JSON"));  // another one in each layout
    return ids.empty() ? error.substr(0, place) : ids;
  };
  const std::string config = R"("config": {"pattern": "[^b]+|b", "default_vocab_size": 5, "version": "v3",
                                           "default_num_special_tokens": 3},
                                "special_tokens": [{"rank": 0, "token_str": "<unk>"}, {"rank": 1, "token_str": "<s>"}])";
  const auto both = [&](const std::string& rank, const std::string& bytes, const std::string& text,
                        const std::string& more = "") {
    const std::string first = R"({ "rank": 0, "token_bytes": "YQ==", "token_str": "a\u00e9\\\ud83d\ude00" },)";
    const std::string usual = loaded(
        config + ",",
        first + "\n {\"rank\":" + rank + ", \"token_bytes\":\"" + bytes + "\", \"token_str\": " + text + "}" + more,
        "");
    const std::string other = loaded(
        "", first + "{\"token_str\":" + text + ", \"token_bytes\":\"" + bytes + "\", \"rank\":" + rank + "}" + more,
        ", " + config);
    EXPECT_EQ(usual, other);
    return usual;
  };
  EXPECT_EQ(both("1", "Yg==", "\"b\""), "341");
  EXPECT_EQ(both("1", "Yg==", "null"), "341");
  EXPECT_EQ(both("1", "Yg==", "null", R"(, {"rank": 2, "token_bytes": "YWI=", "token_str": "ab"})"), "341");
  EXPECT_THAT(both("2", "Yg==", "\"b\""), HasSubstr("vocab[1]: rank 2"));
  EXPECT_THAT(both("01", "Yg==", "\"b\""), HasSubstr("not valid JSON"));
  EXPECT_THAT(both("1.0", "Yg==", "\"b\""), HasSubstr("vocab[1]"));
  EXPECT_THAT(both("1", "Yg=", "\"b\""), HasSubstr("vocab[1]"));
  EXPECT_THAT(both("1", "", "\"b\""), HasSubstr("vocab[1]"));
  EXPECT_THAT(both("1", "YQ==", "\"b\""), HasSubstr("vocab[1] is vocab[0] again"));
  EXPECT_EQ(both("1", "Y\\u0067==", "\"b\""), "341");
  for (const char* broken : {R"("\x")", R"("\u12")", R"("\ude00")", R"("\ud83d ")", "\"\n\"", "\"\xff\"", "\"b"})
    EXPECT_THAT(both("1", "Yg==", broken), HasSubstr("not valid JSON")) << broken;
  EXPECT_THAT(both("1", "Yg==", "null", ","), HasSubstr("not valid JSON"));
}

TEST(Tekken, BrokenOnesSayWhere) {
  const TemporaryFolder folder;
  const nlohmann::json good = {
      {"config",
       {{"pattern", "[^b]+|b"},
        {"num_vocab_tokens", 3},
        {"default_vocab_size", 5},
        {"default_num_special_tokens", 3},
        {"version", "v11"}}},
      {"vocab", {{{"rank", 0}, {"token_bytes", "YQ=="}}, {{"rank", 1}, {"token_bytes", "Yg=="}}}},
      {"special_tokens",
       {{{"rank", 0}, {"token_str", "<unk>"}, {"is_control", true}},
        {{"rank", 1}, {"token_str", "<s>"}, {"is_control", true}}}}};
  const auto refused = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json file = good;
    file[nlohmann::json::json_pointer(pointer)] = value;
    base::write_file(folder / "tekken.json", file.dump());
    return error_of([&] { EXPECT_EQ(tokenizer::load(folder / "tekken.json")->encode("ab"), (Ids{3, 4})); });
  };
  EXPECT_EQ(refused("/config/version", "v11"), "no error");
  EXPECT_THAT(refused("/config/default_vocab_size", 9),
              AllOf(HasSubstr("tekken.json"), HasSubstr("2 tokens in vocab")));
  EXPECT_THAT(refused("/config/default_vocab_size", -1), HasSubstr("default_vocab_size"));
  EXPECT_THAT(refused("/config/default_num_special_tokens", 7), HasSubstr("7 special tokens of 5"));
  EXPECT_THAT(refused("/config/pattern", 3), HasSubstr("config.pattern"));
  EXPECT_THAT(refused("/config/pattern", "(?<n>a)"), HasSubstr("this kind of group"));
  EXPECT_THAT(refused("/vocab/1/rank", 7), HasSubstr("vocab[1]: rank 7"));
  EXPECT_THAT(refused("/vocab/1/token_bytes", "?"), HasSubstr("vocab[1]"));
  EXPECT_THAT(refused("/vocab/1/token_bytes", "YQ=="), HasSubstr("vocab[1] is vocab[0] again"));
  EXPECT_THAT(refused("/special_tokens/1/rank", 5), HasSubstr("special_tokens[1]"));
  EXPECT_THAT(refused("/special_tokens", nullptr), HasSubstr("version v11"));
}

}  // namespace
