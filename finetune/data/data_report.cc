// Where the records of a data set went. Tested by tests/finetune/data_test.cc and records_test.cc.
#include "finetune/data/data_report.h"

#include <fmt/format.h>

#include "base/json_text.h"
#include "base/text.h"

namespace finetune {

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

}  // namespace finetune
