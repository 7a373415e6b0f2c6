// Instruction data: Alpaca, ShareGPT, OpenAI messages, prompt/completion or preferences in; chat records out. Tested by
// tests/curate/instruct_test.cc.
#include "curate/instruct.h"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/input_tally.h"
#include "base/json_record.h"
#include "base/json_text.h"
#include "base/json_values.h"
#include "base/output_folder.h"
#include "base/random.h"
#include "base/records.h"
#include "base/run_lock.h"
#include "base/text.h"
#include "base/unicode.h"
#include "curate/records/record.h"

namespace curate {
using json = nlohmann::ordered_json;  // members go on as they came
namespace fs = std::filesystem;

void InstructOptions::visit(base::OptionVisitor& v) {
  v.positional(
      "input", reading.input,
      "files, folders or globs: .parquet, .jsonl .json .csv .tsv (each also .zst or .gz); - is standard input");
  v.required("output", output, "folder for train.jsonl, validation.jsonl, dropped.jsonl and report.json",
             base::PathKind::kOutputFolder);
  v("validation_share", validation_share,
    "share of the conversations that go to validation.jsonl, chosen by the hash of the first question")
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
  v("overwrite", overwrite, "empty the output folder of an earlier run, before anything new is there");
}

namespace {

// The record, or a discarded value for what is none: also for one of more levels than `curate run` reads, which could
// not be written again (every level takes a piece of the stack).
json parse_record(std::string_view line) {
  bool too_deep = false;
  auto look = [&](int depth, json::parse_event_t, const json&) {
    too_deep |= depth > base::kMostLevels;
    return !too_deep;
  };
  json record = json::parse(line, look, false);
  return too_deep ? json(json::value_t::discarded) : record;
}

bool has_non_finite(const Conversation& conversation) {
  const auto is_non_finite = [](const base::LooseNumber& number) { return !number.finite; };
  for (const auto* messages : {&conversation.messages, &conversation.rejected})
    for (const Message& message : *messages)
      for (const tokenizer::Member& member : message.members)
        if (std::ranges::any_of(base::loose_numbers(member.json), is_non_finite)) return true;
  return false;
}

// A file's name, which an id or a source is made of, may be any bytes.
template <class J>
std::string dump(const J& value, int indent = -1) {
  return base::json_dump(value, indent) + "\n";
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

// The records of one run, sorted into its files.
class Instruct {
 public:
  explicit Instruct(const InstructOptions& options)
      : options_(options),
        roles_(tokenizer::role_map(options.roles)),
        output_(options.output),
        parsed_(options.nan == "null") {}

  void run(base::Context& context);
  json report(const std::vector<base::FileLoss>& losses) const;
  void print(std::ostream& out) const;
  std::vector<base::FileLoss> losses() const { return tally_.losses(files_, options_.reading.limit == 0); }

 private:
  json parse(std::string_view line, std::string& error);
  void take(const base::Block& block, std::string_view line, const base::Place& place);
  std::string read(const json& record, const base::Place& place, Conversation& conversation);
  void keep(const Conversation& conversation, const base::Place& place);
  void drop(const std::string& line, const std::string& reason);
  void drop_record(const json& record, const std::string& reason);
  void drop_text(std::string_view line, const base::Place& place);
  void drop_bytes(const base::BadBytes& bad);

  const InstructOptions& options_;
  const tokenizer::RoleMap roles_;
  const fs::path output_;
  base::RunLock lock_;  // of the output
  std::vector<std::string> files_, names_;
  std::optional<base::FileWriter> train_, validation_, dropped_;
  std::uint64_t read_ = 0, trained_ = 0, validated_ = 0, dropped_count_ = 0, repeated_keys_ = 0, non_finite_ = 0;
  std::map<std::string, std::uint64_t> reasons_, formats_;
  std::set<std::uint64_t> seen_;  // the questions so far
  base::JsonRecord parsed_;       // the record that is worked on
  base::StandIns stand_ins_;
  std::string strict_;
  base::InputTally tally_;
};

// Not for_each_document: a record need not have a text field, and in dropped.jsonl what could not be read stands
// between the records it lay between.
void Instruct::run(base::Context& context) {
  files_ = options_.reading.files(context);
  lock_.take(output_);
  base::check_output_folder(output_, false, options_.overwrite, context.run_yaml);
  base::RecordOptions records = options_.reading.records();
  records.bytes_are_text = true;
  base::BlockReader reader(files_, records);  // refuses what it cannot read before anything is written
  names_ = reader.names();
  base::prepare_output_folder(output_, false, options_.overwrite, context.run_yaml, lock_);
  base::write_file(output_ / "run.yaml", context.run_yaml);
  train_.emplace(output_ / "train.jsonl");
  validation_.emplace(output_ / "validation.jsonl");
  dropped_.emplace(output_ / "dropped.jsonl");
  base::for_each_record(
      reader,
      [&](const base::Block& block, std::string_view line, const base::Place& place) { take(block, line, place); },
      [&](const base::BadBytes& bad) { drop_bytes(bad); });
  if (read_ != trained_ + validated_ + dropped_count_)
    throw base::Error("the books do not balance: this is a fault of the program", options_.output);
  train_->commit();
  if (options_.validation_share > 0) validation_->commit();
  dropped_->commit();
}

// The record with stand-ins for the numbers that would not come out as they went in; discarded, and an error, for none.
json Instruct::parse(std::string_view line, std::string& error) {
  error = parsed_.parse(line);
  stand_ins_.clear();
  if (!error.empty()) return parse_record(line);
  std::string_view parsable = parsed_.line();
  if (const auto numbers = base::rewritten_numbers(parsable); !numbers.empty()) {
    stand_ins_.replace(parsable, numbers, strict_);
    parsable = strict_;
  }
  return parse_record(parsable);
}

void Instruct::take(const base::Block& block, std::string_view line, const base::Place& place) {
  ++read_;
  std::string error;
  const json record = parse(line, error);
  if (record.is_discarded()) {
    tally_.refuse(place, error, base::is_cut_off(block, line));
    drop_text(line, place);
    return;
  }
  repeated_keys_ += parsed_.repeated_keys();
  non_finite_ += parsed_.non_finite();
  Conversation conversation;
  const std::string reason = read(record, place, conversation);
  repeated_keys_ += conversation.repeated_keys && !parsed_.repeated_keys();
  if (reason.empty()) {
    keep(conversation, place);
  } else {
    drop_record(record, reason);
  }
}

// "", or why the record is dropped.
std::string Instruct::read(const json& record, const base::Place& place, Conversation& conversation) {
  std::string reason = read_chat(record, roles_, conversation);
  // A call of a tool that stood as text, where --nan null found none.
  if (reason.empty() && options_.nan == "null" && has_non_finite(conversation)) reason = "not_a_call:value";
  if (reason.empty()) {
    ++tally_.of(place.file).used;
  } else {
    tally_.refuse(place, reason);
  }
  if (!stand_ins_.empty()) restore_numbers(conversation, stand_ins_);
  if (reason.empty()) reason = judge_conversation(conversation, options_);
  if (!reason.empty() || !options_.unique) return reason;
  const std::string key = question_key(conversation);
  return seen_.insert(XXH3_64bits(key.data(), key.size())).second ? "" : "duplicate_prompt";
}

void Instruct::keep(const Conversation& conversation, const base::Place& place) {
  ++formats_[conversation.format];
  const std::string& name = names_[place.file];
  const std::string chat = chat_line(conversation, parsed_.line(), made_id(name, place), made_source(name));
  const std::uint64_t hash = opening_hash(conversation);
  if (base::unit(XXH3_64bits_withSeed(&hash, sizeof hash, options_.seed)) < options_.validation_share) {
    ++validated_;
    validation_->write(chat);
  } else {
    ++trained_;
    train_->write(chat);
  }
}

void Instruct::drop(const std::string& line, const std::string& reason) {
  ++reasons_[reason];
  ++dropped_count_;
  dropped_->write(line);
}

void Instruct::drop_record(const json& record, const std::string& reason) {
  std::string out;
  // Members join an object; what else may stand there is kept beside them.
  const bool joins{record.is_object() && (!record.contains("hornbook") || record["hornbook"].is_object())};
  if (joins) {
    std::string members = "\"step\":\"instruct\",\"reason\":";
    base::append_json_string(members, reason);
    append_record(out, parsed_.line(), "", nullptr, members);
  } else {
    out = dump(json({{"record", record}, {"hornbook", {{"step", "instruct"}, {"reason", reason}}}}));
  }
  drop(out, reason);
}

void Instruct::drop_text(std::string_view line, const base::Place& place) {
  const json bad = {{"file", files_[place.file]},
                    {"line", place.line},
                    {"offset", place.offset},
                    {"text", line},
                    {"hornbook", {{"step", "instruct"}, {"reason", "bad_json"}}}};
  drop(dump(bad), "bad_json");
}

void Instruct::drop_bytes(const base::BadBytes& bad) {
  ++read_;
  tally_.refuse(bad);
  const json line = {{"file", files_[bad.place.file]},
                     {"line", bad.place.line},
                     {"offset", bad.place.offset},
                     {"error", bad.error},
                     {"text", bad.bytes},
                     {"hornbook", {{"step", "instruct"}, {"reason", "bad_bytes"}}}};
  drop(dump(line), "bad_bytes");
}

json Instruct::report(const std::vector<base::FileLoss>& losses) const {
  json report = {{"read", read_},
                 {"train", trained_},
                 {"validation", validated_},
                 {"dropped", dropped_count_},
                 {"reasons", reasons_},
                 {"formats", formats_},
                 {"input", files_},
                 {"repeated_keys", repeated_keys_},
                 {"non_finite", non_finite_},
                 {"losses", json::array()}};
  for (const base::FileLoss& loss : losses) report["losses"].push_back({{"file", loss.file}, {"cause", loss.cause}});
  return report;
}

void Instruct::print(std::ostream& out) const {
  fmt::print(out, "read {} = train {} + validation {} + dropped {}\n", base::human_count(read_),
             base::human_count(trained_), base::human_count(validated_), base::human_count(dropped_count_));
  for (const std::string& note : record_notes(repeated_keys_, non_finite_, options_.nan == "null"))
    fmt::print(out, "{}\n", note);
  for (const auto& [reason, count] : reasons_) fmt::print(out, "  {:<24}{:>10}\n", reason, base::human_count(count));
  if (options_.validation_share > 0 && trained_ + validated_ > 0 && (trained_ == 0 || validated_ == 0))
    fmt::print(out, "{} record was held out for validation: give more records or another --validation-share\n",
               validated_ == 0 ? "no" : "every");
}

}  // namespace

int run_instruct(InstructOptions& options, base::Context& context) {
  Instruct instruct(options);
  instruct.run(context);
  const std::vector<base::FileLoss> losses = instruct.losses();
  const json report = instruct.report(losses);
  base::write_file(fs::path(options.output) / "report.json", dump(report, 1));
  if (!context.quiet) instruct.print(context.err);
  if (context.json) context.out << dump(report, 1);
  return base::tell_losses(losses, context);
}

}  // namespace curate
