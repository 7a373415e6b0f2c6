// Prepared data kept from run to run: the same examples with and without, and never those of something else.
#include "finetune/data/data_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "finetune/data/data_key.h"
#include "finetune/data/packing.h"
#include "tests/finetune/byte_tokenizer.h"
#include "tests/finetune/tiny_llama.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using finetune::DataCache;
using finetune::DataKey;
using finetune::DataOptions;
using finetune::Dataset;
using finetune::ExampleMaker;
using finetune::MakerOptions;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// Records of all fates, enough for many blocks.
std::string records() {
  std::string text;
  for (int i = 0; i < 5000; ++i)
    text += R"({"prompt":"say )" + std::to_string(i) + R"( ","completion":")" + std::string(i % 90, 'a') + "\"}\n";
  return text + "{\"other\":1}\nnot json\n{\"prompt\":\"" + std::string(200, 'p') + "\",\"completion\":\"c\"}\n";
}

class Cache : public testing::Test {
 protected:
  Dataset read(const DataOptions& options, const MakerOptions& making = {}, const std::string& tokenizer = "bytes") {
    told_.clear();
    const DataCache cache({folder_.path() / "cache", limit_}, [&](const std::string& what) { told_ += what + "\n"; });
    return cache.read({file_}, ExampleMaker(tokenizer_, making), options, tokenizer, making);
  }
  std::vector<fs::path> kept() const {
    std::vector<fs::path> files;
    if (fs::exists(folder_.path() / "cache"))
      for (const auto& entry : fs::directory_iterator(folder_.path() / "cache")) files.push_back(entry.path());
    return files;
  }

