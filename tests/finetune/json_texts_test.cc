// Messages as JSON text, in every format that holds records.
#include "tokenizer/chat/json_texts.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/parquet.h"
#include "base/record_shape.h"
#include "finetune/data/data.h"
#include "tests/finetune/byte_tokenizer.h"
#include "tests/temporary_folder.h"

namespace {

using finetune::DataOptions;
using finetune::Dataset;
using finetune::ExampleMaker;
using finetune::Wanted;
using json = nlohmann::ordered_json;
using testing::HasSubstr;

// Records with their lists, and the same with the lists as JSON text.
struct Records {
  std::vector<json> plain, texts;
};

Records with_texts(std::vector<json> plain) {
  Records records{std::move(plain), {}};
  for (json record : records.plain) {
    for (auto& [key, value] : record.items())
      if (value.is_array()) value = fmt::format(" {}", value.dump());
    records.texts.push_back(std::move(record));
  }
  return records;
}

std::string lines_of(const std::vector<json>& records) {
  std::string lines;
  for (const json& record : records) lines += record.dump() + "\n";
  return lines;
}

std::string csv_of(const std::vector<json>& records) {
  std::string text, header;
  for (const auto& [key, value] : records[0].items()) header += (header.empty() ? "" : ",") + key;
  for (const json& record : records) {
    std::string row;
    for (const auto& [key, value] : record.items()) {
      row += row.empty() ? "\"" : ",\"";
      for (const char c : value.get<std::string>()) row.append(c == '"' ? 2 : 1, c);
      row += '"';
    }
    text += row + "\n";
  }
  return header + "\n" + text;
}

std::string write_parquet(const TemporaryFolder& folder, const std::string& name, const std::vector<json>& records) {
  base::RecordShape shape;
  for (const json& record : records) shape.add(record.dump());
  const base::ColumnType type = shape.type();
  const std::string path = folder / name;
  const auto like = base::parquet_types({}, "text");
  const auto writer = base::open_parquet_writer(path, type, *like, 3);
  base::RecordSplitter splitter(type);
  for (const json& record : records) splitter.append(record.dump(), writer->row());
  writer->end_row_group();
  writer->commit();
  return path;
}

std::vector<std::vector<std::int32_t>> ids_of(const Dataset& dataset) {
  std::vector<std::vector<std::int32_t>> ids;
  for (std::size_t i = 0; i < dataset.examples.size(); ++i)
    ids.emplace_back(dataset.examples[i].ids.begin(), dataset.examples[i].ids.end());
  return ids;
}

const char* kChats = R"([
    {"messages": [{"role": "user", "content": "Say \"[1]\",\nplease"}, {"role": "assistant", "content": "[1]"}]},
    {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}])";
const char* kShareGpt = R"([
    {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}], "system": "S"}])";
const char* kConversational = R"([
    {"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content": "A"}]}])";
const char* kPairs = R"([
    {"prompt": [{"role": "user", "content": "Q"}], "chosen": [{"role": "assistant", "content": "A"}],
     "rejected": [{"role": "assistant", "content": "B"}]}])";
// Whole conversations: what both begin with is the prompt.
const char* kWholePairs = R"([
    {"chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],
     "rejected": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "B"}]}])";

finetune::MakerOptions making(Wanted wanted) { return {.allow_special = false, .roles = {}, .wanted = wanted}; }

