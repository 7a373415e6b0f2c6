#include "curate/instruct.h"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <re2/re2.h>
#include <xxhash.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/records.h"
#include "base/text.h"
#include "curate/record.h"

namespace curate {
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

std::string text_of(const json& record, const char* key) {
  auto found = record.find(key);
  return found != record.end() && found->is_string() ? found->get<std::string>() : "";
}

// A text, or the joined texts of a list of parts; false for anything else.
bool read_content(const json& content, std::string& text) {
  if (content.is_string()) {
    text = content.get<std::string>();
    return true;
  }
  if (!content.is_array()) return false;
  text.clear();
  for (const json& part : content) {
    if (part.is_string()) {
      text += part.get_ref<const std::string&>();
    } else if (part.is_object() && text_of(part, "type") == "text" && part.contains("text") &&
               part["text"].is_string()) {
      text += part["text"].get_ref<const std::string&>();
    } else {
      return false;
    }
  }
  return true;
}

// Alpaca's ways to say that there is no input.
bool says_no_input(std::string_view input) {
  static const std::set<std::string> kWords = {"",         "<noinput>", "<no input>", "noinput", "no input",
                                               "noinput.", "no input.", "n/a",        "none",    "nan"};
  std::string low;
  for (char c : base::trim(input)) low += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return kWords.count(low) > 0;
}

std::string read_turns(const json& turns, const char* format, Conversation& conversation) {
  static const std::map<std::string, std::string> kRoles = {
      {"system", "system"},   {"user", "user"},          {"human", "user"},        {"prompter", "user"},
      {"gpt", "assistant"},   {"bing", "assistant"},     {"chatgpt", "assistant"}, {"bard", "assistant"},
      {"model", "assistant"}, {"assistant", "assistant"}};
  static const std::set<std::string> kTools = {"tool", "function", "observation", "function_call", "tool_call"};
  conversation.format = format;
  if (!turns.is_array()) return "unknown_format";
  for (const json& turn : turns) {
    if (!turn.is_object()) return "unknown_format";
    const char* role_key = turn.contains("role") ? "role" : "from";
    const char* content_key = turn.contains("content") ? "content" : "value";
    std::string role = text_of(turn, role_key);
    if (kTools.count(role) || (turn.contains("tool_calls") && !turn["tool_calls"].empty())) return "tool_use";
    auto known = kRoles.find(role);
    if (known == kRoles.end()) return "bad_roles";
    Message message{known->second, ""};
    if (!turn.contains(content_key) || !read_content(turn[content_key], message.content)) return "not_text";
    conversation.messages.push_back(std::move(message));
  }
  return "";
}

std::string check_roles(const Conversation& conversation) {
  const auto& messages = conversation.messages;
  std::size_t first = !messages.empty() && messages[0].role == "system" ? 1 : 0;
  if (messages.size() <= first) return "empty";
  for (std::size_t i = first; i < messages.size(); ++i)
    if (messages[i].role != ((i - first) % 2 == 0 ? "user" : "assistant")) return "bad_roles";
  return messages.back().role == "assistant" ? "" : "no_final_answer";
}

}  // namespace

std::string read_conversation(const json& record, Conversation& conversation) {
  conversation = {};
  if (!record.is_object()) return "unknown_format";
  auto& messages = conversation.messages;
  std::string error;
  if (record.contains("messages")) {
    error = read_turns(record["messages"], "messages", conversation);
  } else if (record.contains("conversations")) {
    if (!text_of(record, "system").empty()) messages.push_back({"system", text_of(record, "system")});
    error = read_turns(record["conversations"], "sharegpt", conversation);
  } else if (record.contains("instruction") && record.contains("output")) {
    conversation.format = "alpaca";
    if (!record["instruction"].is_string() || !record["output"].is_string()) return "not_text";
    if (!text_of(record, "system").empty()) messages.push_back({"system", text_of(record, "system")});
    if (auto history = record.find("history"); history != record.end() && history->is_array())
      for (const json& pair : *history) {
        if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) return "not_text";
        messages.push_back({"user", pair[0].get<std::string>()});
        messages.push_back({"assistant", pair[1].get<std::string>()});
      }
    std::string prompt = text_of(record, "instruction"), input = text_of(record, "input");
    if (!says_no_input(input)) prompt += "\n" + input;
    messages.push_back({"user", prompt});
    messages.push_back({"assistant", text_of(record, "output")});
  } else {
    conversation.format = "prompt";
    const char* prompt = record.contains("prompt")     ? "prompt"
                         : record.contains("question") ? "question"
                                                       : "instruction";
    const char* answer = nullptr;
    for (const char* key : {"completion", "response", "answer", "output"})
      if (answer == nullptr && record.contains(key)) answer = key;
    if (!record.contains(prompt) || answer == nullptr) return "unknown_format";
    std::string text;
    if (!record[prompt].is_string() || !read_content(record[answer], text)) return "not_text";
    if (!text_of(record, "system").empty()) messages.push_back({"system", text_of(record, "system")});
    messages.push_back({"user", text_of(record, prompt)});
    messages.push_back({"assistant", text});
  }
  return error.empty() ? check_roles(conversation) : error;
}

