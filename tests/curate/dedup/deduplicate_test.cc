#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/random.h"
#include "curate/dedup/duplicate_search.h"
#include "curate/dedup/preference.h"
#include "curate/duplicates.h"
#include "tests/curate/random_pieces.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace curate {
namespace {

struct Text {
  std::string id, text;
};

// `memory`: bytes for the search; few make many groups.
std::vector<Duplicate> run(const std::vector<Text>& texts, const Deduplicate& options, int threads = 1,
                           std::vector<DuplicatePair>* pairs = nullptr, std::uint64_t memory = 1 << 30,
                           int* passes = nullptr, std::uint64_t* bounded = nullptr) {
  if (bounded != nullptr) *bounded = 0;
  Fingerprinter maker(options);
  std::vector<Fingerprint> prints;
  for (const Text& text : texts) {
    prints.push_back(maker.fingerprint(text.text, text.id));
    prints.back().preference = preference_of(options, {text.text.size(), 0, "", ""}).rank;
    prints.back().place = prints.size() - 1;
  }
  std::vector<Fingerprinter> makers(static_cast<std::size_t>(threads), maker);
  DuplicateSearch search;
  search.documents = texts.size();
  search.threads = threads;
  search.memory = memory;
  std::atomic<int> from_the_start = 0;
  search.prints = [&](std::uint64_t first, std::span<Fingerprint> some) {
    from_the_start += first == 0;
    std::copy_n(prints.begin() + static_cast<std::ptrdiff_t>(first), some.size(), some.begin());
  };
  search.sets = [&](const Fingerprint& print, int worker, std::vector<std::uint64_t>& set) {
    makers[static_cast<std::size_t>(worker)].shingle_set(texts[print.place].text, set);
  };
  PairList list(std::filesystem::temp_directory_path(), memory / 100);
  std::vector<Duplicate> result = find_duplicates(search, options, pairs != nullptr ? &list : nullptr, bounded);
  if (passes != nullptr) *passes = from_the_start;
  if (pairs != nullptr) list.for_each([&](const DuplicatePair& pair) { pairs->push_back(pair); });
  return result;
}

// Words w0..., some replaced: near-duplicates of a few originals, copies, and strangers.
std::vector<Text> make_texts(std::uint64_t seed, int originals, int variants) {
  base::Random random(seed);
  std::vector<Text> texts;
  for (int original = 0; original < originals; ++original) {
    std::vector<std::string> words;
    for (std::uint64_t i = 30 + random.below(200); i > 0; --i)
      words.push_back("w" + std::to_string(random.below(100000)));
    for (std::uint64_t variant = random.below(static_cast<std::uint64_t>(variants)) + 1; variant > 0; --variant) {
      auto changed = words;
      for (std::uint64_t change = random.below(8); change > 0; --change)
        changed[random.below(changed.size())] = "x" + std::to_string(random.below(100000));
      std::string text;
      for (const std::string& word : changed) text += word + " ";
      texts.push_back({"d" + std::to_string(texts.size()), text});
    }
  }
  shuffle(texts, random);
  return texts;
}

double exact_jaccard(const std::string& a, const std::string& b) {
  Shingler shingler;
  auto x = shingler.shingles(a);
  std::set<std::uint64_t> s(x.begin(), x.end());
  auto y = shingler.shingles(b);
  std::set<std::uint64_t> t(y.begin(), y.end()), both = s;
  both.insert(t.begin(), t.end());
  return static_cast<double>(s.size() + t.size() - both.size()) / static_cast<double>(both.size());
}

// Pages of one template share bands without being near. Every `copied`-th is a near copy of an earlier one.
std::vector<Text> make_template_pages(int count, int copied) {
  base::Random random(11);
  auto word = [&] { return "w" + std::to_string(random.below(100000)) + " "; };
  std::string frame;
  for (int i = 0; i < 160; ++i) frame += word();
  std::vector<Text> texts;
  for (int i = 0; i < count; ++i) {
    std::string text = frame;
    if (i > 0 && i % copied == 0) {
      text = texts[random.below(texts.size())].text + "copied" + std::to_string(i);
    } else {
      for (int k = 0; k < 40; ++k) text += word();
    }
    texts.push_back({"p" + std::to_string(i), text});
  }
  return texts;
}

std::string decisions(const std::vector<Duplicate>& duplicates) {
  std::string all;
  for (const Duplicate& one : duplicates) all += std::to_string(one.of) + " " + std::to_string(one.jaccard) + "\n";
  return all;
}

TEST(FindDuplicates, PagesOfATemplateAreComparedWithAFewCandidates) {
  const std::vector<Text> texts = make_template_pages(1500, 25);
  Deduplicate options;
  std::uint64_t bounded = 0;
  options.max_candidates = 0;
  const std::string all = decisions(run(texts, options, 1, nullptr, 1 << 30, nullptr, &bounded));
  EXPECT_EQ(bounded, 0u);
  options.max_candidates = 50;
  const std::string few = decisions(run(texts, options, 1, nullptr, 1 << 30, nullptr, &bounded));
  EXPECT_GT(bounded, 1000u);
  EXPECT_EQ(few, all) << "near copies share the rare bands, and these come first";
  EXPECT_EQ(decisions(run(texts, options, 4)), few);
  EXPECT_EQ(decisions(run(texts, options, 2, nullptr, 900000)), few) << "in groups";
  std::vector<DuplicatePair> pairs;
  run(texts, options, 1, &pairs, 1 << 30, nullptr, &bounded);
  EXPECT_EQ(bounded, 0u) << "pairs: every candidate";
  EXPECT_THAT(bounded_note(1000), testing::HasSubstr("1,000 documents share bands with more kept ones"));
}

// The contract, checked against brute force over all pairs: nothing is dropped for a wrong Jaccard, nothing for a
// dropped document, and what LSH must find (Jaccard of 0.97 and more: missed once in 10^10) is found.
TEST(FindDuplicates, KeepsItsContract) {
  Deduplicate options;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    std::vector<Text> texts = make_texts(seed, 40, 6);
    std::vector<DuplicatePair> pairs;
    std::vector<Duplicate> result = run(texts, options, 1, &pairs);
    EXPECT_EQ(std::count_if(result.begin(), result.end(), [](auto& d) { return d.dropped(); }),
              std::ranges::count_if(run(texts, options), [](auto& d) { return d.dropped(); }));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (result[i].dropped()) {
        ASSERT_FALSE(result[result[i].of].dropped());
        EXPECT_LT(result[i].of, i);  // keep: first
        double exact = exact_jaccard(texts[i].text, texts[result[i].of].text);
        EXPECT_GE(exact, options.threshold);
        EXPECT_DOUBLE_EQ(exact, result[i].jaccard);
        EXPECT_EQ(result[i].exact, texts[i].text == texts[result[i].of].text);
      } else {
        for (std::size_t j = 0; j < i; ++j)
          if (!result[j].dropped()) {
            EXPECT_LT(exact_jaccard(texts[i].text, texts[j].text), 0.97);
          }
      }
    }
    for (const DuplicatePair& pair : pairs)
      EXPECT_DOUBLE_EQ(pair.jaccard, exact_jaccard(texts[pair.a].text, texts[pair.b].text));
    EXPECT_GT(pairs.size(), 20u);
  }
}

