// What is said of data before they are used. Tested by tests/finetune/train_data_test.cc and commands_test.cc.
#include "finetune/data/findings.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;

std::string share(std::uint64_t part, std::uint64_t all) {
  return fmt::format("{:.1f}%", all == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(all));
}

// The first records with `fate`; bad ones say why.
std::vector<std::string> named(const DataReport& report, Fate fate) {
  constexpr std::size_t kShown = 5;
  std::vector<std::string> places;
  for (const AlteredRecord& record : report.altered) {
    if (record.fate != fate) continue;
    if (places.size() == kShown) break;
    places.push_back(report.place(record.origin) + (record.why.empty() ? "" : " (" + record.why + ")"));
  }
  return places;
}

// "truncated: a.jsonl:3, a.jsonl:17 and 4 more"
std::string line_of(const DataReport& report, Fate fate) {
  const std::vector<std::string> places = named(report, fate);
  const std::uint64_t more = report.count_of(fate) - places.size();
  return name_of(fate) + ": " + base::join(places, ", ") +
         (more > 0 ? fmt::format(" and {} more", base::human_count(more)) : "");
}

// What was chosen and is read of conversations alone.
std::vector<std::string> options_of_chats(const MakerOptions& options) {
  std::vector<std::string> chosen;
  if (options.train_on.value() == tokenizer::TrainOn::kLast)
    chosen.push_back("--train-on " + options.train_on.train_on);
  if (!options.roles.empty()) chosen.push_back("--roles " + base::join(options.roles, " "));
  return chosen;
}

}  // namespace

std::vector<std::string> findings(const DataReport& report, const tokenizer::Tokenizer& tokenizer,
                                  const MakerOptions& options) {
  using base::human_count;
  std::vector<std::string> lines;
  for (const Fate fate : kAllFates)
    if (report.count_of(fate) > 0) lines.push_back(line_of(report, fate));
  lines.push_back(fmt::format("{} of the tokens are trained; an end token is trained in {} of {} records",
                              share(report.trained_tokens, report.tokens), human_count(report.ends),
                              human_count(report.used)));
  for (const std::string& option : options_of_chats(options))
    if (report.chats == 0) lines.push_back(fmt::format("{} changes nothing: no record is a conversation", option));
  if (report.plain > 0)
    lines.push_back(fmt::format(
        "prompt and answer as one text, without the chat template: {} records; generate and chat use the template, "
        "generate --raw does not (messages, or instruction and output, are trained with it)",
        human_count(report.plain)));
  if (report.asks_again > 0)
    lines.push_back(fmt::format(
        "chosen or rejected go on with other turns: {} records; the answers count, TRL counts all that stands there",
        human_count(report.asks_again)));
  if (report.nulls > 0)
    lines.push_back(fmt::format(
        "null as a member of tools or their calls: {} records; templates write it. Parquet gives every object of a "
        "column the members of all: JSONL, or such members as JSON text, has its own alone",
        human_count(report.nulls)));
  if (tokenizer.bos)
    lines.push_back(fmt::format("begin with {} twice: {} records{}", tokenizer.token(*tokenizer.bos),
                                report.double_bos == 0 ? "no" : human_count(report.double_bos),
                                report.double_bos == 0 ? "" : "; the template or the texts write one too many"));
  if (report.without_bos > 0)
    lines.push_back(fmt::format("warning: {} records do not begin with {}, as the model's texts do",
                                human_count(report.without_bos), tokenizer.token(*tokenizer.bos)));
  lines.push_back(
      fmt::format("text comes back from its tokens in {} of {} records tried{}",
                  human_count(report.tried - report.changed), human_count(report.tried),
                  report.changed == 0 ? "" : "; another one does in " + report.place(report.first_changed)));
  return lines;
}

Json summary_of(const DataReport& report) {
  Json json = {{"read", report.read},
               {"kept", report.used},
               {"dropped", report.read - report.used},
               {"examples", report.examples},
               {"tokens", report.tokens},
               {"trained_tokens", report.trained_tokens},
               {"chats", report.chats},
               {"plain", report.plain},
               {"asks_again", report.asks_again},
               {"nulls", report.nulls},
               {"end_trained", report.ends},
               {"double_bos", report.double_bos},
               {"without_bos", report.without_bos},
               {"round_trip", {{"tried", report.tried}, {"changed", report.changed}}}};
  Json& fates = json["altered"] = Json::object();
  for (const Fate fate : kAllFates)
    if (const std::uint64_t count = report.count_of(fate); count > 0)
      fates[name_of(fate)] = {{"records", count}, {"first", named(report, fate)}};
  return json;
}

}  // namespace finetune
