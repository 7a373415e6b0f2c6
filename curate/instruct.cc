#include "curate/instruct.h"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <re2/re2.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/input_tally.h"
#include "base/inputs.h"
#include "base/json_record.h"
#include "base/json_text.h"
#include "base/random.h"
#include "base/records.h"
#include "base/text.h"
#include "base/unicode.h"
#include "curate/records/record.h"

namespace curate {
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

bool has_member(const Message& message, std::string_view name) {
  return std::ranges::any_of(message.members, [&](const auto& member) { return member.name == name; });
}

bool is_trained(const Message& message) { return message.trained.value_or(message.role == "assistant"); }

std::string check_roles(const std::vector<Message>& messages) {
  const std::size_t first = !messages.empty() && messages[0].role == "system" ? 1 : 0;
  if (messages.size() <= first) return "empty";
  std::string_view before = "assistant";
  for (std::size_t i = first; i < messages.size(); ++i) {
    const std::string_view role = messages[i].role;
    const bool asks = role == "user" && before == "assistant";
    const bool answers = role == "assistant" && before != "assistant";
    const bool tool = role == "tool" && i > first && before != "user";
    if (!asks && !answers && !tool) return "bad_roles";
    before = role;
  }
  return before == "assistant" ? "" : "no_final_answer";
}

}  // namespace

std::string read_chat(const json& record, const tokenizer::RoleMap& roles, Conversation& conversation) {
  if (const auto problem = tokenizer::read_conversation(record, roles, conversation)) return problem->reason;
  if (conversation.format == "text") return "unknown_format";
  if (!conversation.rejected.empty()) {
    std::vector<Message> other(conversation.messages.begin(),
                               conversation.messages.begin() + static_cast<std::ptrdiff_t>(conversation.prompt));
    other.insert(other.end(), conversation.rejected.begin(), conversation.rejected.end());
    if (std::string reason = check_roles(other); !reason.empty()) return reason + ":rejected";
  }
  return check_roles(conversation.messages);
}