TEST(FindDuplicates, ThreadsDoNotMatter) {
  Deduplicate options;
  std::vector<Text> texts = make_texts(9, 100, 8);
  std::vector<DuplicatePair> pairs, pairs3;
  auto one = run(texts, options, 1, &pairs), three = run(texts, options, 3, &pairs3);
  ASSERT_EQ(pairs.size(), pairs3.size());
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i].of, three[i].of);
  for (std::size_t i = 0; i < pairs.size(); ++i) EXPECT_EQ(pairs[i].b, pairs3[i].b);
}

// Few bytes for the search: the prints are read again and again, the result is the same to the last digit.
TEST(FindDuplicates, MemoryDoesNotMatter) {
  std::vector<Text> texts = make_texts(11, 300, 8);
  for (int i = 0; i < 40; ++i)
    texts.push_back({"copy" + std::to_string(i), texts[static_cast<std::size_t>(i) * 3].text});
  texts.push_back({"empty", ""});
  texts.push_back({"empty too", ""});
  for (const char* keep : {"first", "longest"}) {
    for (bool near : {true, false}) {
      Deduplicate options;
      options.keep = keep;
      options.near = near;
      std::vector<DuplicatePair> pairs;
      int passes = 0;
      auto expected = run(texts, options, 1, &pairs, 1 << 30, &passes);
      EXPECT_EQ(passes, 1);
      for (std::uint64_t memory : {24 * texts.size() + 45'000, 24 * texts.size() + 100'000}) {
        for (int threads : {1, 3}) {
          std::vector<DuplicatePair> few_pairs;
          auto few = run(texts, options, threads, &few_pairs, memory, &passes);
          EXPECT_GE(passes, near ? 4 : 2) << "not split: nothing is tested here";
          ASSERT_EQ(few.size(), expected.size());
          for (std::size_t i = 0; i < few.size(); ++i) {
            EXPECT_EQ(few[i].of, expected[i].of);
            EXPECT_EQ(few[i].exact, expected[i].exact);
            EXPECT_EQ(few[i].jaccard, expected[i].jaccard);
          }
          ASSERT_EQ(few_pairs.size(), pairs.size());
          for (std::size_t i = 0; i < pairs.size(); ++i) {
            EXPECT_EQ(few_pairs[i].a, pairs[i].a);
            EXPECT_EQ(few_pairs[i].b, pairs[i].b);
            EXPECT_EQ(few_pairs[i].jaccard, pairs[i].jaccard);
          }
        }
      }
    }
  }
}

