// The steps that mend, mask and choose: unicode, pii, decontaminate, sample.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/random.h"
#include "base/unicode.h"
#include "curate/steps/decontaminate.h"
#include "curate/steps/pii.h"
#include "curate/steps/sample.h"
#include "curate/steps/unicode_step.h"
#include "tests/curate/random_pieces.h"
#include "tests/error_of.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using curate::Document;
using curate::Verdict;

double score_of(const Document& document, std::string_view name) {
  for (const auto& [known, value] : document.scores()) {
    if (known == name) return value;
  }
  return 0;
}

// ---- unicode
// -----------------------------------------------------------------------------------------------------------

std::string repaired(std::string text) {
  curate::repair_mojibake(text);
  return text;
}

// What reading the UTF-8 bytes of `text` as Windows-1252 makes of it.
std::string misread(std::string_view text) {
  static constexpr char32_t kHigh[32] = {0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                         0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D,   0x017D, 0x8F,
                                         0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                         0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};
  std::string result;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    base::append_utf8(result, byte >= 0x80 && byte < 0xA0 ? kHigh[byte - 0x80] : char32_t{byte});
  }
  return result;
}

TEST(Unicode, MojibakeIsUndone) {
  EXPECT_EQ(repaired("donâ€™t cafÃ© â€œquotedâ€\u009d"), "don’t café “quoted”");
  for (const char* text :
       {"naïve Straße", "привет, мир", "日本語のテスト", "€ 5 – “a” … 🙂 ½", "Ελληνικά"}) {
    EXPECT_EQ(repaired(misread(text)), text);
  }
  // A second misreading is undone only where the first one gave no code point that Windows-1252 leaves undefined.
  for (const char* text : {"naïve Straße", "привет, мир", "Ελληνικά"}) {
    EXPECT_EQ(repaired(misread(misread(text))), text) << "misread twice";
  }
}

TEST(Unicode, TextThatIsRightStays) {
  for (const char* text : {"", "plain", "Ã", "São Paulo, Ãngelo", "naïve café “x”", "Â 1", "ÃO", "漢字 Ã", "fiancÃ"}) {
    EXPECT_EQ(repaired(text), text);
  }
}

TEST(Unicode, CountsWhatItDid) {
  curate::Unicode step;
  Document document;
  std::string text =
      "\xEF\xBB\xBF"
      "a\x01"
      "b\r\ncafe\xCC\x81 cafÃ©\rd\te\x7F";
  document.reset(text, "", "");
  EXPECT_TRUE(step.apply(document).keep);
  EXPECT_EQ(document.text(), "ab\ncafé café\nd\te");
  EXPECT_EQ(score_of(document, "unicode_controls"), 3);
  EXPECT_EQ(score_of(document, "unicode_line_ends"), 2);
  EXPECT_EQ(score_of(document, "unicode_mojibake"), 1);
  EXPECT_EQ(score_of(document, "unicode_nfc"), 1);
  document.reset("clean café\n", "", "");
  step.apply(document);
  EXPECT_FALSE(document.edited());
  EXPECT_TRUE(document.scores().empty());
  step.max_replacement_share = 0.1;
  document.reset("ab\xEF\xBF\xBD", "", "");
  EXPECT_EQ(step.apply(document).reason, "unicode_replacement");
}

// ---- pii
// ---------------------------------------------------------------------------------------------------------------

std::string masked(std::string_view text) {
  curate::Pii step;
  Document document;
  document.reset(text, "", "");
  step.apply(document);
  return std::string(document.text());
}

