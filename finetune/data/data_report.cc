// Where the records of a data set went. Tested by tests/finetune/data_test.cc and records_test.cc.
#include "finetune/data/data_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json_values.h"
#include "base/records.h"
#include "base/text.h"

namespace finetune {
namespace {

struct Number {
  const char* name;
  std::uint64_t DataReport::*field;
};
constexpr Number kNumbers[] = {{"read", &DataReport::read},
                               {"used", &DataReport::used},
                               {"untrained", &DataReport::untrained},
                               {"untrained_by_length", &DataReport::untrained_by_length},
                               {"dropped", &DataReport::dropped},
                               {"bad", &DataReport::bad},
                               {"too_long", &DataReport::too_long},
                               {"truncated", &DataReport::truncated},
                               {"split", &DataReport::split},
                               {"untrained_pieces", &DataReport::untrained_pieces},
                               {"examples", &DataReport::examples},
                               {"tokens", &DataReport::tokens},
                               {"trained_tokens", &DataReport::trained_tokens},
                               {"specials_as_text", &DataReport::specials_as_text},
                               {"drops_messages", &DataReport::drops_messages},
                               {"cuts_messages", &DataReport::cuts_messages},
                               {"partly", &DataReport::partly},
                               {"untrained_first", &DataReport::untrained_first},
                               {"chats", &DataReport::chats},
                               {"plain", &DataReport::plain},
                               {"empty", &DataReport::empty},
                               {"crosses", &DataReport::crosses},
                               {"asks_again", &DataReport::asks_again},
                               {"nulls", &DataReport::nulls},
                               {"ends", &DataReport::ends},
                               {"repeated_keys", &DataReport::repeated_keys},
                               {"double_bos", &DataReport::double_bos},
                               {"without_bos", &DataReport::without_bos},
                               {"tried", &DataReport::tried},
                               {"changed", &DataReport::changed}};

struct Counts {
  const char* name;
  std::map<std::string, std::uint64_t> DataReport::*field;
};
constexpr Counts kCounts[] = {
    {"bad_kinds", &DataReport::bad_kinds}, {"left_out", &DataReport::left_out}, {"unused", &DataReport::unused}};

}  // namespace

void count(std::map<std::string, std::uint64_t>& counts, const std::string& name, std::uint64_t number) {
  constexpr std::size_t kMost = 30;  // data may invent any number of names
  counts[counts.size() < kMost || counts.contains(name) ? base::shortened(name, 100) : "others"] += number;
}

std::string counted(const std::map<std::string, std::uint64_t>& counts) {
  const auto tell = [](const std::string& name, std::uint64_t number) {
    return fmt::format("{} ({})", name, base::human_count(number));
  };
  return base::most_frequent({counts.begin(), counts.end()}, counts.size(), tell);
}

std::string name_of(Fate fate) {
  static const std::array<std::string, kAllFates.size()> kNames{
      "truncated",
      "split",
      "too long",
      "without trained tokens",
      "bad",
      "written in part",
      "special tokens as text",
      "a key twice",
      "an answer without words, of which no more than the end is learned",
      "a token that holds the end of the prompt and the beginning of the answer, which generation will not meet"};
  return kNames[static_cast<std::size_t>(fate)];
}

void DataReport::alter(Fate fate, const Origin& origin, std::string why) {
  const auto known = std::ranges::count(altered, fate, &AlteredRecord::fate);
  if (static_cast<std::size_t>(known) < kMostNamed) altered.push_back({fate, origin, std::move(why)});
}

void DataReport::add(DataReport part) {
  for (const Number& number : kNumbers) this->*number.field += part.*number.field;
  for (const Counts& counts : kCounts)
    for (const auto& [name, number] : part.*counts.field) count(this->*counts.field, name, number);
  if (changed == part.changed) first_changed = part.first_changed;  // these are the first
  std::array<std::size_t, kAllFates.size()> known{};
  for (const AlteredRecord& record : altered) ++known[static_cast<std::size_t>(record.fate)];
  for (AlteredRecord& record : part.altered)
    if (known[static_cast<std::size_t>(record.fate)]++ < kMostNamed) altered.push_back(std::move(record));
}

std::uint64_t DataReport::count_of(Fate fate) const {
  switch (fate) {
    case Fate::kTruncated:
      return truncated;
    case Fate::kSplit:
      return split;
    case Fate::kTooLong:
      return dropped;
    case Fate::kUntrained:
      return untrained;
    case Fate::kBad:
      return bad;
    case Fate::kPartly:
      return partly;
    case Fate::kSpecials:
      return specials_as_text;
    case Fate::kRepeated:
      return repeated_keys;
    case Fate::kEmpty:
      return empty;
    case Fate::kCrosses:
      return crosses;
  }
  return 0;
}

std::string DataReport::place(const Origin& origin) const {
  return files.at(origin.file) + ":" + base::line_text(origin.line, origin.record);
}

nlohmann::ordered_json DataReport::to_json() const {
  nlohmann::ordered_json json;
  for (const Number& number : kNumbers) json[number.name] = this->*number.field;
  for (const Counts& counts : kCounts) json[counts.name] = this->*counts.field;
  json["first_changed"] = {first_changed.file, first_changed.line, first_changed.record};
  nlohmann::ordered_json& list = json["altered"] = nlohmann::ordered_json::array();
  for (const auto& [fate, origin, why] : altered)
    list.push_back({static_cast<int>(fate), origin.file, origin.line, origin.record, why});
  return json;
}

DataReport DataReport::from_json(const nlohmann::ordered_json& json, std::vector<std::string> files) {
  DataReport report;
  for (const Number& number : kNumbers) json.at(number.name).get_to(report.*number.field);
  for (const Counts& counts : kCounts) json.at(counts.name).get_to(report.*counts.field);
  const auto& changed = json.at("first_changed");
  const auto origin = [](const auto& list, std::size_t from) {
    return Origin{list.at(from).template get<std::uint32_t>(), list.at(from + 1).template get<std::uint64_t>(), 0,
                  list.at(from + 2).template get<std::uint32_t>()};
  };
  report.first_changed = origin(changed, 0);
  for (const auto& record : json.at("altered"))
    report.altered.push_back(
        {static_cast<Fate>(record.at(0).get<int>()), origin(record, 1), record.at(4).get<std::string>()});
  report.files = std::move(files);
  const auto bad = std::ranges::find(report.altered, Fate::kBad, &AlteredRecord::fate);
  if (bad != report.altered.end()) report.first_bad = report.place(bad->origin) + ": " + bad->why;
  return report;
}

std::string DataReport::to_text(const DataOptions& options) const {
  using base::human_count;
  std::string text = fmt::format("read {} records: {} used", human_count(read), human_count(used));
  if (truncated) text += fmt::format(" ({} truncated to {} tokens)", human_count(truncated), options.max_length);
  if (split) {
    text += fmt::format(" ({} split at {} tokens", human_count(split), options.max_length);
    if (untrained_pieces)
      text += fmt::format("; {} pieces without trained tokens left out", human_count(untrained_pieces));
    text += ")";
  }
  if (dropped) text += fmt::format(", {} dropped (longer than {} tokens)", human_count(dropped), options.max_length);
  if (untrained) text += fmt::format(", {} without trained tokens", human_count(untrained));
  if (untrained_by_length)
    text += fmt::format(" ({} of them longer than {} tokens)", human_count(untrained_by_length), options.max_length);
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
  if (cuts_messages)
    text += fmt::format("; of {} of the used records the chat template leaves out a part of a message",
                        human_count(cuts_messages));
  if (untrained_first)
    text +=
        fmt::format("; in {} of the used records the answer begins with the first token of all, which is never trained",
                    human_count(untrained_first));
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

}  // namespace finetune