void InstructOptions::visit(base::OptionVisitor& v) {
  v.positional(
      "input", reading.input,
      "files, folders or globs: .parquet, .jsonl .json .csv .tsv (each also .zst or .gz); - is standard input");
  v.required("output", output, "folder for train.jsonl, validation.jsonl, dropped.jsonl and report.json",
             base::PathKind::kOutputFolder);
  v("validation_share", validation_share, "share of the conversations that go to validation.jsonl, chosen by hash")
      .at_least(0)
      .below(1);
  v("seed", seed, "another seed is another choice");
  v("clean", clean, "drop empty, refused, echoed and merged answers");
  v("unique", unique, "drop a conversation whose turns before the last answer were seen before");
  v("max_characters", max_characters, "drop longer conversations (bytes of all messages), 0 = none");
  v("max_turns", max_turns, "drop conversations of more questions, 0 = none");
  v("min_answer", min_answer, "drop conversations with a shorter answer (bytes)");
  v("roles", roles, "what else the data call a role: NAME=ROLE, ROLE one of system, user, assistant, tool");
  visit_nan(v, nan);
  reading.text.visit(v);
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
    // An answer that is kept out of the loss may be anything, one that calls a tool empty.
    if (message.role != "assistant" || !is_trained(message) || has_member(message, "tool_calls")) continue;
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
void append_folded(std::string& key, const Message& message) {
  key += message.role + ':';
  bool blank = false;
  for (const char c : base::trim(message.content)) {
    if (std::isspace(static_cast<unsigned char>(c))) {
      blank = true;
      continue;
    }
    if (blank) key += ' ';
    blank = false;
    key += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  for (const auto& member : message.members)
    if (member.name == "tool_calls") key += member.json;
  key += '\n';
}

// The turns before the first answer decide between training and validation: conversations that begin alike stay
// together.
std::uint64_t first_question(const Conversation& conversation) {
  std::string key;
  for (const Message& message : conversation.messages) {
    if (message.role == "assistant") break;
    append_folded(key, message);
  }
  return XXH3_64bits(key.data(), key.size());
}

}  // namespace

std::string question_key(const Conversation& conversation) {
  std::string key;
  for (const auto& member : conversation.members)
    if (member.name == "label" || member.name == "kto_tag") key += member.name + member.json + '\n';
  const auto& messages = conversation.messages;
  std::size_t count = messages.size();
  if (conversation.rejected.empty() && key.empty()) {
    while (count > 0 && !is_trained(messages[count - 1])) --count;
    count = count > 0 ? count - 1 : messages.size();
  }
  for (std::size_t i = 0; i < count; ++i) append_folded(key, messages[i]);
  for (const Message& message : conversation.rejected) append_folded(key, message);
  return key;
}

namespace {

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

void append_messages(std::string& out, std::span<const Message> messages) {
  out += '[';
  for (const Message& message : messages) {
    if (out.back() != '[') out += ',';
    out += "{\"role\":";
    base::append_json_string(out, message.role);
    out += ",\"content\":";
    base::append_json_string(out, message.content);
    for (const auto& member : message.members) {
      out += ',';
      base::append_json_string(out, member.name);
      out += ':' + member.json;
    }
    out += '}';
  }
  out += ']';
}

// Puts the numbers back that stand-ins stand for: carried members have them as they were written.
void restore_numbers(Conversation& conversation, const base::StandIns& stand_ins) {
  const auto restore = [&](std::vector<tokenizer::Member>& members) {
    for (tokenizer::Member& member : members) member.json = stand_ins.restored(member.json);
  };
  restore(conversation.members);
  for (Message& message : conversation.messages) restore(message.members);
  for (Message& message : conversation.rejected) restore(message.members);
}

// The record as a chat: its messages, id and source, and all its other members as they stand in `line`.
std::string chat_line(const Conversation& conversation, std::string_view line, const std::string& fallback_id,
                      const std::string& fallback_source) {
  std::map<std::string_view, std::string_view> raw;
  base::for_each_member(line, [&](std::string_view key, std::string_view value, std::size_t, std::size_t) {
    raw[key] = value;
    return true;
  });
  std::string out;
  const std::span<const Message> messages = conversation.messages;
  if (conversation.rejected.empty()) {
    out += "{\"messages\":";
    append_messages(out, messages);
  } else {
    out += "{\"prompt\":";
    append_messages(out, messages.first(conversation.prompt));
    out += ",\"chosen\":";
    append_messages(out, messages.subspan(conversation.prompt));
    out += ",\"rejected\":";
    append_messages(out, conversation.rejected);
  }
  const auto value_of = [&](const tokenizer::Member& member) {
    const auto found = raw.find(member.name);
    return found == raw.end() ? member.json : std::string(found->second);
  };
  const auto pass = [&](const std::string& name, const std::string& fallback) {
    const auto member = std::ranges::find(conversation.members, name, &tokenizer::Member::name);
    out += ",\"" + name + "\":";
    if (member != conversation.members.end())
      out += value_of(*member);
    else
      base::append_json_string(out, base::valid_utf8(fallback));
  };
  pass("id", fallback_id);
  pass("source", fallback_source);
  for (const auto& member : conversation.members) {
    if (member.name == "id" || member.name == "source") continue;
    out += ',';
    base::append_json_string(out, member.name);
    out += ':' + value_of(member);
  }
  return out + "}\n";
}

}  // namespace

int run_instruct(InstructOptions& options, base::Context& context) {
  const tokenizer::RoleMap roles = tokenizer::role_map(options.roles);
  const std::vector<std::string> files = options.reading.files(context);
  const std::vector<std::string> names = base::input_names(files);
  const fs::path output(options.output);
  base::check_output_folder(output, false, options.overwrite);
  base::BlockReader(files, options.reading.records());  // refuses what it cannot read, before anything is written
  base::prepare_output_folder(output, false, options.overwrite);
  base::write_file(output / "run.yaml", context.run_yaml);

  base::FileWriter train(output / "train.jsonl"), validation(output / "validation.jsonl"),
      dropped(output / "dropped.jsonl");
  std::uint64_t read = 0, trained = 0, validated = 0, dropped_count = 0, repeated_keys = 0, non_finite = 0;
  std::map<std::string, std::uint64_t> reasons, formats;
  std::set<std::uint64_t> seen;
  const bool nan_is_null = options.nan == "null";
  base::JsonRecord parsed(nan_is_null);
  base::StandIns stand_ins;
  std::string strict;
  base::InputTally tally;
  auto drop = [&](const std::string& line, const std::string& reason) {
    ++reasons[reason];
    ++dropped_count;
    dropped.write(line);
  };
  base::for_each_record(
      files, options.reading.records(),
      [&](std::string_view line, const base::Place& place, const std::string& file) {
        ++read;
        const std::string error = parsed.parse(line);
        std::string_view parsable = line;
        stand_ins.clear();
        if (error.empty()) {
          parsable = parsed.line();
          if (const auto numbers = base::rewritten_numbers(parsable); !numbers.empty()) {
            stand_ins.replace(parsable, numbers, strict);
            parsable = strict;
          }
        }
        json record = parse_record(parsable);
        if (record.is_discarded()) {
          tally.refuse(place, error, line.data()[line.size()] == '\0');  // the last line of a block, without its end
          json bad = {{"file", file},
                      {"line", place.line},
                      {"text", line},
                      {"hornbook", {{"step", "instruct"}, {"reason", "bad_json"}}}};
          drop(dump(bad), "bad_json");
          return;
        }
        repeated_keys += parsed.repeated_keys();
        non_finite += parsed.non_finite();
        Conversation conversation;
        std::string reason = read_chat(record, roles, conversation);
        if (reason.empty()) {
          ++tally.of(place.file).used;
        } else {
          tally.refuse(place, reason);
        }
        if (!stand_ins.empty()) restore_numbers(conversation, stand_ins);
        if (reason.empty()) reason = judge_conversation(conversation, options);
        if (reason.empty() && options.unique) {
          const std::string key = question_key(conversation);
          if (!seen.insert(XXH3_64bits(key.data(), key.size())).second) reason = "duplicate_prompt";
        }
        if (!reason.empty()) {
          std::string out;
          if (record.is_object()) {
            std::string members = "\"step\":\"instruct\",\"reason\":";
            base::append_json_string(members, reason);
            append_record(out, parsed.line(), "", nullptr, members);
          } else {
            out = dump(json({{"record", record}, {"hornbook", {{"step", "instruct"}, {"reason", reason}}}}));
          }
          drop(out, reason);
          return;
        }
        ++formats[conversation.format];
        const std::string& name = names[place.file];
        std::string chat = chat_line(conversation, parsed.line(), made_id(name, place.line), made_source(name));
        const std::uint64_t hash = first_question(conversation);
        const std::uint64_t choice = XXH3_64bits_withSeed(&hash, sizeof hash, options.seed);
        if (base::unit(choice) < options.validation_share) {
          ++validated;
          validation.write(chat);
        } else {
          ++trained;
          train.write(chat);
        }
      },
      [&](const base::BadBytes& bad, const std::string& file) {
        ++read;
        tally.refuse(bad);
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
  const std::vector<base::FileLoss> losses = tally.losses(files, options.reading.limit == 0);
  json report = {{"read", read},
                 {"train", trained},
                 {"validation", validated},
                 {"dropped", dropped_count},
                 {"reasons", reasons},
                 {"formats", formats},
                 {"input", files},
                 {"repeated_keys", repeated_keys},
                 {"non_finite", non_finite},
                 {"losses", json::array()}};
  for (const base::FileLoss& loss : losses) report["losses"].push_back({{"file", loss.file}, {"cause", loss.cause}});
  base::write_file(output / "report.json", dump(report, 1));
  if (!context.quiet) {
    fmt::print(context.err, "read {} = train {} + validation {} + dropped {}\n", base::human_count(read),
               base::human_count(trained), base::human_count(validated), base::human_count(dropped_count));
    for (const std::string& note : record_notes(repeated_keys, non_finite, nan_is_null))
      fmt::print(context.err, "{}\n", note);
    for (const auto& [reason, count] : reasons)
      fmt::print(context.err, "  {:<24}{:>10}\n", reason, base::human_count(count));
    if (options.validation_share > 0 && trained + validated > 0 && (trained == 0 || validated == 0))
      fmt::print(context.err,
                 "{} record was held out for validation: give more records or another --validation-share\n",
                 validated == 0 ? "no" : "every");
  }
  if (context.json) context.out << dump(report, 1);
  return base::tell_losses(losses, context);
}

}  // namespace curate
