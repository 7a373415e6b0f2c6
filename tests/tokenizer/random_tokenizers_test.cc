// Random tokenizer.json files, each as the tokenizers package reads it (scripts/oracle/random_tokenizers.py --golden):
// every normalizer, pre-tokenizer and decoder, added tokens with every flag, over small BPE and Unigram vocabularies.
#include "base/random.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/models/bpe_tokenizer.h"
#include "tokenizer/models/text_stream.h"
#include "tokenizer/read/readers.h"

namespace {

using namespace tokenizer_test;
using nlohmann::json;

// The golden file holds each vocabulary and each map of characters once.
std::string whole_file(const json& data, const json& file) {
  json whole = file;
  whole["model"] = data["models"][file["model"].get<std::string>()];
  whole["model"].update(file["settings"]);
  whole.erase("settings");
  std::string text = whole.dump();
  for (const int map : {0, 1}) {
    const std::string stand_in = fmt::format("\"map {}\"", map);
    for (std::size_t at; (at = text.find(stand_in)) != std::string::npos;)
      text.replace(at, stand_in.size(), data["maps"][map].dump());
  }
  return text;
}

void expect_offsets(const tokenizer::Tokenizer& model, const std::string& text, const Ids& ids) {
  const auto encoding = model.encode_with_offsets(text, {});
  EXPECT_EQ(encoding.ids, ids);
  ASSERT_EQ(encoding.offsets.size(), ids.size());
  std::size_t end = 0;
  for (const auto& range : encoding.offsets) {
    EXPECT_LE(range.begin, range.end);
    end = std::max(end, range.end);
  }
  EXPECT_LE(end, text.size());
}

void expect_stream(const tokenizer::Tokenizer& model, const Ids& ids, bool skip_special) {
  tokenizer::TextStream stream(model, skip_special);
  std::string text;
  for (const std::int32_t id : ids) text += stream.add(id);
  text += stream.finish();
  EXPECT_EQ(text, model.decode(ids, skip_special)) << json(ids) << skip_special;
}

TEST(RandomTokenizers, GiveTheIdsAndTextsOfTheTokenizersPackage) {
  const json data = golden("random_tokenizers");
  ASSERT_GE(data["cases"].size(), 400u);
  for (std::size_t number = 0; number < data["cases"].size(); ++number) {
    const json& known = data["cases"][number];
    SCOPED_TRACE(fmt::format("case {} in tokenizers {}: {}", number, data["tokenizers"].get<std::string>(),
                             known["file"].dump().substr(0, 3000)));
    const tokenizer::BpeTokenizer model(tokenizer::spec_from_tokenizer_json(whole_file(data, known["file"]), "random"));
    const auto texts = known["texts"].get<std::vector<std::string>>();
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Ids as_text = model.encode(texts[i]), found = model.encode(texts[i], true);
      EXPECT_EQ(hash_of(as_text), known["as_text"][i].get<std::string>()) << json(texts[i]) << json(as_text);
      EXPECT_EQ(hash_of(found), known["found"][i].get<std::string>()) << json(texts[i]) << json(found);
      const std::string decoded = model.decode(found), expected = known["decoded"][i].get<std::string>();
      EXPECT_TRUE(expected.empty() || hash_of(decoded) == expected) << json(texts[i]) << decoded;
      expect_offsets(model, texts[i], found);
      expect_stream(model, found, false);
    }
    if (testing::Test::HasFailure()) break;
  }
}

// Ids as no text gives them: a few of them many times, so that tokens repeat and bytes of characters stand alone.
TEST(RandomTokenizers, GiveIdsOneByOneAsAllAtOnce) {
  const json data = golden("random_tokenizers");
  base::Random random(21);
  std::size_t forward = 0;
  for (std::size_t number = 0; number < data["cases"].size(); ++number) {
    const json& file = data["cases"][number]["file"];
    SCOPED_TRACE(fmt::format("case {}: {}", number, file["decoder"].dump()));
    const tokenizer::BpeTokenizer model(tokenizer::spec_from_tokenizer_json(whole_file(data, file), "random"));
    forward += model.decodes_forward();
    for (int round = 0; round < 60; ++round) {
      const std::uint64_t among = round % 3 == 0 ? static_cast<std::uint64_t>(model.size()) : 1 + random.below(20);
      Ids ids(1 + random.below(40));
      const auto first = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(model.size()) - among + 1));
      for (std::int32_t& id : ids) id = first + static_cast<std::int32_t>(random.below(among));
      expect_stream(model, ids, round % 2 == 0);
    }
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(forward, data["cases"].size() / 3);
  EXPECT_LT(forward, data["cases"].size());
}

}  // namespace