void InstructOptions::visit(base::OptionVisitor& v) {
  v.positional("input", reading.input, "files or globs: .jsonl .json .csv, each also .zst or .gz; - is standard input");
  v.required("output", output, "folder for train.jsonl, validation.jsonl, dropped.jsonl and report.json",
             base::PathKind::kOutput);
  v("validation_share", validation_share, "share of the conversations that go to validation.jsonl, chosen by hash")
      .at_least(0)
      .below(1);
  v("seed", seed, "another seed is another choice");
  v("clean", clean, "drop empty, refused, echoed and merged answers");
  v("unique", unique, "drop a conversation whose first question was seen before");
  v("max_characters", max_characters, "drop longer conversations (bytes of all messages), 0 = none");
  v("max_turns", max_turns, "drop conversations of more questions, 0 = none");
  v("min_answer", min_answer, "drop conversations with a shorter answer (bytes)");
  v("limit", reading.limit, "stop after this many records, 0 = all");
  v("overwrite", overwrite, "empty the output folder of an earlier run first");
}

std::string judge_conversation(const Conversation& conversation, const InstructOptions& options) {
  static const RE2 kDisclaimer(R"((?i)\bas an? (?:ai|artificial intelligence)(?: language)? (?:language )?model\b)");
  static const RE2 kMerged(R"((?m)^#{0,3}\s*\d+\.\s*Instruction:)");
  static const RE2 kPicture(
      R"((?i)\b(?:attached|following|this|above|below) (?:image|picture|photo|photograph|painting|diagram)\b)");
  static const std::set<std::string> kNothing = {"n/a",  "na",        "nan",        "none",
                                                 "null", "no output", "<nooutput>", "no response"};
  std::uint64_t characters = 0, questions = 0;
  std::string_view question;
  for (const Message& message : conversation.messages) {
    characters += message.content.size();
    std::string_view content = base::trim(message.content);
    if (message.role == "user") {
      ++questions;
      question = content;
      if (content.empty()) return "empty_prompt";
      if (options.clean && RE2::PartialMatch(content, kPicture)) return "unseen_picture";
    }
    if (message.role != "assistant") continue;
    if (content.empty() || content == "```\n```" || content == "``````") return "empty_answer";
    if (content.size() < options.min_answer) return "short_answer";
    if (!options.clean) continue;
    std::string low;
    for (char c : content.substr(0, 40)) low += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (low.ends_with('.')) low.pop_back();
    if (kNothing.count(low)) return "no_answer";
    if (content == question) return "echo";
    if (RE2::PartialMatch(content, kDisclaimer)) return "disclaimer";
    if (RE2::PartialMatch(content, kMerged)) return "merged_instructions";
  }
  if (options.max_characters > 0 && characters > options.max_characters) return "too_long";
  if (options.max_turns > 0 && questions > options.max_turns) return "too_many_turns";
  return "";
}

