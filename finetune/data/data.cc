// Records -> token ids and the mask of what is trained. Tested by tests/finetune/data_test.cc and records_test.cc.
#include "finetune/data/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/input_tally.h"
#include "base/json_text.h"
#include "base/pipeline.h"
#include "base/random.h"
#include "base/records.h"
#include "base/text.h"
#include "finetune/data/pairs.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;
using tokenizer::Conversation;
using tokenizer::Holder;
using tokenizer::Meaning;
using tokenizer::Member;
using tokenizer::Message;

[[noreturn]] void refuse(const std::string& what, const Member& member, const std::string& expected,
                         const std::string& advice) {
  throw base::Error({what, member.name, base::shortened(member.json), expected, advice});
}

// KTO's mark of a good or bad answer, not the name of some class.
bool is_verdict(const Json& value) {
  if (value.is_boolean()) return true;
  if (value.is_number()) return value == 0 || value == 1;
  if (!value.is_string()) return false;
  std::string low = value.get<std::string>();
  for (char& c : low) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return low == "true" || low == "false";
}

// Flags of a whole record. Of a text only those that keep it out: its weight may be of any kind. What else is in it is
// noted.
void check_flags(const Conversation& conversation, RecordNotes& notes) {
  for (const Member& member : conversation.members) {
    const Meaning meaning = tokenizer::meaning_of(member.name, Holder::kRecord);
    const bool is_flag = meaning == Meaning::kFlag || meaning == Meaning::kPartFlag;
    const auto is_any_of = [&](std::initializer_list<std::string_view> values) {
      return std::ranges::find(values, member.json) != values.end();
    };
    if (is_flag && is_any_of({"1", "1.0", "true"})) continue;
    if (is_flag && (conversation.format != "text" || is_any_of({"0", "0.0", "false"})))
      refuse("a flag of the whole record is not supported", member, "flags of its messages",
             "leave the record out, or set the flag on its messages");
    const bool is_said = meaning == Meaning::kSaid || meaning == Meaning::kTools;  // written, or refused
    if (!is_said && member.name != "id" && member.name != "source") notes.unused.push_back(member.name);
  }
}

// Refuses by name what training on the messages alone would lose.
void check_members(const Conversation& conversation) {
  const std::string only_answers = "this training has an objective for answers only";
  if (conversation.format == "preference")
    refuse(only_answers, {"rejected", ""}, "records with answers only",
           "keep the chosen answers as messages, or train on both with --objective dpo");
  for (const Member& member : conversation.members) {
    if (conversation.plain && tokenizer::is_said(member, Holder::kRecord))
      refuse("a prompt and its completion are one text, in which this has no place", member, "prompt and completion",
             "give messages, and a chat template that writes it");
    const Meaning meaning = tokenizer::meaning_of(member.name, Holder::kRecord);
    if (meaning == Meaning::kAnswers || (meaning == Meaning::kVerdict && is_verdict(Json::parse(member.json))))
      refuse(only_answers, member, "records with answers only", "keep the good answers as messages, without it");
  }
}

void check_message(const Message& message) {
  if (message.weight != 0 && message.weight != 1)
    refuse("a weight that is neither 0 nor 1 is not supported", {"weight", fmt::format("{}", message.weight)}, "0 or 1",
           "");
  for (const Member& member : message.members) {
    const Meaning meaning = tokenizer::meaning_of(member.name, Holder::kMessage);
    if (meaning == Meaning::kPartFlag)
      refuse("flags for parts of a message are not supported", member, "train: true or false", "");
  }
}

// What one block of the input gives; reports are added in input order.
struct BlockResult {
  std::vector<Example> examples;
  DataReport report;
  base::InputTally files;
};

void count(std::map<std::string, std::uint64_t>& counts, const std::string& name, std::uint64_t number = 1) {
  constexpr std::size_t kMost = 30;  // data may invent any number of names
  counts[counts.size() < kMost || counts.contains(name) ? base::shortened(name, 100) : "others"] += number;
}

void count_bad(DataReport& report, const std::string& where, const std::string& kind, const std::string& why) {
  ++report.bad;
  count(report.bad_kinds, kind);
  if (report.first_bad.empty()) report.first_bad = where + ": " + why;
}

