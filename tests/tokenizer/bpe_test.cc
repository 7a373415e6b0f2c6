// The merge loop against a slow, obvious one, and what a tokenizer does at its edges.
#include <gmock/gmock.h>

#include <ctime>
#include <map>
#include <numeric>

#include "base/error.h"
#include "base/gguf.h"
#include "base/random.h"
#include "base/unicode.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/models/bpe_tokenizer.h"
#include "tokenizer/read/ranks.h"
#include "tokenizer/read/readers.h"

namespace {

using namespace tokenizer_test;
using testing::HasSubstr;
using tokenizer::BpeSpec;
using tokenizer::BpeTokenizer;

// Greedy BPE as one would explain it: find the pair of lowest rank, the leftmost of equals, merge it, start again.
class SlowBpe {
 public:
  explicit SlowBpe(const BpeSpec& spec) {
    for (const tokenizer::Merge& merge : spec.merges) merges_[{merge.left, merge.right}] = {merge.rank, merge.result};
    for (std::size_t i = 0; i < spec.tokens.size(); ++i)
      ids_[std::string(spec.tokens[i])] = static_cast<std::int32_t>(i);
  }
  Ids encode(const std::string& piece) const {
    Ids symbols;
    for (const char byte : piece) {
      const auto found = ids_.find(tokenizer::token_of_bytes(std::string(1, byte)));
      if (found != ids_.end()) symbols.push_back(found->second);
    }
    for (;;) {
      std::size_t best = symbols.size();
      std::int32_t best_rank = std::numeric_limits<std::int32_t>::max();
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        const auto found = merges_.find({symbols[i], symbols[i + 1]});
        if (found != merges_.end() && found->second.first < best_rank) {
          best = i;
          best_rank = found->second.first;
        }
      }
      if (best == symbols.size()) return symbols;
      symbols[best] = merges_.at({symbols[best], symbols[best + 1]}).second;
      symbols.erase(symbols.begin() + best + 1);
    }
  }

 private:
  std::map<std::pair<std::int32_t, std::int32_t>, std::pair<std::int32_t, std::int32_t>> merges_;
  std::map<std::string, std::int32_t> ids_;
};

// A random vocabulary over all bytes, with merges among a few letters so that ties and chains are common.
BpeSpec random_spec(base::Random& random) {
  BpeSpec spec;
  for (int byte = 0; byte < 256; ++byte)
    spec.tokens.push_back(tokenizer::token_of_bytes(std::string(1, static_cast<char>(byte))));
  std::vector<std::int32_t> usable = {'a', 'b', 'c', 0xC3, 0xA9};
  const std::uint64_t count = 5 + random.below(60);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::int32_t left = usable[random.below(usable.size())], right = usable[random.below(usable.size())];
    const std::string token = std::string(spec.tokens[left]).append(spec.tokens[right]);
    const auto known = std::find(spec.tokens.begin(), spec.tokens.end(), token);
    const auto result = static_cast<std::int32_t>(known - spec.tokens.begin());
    if (known == spec.tokens.end()) {
      spec.tokens.push_back(token);
      usable.push_back(result);
    }
    spec.merges.push_back({left, right, result, static_cast<std::int32_t>(i)});
  }
  // Ranks in another order than the tokens were made in.
  std::vector<std::int32_t> ranks(spec.merges.size());
  std::iota(ranks.begin(), ranks.end(), 0);
  base::shuffle(ranks, random);
  for (std::size_t i = 0; i < ranks.size(); ++i) spec.merges[i].rank = ranks[i];
  return spec;
}

TEST(Bpe, EqualsTheSlowReferenceOnRandomVocabularies) {
  base::Random random(11);
  for (int round = 0; round < 200; ++round) {
    const BpeSpec spec = random_spec(random);
    const BpeTokenizer model(spec);
    const SlowBpe slow(spec);
    for (int text = 0; text < 20; ++text) {
      std::string piece;
      // Short pieces take the scan, long ones the heap.
      const std::uint64_t length = 1 + random.below(text % 4 == 0 ? 300 : 40);
      const std::string letters = random.below(2) ? "aab" : "aabbc\xC3\xA9x";
      for (std::uint64_t i = 0; i < length; ++i) piece += letters[random.below(letters.size())];
      ASSERT_EQ(model.encode(piece), slow.encode(piece)) << round << " " << piece;
    }
  }
}