TEST(JsonTexts, EveryFormatGivesTheSameExamples) {
  const ByteTokenizer tokenizer;
  const auto check = [&](const char* plain, Wanted wanted) {
    const ExampleMaker maker(tokenizer, making(wanted));
    const TemporaryFolder folder;
    const Records records = with_texts(json::parse(plain).get<std::vector<json>>());
    const auto read = [&](const std::string& path) {
      const Dataset dataset = finetune::read_dataset({path}, maker, DataOptions{.max_length = 512});
      EXPECT_EQ(dataset.report.used, records.plain.size()) << path << ": " << dataset.report.first_bad;
      return ids_of(dataset);
    };
    const auto expected = read(folder.write("plain.jsonl", lines_of(records.plain)));
    EXPECT_EQ(read(folder.write("texts.jsonl", lines_of(records.texts))), expected);
    EXPECT_EQ(read(folder.write("texts.csv", csv_of(records.texts))), expected);
    EXPECT_EQ(read(write_parquet(folder, "texts.parquet", records.texts)), expected);
    EXPECT_EQ(read(write_parquet(folder, "structs.parquet", records.plain)), expected);
  };
  check(kChats, Wanted::kAnswers);
  check(kShareGpt, Wanted::kAnswers);
  check(kConversational, Wanted::kAnswers);
  check(kPairs, Wanted::kPairs);
  check(kWholePairs, Wanted::kPairs);
}

TEST(JsonTexts, TextsThatAreMeantAsTextsStay) {
  const ByteTokenizer tokenizer;
  const ExampleMaker answers(tokenizer), pairs(tokenizer, making(Wanted::kPairs));
  const auto text = [&](const ExampleMaker& maker, const json& record) {
    return tokenizer.decode(maker.make(record.dump()).ids, false);
  };
  const std::string list = R"([{"role": "user", "content": "Q"}])";
  EXPECT_EQ(text(answers, {{"prompt", "As JSON:"}, {"completion", list}}), "As JSON:" + list + "<|endoftext|>");
  EXPECT_EQ(text(answers, {{"prompt", "[INST]"}, {"completion", "[1"}}), "[INST][1<|endoftext|>");
  EXPECT_EQ(text(answers, {{"text", list}}), list + "<|endoftext|>");
  EXPECT_EQ(text(pairs, {{"prompt", "["}, {"chosen", R"([{"name": 1}])"}, {"rejected", R"([{"content": 1}])"}}),
            R"([[{"name": 1}]<|endoftext|>[[{"content": 1}]<|endoftext|>)");
}

TEST(JsonTexts, BrokenJsonIsABadRecordWithItsPlace) {
  const ByteTokenizer tokenizer;
  const ExampleMaker maker(tokenizer);
  const TemporaryFolder folder;
  const std::string path = folder.write("a.csv",
                                        "messages\n"
                                        "\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"Q\"\"}, "
                                        "{\"\"role\"\": \"\"assistant\"\", \"\"content\"\": \"\"A\"\"}]\"\n"
                                        "\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"Q\"\n");
  const Dataset dataset = finetune::read_dataset({path}, maker, DataOptions{.max_length = 64});
  EXPECT_EQ(dataset.report.used, 1U);
  EXPECT_EQ(dataset.report.bad, 1U);
  EXPECT_THAT(dataset.report.first_bad, HasSubstr("a.csv:3: messages: the messages are a text that is not JSON"));

  const auto error = [&](const json& record, Wanted wanted = Wanted::kAnswers) -> std::string {
    try {
      ExampleMaker(tokenizer, making(wanted)).make(record.dump());
    } catch (const base::Error& caught) {
      return caught.what();
    }
    return "no error";
  };
  const std::string list = R"([{"role": "user", "content": "Q"}])";
  EXPECT_THAT(error({{"messages", "[{'role': 'user', 'content': 'Q'}]"}}), HasSubstr("write it with json.dumps"));
  EXPECT_THAT(error({{"messages", "[1"}}), HasSubstr("not JSON"));
  EXPECT_THAT(error({{"messages", "[1]"}}), HasSubstr("a message is not an object"));
  EXPECT_THAT(error({{"messages", "Q"}}), HasSubstr("not a list of messages"));
  EXPECT_THAT(error({{"prompt", list}, {"completion", "[{\"role\": \"assistant\""}}), HasSubstr("completion: "));
  EXPECT_THAT(error({{"prompt", "Q"}, {"chosen", "[{'content': 'A'"}, {"rejected", "B"}}, Wanted::kPairs),
              HasSubstr("chosen: the messages are a text that is not JSON"));
}

}  // namespace