namespace {

// White space and case do not make another question.
std::uint64_t question_hash(const Conversation& conversation) {
  std::string key;
  for (const Message& message : conversation.messages) {
    if (message.role == "assistant") break;
    bool blank = false;
    for (char c : base::trim(message.content)) {
      if (std::isspace(static_cast<unsigned char>(c))) {
        blank = true;
        continue;
      }
      if (blank) key += ' ';
      blank = false;
      key += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    key += '\n';
  }
  return XXH3_64bits(key.data(), key.size());
}

// The record, or a discarded value for what is none: also for one of more levels than `curate run` reads, which could
// not be written again (every level takes a piece of the stack).
json parse_record(std::string_view line) {
  constexpr int kMostLevels = 1024;
  bool too_deep = false;
  auto look = [&](int depth, json::parse_event_t, const json&) {
    too_deep |= depth > kMostLevels;
    return !too_deep;
  };
  json record = json::parse(line, look, false);
  return too_deep ? json(json::value_t::discarded) : record;
}

// A file's name, which an id or a source is made of, may be any bytes.
template <class J>
std::string dump(const J& value, int indent = -1) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string chat_line(const Conversation& conversation, const json& record, const std::string& fallback_id,
                      const std::string& fallback_source) {
  nlohmann::ordered_json out;
  out["messages"] = nlohmann::ordered_json::array();
  for (const Message& message : conversation.messages)
    out["messages"].push_back({{"role", message.role}, {"content", message.content}});
  auto pass = [&](const char* key, const std::string& fallback) {
    auto found = record.find(key);
    out[key] = found != record.end() && !found->is_null() ? nlohmann::ordered_json::parse(found->dump())
                                                          : nlohmann::ordered_json(fallback);
  };
  pass("id", fallback_id);
  pass("source", fallback_source);
  for (const char* key : {"licence", "license", "language", "lang"})
    if (record.contains(key)) pass(key, "");
  return dump(out);
}

}  // namespace

int run_instruct(InstructOptions& options, base::Context& context) {
  const std::vector<std::string> files = options.reading.files();
  const fs::path output(options.output);
  base::prepare_output_folder(output, false, options.overwrite);
  base::write_file(output / "run.yaml", context.run_yaml);

  base::FileWriter train(output / "train.jsonl"), validation(output / "validation.jsonl"),
      dropped(output / "dropped.jsonl");
  std::uint64_t read = 0, trained = 0, validated = 0, dropped_count = 0;
  std::map<std::string, std::uint64_t> reasons, formats;
  std::set<std::uint64_t> seen;
  auto drop = [&](const std::string& line, const std::string& reason) {
    ++reasons[reason];
    ++dropped_count;
    dropped.write(line);
  };
  base::for_each_record(
      files, options.reading.records(),
      [&](std::string_view line, const base::Place& place, const std::string& file) {
        ++read;
        json record = parse_record(line);
        if (record.is_discarded()) {
          json bad = {{"file", file},
                      {"line", place.line},
                      {"text", line},
                      {"hornbook", {{"step", "instruct"}, {"reason", "bad_json"}}}};
          drop(dump(bad), "bad_json");
          return;
        }
        Conversation conversation;
        std::string reason = read_conversation(record, conversation);
        if (reason.empty()) reason = judge_conversation(conversation, options);
        std::uint64_t hash = question_hash(conversation);
        if (reason.empty() && options.unique && !seen.insert(hash).second) reason = "duplicate_prompt";
        if (!reason.empty()) {
          std::string out;
          if (record.is_object()) {
            append_record(out, line, "", nullptr, "\"step\":\"instruct\",\"reason\":\"" + reason + "\"");
          } else {
            out = dump(json({{"record", record}, {"hornbook", {{"step", "instruct"}, {"reason", reason}}}}));
          }
          drop(out, reason);
          return;
        }
        ++formats[conversation.format];
        std::string name = fs::path(file).filename().string();
        std::string stem = name.substr(0, name.find('.'));
        std::string chat = chat_line(conversation, record, made_id(file, place.line), stem);
        const std::uint64_t choice = XXH3_64bits_withSeed(&hash, sizeof hash, options.seed);
        if (static_cast<double>(choice >> 11) * 0x1.0p-53 < options.validation_share) {
          ++validated;
          validation.write(chat);
        } else {
          ++trained;
          train.write(chat);
        }
      },
      [&](const base::BadBytes& bad, const std::string& file) {
        ++read;
        json line = {{"file", file},
                     {"line", bad.place.line},
                     {"offset", bad.place.offset},
                     {"error", bad.error},
                     {"text", bad.bytes},
                     {"hornbook", {{"step", "instruct"}, {"reason", "bad_bytes"}}}};
        drop(dump(line), "bad_bytes");
      });
  if (read != trained + validated + dropped_count)
    throw base::Error("the books do not balance: this is a fault of the program", options.output);
  train.commit();
  if (options.validation_share > 0) validation.commit();
  dropped.commit();
  json report = {{"read", read},       {"train", trained},   {"validation", validated}, {"dropped", dropped_count},
                 {"reasons", reasons}, {"formats", formats}, {"input", files}};
  base::write_file(output / "report.json", dump(report, 1));
  if (!context.quiet) {
    fmt::print(context.err, "read {} = train {} + validation {} + dropped {}\n", base::human_count(read),
               base::human_count(trained), base::human_count(validated), base::human_count(dropped_count));
    for (const auto& [reason, count] : reasons)
      fmt::print(context.err, "  {:<24}{:>10}\n", reason, base::human_count(count));
  }
  if (context.json) context.out << dump(report, 1);
  return 0;
}

}  // namespace curate