// Ranks: all bytes and some strings of a few letters, not all of which merging reaches.
BpeSpec random_ranks(base::Random& random) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  base::shuffle(tokens, random);
  tokens.insert(tokens.begin(), 3, "");
  const std::uint64_t count = 263 + random.below(80);
  while (tokens.size() < count) {
    std::string token;
    const std::uint64_t length = 2 + random.below(tokens.size() % 9 == 0 ? 60 : 4);
    for (std::uint64_t i = 0; i < length; ++i) token += "aab\xC3\xA9"[random.below(5)];
    if (std::ranges::find(tokens, token) == tokens.end()) tokens.push_back(token);
  }
  return tokenizer::spec_of_ranks(base::Texts(tokens));
}

TEST(Bpe, MergesByIdEqualTheSlowReferenceOnRandomRanks) {
  base::Random random(12);
  for (int round = 0; round < 200; ++round) {
    BpeSpec spec = random_ranks(random);
    ASSERT_TRUE(spec.merges_by_id);
    if (round % 4 == 0) {  // a special token of the model merges, but no piece is it
      tokenizer::AddedToken token;
      token.id = 3 + 256 + static_cast<std::int32_t>(random.below(4));
      token.content = spec.tokens[token.id];
      token.special = token.in_model = true;
      spec.added.push_back(token);
    }
    const BpeTokenizer model(spec);
    BpeSpec listed = spec;
    listed.merges = tokenizer::merges_of(spec);
    listed.merges_by_id = false;
    tokenizer::write_in_alphabet(listed);
    const SlowBpe slow(listed);
    for (int text = 0; text < 20; ++text) {
      std::string piece;
      const std::uint64_t length = 1 + random.below(text % 4 == 0 ? 300 : 40);
      for (std::uint64_t i = 0; i < length; ++i) piece += "aaaab\xC3\xA9x"[random.below(8)];
      const auto whole = std::ranges::find(spec.tokens, piece);
      const auto id = static_cast<std::int32_t>(whole - spec.tokens.begin());
      const bool is_token = whole != spec.tokens.end() && (spec.added.empty() || spec.added[0].id != id);
      const Ids expected = is_token ? Ids{id} : slow.encode(piece);
      ASSERT_EQ(model.encode(piece), expected) << round << " " << piece;
      const tokenizer::Encoding encoding = model.encode_with_offsets(piece, {});
      if (!spec.added.empty()) continue;  // is found in the text
      ASSERT_EQ(encoding.ids, expected);
      for (std::size_t i = 0, end = 0; i < expected.size(); ++i) {
        ASSERT_EQ(encoding.offsets[i].begin, end);
        end = encoding.offsets[i].end;
        ASSERT_EQ(piece.substr(encoding.offsets[i].begin, end - encoding.offsets[i].begin),
                  model.decode({expected[i]}));
      }
    }
  }
}

TEST(Bpe, RanksWithoutAllBytesKeepAListOfMerges) {
  const BpeSpec spec = tokenizer::spec_of_ranks(base::Texts(std::vector<std::string>{"a", "b", "ab", "aab"}));
  EXPECT_FALSE(spec.merges_by_id);
  EXPECT_EQ(spec.merges.size(), 2u);
  EXPECT_EQ(BpeTokenizer(spec).encode("a\xFF"
                                      "b"),
            (Ids{2}));  // what is no token is left out before merging
}

TEST(TokenTable, FindsWhatItWasMadeOf) {
  std::vector<std::string> texts;
  base::Random random(4);
  for (int i = 0; i < 1000; ++i) texts.push_back(i % 7 == 0 ? "" : std::to_string(i) + std::string(i % 40, 'x'));
  const tokenizer::TokenTable table({texts.begin(), texts.end()});
  EXPECT_FALSE(table.twice());
  std::vector<std::string_view> asked(texts.begin(), texts.end());
  asked.insert(asked.end(), {"none", "", "1xx"});
  Ids ids(asked.size());
  table.find_all(asked, ids);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    EXPECT_EQ(ids[i], i < texts.size() && !texts[i].empty() ? id : -1) << asked[i];
    EXPECT_EQ(table.find(asked[i]), ids[i]);
    EXPECT_EQ(table.text(id), i < texts.size() ? texts[i] : "");
  }
  texts[999] = texts[500];
  texts[998] = texts[50];
  const tokenizer::TokenTable again({texts.begin(), texts.end()});
  EXPECT_EQ(again.twice(), (std::pair{50, 998}));
  EXPECT_EQ(again.find(texts[50]), 50);
  Ids none(1);
  tokenizer::TokenTable().find_all({asked.data() + 1, 1}, none);
  EXPECT_EQ(none, Ids{-1});
}

