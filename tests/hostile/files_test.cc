// Files that are not what they seem: cut off, glued together, bombs, empty, folders.
#include "base/file.h"
#include "base/random.h"
#include "tests/error_of.h"
#include "tests/hostile/hostile_run.h"

namespace hostile {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

std::string many_records(int count) {
  base::Random random(3);
  std::string lines;
  for (int i = 0; i < count; ++i)
    lines += record("r" + std::to_string(i), "text " + std::to_string(random()) + " of record " + std::to_string(i));
  return lines;
}

class Compressed : public testing::TestWithParam<const char*> {};

TEST_P(Compressed, CutOffAndConcatenated) {
  const std::string suffix = GetParam();
  TemporaryFolder folder;
  const std::string lines = many_records(20'000), frame = repeated(folder, suffix, lines, 1);
  const std::string whole = folder.write("whole.jsonl" + suffix, frame + frame);
  const std::string cut = folder.write("cut.jsonl" + suffix, frame + frame.substr(0, frame.size() / 2));
  const std::string glued = folder.write("glued.jsonl" + suffix, frame + "these bytes are no frame");
  const std::string plain = folder.write("plain.jsonl" + suffix, record("never", "compressed"));
  const std::string after = folder.write("z.jsonl", record("after", "the run goes on"));
  Outcome outcome = run(folder, {whole, cut, glued, plain, after});
  EXPECT_EQ(outcome.ids().back(), "after");
  EXPECT_EQ(outcome.ids().rbegin()[1], "never");  // what a file holds counts, not its suffix
  EXPECT_THAT(outcome.report["losses"], SizeIs(2));
  EXPECT_EQ(outcome.report["losses"][0]["file"], cut);
  EXPECT_EQ(outcome.report["losses"][1]["file"], glued);
  // 40,000 of `whole`, 20,000 and about half of them of `cut`, 20,000 of `glued`.
  EXPECT_GT(outcome.kept.size(), 80'000u + 5'000u);
  EXPECT_LT(outcome.kept.size(), 80'000u + 15'000u);
  ASSERT_THAT(outcome.quarantined, SizeIs(2));
  const json &first = outcome.quarantined[0], &second = outcome.quarantined[1];
  EXPECT_EQ(first["file"], cut);
  EXPECT_THAT(first["error"], HasSubstr("cut off"));
  EXPECT_THAT(first["error"], HasSubstr(cut + "@" + std::to_string(frame.size() + frame.size() / 2)));
  // The offset is that of the piece in the decompressed bytes, and the piece is what stands there.
  const std::string twice = lines + lines, piece = first["text"];
  EXPECT_EQ(twice.substr(first["offset"].get<std::size_t>(), piece.size()), piece);
  EXPECT_EQ(second["file"], glued);
  EXPECT_EQ(second["offset"], lines.size());
}

TEST_P(Compressed, ABombOfOneLineIsOneQuarantinedRecord) {
  const std::string suffix = GetParam();
  TemporaryFolder folder;
  // More than 10 GB in some 340 kB; gzip packs less tightly and unpacks ten times slower: 1 GB.
  const int pieces = suffix == ".gz" ? 16 : 162;
  const std::string bomb = folder.write(
      "bomb.jsonl" + suffix, repeated(folder, suffix, "\n{\"text\":\"before\",\"id\":\"before\"}\n{\"text\":\"", 1) +
                                 repeated(folder, suffix, std::string(64 << 20, 'x'), pieces) +
                                 repeated(folder, suffix, "\"}\n{\"text\":\"behind\",\"id\":\"behind\"}\n", 1));
  const std::string after = folder.write("z.jsonl", record("after", "the run goes on"));
  const long before = peak_megabytes();
  Outcome outcome = run(folder, {bomb, after}, "steps: []\n", {"--max-record", "16M"});
  EXPECT_THAT(outcome.ids(), ElementsAre("before", "behind", "after"));
  ASSERT_THAT(outcome.quarantined, SizeIs(1));
  EXPECT_EQ(outcome.quarantined[0]["size"], (std::uint64_t{64} << 20) * static_cast<std::uint64_t>(pieces) + 11);
  EXPECT_EQ(outcome.quarantined[0]["line"], 3);
  EXPECT_EQ(outcome.quarantined[0]["offset"], 1 + std::string("{\"text\":\"before\",\"id\":\"before\"}\n").size());
  EXPECT_THAT(outcome.quarantined[0]["error"], HasSubstr("longer than the limit"));
  if (!kSanitized) {
    EXPECT_LT(peak_megabytes() - before, 200) << "MB, for a limit of 16 MB a record";
  }
}

TEST_P(Compressed, ABombOfManyLinesStaysSmall) {
  const std::string suffix = GetParam();
  TemporaryFolder folder;
  std::string blank(32 << 20, '\n'), bad;
  for (int i = 0; i < 1000; ++i) bad += "1\n";
  const std::string lines = folder.write("blank.jsonl" + suffix, repeated(folder, suffix, blank, 8));
  const std::string records = folder.write("bad.jsonl" + suffix, repeated(folder, suffix, bad, 1000));
  const std::string after = folder.write("z.jsonl", record("after", "the run goes on"));
  const long before = peak_megabytes();
  Outcome outcome = run(folder, {lines, after});
  EXPECT_THAT(outcome.ids(), ElementsAre("after"));
  EXPECT_EQ(outcome.report["read"]["records"], 1);
  // A million bad records: the run stops at --max-bad, and what it wrote until then is there.
  const std::string message = error_of([&] { run(folder, {records}, "steps: []\n", {"--max-bad", "5000"}); });
  EXPECT_THAT(message, HasSubstr("too many records could not be read"));
  EXPECT_THAT(message, HasSubstr("--max-bad 5000"));
  std::size_t written = 0;
  base::for_each_record({folder / "out/quarantine/00000.jsonl.zst"}, {},
                        [&](std::string_view, const base::Place&, const std::string&) { ++written; });
  EXPECT_GT(written, 5000u);
  if (!kSanitized) {
    EXPECT_LT(peak_megabytes() - before, 300) << "MB";
  }
}

INSTANTIATE_TEST_SUITE_P(, Compressed, testing::Values(".zst", ".gz"),
                         [](const auto& info) { return std::string(info.param + 1); });

TEST(HostileFiles, EmptyOnesOfEveryFormat) {
  TemporaryFolder folder;
  std::vector<std::string> files;
  for (const char* name : {"a.jsonl", "b.json", "c.csv", "d.txt", "e.jsonl.zst", "f.jsonl.gz"})
    files.push_back(folder.write(name, ""));
  files.push_back(folder.write("g.jsonl", "\xEF\xBB\xBF"));
  files.push_back(folder.write("h.jsonl", "\n\r\n  \n\t\n"));
  files.push_back(folder.write("i.jsonl.zst", base::zstd_compress("")));
  EXPECT_EQ(run(folder, files).report["read"]["records"], 0);
  files.push_back(folder.write("z.jsonl", record("last", "the only one")));
  const Outcome outcome = run(folder, files);
  EXPECT_THAT(outcome.ids(), ElementsAre("last"));
  EXPECT_EQ(outcome.report["losses"].size(), files.size() - 1);
}

TEST(HostileFiles, AFolderAMissingFileAndAnUnknownFormatAreRefusedBeforeAnythingIsWritten) {
  TemporaryFolder folder;
  const std::string good = folder.write("good.jsonl", record("good", "text"));
  std::filesystem::create_directory(folder / "folder.jsonl");
  folder.write("picture.png", "\x89PNG");
  for (const char* name : {"folder.jsonl", "missing.jsonl", "picture.png"}) {
    const std::string message = error_of([&] { run(folder, {good, folder / name}); });
    EXPECT_THAT(message, HasSubstr(name));
    EXPECT_FALSE(std::filesystem::exists(folder / "out/kept")) << name;
  }
}

TEST(HostileFiles, ByteOrderMarksAndLineEnds) {
  TemporaryFolder folder;
  const std::string mark = "\xEF\xBB\xBF";
  // A mark at the start of each file is dropped; one inside belongs to no record.
  const std::string a = folder.write(
      "a.jsonl", mark + "{\"id\":\"crlf\",\"text\":\"one\"}\r\n\r\n{\"id\":\"lf\",\"text\":\"two\\r\\n\"}\n");
  const std::string b = folder.write("b.jsonl", mark + record("marked", "three") + mark + record("lost", "four"));
  const std::string c = folder.write("c.csv", mark + "id,text\r\ncsv,\"five\r\nsix\"\r\n");
  const std::string d = folder.write("d.json", mark + "[{\"id\":\"array\",\"text\":\"seven\"}]\r\n");
  const std::string e = folder.write("e.jsonl", "{\"id\":\"cr\",\"text\":\"a\"}\r{\"id\":\"cr2\",\"text\":\"b\"}\r");
  Outcome outcome = run(folder, {a, b, c, d, e}, "steps: []\n", {"--id-field", "id"});
  EXPECT_THAT(outcome.ids(), ElementsAre("crlf", "lf", "marked", "csv", "array", "cr", "cr2"));
  EXPECT_EQ(outcome.kept[1]["text"], "two\r\n");
  EXPECT_EQ(outcome.kept[3]["text"], "five\r\nsix");
  ASSERT_THAT(outcome.quarantined, SizeIs(1));  // the mark inside
  EXPECT_EQ(outcome.quarantined[0]["file"], b);
  EXPECT_EQ(outcome.quarantined[0]["line"], 2);
}

// Ids and sources that are made of a file's name, which may be any bytes, can be read again: `run` parses all
// that was written.
TEST(HostileFiles, NamesThatAreNoUtf8) {
  TemporaryFolder folder;
  const std::string line = "{\"text\":\"the same text of some words\"}\n";
  const std::string records = folder.write("na\xEFve.jsonl", line + line);
  const std::string text = folder.write("na\xEFve.txt", "another text of some other words");
  Outcome outcome = run(folder, {records, text}, "steps: [deduplicate]\n");
  ASSERT_THAT(outcome.kept, SizeIs(2));
  EXPECT_THAT(outcome.kept[1]["id"].get<std::string>(), testing::EndsWith("na\uFFFDve.txt"));
  ASSERT_THAT(outcome.dropped, SizeIs(1));
  EXPECT_EQ(outcome.dropped[0]["hornbook"]["duplicate_of"], "na\uFFFDve.jsonl:1");
  EXPECT_THAT(outcome.quarantined, SizeIs(0));
  EXPECT_EQ(outcome.report["sources"]["na\uFFFDve"]["read"]["records"], 3);
}

}  // namespace
}  // namespace hostile
