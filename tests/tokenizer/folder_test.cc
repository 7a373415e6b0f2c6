// What stands beside a vocabulary: added tokens, roles, flags, and the way of all that into a GGUF.
#include <gmock/gmock.h>

#include "base/error.h"
#include "base/file.h"
#include "base/gguf.h"
#include "tests/error_of.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/read/gguf_names.h"
#include "tokenizer/write/convert.h"

namespace {

using namespace tokenizer_test;
using base::GgufReader;
using nlohmann::json;
using testing::HasSubstr;

// A folder with the Mistral .model, or with a small tokenizer.json, and files beside it.
class Folder {
 public:
  explicit Folder(bool sentencepiece, const std::map<std::string, json>& files) {
    if (sentencepiece) {
      std::filesystem::copy(mistral(), folder_ / "tokenizer.model");
    } else {
      const json models = golden("small")["models"];
      base::write_file(folder_ / "tokenizer.json", models["llama3_ignore_merges"]["tokenizer"].dump());
    }
    for (const auto& [name, value] : files) base::write_file(folder_ / name, value.dump());
  }
  std::filesystem::path path() const { return folder_.path(); }
  std::unique_ptr<tokenizer::Tokenizer> load() const { return tokenizer::load(folder_.path()); }
  std::unique_ptr<tokenizer::Tokenizer> through_gguf() const {
    auto metadata = tokenizer::gguf_metadata_from_folder(folder_.path());
    metadata.insert(metadata.begin(), {"general.architecture", base::GgufValue::text("llama")});
    base::GgufWriter(folder_ / "x.gguf", metadata, {}).commit();
    return tokenizer::load(folder_ / "x.gguf");
  }
  // The same, through tokenizer.json and tokenizer_config.json made from that GGUF.
  std::unique_ptr<tokenizer::Tokenizer> through_folder() const {
    const GgufReader gguf(folder_ / "x.gguf");
    const TemporaryFolder again;
    base::write_file(again / "tokenizer.json", tokenizer::tokenizer_json_from_gguf(gguf).dump());
    base::write_file(again / "tokenizer_config.json", tokenizer::tokenizer_config_json_from_gguf(gguf).dump());
    return tokenizer::load(again.path());
  }

