// Records that are none, or hardly: bad bytes, deep nesting, huge lines, ids twice.
#include "tests/hostile/hostile_run.h"

namespace hostile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// One bad line and what is said of it.
struct Bad {
  std::string line, error;
};

TEST(HostileLines, EachBadLineIsQuarantinedWithItsPlaceAndReason) {
  using namespace std::string_literals;
  const std::vector<Bad> bad = {
      {"{\"text\":\"\xFF\xFE\"}", "not valid UTF-8 (name another encoding with --encoding)"},
      {"{\"text\":\"\xC0\x80 overlong\"}", "not valid UTF-8 (name another encoding with --encoding)"},
      {"{\"text\":\"\xED\xA0\x80 a surrogate\"}", "not valid UTF-8 (name another encoding with --encoding)"},
      {"{\"text\":\"cut \xE4\xB8\"}", "not valid UTF-8 (name another encoding with --encoding)"},
      {"{\"text\":\"a\",\"\xFF\":1}", "UTF-8"},
      {R"({"text":"\udc00 alone"})", "not a JSON record"},
      {R"({"text":"a","id":"\ud800"})", "not a JSON record"},
      {R"({"text":"\ud800 alone"})", "not a JSON record"},
      {R"({"text":"\udc00\ud800 swapped"})", "not a JSON record"},
      {"{\"text\":\"raw \0 byte\"}"s, "not a JSON record"},
      {"\0\0\0\0"s, "not a JSON record"},
      {"{\"text\":\"a\"}\0"s, "not a JSON record"},
      {"{}", "no field \"text\""},
      {R"({"Text":"other case"})", "no field \"text\""},
      {R"({"text":null})", "field \"text\" is not a string"},
      {R"({"text":5})", "field \"text\" is not a string"},
      {R"({"text":["a"]})", "field \"text\" is not a string"},
      {R"({"text":{"text":"a"}})", "field \"text\" is not a string"},
      {R"(["text","a"])", "not a JSON object"},
      {"\"text\"", "not a JSON object"},
      {R"({"text":"a"}{"text":"b"})", "not a JSON record"},
      {R"({"text":"a",})", "not a JSON record"},
      {R"({"text":"a","x":nan})", "not a JSON record"},
      {R"({"text":"a","x":01})", "not a JSON record"},
      {R"({"text":"never closed)", "not a JSON record"},
      {"{\"text\":\"a\ttab\"}", "not a JSON record"},
      {R"({"text":"\x41"})", "not a JSON record"},
      {std::string(100'000, '['), "not a JSON record"},
      {R"({"text":"a","deep":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}", "not a JSON record"},
  };
  TemporaryFolder folder;
  std::string bytes;
  std::vector<std::size_t> offsets;
  for (const Bad& line : bad) {
    offsets.push_back(bytes.size());
    bytes += line.line + "\n" + record("after " + std::to_string(offsets.size()), "good");
  }
  const std::string file = folder.write("bad.jsonl", bytes);
  for (const char* threads : {"1", "2"}) {
    Outcome outcome = run(folder, {file}, "steps: []\n", {"--threads", threads, "--text-field", "text"});
    EXPECT_THAT(outcome.kept, SizeIs(bad.size()));  // every line behind a bad one
    ASSERT_THAT(outcome.quarantined, SizeIs(bad.size()));
    for (std::size_t i = 0; i < bad.size(); ++i) {
      const json& piece = outcome.quarantined[i];
      EXPECT_THAT(piece["error"], HasSubstr(bad[i].error)) << i;
      EXPECT_EQ(piece["offset"], offsets[i]) << i;
      EXPECT_EQ(piece["line"], 2 * i + 1) << i;
      EXPECT_EQ(piece["size"], bad[i].line.size()) << i;
      if (piece.contains("text")) {
        EXPECT_TRUE(bad[i].line.starts_with(piece["text"].get<std::string>())) << i;
      }
    }
  }
}

TEST(HostileLines, StrangeButValidRecordsStayAsTheyCame) {
  TemporaryFolder folder;
  const std::vector<std::string> lines = {
      R"({"text":"\u0000 a NUL that was escaped","id":"nul"})",
      R"({"text":"\ud83d\ude00 a pair","id":"pair"})",
      R"({"text":"","id":"empty"})",
      R"({"id":"deep","deep":)" + std::string(1000, '[') + std::string(1000, ']') + R"(,"text":"a thousand"})",
      R"({"text":"first","text":"second","id":"twice"})",
      R"({"text":"numbers","id":12345678901234567890,"n":1e308})",
      R"({"text":"an object as id","id":{"a":1}})",
      R"({"te\u0078t":"an escaped key","id":"key"})",
      R"({"":"","text":"an empty key","id":"no name"})",
  };
  std::string bytes;
  for (const std::string& line : lines) bytes += line + "\n";
  const std::string file = folder.write("good.jsonl", bytes);
  run(folder, {file});
  std::vector<std::string> back;
  base::for_each_record(
      {folder / "out/kept/00000.jsonl.zst"}, {},
      [&](std::string_view line, const base::Place&, const std::string&) { back.emplace_back(line); });
  std::vector<std::string> expected = lines;
  expected[4] = R"({"text":"second","id":"twice"})";  // the value that was judged, once
  EXPECT_TRUE(back == expected);                      // a thousand brackets are hard to read
}

TEST(HostileLines, IdsThatComeTwiceAreTwoDocuments) {
  TemporaryFolder folder;
  const std::string text = "the stone lies in the river and the child that sees it asks of the water and of the stone";
  const std::string file =
      folder.write("twice.jsonl", record("same", text) + record("same", "another text altogether, of other words") +
                                      record("same", text + " indeed") + record("", text) + record("other", text));
  Outcome outcome = run(folder, {file}, "steps:\n  - deduplicate\n");
  ASSERT_THAT(outcome.dropped, SizeIs(3));
  EXPECT_THAT(outcome.ids(), ElementsAre("same", "same"));
  for (const json& record : outcome.dropped) EXPECT_EQ(record["hornbook"]["duplicate_of"], "same");
}

TEST(HostileLines, ALineOfTwoHundredMegabytesThatIsNoRecord) {
  TemporaryFolder folder;
  constexpr std::size_t kSize = 200'000'000;
  std::string bytes = record("before", "text") + "{\"text\":\"";
  bytes.append(kSize, 'a');
  const std::size_t size = kSize + 9;
  bytes += "\n" + record("behind", "text");  // its quote is never closed
  const std::string file = folder.write("huge.jsonl", bytes);
  bytes = std::string();
  const long before = peak_megabytes();
  Outcome outcome = run(folder, {file}, "steps: []\n", {"--threads", "2"});
  EXPECT_THAT(outcome.ids(), ElementsAre("before", "behind"));
  ASSERT_THAT(outcome.quarantined, SizeIs(1));
  EXPECT_EQ(outcome.quarantined[0]["size"], size);
  EXPECT_EQ(outcome.quarantined[0]["line"], 2);
  EXPECT_THAT(outcome.quarantined[0]["text"].get<std::string>(), SizeIs(64 << 10));
  if (!kSanitized) {
    EXPECT_LT(peak_megabytes() - before, 900) << "MB";
  }
}

}  // namespace
}  // namespace hostile