TEST(Pii, IsMasked) {
  EXPECT_EQ(masked("Write to <jane.doe+x@mail.example.co.uk>."), "Write to <<email>>.");
  EXPECT_EQ(masked("from 8.8.8.8:53, 2a00:1450:4001:82a::200e."), "from <ip>:53, <ip>.");
  EXPECT_EQ(masked("Call +49 30 901820 or (212) 555-0123 or 1-800-555-0199!"), "Call <phone> or <phone> or <phone>!");
  EXPECT_EQ(masked("IBAN DE89 3704 0044 0532 0130 00, GB82WEST12345698765432"), "IBAN <iban>, <iban>");
  EXPECT_EQ(masked("card 4111 1111 1111 1111 and 378282246310005"), "card <card> and <card>");
  std::string body = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ";  // made up; the checksum of it is 0mLq17
  EXPECT_EQ(masked("token ghp_" + body + "0mLq17 here"), "token <key> here");
  EXPECT_EQ(masked("id AKIA"
                   "IOSFODNN7EXAMPLE"),
            "id <key>");
  EXPECT_EQ(masked("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"), "<key>\n");
}

TEST(Pii, LookalikesStay) {
  for (std::string text : {"a@b",
                           "@user",
                           "user@",
                           "x@1.2",
                           "version 1.2.3",
                           "1.2.3.4.5",
                           "256.1.1.1",
                           "192.168.0.1 10.0.0.1 127.0.0.1 192.0.2.7",
                           "v8.8.8.8",
                           "std::dead::beef",
                           "12:30:45",
                           "::1",
                           "a::b",
                           "2024-01-02 1234567890",
                           "+1",
                           "+999 123 456 789 012 345 6",
                           "DE89 3704 0044 0532 0130 01",
                           "XX82WEST12345698765432",
                           "4111 1111 1111 1112",
                           "1234567890123456",
                           "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18",
                           "AKIAXXXXXXXXXXXXXXXX",
                           "sk-short",
                           "-----BEGIN PUBLIC KEY-----",
                           "3.14159265358979323846",
                           "call 555-0123",
                           "111-222-3333"}) {
    EXPECT_EQ(masked(text), text);
  }
}

TEST(Pii, CountsAndLimits) {
  curate::Pii step;
  step.action[0] = "count";
  step.action[1] = "off";
  Document document;
  std::string text = "a@example.com b@example.com 8.8.8.8 +49 30 901820";
  document.reset(text, "", "");
  EXPECT_TRUE(step.apply(document).keep);
  EXPECT_EQ(document.text(), "a@example.com b@example.com 8.8.8.8 <phone>");
  EXPECT_EQ(score_of(document, "pii_email"), 2);
  EXPECT_EQ(score_of(document, "pii_ip"), 0);
  step.max_finds = 2;
  document.reset(text, "", "");
  Verdict verdict = step.apply(document);
  EXPECT_EQ(verdict.reason, "pii");
  EXPECT_EQ(verdict.value, 3);
}

TEST(Pii, HostileTextTakesNoLonger) {
  for (const char* part :
       {":", "::1", "@", "a@", "xoxb-", "-----BEGIN X PRIVATE KEY-----", "+1 ", "1.", "4", "(2", "DE", "a.a@"}) {
    std::string text;
    while (text.size() < 2'000'000) text += part;
    std::vector<curate::PiiFind> finds;
    curate::find_pii(text, true, finds);
    for (std::size_t i = 1; i < finds.size(); ++i) ASSERT_GE(finds[i].begin, finds[i - 1].end);
  }
}

TEST(Pii, FindsAreInOrderInAnyText) {
  base::Random random(23);
  static const std::vector<std::string> parts = {"a@b.com",
                                                 "@",
                                                 "8.8.8.8",
                                                 ".",
                                                 ":",
                                                 "::",
                                                 "+49",
                                                 " ",
                                                 "30 901820",
                                                 "(212) ",
                                                 "555-0123",
                                                 "DE89",
                                                 "370400440532013000",
                                                 "4111111111111111",
                                                 "-",
                                                 "ghp_",
                                                 "x",
                                                 "\n",
                                                 "é"};
  for (int i = 0; i < 5000; ++i) {
    const std::string text = random_pieces(random, parts, random.below(12), 0);
    std::vector<curate::PiiFind> finds;
    curate::find_pii(text, false, finds);
    std::size_t end = 0;
    for (const curate::PiiFind& find : finds) {
      ASSERT_LE(end, find.begin);
      ASSERT_LT(find.begin, find.end);
      ASSERT_LE(find.end, text.size());
      end = find.end;
    }
  }
}