// "a (3), b (2)", the most frequent first.
std::string counted(const std::map<std::string, std::uint64_t>& counts) {
  const auto tell = [](const std::string& name, std::uint64_t number) {
    return fmt::format("{} ({})", name, base::human_count(number));
  };
  return base::most_frequent({counts.begin(), counts.end()}, counts.size(), tell);
}

// Applies the length policy and counts the record.
void take(Example example, const RecordNotes& notes, const DataOptions& options, BlockResult& result) {
  DataReport& report = result.report;
  const auto limit = static_cast<std::size_t>(options.max_length);
  std::vector<Example> pieces;
  const bool is_pair = example.second > 0;
  const std::size_t length = is_pair ? example.second : example.ids.size();
  if (longest(example) <= limit) {
    pieces.push_back(std::move(example));
  } else {
    ++report.too_long;
    if (options.too_long == "drop") {
      ++report.dropped;
      return;
    }
    if (options.too_long == "truncate" || is_pair) {
      pieces.push_back(truncated(example, limit));
    } else {
      for (std::size_t begin = 0; begin < example.ids.size(); begin += limit)
        pieces.push_back(part_of(example, begin, begin + limit));
    }
  }
  std::erase_if(pieces, [&](const Example& piece) { return is_pair ? !trains_both(piece) : piece.targets() == 0; });
  ++(pieces.empty() ? report.untrained : report.used);
  if (pieces.empty()) return;
  report.specials_as_text += notes.specials_as_text;
  report.drops_messages += notes.drops_messages;
  report.ends += notes.first_end < (options.too_long == "truncate" ? std::min(limit, length) : length);
  for (const std::string& name : notes.left_out) count(report.left_out, name);
  for (const std::string& name : notes.unused) count(report.unused, name);
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
  total.specials_as_text += part.specials_as_text;
  total.drops_messages += part.drops_messages;
  total.ends += part.ends;
  total.repeated_keys += part.repeated_keys;
  for (const auto& [name, number] : part.bad_kinds) count(total.bad_kinds, name, number);
  for (const auto& [name, number] : part.left_out) count(total.left_out, name, number);
  for (const auto& [name, number] : part.unused) count(total.unused, name, number);
  if (total.first_bad.empty()) total.first_bad = part.first_bad;
}

// Why a text is no JSON.
std::string parse_error(std::string_view text) {
  try {
    [[maybe_unused]] const Json parsed = Json::parse(text);
    return "";
  } catch (const Json::exception& error) {
    return error.what();
  }
}

}  // namespace

void MakerOptions::visit(base::OptionVisitor& v) {
  v("allow_special", allow_special, "special tokens written out in texts, prompts and completions become tokens");
  v("roles", roles, "what else the data call a role: NAME=ROLE, ROLE one of system, user, assistant, tool");
  train_on.visit(v);
  text.visit(v);
}

std::int64_t Example::targets() const {
  std::int64_t count = 0;
  for (std::size_t i = 1; i < trained.size(); ++i) count += i == second ? 0 : trained[i];
  return count;
}

ExampleMaker::ExampleMaker(const tokenizer::Tokenizer& tokenizer, const MakerOptions& options)
    : tokenizer_(tokenizer),
      allow_special_(options.allow_special),
      pairs_(options.pairs),
      roles_(tokenizer::role_map(options.roles)),
      train_on_(options.train_on.value()) {
  try {
    chat_ = tokenizer::chat_template_of(tokenizer);
    end_ids_ = chat_->stop_ids();
  } catch (const base::Error& error) {
    end_ids_ = tokenizer.end_ids();
    chat_error_ = error.what();
  }
}

