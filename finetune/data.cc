#include "finetune/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/pipeline.h"
#include "base/random.h"
#include "base/records.h"
#include "base/text.h"

namespace finetune {
namespace {

using Json = nlohmann::json;
using tokenizer::Message;

std::string text_of(const Json& record, const char* key) {
  auto found = record.find(key);
  if (found == record.end() || found->is_null()) return "";
  if (!found->is_string()) {
    throw base::Error({"a field of the record is not text", key, base::shortened(found->dump()), "a string", ""});
  }
  return found->get<std::string>();
}

// `content` is text, or OpenAI's list of parts of which we take the text ones.
std::string content_of(const Json& message, const char* key) {
  auto found = message.find(key);
  if (found == message.end() || !found->is_array()) return text_of(message, key);
  std::string text;
  for (const Json& part : *found) {
    if (!part.is_object() || part.value("type", "") != "text") {
      throw base::Error({"a message has a part that is not text", key, base::shortened(part.dump()), "", ""});
    }
    text += text_of(part, "text");
  }
  return text;
}

// ShareGPT's names and those of its kin -> the roles of chat templates.
std::string role_of(const std::string& name) {
  if (name == "human" || name == "user") return "user";
  if (name == "gpt" || name == "assistant" || name == "chatgpt" || name == "bing" || name == "bard" || name == "model")
    return "assistant";
  if (name == "system") return "system";
  throw base::Error({"unknown role in a conversation", "", base::shortened(name), "system, user or assistant", ""});
}

std::vector<Message> conversation(const Json& turns, const char* role_key, const char* text_key) {
  if (!turns.is_array() || turns.empty()) throw base::Error("the conversation is not a list of messages");
  std::vector<Message> messages;
  for (const Json& turn : turns) {
    if (!turn.is_object() || !turn.contains(role_key) || !turn.contains(text_key)) {
      throw base::Error({"a message without its keys", "", base::shortened(turn.dump()),
                         fmt::format("{{\"{}\", \"{}\"}}", role_key, text_key), ""});
    }
    if (turn.contains("tool_calls") && !turn["tool_calls"].is_null()) {
      throw base::Error("a message calls tools, which is not supported yet");
    }
    messages.push_back({role_of(text_of(turn, role_key)), content_of(turn, text_key)});
  }
  return messages;
}

// What one block of the input gives; reports are added in input order.
struct BlockResult {
  std::vector<Example> examples;
  DataReport report;
};

void count_bad(DataReport& report, const std::string& where, const std::string& why) {
  ++report.bad;
  if (report.first_bad.empty()) report.first_bad = where + ": " + why;
}

// Applies the length policy and counts the record.
void take(Example example, const DataOptions& options, BlockResult& result) {
  DataReport& report = result.report;
  const auto limit = static_cast<std::size_t>(options.max_length);
  std::vector<Example> pieces;
  if (example.ids.size() <= limit) {
    pieces.push_back(std::move(example));
  } else {
    ++report.too_long;
    if (options.too_long == "drop") {
      ++report.dropped;
      return;
    }
    for (std::size_t begin = 0; begin < example.ids.size(); begin += limit) {
      const std::size_t end = std::min(begin + limit, example.ids.size());
      const auto from = static_cast<std::ptrdiff_t>(begin), to = static_cast<std::ptrdiff_t>(end);
      pieces.push_back({{example.ids.begin() + from, example.ids.begin() + to},
                        {example.trained.begin() + from, example.trained.begin() + to}});
      if (options.too_long == "truncate") break;
    }
  }
  std::erase_if(pieces, [](const Example& piece) { return piece.targets() == 0; });
  ++(pieces.empty() ? report.untrained : report.used);
  for (Example& piece : pieces) {
    ++report.examples;
    report.tokens += piece.ids.size();
    report.trained_tokens += static_cast<std::uint64_t>(piece.targets());
    result.examples.push_back(std::move(piece));
  }
}

void add(DataReport& total, const DataReport& part) {
  total.read += part.read;
  total.used += part.used;
  total.untrained += part.untrained;
  total.dropped += part.dropped;
  total.bad += part.bad;
  total.too_long += part.too_long;
  total.examples += part.examples;
  total.tokens += part.tokens;
  total.trained_tokens += part.trained_tokens;
  if (total.first_bad.empty()) total.first_bad = part.first_bad;
}

}  // namespace

std::int64_t Example::targets() const {
  std::int64_t count = 0;
  for (std::size_t i = 1; i < trained.size(); ++i) count += trained[i];
  return count;
}

ExampleMaker::ExampleMaker(const tokenizer::Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  try {
    chat_ = tokenizer::chat_template_of(tokenizer);
  } catch (const base::Error& error) {
    chat_error_ = error.what();
  }
}

Example ExampleMaker::from_chat(const std::vector<Message>& messages) const {
  if (!chat_) {
    throw base::UsageError({"the data has conversations, but the model's chat template cannot be used: " + chat_error_,
                            "--data", "", "", "give {\"prompt\", \"completion\"} or {\"text\"} records"});
  }
  tokenizer::Rendered rendered = chat_->render(messages, false);
  return {std::move(rendered.ids), std::move(rendered.trained)};
}

Example ExampleMaker::from_text(const std::string& prompt, const std::string& completion) const {
  Example example;
  if (tokenizer_.add_bos && tokenizer_.bos) example.ids.push_back(*tokenizer_.bos);
  const std::vector<std::int32_t> before = tokenizer_.encode(prompt), after = tokenizer_.encode(completion);
  example.ids.insert(example.ids.end(), before.begin(), before.end());
  example.trained.assign(example.ids.size(), 0);
  example.ids.insert(example.ids.end(), after.begin(), after.end());
  if (tokenizer_.eos) example.ids.push_back(*tokenizer_.eos);
  example.trained.resize(example.ids.size(), 1);
  return example;
}

Example ExampleMaker::make(std::string_view record) const {
  Json json;
  try {
    json = Json::parse(record);
  } catch (const Json::exception& error) {
    throw base::Error(fmt::format("not valid JSON: {}", error.what()));
  }
  if (!json.is_object()) throw base::Error("the record is not a JSON object");
  try {
    if (json.contains("messages")) return from_chat(conversation(json["messages"], "role", "content"));
    if (json.contains("conversations")) return from_chat(conversation(json["conversations"], "from", "value"));
    if (json.contains("instruction") && json.contains("output")) {
      std::vector<Message> messages;
      const std::string system = text_of(json, "system"), input = text_of(json, "input");
      if (!system.empty()) messages.push_back({"system", system});
      messages.push_back({"user", text_of(json, "instruction") + (input.empty() ? "" : "\n\n" + input)});
      messages.push_back({"assistant", text_of(json, "output")});
      return from_chat(messages);
    }
    if (json.contains("prompt") && json.contains("completion")) {
      return from_text(text_of(json, "prompt"), text_of(json, "completion"));
    }
    if (json.contains("text")) return from_text("", text_of(json, "text"));
  } catch (const Json::exception& error) {
    throw base::Error(fmt::format("the record cannot be read: {}", error.what()));
  }
  std::vector<std::string> keys;
  for (const auto& item : json.items()) keys.push_back(item.key());
  throw base::Error({"the record has no known shape", "", base::shortened(base::join(keys, ", ")),
                     "messages, conversations, instruction and output, prompt and completion, or text",
                     "'curate instruct' turns other shapes into messages"});
}

Dataset read_dataset(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options) {
  base::RecordOptions record_options;
  record_options.limit = options.limit;
  record_options.block_bytes = 1 << 17;  // tokenizing is slow: small blocks keep every thread busy
  base::BlockReader reader(files, record_options);
  struct Item {
    std::optional<base::Block> block;
    std::vector<base::BadBytes> bad;
  };
  auto source = [&]() -> std::optional<Item> {
    Item item;
    item.block = reader.next(item.bad);
    if (!item.block && item.bad.empty()) return std::nullopt;
    return item;
  };
  auto where = [&](const base::Place& place) { return fmt::format("{}:{}", reader.files()[place.file], place.line); };
  auto work = [&](Item item, int) {
    BlockResult result;
    for (const base::BadBytes& bad : item.bad) {
      ++result.report.read;
      count_bad(result.report, where(bad.place), bad.error);
    }
    if (!item.block) return result;
    base::for_each_line(*item.block, [&](std::string_view line, const base::Place& place) {
      ++result.report.read;
      try {
        take(maker.make(line), options, result);
      } catch (const base::UsageError&) {
        throw;
      } catch (const base::Error& error) {
        count_bad(result.report, where(place), error.what());
      }
    });
    return result;
  };
  Dataset dataset;
  auto sink = [&](BlockResult result) {
    add(dataset.report, result.report);
    std::move(result.examples.begin(), result.examples.end(), std::back_inserter(dataset.examples));
  };
  base::ordered_pipeline<Item, BlockResult>(base::thread_count(options.threads), source, work, sink);

  const DataReport& report = dataset.report;
  if (report.bad > options.max_bad) {
    throw base::Error({fmt::format("{} of {} records are bad", report.bad, report.read), report.first_bad, "",
                       fmt::format("at most {} (--max-bad)", options.max_bad), ""});
  }
  if (dataset.examples.empty()) {
    throw base::Error({"nothing to train on: no token of any record is trained", base::join(files, ", "),
                       report.to_text(options), "records with an answer, a completion or a text",
                       report.too_long ? "raise --max-length, or use --too-long split" : ""});
  }
  return dataset;
}

std::string DataReport::to_text(const DataOptions& options) const {
  using base::human_count;
  std::string text = fmt::format("read {} records: {} used", human_count(read), human_count(used));
  if (too_long && options.too_long != "drop") {
    text += fmt::format(" ({} longer than {} tokens: {})", human_count(too_long), options.max_length,
                        options.too_long == "split" ? "split" : "truncated");
  }
  if (dropped) text += fmt::format(", {} dropped (longer than {} tokens)", human_count(dropped), options.max_length);
  if (untrained) text += fmt::format(", {} without trained tokens", human_count(untrained));
  if (bad) text += fmt::format(", {} bad (first: {})", human_count(bad), first_bad);
  return text + fmt::format("; {} examples, {} tokens, {} trained", human_count(examples), human_count(tokens),
                            human_count(trained_tokens));
}

std::vector<Example> take_validation(std::vector<Example>& examples, double share, std::uint64_t seed) {
  const auto count =
      std::max<std::size_t>(1, static_cast<std::size_t>(std::llround(share * static_cast<double>(examples.size()))));
  if (!(share > 0 && share < 1) || count >= examples.size()) {
    throw base::UsageError({"the validation share leaves nothing to train or to validate on", "--validation-share",
                            fmt::format("{} of {} examples", share, examples.size()), "between 0 and 1", ""});
  }
  std::vector<std::size_t> order(examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  base::Random random(base::mix64(seed ^ 0x76616C6964617465ull));  // "validate": not the stream that orders the rows
  base::shuffle(order, random);
  std::vector<std::uint8_t> chosen(examples.size(), 0);
  for (std::size_t i = 0; i < count; ++i) chosen[order[i]] = 1;
  std::vector<Example> training, validation;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    (chosen[i] ? validation : training).push_back(std::move(examples[i]));
  }
  examples = std::move(training);
  return validation;
}

std::uint64_t fingerprint(const std::vector<Example>& examples) {
  std::uint64_t hash = base::mix64(examples.size());
  for (const Example& example : examples) {
    hash = base::mix64(hash ^ example.ids.size());
    for (std::size_t i = 0; i < example.ids.size(); ++i) {
      hash = base::mix64(hash ^ (static_cast<std::uint64_t>(example.ids[i]) << 1 | example.trained[i]));
    }
  }
  return hash;
}

}  // namespace finetune