// One group that cannot be split: the error names a number that is enough.
TEST(FindDuplicates, TooLittleMemoryNamesWhatIsEnough) {
  std::vector<Text> texts;
  for (int i = 0; i < 5000; ++i)
    texts.push_back({std::to_string(i), "one two three four five six seven eight " + std::to_string(i % 7)});
  Deduplicate options;
  const std::string error = error_of([&] { run(texts, options, 1, nullptr, 24 * texts.size() + 60'000); });
  EXPECT_THAT(error, ::testing::HasSubstr("at least "));
  const std::string number = error.substr(error.find("at least ") + 9);
  EXPECT_EQ(run(texts, options, 1, nullptr, std::stoull(number) << 20).size(), texts.size());
}

std::set<std::string> kept_texts(const std::vector<Text>& texts, const Deduplicate& options) {
  auto result = run(texts, options, 2);
  std::set<std::string> kept;
  for (std::size_t i = 0; i < texts.size(); ++i)
    if (!result[i].dropped()) kept.insert(texts[i].text);
  return kept;
}

TEST(FindDuplicates, KeptSetDoesNotDependOnTheOrder) {
  base::Random random(5);
  std::vector<Text> texts = make_texts(6, 60, 8);
  for (int copy = 0; copy < 30; ++copy) {
    Text again = texts[random.below(texts.size())];
    again.id += "-copy";
    texts.push_back(again);
  }
  Deduplicate options;
  options.keep = "longest";
  const auto expected = kept_texts(texts, options);
  options.keep = "first";
  const auto first = kept_texts(texts, options);
  bool first_differs = false;
  for (int round = 0; round < 5; ++round) {
    shuffle(texts, random);
    options.keep = "longest";
    EXPECT_EQ(kept_texts(texts, options), expected);
    options.keep = "first";
    first_differs |= kept_texts(texts, options) != first;
  }
  EXPECT_TRUE(first_differs);  // by definition; else this test shows nothing
}

// A chain: each text is near the next, the ends are far apart. Transitive closure would keep one; stars keep more.
TEST(FindDuplicates, NoTransitiveClosure) {
  std::vector<Text> texts;
  for (int link = 0; link < 10; ++link) {
    std::string text;
    for (int word = 0; word < 200; ++word) text += "w" + std::to_string(word + link * 10) + " ";
    texts.push_back({"c" + std::to_string(link), text});
  }
  Deduplicate options;
  ASSERT_LT(exact_jaccard(texts[0].text, texts[9].text), 0.5);
  auto result = run(texts, options);
  int kept = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    kept += !result[i].dropped();
    if (result[i].dropped()) {
      EXPECT_GE(exact_jaccard(texts[i].text, texts[result[i].of].text), 0.8);
    }
  }
  EXPECT_GE(kept, 4);
}

TEST(FindDuplicates, ShortAndWordlessTexts) {
  Deduplicate options;
  std::vector<Text> texts = {{"a", "yes no"}, {"b", "Yes, no!"}, {"c", "no yes"}, {"d", ""},
                             {"e", ""},       {"f", "..."},      {"g", "!!!"},    {"h", "yes"}};
  auto result = run(texts, options);
  EXPECT_EQ(result[1].of, 0u);  // the same words
  EXPECT_FALSE(result[1].exact);
  EXPECT_FALSE(result[2].dropped());
  EXPECT_EQ(result[4].of, 3u);
  EXPECT_TRUE(result[4].exact);
  EXPECT_FALSE(result[5].dropped());
  EXPECT_FALSE(result[6].dropped());
  EXPECT_FALSE(result[7].dropped());
  options.near = false;
  EXPECT_FALSE(run(texts, options)[1].dropped());
}

TEST(Preference, Policies) {
  Deduplicate options;
  const double none = std::numeric_limits<double>::quiet_NaN();
  auto rank_of = [&](double score, const char* date, const char* source) {
    return preference_of(options, {0, score, date, source}).rank;
  };
  options.keep = "best_score";
  EXPECT_GT(rank_of(0.5, "", ""), rank_of(0.25, "", ""));
  EXPECT_GT(rank_of(0.0, "", ""), rank_of(-1.0, "", ""));
  EXPECT_GT(rank_of(-1e9, "", ""), rank_of(none, "", ""));
  options.keep = "newest";
  auto date = [&](const char* text) { return rank_of(none, text, ""); };
  EXPECT_GT(date("2024-05-01"), date("2023-12-31T23:59:59Z"));
  EXPECT_GT(date("2024-05-01T10:00:00.123+00:00"), date("2024-05-01"));
  EXPECT_EQ(date("1714557600"), date("2024-05-01T10:00:00Z"));
  EXPECT_EQ(date("1714557600000"), date("2024-05-01T10:00:00Z"));
  EXPECT_GT(date("1950"), date("no date"));
  EXPECT_EQ(date("no date"), 0u);
  options.keep = "source_order";
  options.sources = {"book", "web"};
  EXPECT_GT(rank_of(none, "", "book"), rank_of(none, "", "web"));
  EXPECT_GT(rank_of(none, "", "web"), rank_of(none, "", "other"));
}

TEST(Deduplicate, RefusesBadOptions) {
  Deduplicate options;
  base::OptionSet set(options);
  EXPECT_THROW(set.read_words({"--threshold=0"}), base::UsageError);
  EXPECT_THROW(set.read_words({"--threshold=1.01"}), base::UsageError);
  EXPECT_THROW(set.read_words({"--words=0"}), base::UsageError);
}

// The words of a shingle, joined, and how many they are.
std::string words_of(const ShingledText& text, const ShingledText& words, std::size_t shingle, std::size_t& count) {
  std::string joined;
  count = 0;
  for (const WordPlace& word : words.places) {
    if (word.begin < text.places[shingle].begin || word.end > text.places[shingle].end) continue;
    joined += text.text.substr(word.begin, word.end - word.begin) + '|';
    ++count;
  }
  return joined;
}

class ShingledTexts : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, ShingledTexts, testing::Values("word", "character", "datatrove"));

// Their shingles are those that decide, and equal shingles are equal words.
TEST_P(ShingledTexts, HaveTheWordsOfTheirShingles) {
  const std::vector<std::string> pieces = {"the",    "Über",  "İstanbul", "ΣΑΣ", "don't", "x_1",
                                           "日本語", "3,141", "a\u0301",  "\n",  "-",     "…",
                                           "WORD",   "word",  "U.S.",     "ß",   "p.m.",  "١٢"};
  Deduplicate options;
  options.shingle = GetParam();
  options.words = 3;
  Deduplicate single = options;
  single.words = 1;
  Fingerprinter fingerprinter(options), of_words(single);
  base::Random random(5);
  std::map<std::string, std::uint64_t> hash_of;
  std::map<std::uint64_t, std::string> words_by_hash;
  for (int round = 0; round < 1000; ++round) {
    const std::string text = random_pieces(random, pieces, random.below(20), 0.7);
    const ShingledText shingled = fingerprinter.shingled(text);
    const ShingledText words = of_words.shingled(text);
    ASSERT_EQ(shingled.places.size(), shingled.shingles.size());
    if (options.shingle != "character") {
      const std::size_t count = words.places.size();
      ASSERT_EQ(shingled.shingles.size(), count == 0 ? 0 : count < 3 ? 1 : count - 2) << text;
    }
    std::vector<std::uint64_t> set, own = shingled.shingles;
    fingerprinter.shingle_set(text, set);
    make_set(own);
    ASSERT_EQ(own, set) << text;
    for (std::size_t i = 0; i < shingled.shingles.size(); ++i) {
      std::size_t count = 0;
      const std::string joined = words_of(shingled, words, i, count);
      ASSERT_TRUE(count == 3 || (count > 0 && (options.shingle == "character" || words.places.size() < 3))) << text;
      ASSERT_EQ(hash_of.emplace(joined, shingled.shingles[i]).first->second, shingled.shingles[i]) << joined;
      ASSERT_EQ(words_by_hash.emplace(shingled.shingles[i], joined).first->second, joined);
    }
  }
  EXPECT_GT(hash_of.size(), 2000u);
}

TEST(OnlyIn, NamesTheWordsOfTheMissingShingles) {
  auto pieces = [](const char* shingle, const std::string& text, const std::string& other, std::size_t most = 9) {
    Deduplicate options;
    options.shingle = shingle;
    options.words = 2;
    Fingerprinter fingerprinter(options);
    const ShingledText here = fingerprinter.shingled(text), there = fingerprinter.shingled(other);
    const std::vector<std::string_view> found = only_in(here, there, most);
    return std::vector<std::string>(found.begin(), found.end());
  };
  using Pieces = std::vector<std::string>;
  // "don't" is two words of \w; datatrove's are those of "i don t pay 0 for it".
  EXPECT_EQ(pieces("word", "I don't pay 3.50 for IT", "I don't pay 4.50 for it"), (Pieces{"pay 3.50"}));
  EXPECT_EQ(pieces("datatrove", "I don't pay 3.50 for IT", "I don't pay 4.50 for it"), Pieces{});
  EXPECT_EQ(pieces("datatrove", "I don't pay 3.50 for ÍT!", "I don't pay for it."), (Pieces{"pay 0 for"}));
  // In other scripts the characters, which no shingle joins with words.
  EXPECT_EQ(pieces("character", "one 日本語 two", "one 日曜語 two"), (Pieces{"日本語"}));
  EXPECT_EQ(pieces("character", "one 日本語 two", "one two 日本語"), (Pieces{"one", "two"}));
  // Two pieces, one at the end; at most one is asked for; the whole text when it is shorter than a shingle.
  EXPECT_EQ(pieces("word", "a x b c d e f g", "a b c d e f h"), (Pieces{"a x b", "f g"}));
  EXPECT_EQ(pieces("word", "a x b c d e f g", "a b c d e f h", 1), (Pieces{"a x b"}));
  EXPECT_EQ(pieces("word", "«Alone»", "a b"), (Pieces{"alone"}));
  EXPECT_EQ(pieces("word", "a b", "A, B!"), Pieces{});
  EXPECT_EQ(pieces("word", "…", "a b"), Pieces{});
}

// Bad bytes that the reader finds, and lines that are no record, at the end of the input too and when there is no more.
TEST(DuplicatesCommand, CountsWhatCannotBeRead) {
  TemporaryFolder folder;
  const std::string too_long = "{\"text\":\"" + std::string(5000, 'x') + "\"}\n";
  auto told = [&](const std::string& lines) {
    DuplicatesOptions options;
    options.reading.input = {folder.write("some.jsonl", lines)};
    options.reading.max_record.bytes = 3000;
    options.reading.threads = 3;
    std::ostringstream out, err;
    base::Context context{out, err, false, false, "", "curate"};
    EXPECT_EQ(run_duplicates(options, context), 1);
    return err.str();
  };
  EXPECT_THAT(told(too_long), testing::HasSubstr("; 1 could not be read"));
  std::string many;
  for (int i = 0; i < 2000; ++i) {
    many += "{\"text\":\"number " + std::to_string(i) + std::string(2000, ' ') + "\"}\n";
    if (i % 10 == 0) many += "no record\n";
    if (i % 20 == 0) many += too_long;
  }
  EXPECT_THAT(told(many), testing::HasSubstr("0 of 2,000 documents are duplicates"));
  EXPECT_THAT(told(many), testing::HasSubstr("; 300 could not be read"));
}

}  // namespace
}  // namespace curate