Example ExampleMaker::from_chat(const Conversation& conversation, RecordNotes& notes) const {
  check_members(conversation);
  for (const Message& message : conversation.messages) check_message(message);
  if (!chat_) {
    throw base::UsageError(
        {"the data has conversations, but the model's chat template cannot be used: " + chat_error_, "--data", "", "",
         "choose a template with --chat-template, or give {\"prompt\", \"completion\"} or {\"text\"} records"});
  }
  static thread_local tokenizer::RenderedChat chat;  // its memory is used again
  chat_->render_text(conversation.messages, false, conversation.members, train_on_, chat);
  tokenizer::Rendered rendered = tokenizer::encode_chat(tokenizer_, chat);
  notes.left_out = std::move(chat.left_out);
  notes.drops_messages = !chat.dropped.empty();
  notes.specials_as_text = rendered.specials_as_text > 0;
  return {std::move(rendered.ids), std::move(rendered.trained)};
}

Example ExampleMaker::from_text(const std::string& prompt, const std::string& completion, RecordNotes& notes) const {
  const std::string text = prompt + completion;
  const tokenizer::ByteRange all{0, text.size()};
  const tokenizer::DataRanges data =
      allow_special_ || text.empty() ? tokenizer::DataRanges() : tokenizer::DataRanges(&all, 1);
  tokenizer::Encoding encoding = tokenizer_.encode_with_offsets(text, data);
  notes.specials_as_text = encoding.specials_as_text > 0;
  Example example;
  example.ids = std::move(encoding.ids);
  // The token that holds the last of the prompt and the first of the completion counts as completion.
  for (const tokenizer::ByteRange& offsets : encoding.offsets)
    example.trained.push_back(offsets.end > prompt.size() || offsets.begin >= prompt.size());
  if (tokenizer_.add_bos && tokenizer_.bos && (example.ids.empty() || example.ids.front() != *tokenizer_.bos)) {
    example.ids.insert(example.ids.begin(), *tokenizer_.bos);
    example.trained.insert(example.trained.begin(), 0);
  }
  const std::vector<std::int32_t> ends = tokenizer_.end_ids();
  if (!ends.empty() && (example.ids.empty() || example.ids.back() != ends.front())) {
    example.ids.push_back(ends.front());
    example.trained.push_back(1);
  }
  return example;
}

Example ExampleMaker::from_pair(Conversation& conversation, bool is_text, RecordNotes& notes) const {
  const auto& messages = conversation.messages;
  if (is_text) {
    conversation.format = "prompt";
    conversation.plain = true;
    check_members(conversation);
    RecordNotes second;
    Example chosen = from_text(messages[0].content, messages[1].content, notes);
    const Example rejected = from_text(messages[0].content, conversation.rejected[0].content, second);
    notes.specials_as_text |= second.specials_as_text;
    return joined(std::move(chosen), rejected);
  }
  Conversation side = conversation;
  side.format = "messages";
  side.messages.resize(conversation.prompt);
  for (Message& message : side.messages) message.trained = false;  // answers in a prompt stand on both sides
  Conversation other = side;
  side.messages.insert(side.messages.end(), messages.begin() + static_cast<std::ptrdiff_t>(conversation.prompt),
                       messages.end());
  other.messages.insert(other.messages.end(), conversation.rejected.begin(), conversation.rejected.end());
  RecordNotes second;
  Example chosen = from_chat(side, notes);
  const Example rejected = from_chat(other, second);
  notes.specials_as_text |= second.specials_as_text;
  notes.drops_messages |= second.drops_messages;
  for (const std::string& name : second.left_out)
    if (std::ranges::find(notes.left_out, name) == notes.left_out.end()) notes.left_out.push_back(name);
  return joined(std::move(chosen), rejected);
}

Example ExampleMaker::make(std::string_view record, RecordNotes* notes) const {
  RecordNotes unused;
  RecordNotes& said = notes ? *notes : unused;
  Json json = base::lenient_ordered_json(record, &said.repeated_keys);
  if (pairs_) state_prompt(json);
  if (json.is_discarded()) throw base::Error({"not valid JSON", "", parse_error(record), "", ""});
  Conversation conversation;
  if (const auto problem = tokenizer::read_conversation(json, roles_, conversation)) throw base::Error(problem->facts);
  check_flags(conversation, said);
  Example example;
  if (pairs_) {
    if (conversation.format != "preference")
      throw base::Error({"no pair of answers", conversation.format, "", "chosen and rejected",
                         "train on answers with --objective answers"});
    example = from_pair(conversation, is_text_pair(json, conversation), said);
  } else if (conversation.format == "text") {
    example = from_text("", conversation.text, said);
  } else if (conversation.plain) {
    check_members(conversation);
    example = from_text(conversation.messages[0].content, conversation.messages[1].content, said);
  } else {
    example = from_chat(conversation, said);
  }
  for (std::size_t i = example.ids.size(); i-- > 1;)
    if (example.trained[i] && std::ranges::find(end_ids_, example.ids[i]) != end_ids_.end()) said.first_end = i;
  return example;
}