 private:
  TemporaryFolder folder_;
};

const json kDecoder = {{"32000", {{"content", "<|im_start|>"}, {"special", true}}},
                       {"32001", {{"content", "<|im_end|>"}, {"special", true}}},
                       {"32003", {{"content", "[word]"}, {"special", false}}}};

TEST(Folder, TokensBesideAModelAreKept) {
  const std::vector<std::map<std::string, json>> folders = {
      {{"tokenizer_config.json", {{"added_tokens_decoder", kDecoder}, {"eos_token", "<|im_end|>"}}},
       {"config.json", {{"vocab_size", 32064}}}},
      {{"added_tokens.json", {{"<|im_start|>", 32000}, {"<|im_end|>", 32001}, {"[word]", 32003}}},
       {"special_tokens_map.json", {{"eos_token", {{"content", "<|im_end|>"}}}}},
       {"config.json", {{"vocab_size", 32064}}}},
      {{"added_tokens.json", {{"<|im_start|>", 32000}, {"<|im_end|>", 32001}, {"[word]", 32003}}},
       {"config.json", {{"vocab_size", 32064}, {"eos_token_id", 32001}}}}};
  for (const auto& files : folders) {
    const Folder folder(true, files);
    auto check = [&](const tokenizer::Tokenizer& model) {
      EXPECT_EQ(model.eos, 32001);
      EXPECT_EQ(model.id_of("<|im_start|>"), 32000);
      EXPECT_TRUE(model.is_special(32000));
      EXPECT_TRUE(model.is_special(32001));
      EXPECT_FALSE(model.is_special(32003));
      EXPECT_EQ(model.token(32003), "[word]");
      const Ids parsed = model.encode("<|im_start|>a [word]", true);
      EXPECT_EQ(parsed.front(), 32000);
      EXPECT_EQ(parsed.back(), 32003);
      EXPECT_EQ(model.encode("a [word]", false).back(), 32003) << "no special token: always found";
      EXPECT_EQ(std::count(parsed.begin(), parsed.end(), 32000), 1);
      const Ids plain = model.encode("<|im_start|>");
      EXPECT_EQ(std::count(plain.begin(), plain.end(), 32000), 0);
      EXPECT_EQ(model.decode({32000, 264, 32003}), "<|im_start|> a[word]");
      EXPECT_EQ(model.decode({32000}, true), "");
    };
    check(*folder.load());
    EXPECT_EQ(folder.load()->size(), 32004);
    {
      SCOPED_TRACE("GGUF");
      const auto gguf = folder.through_gguf();
      EXPECT_EQ(gguf->size(), 32064);
      EXPECT_EQ(gguf->token(32002), "[PAD32002]");
      check(*gguf);
    }
    SCOPED_TRACE("tokenizer.json");
    check(*folder.through_folder());
  }
}

TEST(Folder, TokensBesideTokenizerJsonAreKept) {
  const auto size = Folder(false, {}).load()->size();
  const std::string id = std::to_string(size + 1);
  const Folder folder(false, {{"tokenizer_config.json",
                               {{"added_tokens_decoder", {{id, {{"content", "<|end|>"}, {"special", true}}}}},
                                {"eos_token", "<|end|>"},
                                {"additional_special_tokens", {"<|new|>"}}}}});
  const auto check = [&](const tokenizer::Tokenizer& model) {
    EXPECT_EQ(model.eos, size + 1);
    EXPECT_EQ(model.encode("a<|end|>", true).back(), size + 1);
    EXPECT_EQ(model.id_of("<|new|>"), size + 2) << "a name without a number gets the next one, as in transformers";
    EXPECT_TRUE(model.is_special(size + 2));
  };
  check(*folder.load());
  check(*folder.through_gguf());
}

TEST(Folder, AnEndTokenIsNeverDropped) {
  // Named by config.json only, in a number or a list.
  const auto plain = Folder(false, {}).load();
  ASSERT_FALSE(plain->eos);
  for (const json& ids : {json(7), json({7, 8})}) {
    const auto model = Folder(false, {{"config.json", {{"eos_token_id", ids}, {"bos_token_id", 5}}}}).load();
    EXPECT_EQ(model->eos, 7);
    EXPECT_EQ(model->bos, 5);
    EXPECT_TRUE(model->is_special(7));
  }
  EXPECT_EQ(Folder(true, {{"config.json", {{"eos_token_id", {32, 2}}}}}).load()->eos, 2)
      << "one of the list is its own";
  EXPECT_EQ(Folder(false, {{"tokenizer_config.json", {{"eos_token", nullptr}}}, {"config.json", {{"eos_token_id", 7}}}})
                .load()
                ->eos,
            7);
  // Named, and without a row in the model.
  const std::map<std::string, json> lost = {{"tokenizer_config.json", {{"eos_token", "<|lost|>"}}},
                                            {"config.json", {{"vocab_size", 32000}}}};
  EXPECT_THAT(error_of([&] { Folder(true, lost).load(); }), HasSubstr("<|lost|>"));
  EXPECT_EQ(Folder(true, {{"tokenizer_config.json", {{"eos_token", "<|lost|>"}}}}).load()->eos, 32000);
  EXPECT_THAT(error_of([&] {
                Folder(false, {{"config.json", {{"eos_token_id", 100000}}}}).load();
              }),
              HasSubstr("eos_token_id 100000"));
  EXPECT_THAT(error_of([&] {
                Folder(true, {{"tokenizer_config.json", {{"eos_token", 2}}}}).load();
              }),
              HasSubstr("not a token"));
  // Padding without a row is of no use, and no reason to refuse.
  const auto padded =
      Folder(true, {{"tokenizer_config.json", {{"pad_token", "[PAD]"}}}, {"config.json", {{"vocab_size", 32000}}}});
  EXPECT_EQ(padded.load()->size(), 32000);
  EXPECT_FALSE(padded.load()->pad);
  EXPECT_EQ(padded.through_gguf()->size(), 32000);
}

// eot and eom of a GGUF; the lists of generation_config.json and config.json, and their way into a GGUF.
TEST(Folder, EveryEndTokenIsKnown) {
  const std::map<std::string, json> files = {{"config.json", {{"eos_token_id", {7, 11}}}},
                                             {"generation_config.json", {{"eos_token_id", {9, 7}}}}};
  const Folder folder(false, files);
  EXPECT_EQ(folder.load()->end_ids(), (Ids{7, 9, 11}));
  const auto gguf = folder.through_gguf();
  EXPECT_EQ(gguf->eos, 7);
  EXPECT_EQ(gguf->end_ids(), (Ids{7, 9, 11}));
  EXPECT_EQ(Folder(true, {{"generation_config.json", {{"eos_token_id", {2, 32, 2}}}}}).through_gguf()->end_ids(),
            (Ids{2, 32}));
  EXPECT_EQ(Folder(false, {{"generation_config.json", {{"eos_token_id", 5}}}}).through_gguf()->end_ids(), Ids{5})
      << "without EOS";
  EXPECT_EQ(Folder(false, {{"generation_config.json", {{"eos_token_id", nullptr}}}}).load()->end_ids(), Ids{});
  EXPECT_THAT(error_of([&] {
                Folder(true, {{"generation_config.json", {{"eos_token_id", "</s>"}}}}).load();
              }),
              HasSubstr("eos_token_id"));
  // What the model has no row for never comes; a token of that name is the end of a message.
  const json decoder = {{"32000", {{"content", "<|eom_id|>"}, {"special", true}}}};
  const Folder tools(true, {{"config.json", {{"vocab_size", 32001}}},
                            {"tokenizer_config.json", {{"added_tokens_decoder", decoder}}},
                            {"generation_config.json", {{"eos_token_id", {2, 32000, 32, 40000}}}}});
  const auto metadata = tokenizer::gguf_metadata_from_folder(tools.path());
  const auto value = [&](const std::string& key) {
    const auto found =
        std::ranges::find(metadata, "tokenizer.ggml." + key, [](const auto& pair) { return pair.first; });
    return found == metadata.end() ? -1 : std::get<std::int64_t>(found->second.value);
  };
  EXPECT_EQ(value("eom_token_id"), 32000);
  EXPECT_EQ(value("eot_token_id"), 32);
}

TEST(GgufEnds, EachGoesToItsPlaceOnce) {
  tokenizer::GgufEnds ends;
  ends.add(7, "<|eom_id|>");
  ends.add(7, "<|eom_id|>");
  EXPECT_FALSE(ends.turn);
  EXPECT_EQ(ends.message, 7);
  ends.add(5, "<|eot_id|>");
  ends.add(9, "<|end|>");  // no room
  EXPECT_EQ(ends.turn, 5);
  EXPECT_EQ(ends.message, 7);
  tokenizer::GgufEnds others{5, {}};
  others.add(5, "<|eot_id|>");
  EXPECT_FALSE(others.message);
  others.add(9, "<|end|>");
  EXPECT_EQ(others.message, 9);
}

TEST(Folder, EachFlagAlone) {
  const auto flags = [](const json& config) {
    const auto model = Folder(true, {{"tokenizer_config.json", config}}).load();
    return std::pair(model->add_bos, model->add_eos);
  };
  EXPECT_EQ(flags(json::object()), std::pair(true, false));
  EXPECT_EQ(flags({{"add_eos_token", true}}), std::pair(true, true)) << "BOS stays";
  EXPECT_EQ(flags({{"add_eos_token", false}}), std::pair(true, false));
  EXPECT_EQ(flags({{"add_bos_token", false}}), std::pair(false, false));
  EXPECT_EQ(flags({{"add_bos_token", false}, {"add_eos_token", true}}), std::pair(false, true));
}

TEST(Folder, NumbersThatClashAreRefused) {
  const auto error = [](const json& added) {
    return error_of([&] { Folder(true, {{"added_tokens.json", added}}).load(); });
  };
  EXPECT_THAT(error({{"<|a|>", 5}}), HasSubstr("one of the vocabulary"));
  EXPECT_THAT(error({{"<|a|>", 32000}, {"<|b|>", 32000}}), HasSubstr("a number for two tokens"));
  EXPECT_THAT(error({{"<s>", 32000}}), HasSubstr("two numbers"));
  EXPECT_THAT(error({{"<|a|>", "x"}}), HasSubstr("not the number of a token"));
  EXPECT_THAT(error({{"<|a|>", 1u << 30}}), HasSubstr("not the number of a token"));
}

// A number that tokenizer.json leaves out is free.
TEST(Folder, HolesAreFilled) {
  json models = golden("small")["models"];
  json tokenizer = models["llama3_ignore_merges"]["tokenizer"];
  const auto size = static_cast<std::int32_t>(tokenizer["model"]["vocab"].size());
  tokenizer["added_tokens"] = {{{"id", size + 2}, {"content", "<|far|>"}, {"special", true}}};
  const TemporaryFolder folder;
  base::write_file(folder / "tokenizer.json", tokenizer.dump());
  base::write_file(folder / "added_tokens.json", json{{"<|near|>", size + 1}}.dump());
  const auto model = tokenizer::load(folder.path());
  EXPECT_EQ(model->id_of("<|near|>"), size + 1);
  EXPECT_EQ(model->encode("<|near|><|far|>", true), (Ids{size + 1, size + 2}));
}

TEST(Folder, BosIsNotDoubled) {
  const auto model = Folder(true, {}).load();
  EXPECT_EQ(tokenizer::encode_from_start(*model, "a", false), (Ids{1, 264}));
  EXPECT_EQ(tokenizer::encode_from_start(*model, "<s>a", true), (Ids{1, 28708}));
  EXPECT_EQ(tokenizer::encode_from_start(*model, "", true), Ids{1});
}

}  // namespace