TEST(Pii, VersionsAndSectionsAreNoAddresses) {
  for (std::string text : {"Version 4.12.0.7 is out",
                           "upgrade from 4.12.0.6 to 4.12.0.7",
                           "downgraded to 4.12.0.7",
                           "version: 4.12.0.7",
                           "ver. 4.12.0.7",
                           "firmware-version 9.8.7.6",
                           "from version 4.12.0.7 to 4.13.1.2",
                           "versions 4.12.0.7, 4.12.0.8 and 4.12.0.9",
                           "the 4.12.0.7 release",
                           "kernel 4.12.0.7",
                           "Build 4.12.0.7",
                           "foo-1.2.3.4",
                           "foo==1.2.3.4",
                           "foo>=1.2.3.4,<=2.3.4.5",
                           "\"version\": \"1.2.3.4\"",
                           "<version>4.12.0.7</version>",
                           "AssemblyVersion(\"1.2.3.4\")",
                           "Mozilla/5.0 (X11; rv:1.9.2.3) Gecko/1.2.3.4 Chrome/87.0.42.88",
                           "Java 1.8.0.25",
                           "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15.7.1) Other 1.2.3.4",
                           "Kapitel 4.12.0.7",
                           "la versión 4.12.0.7",
                           "Section 4.12.0.7",
                           "see § 4.12.0.7",
                           "Chapters 4.12.0.7 and 4.12.0.8",
                           "Figure 3.1.2.4",
                           "clause 5.6.7.8",
                           "4.12.0.7 Heading",
                           "text\n## 1.2.3.4. Overview\n",
                           "Sec.\u00A04.12.0.7"}) {
    EXPECT_EQ(masked(text), text);
  }
  EXPECT_EQ(masked("connect to 8.8.8.8"), "connect to <ip>");
  EXPECT_EQ(masked("server 93.184.216.34 and 93.184.216.35"), "server <ip> and <ip>");
  EXPECT_EQ(masked("http://8.8.8.8/x example.com/8.8.8.8 ip=8.8.8.8"), "http://<ip>/x example.com/<ip> ip=<ip>");
  EXPECT_EQ(masked("for example, 8.8.8.8"), "for example, <ip>");
  EXPECT_EQ(masked("{\"version\":2,\"ip\":\"8.8.8.8\"}"), "{\"version\":2,\"ip\":\"<ip>\"}");
  EXPECT_EQ(masked("66.249.66.1 - - [10/Oct] \"GET\" \"Mozilla/5.0\""), "<ip> - - [10/Oct] \"GET\" \"Mozilla/5.0\"");
  EXPECT_EQ(masked("The kernel dropped packets from 93.184.216.34"), "The kernel dropped packets from <ip>");
}

TEST(Pii, OtherLookalikesStay) {
  for (std::string text : {"git@github.com:org/repo.git", "git@gitlab.com", "deploy@example.com:/var/www",
                           "hello @user@mastodon.social", "react@18.2.0-beta.rc", "icon@2x.png", "getty@tty1.service",
                           "face:b00c::1:2", "12:34:56::1:2", "50:06:01:60:3b:20:11:22", "+1699999999 lines"}) {
    EXPECT_EQ(masked(text), text);
  }
  EXPECT_EQ(masked("jane@163.com: hello, jane@x.com:secret"), "<email>: hello, <email>:secret");
}

// ---- decontaminate
// -----------------------------------------------------------------------------------------------------

class DecontaminateTest : public testing::Test {
 protected:
  DecontaminateTest() {
    std::ofstream(folder_ / "sums.jsonl")
        << R"({"question": "Natalia sold clips to forty eight of her friends in April, and then she sold half as many clips in May. How many clips did she sell altogether?", "answer": "72"})"
        << "\n"
        << R"({"question": "A short question of nine words stands here alone", "choices": ["yes", "no"]})"
        << "\n";
    std::ofstream(folder_ / "facts.jsonl")
        << R"({"nested": {"list": ["The mitochondria is the powerhouse of the cell, as every pupil of every school in the country can recite."]}})"
        << "\n";
    step_.against = {folder_ / "*.jsonl"};
    step_.prepare();
  }
  Verdict apply(std::string text) {
    text_ = std::move(text);
    document_.reset(text_, "", "");
    return step_.apply(document_);
  }