  const TemporaryFolder folder_;
  const ByteTokenizer tokenizer_;
  std::string file_ = folder_.write("data.jsonl", records());
  DataOptions options_{.max_length = 64, .threads = 2};
  base::ByteSize limit_{1'000'000'000};
  std::string told_;
};

// Every row with all that training reads of it, for some epochs.
std::vector<std::int64_t> rows_of(const finetune::Examples& examples) {
  std::vector<std::int64_t> all;
  finetune::RowStream stream(examples, 64, true, 7);
  for (std::int64_t i = 0; i < 2 * stream.rows_per_epoch(); ++i) {
    const finetune::PackedRow row = finetune::make_row(examples, stream.row(i));
    for (const at::Tensor& numbers : {row.ids, row.targets})
      all.insert(all.end(), numbers.const_data_ptr<std::int64_t>(),
                 numbers.const_data_ptr<std::int64_t>() + numbers.numel());
    all.insert(all.end(), row.lengths.begin(), row.lengths.end());
  }
  return all;
}

TEST_F(Cache, GivesTheSameRowsAsWithout) {
  const Dataset without = finetune::read_dataset({file_}, ExampleMaker(tokenizer_), options_);
  const Dataset first = read(options_);
  EXPECT_THAT(told_, HasSubstr("kept in"));
  ASSERT_EQ(kept().size(), 1u);
  const Dataset second = read(options_);
  EXPECT_THAT(told_, HasSubstr("prepared before"));
  const auto rows = rows_of(without.examples);
  EXPECT_GT(rows.size(), 100'000u);
  EXPECT_EQ(rows_of(first.examples), rows);
  EXPECT_EQ(rows_of(second.examples), rows);
  EXPECT_EQ(finetune::fingerprint(second.examples), finetune::fingerprint(without.examples));
  for (const Dataset* dataset : {&first, &second}) {
    EXPECT_EQ(dataset->report.to_text(options_), without.report.to_text(options_));
    EXPECT_EQ(dataset->report.to_json(), without.report.to_json());
    EXPECT_EQ(dataset->report.first_bad, without.report.first_bad);
    EXPECT_THAT(dataset->report.first_bad, HasSubstr(file_ + ":5001"));
    EXPECT_EQ(dataset->examples[17].origin.line, 18u);
  }
}

TEST_F(Cache, BytesDoNotDependOnThreads) {
  std::set<std::string> contents;
  for (const int threads : {1, 2, 5}) {
    options_.threads = threads;
    read(options_);
    ASSERT_EQ(kept().size(), 1u);
    contents.insert(base::read_file(kept()[0]));
    fs::remove(kept()[0]);
  }
  EXPECT_EQ(contents.size(), 1u);
}

// Whatever decides the examples makes another file; what does not finds the same.
TEST_F(Cache, KnowsWhatTheExamplesWereMadeOf) {
  read(options_);
  std::size_t files = 1;
  const auto is_other = [&](const char* what) {
    EXPECT_THAT(told_, HasSubstr("kept in")) << what;
    EXPECT_EQ(kept().size(), ++files) << what;
  };
  const auto with = [&](auto change) {
    DataOptions options = options_;
    MakerOptions making;
    change(options, making);
    options.text = making.text;
    read(options, making);
  };
  with([](DataOptions& o, MakerOptions&) { o.max_length = 63; });
  is_other("max_length");
  with([](DataOptions& o, MakerOptions&) { o.too_long = "split"; });
  is_other("too_long");
  with([](DataOptions& o, MakerOptions&) { o.limit = 100; });
  is_other("limit");
  with([](DataOptions&, MakerOptions& m) { m.allow_special = true; });
  is_other("allow_special");
  with([](DataOptions&, MakerOptions& m) { m.roles = {"owl=user"}; });
  is_other("roles");
  with([](DataOptions&, MakerOptions& m) { m.train_on.train_on = "last"; });
  is_other("train_on");
  with([](DataOptions&, MakerOptions& m) { m.text.encoding = "utf-8"; });
  is_other("encoding");
  read(options_, {}, "another tokenizer");
  is_other("tokenizer");
  // The same size and almost the same bytes.
  std::string changed = records();
  changed[changed.find("say 7")] = 'S';
  const auto time = fs::last_write_time(file_);
  base::write_file(file_, changed);
  fs::last_write_time(file_, time);
  read(options_);
  is_other("content");
  base::write_file(file_, records());
  const std::string content = base::read_file(file_), old = file_;
  file_ = folder_.write("data.ndjson", content);
  read(options_);
  is_other("suffix");
  fs::create_directories(folder_.path() / "lang=de");
  file_ = (folder_.path() / "lang=de/data.jsonl").string();
  base::write_file(file_, content);
  read(options_);
  EXPECT_THAT(told_, HasSubstr("prepared before")) << "a folder's name gives no field";

  file_ = folder_.write("moved.jsonl", content);
  const Dataset moved = read(options_);
  EXPECT_THAT(told_, HasSubstr("prepared before")) << "the same bytes under another name";
  EXPECT_THAT(moved.report.first_bad, HasSubstr("moved.jsonl:5001"));
  with([](DataOptions& o, MakerOptions&) { o.threads = 1, o.max_bad = {7}; });
  EXPECT_THAT(told_, HasSubstr("prepared before")) << "nothing of the examples";
  EXPECT_EQ(kept().size(), files);
}

TEST_F(Cache, IsMadeAgainWhenItIsNotWhole) {
  const Dataset good = read(options_);
  const fs::path file = kept().at(0);
  const std::string bytes = base::read_file(file);
  std::vector<std::pair<std::string, std::string>> spoiled = {{"", "cut off"}, {"x", "cut off"}};
  for (const std::size_t size : {8ul, bytes.size() / 2, bytes.size() - 1})
    spoiled.push_back({bytes.substr(0, size), "cut off"});
  for (const std::size_t place : {20ul, bytes.size() / 2, bytes.size() - 200}) {
    std::string changed = bytes;
    changed[place] ^= 1;
    spoiled.push_back({changed, "have changed"});
  }
  spoiled.push_back({std::string(bytes.size(), 'x'), "something else"});
  for (const auto& [content, why] : spoiled) {
    base::write_file(file, content);
    const Dataset again = read(options_);
    EXPECT_THAT(told_, HasSubstr("prepared anew")) << content.size();
    EXPECT_THAT(told_, HasSubstr(why)) << content.size();
    EXPECT_EQ(base::read_file(file), bytes) << "and mended";
    EXPECT_EQ(finetune::fingerprint(again.examples), finetune::fingerprint(good.examples));
  }
  // A whole file under another's name.
  options_.max_length = 50;
  read(options_);
  for (const fs::path& other : kept())
    if (other != file) fs::rename(file, other);
  read(options_);
  EXPECT_THAT(told_, HasSubstr("it was made of other data"));
}

TEST_F(Cache, ThatCannotBeWrittenIsNoError) {
  base::write_file(folder_.path() / "cache", "a file where the folder should be");
  const Dataset dataset = read(options_);
  EXPECT_THAT(told_, HasSubstr("cannot be used, the examples stay in memory"));
  EXPECT_GT(dataset.examples.size(), 4000u);
}

TEST_F(Cache, KeepsNothingOfDataThatAreRefused) {
  options_.max_bad = {1};
  EXPECT_THROW(read(options_), base::Error);
  EXPECT_TRUE(kept().empty());
  options_.max_bad = {100};
  read(options_);
  EXPECT_EQ(kept().size(), 1u);
  options_.max_bad = {1};
  EXPECT_THROW(read(options_), base::Error) << "whether it is prepared or not";
}

// What comes between the look at a file's content and its reading is not kept under the key of that content.
TEST_F(Cache, KeepsNothingOfAFileThatChangesBehindItsKey) {
  const std::size_t all = read(options_).examples.size();
  base::write_file(kept().at(0), "no examples");
  const std::string before = base::read_file(file_);
  const DataCache cache({folder_.path() / "cache", limit_}, [&](const std::string& what) {
    told_ += what + "\n";
    if (what.find("prepared anew") != what.npos)
      base::write_file(file_, before + "{\"prompt\":\"p\",\"completion\":\"c\"}\n");
  });
  told_.clear();
  EXPECT_EQ(cache.read({file_}, ExampleMaker(tokenizer_), options_, "bytes", {}).examples.size(), all + 1);
  EXPECT_THAT(told_, HasSubstr("changed while it was read"));
  base::write_file(file_, before);
  EXPECT_EQ(read(options_).examples.size(), all);
}

TEST_F(Cache, LeavesNothingWhereItCannotKeep) {
  read(options_);
  const fs::path file = kept().at(0);
  fs::remove(file);
  fs::create_directories(file / "in the way");
  read(options_);
  EXPECT_THAT(told_, HasSubstr("the examples stay in memory"));
  for (const fs::path& left : kept()) EXPECT_NE(left.extension(), ".part");
}

TEST_F(Cache, LosesWhatWasNotUsedForLongest) {
  read(options_);
  const fs::path first = kept().at(0);
  limit_.bytes = 2 * fs::file_size(first) + fs::file_size(first) / 2;  // two and a half of them
  const auto age = [&](const fs::path& file, int hours) {
    fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(hours));
  };
  age(first, 5);
  base::write_file(folder_.path() / "cache/dead.4711.part", "left by a kill");
  age(folder_.path() / "cache/dead.4711.part", 30);
  base::write_file(folder_.path() / "cache/busy.4712.part", "another run is at it");
  options_.max_length = 63;
  read(options_);
  EXPECT_EQ(kept().size(), 3u);
  EXPECT_THAT(kept(), Contains(folder_.path() / "cache/busy.4712.part"));
  for (const fs::path& file : kept())
    if (file.extension() == ".examples" && file != first) age(file, 3);
  options_.max_length = 64;
  read(options_);  // the first, which is young now
  options_.max_length = 62;
  read(options_);
  EXPECT_THAT(told_, HasSubstr("1 that were not used for longest went"));
  EXPECT_THAT(kept(), Contains(first));
  limit_.bytes = 1;
  options_.max_length = 61;
  read(options_);
  EXPECT_EQ(kept().size(), 2u) << "what is in use, and what is not ours";
}

TEST_F(Cache, NothingIsKeptOfAPipe) {
  const std::string pipe = (folder_.path() / "pipe.jsonl").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::jthread writer([&] { std::ofstream(pipe) << records(); });
  file_ = pipe;
  EXPECT_GT(read(options_).examples.size(), 4000u);
  EXPECT_TRUE(kept().empty());
}

TEST(DataKeys, NameTheTokenizerByItsFiles) {
  const tiny_llama::Changed model("tied", [](const std::string&, at::Tensor&) {});
  base::write_file(model.path() / "tokenizer.json", byte_tokenizer_json({"<|endoftext|>"}));
  const auto identity = [&] {
    const lora::ModelFiles files(model.path().string());
    return finetune::identity_of(*tokenizer::load(model.path()), files);
  };
  const std::string plain = identity();
  EXPECT_EQ(identity(), plain);
  base::write_file(model.path() / "model.safetensors.bin", "weights of another format");
  EXPECT_EQ(identity(), plain) << "weights decide no token";
  base::write_file(model.path() / "tokenizer_config.json", R"({"eos_token":"<|endoftext|>"})");
  const std::string with_end = identity();
  EXPECT_NE(with_end, plain);
  base::write_file(model.path() / "chat_template.jinja", "{{ messages[0]['content'] }}");
  EXPECT_NE(identity(), with_end);
  EXPECT_THAT(identity(), Not(HasSubstr(" day ")));
  base::write_file(model.path() / "chat_template.jinja", "{{ strftime_now('%d %b %Y') }}{{ messages[0]['content'] }}");
  EXPECT_THAT(identity(), HasSubstr(" day 20")) << "tomorrow it writes something else";
}

}  // namespace