TEST(Bpe, SmolLm2EqualsTheSlowReference) {
  BpeSpec spec = tokenizer::spec_from_gguf(base::GgufReader(smollm2()));
  spec.splits.clear();  // the whole text is one piece: merges over blanks and scripts
  const BpeTokenizer model(spec);
  const SlowBpe slow(spec);
  const auto texts = golden("texts");
  base::Random random(5);
  for (int round = 0; round < 60; ++round) {
    std::string text;
    while (text.size() < 20 + random.below(150)) text += texts[random.below(texts.size())].get<std::string>();
    text = text.substr(0, 400);
    ASSERT_EQ(model.encode(text), slow.encode(text)) << text;
  }
}

TEST(Bpe, LongPiecesTakeNearlyLinearTime) {
  const auto model = tokenizer::load(smollm2());
  const auto seconds = [&](std::size_t size) {
    std::string text;
    base::Random random(3);
    while (text.size() < size) text += static_cast<char>('a' + random.below(26));
    const std::clock_t start = std::clock();  // CPU time: the machine may be busy
    const std::size_t tokens = model->encode(text).size();
    EXPECT_GT(tokens, size / 10);
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  seconds(10000);
  const double small = seconds(50000), large = seconds(800000);  // a quadratic loop would take 256 times as long
  EXPECT_LT(large, 80 * small + 0.5);
}

TEST(Bpe, AnyBytesComeBack) {
  const auto model = tokenizer::load(smollm2());
  base::Random random(17);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    const std::uint64_t length = random.below(60);
    for (std::uint64_t i = 0; i < length; ++i)
      bytes += random.below(3) ? static_cast<char>(random.below(256)) : "a 1\n'<|\xE4\xB8\xAD"[random.below(10)];
    ASSERT_EQ(model->decode(model->encode(bytes, round % 2)), representable(*model, bytes));
  }
}

TEST(Bpe, RandomTextsComeBackAndAreTheSameInPieces) {
  // The word cache must not change anything: a fresh tokenizer gives the ids of a used one.
  const auto used = tokenizer::load(smollm2());
  const auto texts = golden("texts");
  for (int pass = 0; pass < 2; ++pass)
    for (std::size_t i = 0; i < texts.size(); i += 3) used->encode(texts[i].get<std::string>());
  const auto fresh = tokenizer::load(smollm2());
  for (std::size_t i = 0; i < texts.size(); i += 5) {
    const auto text = texts[i].get<std::string>();
    // In memory of exactly its size, so that a sanitizer sees a read beyond it.
    const std::vector<char> exact(text.begin(), text.end());
    ASSERT_EQ(fresh->encode({exact.data(), exact.size()}), used->encode(text));
  }
}

TEST(Bpe, SpecialTokensAndIdsOutOfRange) {
  const auto model = tokenizer::load(smollm2());
  EXPECT_EQ(model->encode("<|im_start|>", true), Ids{1});
  EXPECT_EQ(model->encode("<|im_start|>", false).size(), 7u);
  EXPECT_EQ(model->decode({1, 2}), "<|im_start|><|im_end|>");
  EXPECT_EQ(model->decode({1, 2}, true), "");
  EXPECT_TRUE(model->is_special(1));
  EXPECT_FALSE(model->is_special(100));
  EXPECT_EQ(model->id_of("<|im_end|>"), 2);
  EXPECT_EQ(model->id_of("no such token"), std::nullopt);
  EXPECT_EQ(model->token(19556), "Hello");
  EXPECT_EQ(model->eos, 2);
  for (const std::int32_t bad : {-1, 49152}) {
    try {
      model->decode({bad});
      FAIL();
    } catch (const base::Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("0 to 49151"));
    }
    EXPECT_THROW(model->token(bad), base::Error);
    EXPECT_THROW(model->is_special(bad), base::Error);
  }
  EXPECT_TRUE(model->encode("").empty());
}

// No text without special tokens parsed ever gives a special id.
TEST(Bpe, PlainTextNeverGivesASpecialId) {
  for (const auto& path : {smollm2(), mistral()}) {
    const auto model = tokenizer::load(path);
    for (const auto& text : golden("texts"))
      for (const std::int32_t id : model->encode(text.get<std::string>())) ASSERT_FALSE(model->is_special(id)) << text;
  }
}

}  // namespace