  TemporaryFolder folder_;
  std::string text_;
  curate::Decontaminate step_;
  Document document_;
};

TEST_F(DecontaminateTest, ItemsAreFoundInContext) {
  EXPECT_EQ(step_.items(), 3u);
  std::string filler = "Some words that have nothing to do with any benchmark stand around the item in question. ";
  Verdict verdict =
      apply(filler + filler +
            "NATALIA sold clips to forty-eight of her friends in April -- and then she sold half as many clips in May. "
            "How many did she sell altogether? " +
            filler);
  EXPECT_EQ(verdict.reason, "decontaminate:sums");
  EXPECT_GT(verdict.value, 0.9);
  EXPECT_EQ(document_.labels().at(0).second, "sums:1");
  EXPECT_EQ(apply("Everyone knows: the mitochondria is the powerhouse of the cell, as every pupil of every school in "
                  "the country can "
                  "recite.")
                .reason,
            "decontaminate:facts");
  EXPECT_EQ(apply(filler + "a short question of nine words stands here alone " + filler).reason, "decontaminate:sums");
}

TEST_F(DecontaminateTest, AHitThatIsNotTheItemIsNoContamination) {
  std::string filler = "Some words that have nothing to do with any benchmark stand around the item in question. ";
  EXPECT_TRUE(apply(filler).keep);
  EXPECT_TRUE(apply("").keep);
  EXPECT_TRUE(apply("A short question of nine words stands here").keep)
      << "an item below n words must stand there as a whole";
  // Thirteen words in a row, but the rest of the item is missing.
  std::string hit = "natalia sold clips to forty eight of her friends in april and then";
  EXPECT_TRUE(apply(filler + hit + " " + filler).keep);
  step_.min_overlap = 0.4;
  EXPECT_FALSE(apply(filler + hit + " " + filler).keep);
}

// With an overlap of 0 one shared run of words is enough, and words that only the filter takes for one are not.
TEST_F(DecontaminateTest, WithoutAnOverlapARunOfWordsIsNeeded) {
  step_.min_overlap = 0;
  std::string filler;
  for (int i = 0; i < 2000; ++i) filler += "word" + std::to_string(i) + " ";
  EXPECT_TRUE(apply(filler).keep);
  EXPECT_FALSE(apply(filler + "natalia sold clips to forty eight of her friends in april and then").keep);
}

TEST_F(DecontaminateTest, ARecordThatCannotBeReadEndsIt) {
  std::ofstream(folder_ / "sums.jsonl", std::ios::app) << "{\"question\": \"What was to be asked\n";
  EXPECT_THAT(error_of([&] { step_.prepare(); }), testing::HasSubstr("sums.jsonl:3"));
}

TEST(Decontaminate, SaysWhatIsWrong) {
  curate::Decontaminate step;
  EXPECT_THROW(step.prepare(), base::UsageError);
  step.against = {"/nowhere/*.jsonl"};
  EXPECT_THROW(step.prepare(), base::UsageError);
}

// ---- sample
// ------------------------------------------------------------------------------------------------------------

TEST(Sample, KeepsItsShare) {
  curate::Sample step;
  step.rate = 0.3;
  step.prepare();
  Document document;
  int kept = 0, other = 0;
  curate::Sample second;
  second.rate = 0.3;
  second.seed = 1;
  for (int i = 0; i < 20000; ++i) {
    std::string id = std::to_string(i);
    document.reset("text", id, "");
    bool keep = step.apply(document).keep;
    kept += keep;
    other += keep && second.apply(document).keep;
  }
  EXPECT_NEAR(kept, 6000, 200);
  EXPECT_NEAR(other, 1800, 150) << "another seed, an independent sample";
  base::OptionSet options(step);
  EXPECT_THROW(options.read_words({"--rate", "1.5"}), base::UsageError);
}

}  // namespace