Dataset read_dataset(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options) {
  base::RecordOptions record_options;
  record_options.limit = options.limit;
  record_options.text = options.text;
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
      result.files.refuse(bad);
      count_bad(result.report, where(bad.place), bad.error, bad.error);
    }
    if (!item.block) return result;
    base::for_each_line(*item.block, [&](std::string_view line, const base::Place& place) {
      ++result.report.read;
      RecordNotes notes;
      try {
        Example example = maker.make(line, &notes);
        ++result.files.of(place.file).used;
        take(std::move(example), notes, options, result);
      } catch (const base::UsageError&) {
        throw;
      } catch (const base::Error& error) {
        const auto& [what, member, value, expected, advice] = error.facts();
        result.files.refuse(place, error.what(), base::is_cut_off(*item.block, line));
        count_bad(result.report, where(place), member.empty() ? what : member + ": " + what, error.what());
      }
      result.report.repeated_keys += notes.repeated_keys;
    });
    return result;
  };
  Dataset dataset;
  base::InputTally tally;
  auto sink = [&](BlockResult result) {
    add(dataset.report, result.report);
    tally.add(result.files);
    std::move(result.examples.begin(), result.examples.end(), std::back_inserter(dataset.examples));
  };
  base::ordered_pipeline<Item, BlockResult>(base::thread_count(options.threads), source, work, sink);

  const DataReport& report = dataset.report;
  if (options.max_bad.is_exceeded(report.bad, report.read, true)) {
    throw base::Error({fmt::format("{} of {} records are bad: {}", report.bad, report.read, counted(report.bad_kinds)),
                       report.first_bad, "", fmt::format("at most {} (--max-bad)", options.max_bad.text()), ""});
  }
  const std::vector<base::FileLoss> losses = tally.losses(files, options.limit == 0);
  if (!losses.empty()) {
    std::string others = losses.size() > 1 ? fmt::format(" (and {} more files)", losses.size() - 1) : "";
    throw base::Error({"a file of the data is lost" + others + ": " + losses[0].cause, losses[0].file, "", "",
                       "mend it or leave it out"});
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
  if (bad) {
    text += fmt::format(", {} bad (", human_count(bad));
    if (bad > 1) text += counted(bad_kinds) + "; ";
    text += "first: " + first_bad + ")";
  }
  text += fmt::format("; {} examples, {} tokens, {} trained", human_count(examples), human_count(tokens),
                      human_count(trained_tokens));
  if (specials_as_text)
    text += fmt::format(
        "; {} of the used records write special tokens as text, read as characters (--allow-special makes tokens "
        "of those in texts, prompts and completions)",
        human_count(specials_as_text));
  if (drops_messages)
    text +=
        fmt::format("; of {} of the used records the chat template leaves out a message", human_count(drops_messages));
  if (!left_out.empty())
    text += "; members of messages that the chat template does not write, and their records: " + counted(left_out);
  if (repeated_keys) text += "; " + base::repeated_keys_note(repeated_keys);
  if (!unused.empty()) text += "; members of records that nothing here reads: " + counted(unused);
  if (examples && !ends)
    text +=
        "; warning: no end token is trained, so that the model will not learn to stop (the tokenizer names none, or "
        "every example is cut before it)";
  return text;
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
    if (example.second > 0) hash = base::mix64(hash ^ example.second);
    for (std::size_t i = 0; i < example.ids.size(); ++i) {
      hash = base::mix64(hash ^ (static_cast<std::uint64_t>(example.ids[i]) << 1 | example.trained[i]));
    }
  }
  return hash;
}

}  // namespace finetune
