#include "curate/train/labelled.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/inputs.h"
#include "base/json_record.h"
#include "base/random.h"
#include "base/records.h"
#include "base/text.h"
#include "curate/scorer/scorer_text.h"
#include "curate/text/words.h"

namespace curate {
namespace {

/// One form for a label however it is written: 2, 2.0, "2" and " 2.0" are "2"; "True" and true are "true".
std::string label_form(std::string_view text) {
  std::string label(base::trim(text));
  if (label.find_first_not_of("0123456789+-.eE") == label.npos && label.find_first_of("0123456789") != label.npos) {
    char* end = nullptr;
    const double number = std::strtod(label.c_str(), &end);
    if (*end == '\0' && std::isfinite(number)) return fmt::format("{}", number == 0 ? 0.0 : number);
  }
  if (label == "True" || label == "TRUE") return "true";
  if (label == "False" || label == "FALSE") return "false";
  return label;
}

/// A scalar as text; nothing for null, arrays and objects.
std::optional<std::string> scalar(const base::JsonRecord& record, const std::string& key) {
  simdjson::dom::element element;
  std::string scratch;
  if (!record.find(key, element) || element.is_null() || element.is_array() || element.is_object()) return std::nullopt;
  return std::string(record.scalar(key, scratch));
}

}  // namespace

void TrainScorerOptions::visit(base::OptionVisitor& v) {
  v.positional("input", input, "labelled records");
  text.visit(v);
  v.required("output", output, "the model to write", base::PathKind::kOutputFile);
  v.choice("kind", kind, {"style", "fasttext"},
           "style: how a text is written, better on new sources; fasttext: a fastText file (.ftz), its words");
  v("text_field", text_field,
    "the field that holds the text; a path where fields are nested, as of the others (meta.text)");
  v("label_field", label_field, "the field that holds the label");
  v("good", good, "values of the label that are good, separated by commas");
  v("bad", bad, "values that are bad; records with any other value are left out");
  v("group_field", group_field, "the field that names the source; some sources are held out as a whole");
  v("split_field", split_field, "a field whose value 'test' holds a record out; else records are chosen by their hash");
  v("where", where, "only records with FIELD=VALUE");
  v("per_group", per_group, "at most so many records of a group and a label (0: all)").at_least(0);
  v("held_out", held_out, "share of records held out to measure on unseen documents").at_least(0).below(1);
  v("unseen_groups", unseen_groups,
    "fasttext: share of groups held out to measure on unseen groups (style: all, in turn)")
      .at_least(0)
      .below(1);
  v("seed", seed, "chooses what is held out, and starts the training");
  v("target_precision", target_precision, "style: the recommended min-score keeps so many good among the kept")
      .between(0, 1);
  v("note", note, "style: a line stored in the model: what it was trained on");
  v("dimension", dimension, "fasttext: length of a word's vector").at_least(1);
  v("epochs", epochs, "fasttext: times each record is seen").at_least(1);
  v("learning_rate", learning_rate, "fasttext: rate at the start").above(0);
  v("word_ngrams", word_ngrams, "fasttext: longest word n-gram").at_least(1);
  v("min_count", min_count, "fasttext: rarer words are left out").at_least(1);
  v("buckets", buckets, "fasttext: rows that word n-grams share").at_least(1);
  v("quantise", quantise, "fasttext: write a small model");
  v("max_rows", max_rows, "fasttext: rows that a small model keeps (0: all)").at_least(0);
}

LabelledRecords read_labelled(const TrainScorerOptions& options) {
  auto list = [](const std::vector<std::string>& values) {  // "2,3" is two values
    std::vector<std::string> parts;
    for (const std::string& value : values) {
      for (const std::string& part : base::split(value, ',')) parts.push_back(label_form(part));
    }
    return parts;
  };
  const std::vector<std::string> good = list(options.good), bad = list(options.bad);
  std::vector<std::pair<std::string, std::string>> where;
  for (const std::string& condition : options.where) {
    std::size_t equals = condition.find('=');
    if (equals == std::string::npos) {
      throw base::UsageError(base::ErrorFacts{"not a condition", "where", condition, "FIELD=VALUE", ""});
    }
    where.emplace_back(condition.substr(0, equals), label_form(condition.substr(equals + 1)));
  }
  if (options.input.empty()) throw base::UsageError(base::ErrorFacts{"no input", "input", "", "files of records", ""});

  LabelledRecords result;
  base::InputTally tally;
  const std::vector<std::string> files = base::expand_inputs(options.input);
  std::map<std::pair<std::string, bool>, std::set<std::pair<std::uint64_t, std::size_t>>> taken;  // places and indices
  base::RecordOptions reading;
  reading.text = options.text;
  base::BlockReader reader(files, reading);
  std::vector<base::BadBytes> bad_bytes;
  base::JsonRecord record;
  while (auto block = reader.next(bad_bytes)) {
    base::for_each_line(*block, [&](std::string_view line, const base::Place& place) {
      if (const std::string error = record.parse(line); !error.empty()) {
        ++result.unreadable;
        tally.refuse(place, error, base::is_cut_off(*block, line));
        return;
      }
      result.repeated_keys += record.repeated_keys();
      std::string_view text;
      std::optional<std::string> label = scalar(record, options.label_field);
      simdjson::dom::element text_member;
      if (!label || !record.find(options.text_field, text_member) || text_member.get(text)) {
        tally.refuse(place, fmt::format("no text under \"{}\" or no label under \"{}\"", options.text_field,
                                        options.label_field));
        return;
      }
      ++tally.of(place.file).used;
      for (const auto& [field, value] : where) {
        const std::optional<std::string> is = scalar(record, field);
        if (!is || label_form(*is) != value) return;
      }
      *label = label_form(*label);
      bool is_good = std::find(good.begin(), good.end(), *label) != good.end();
      if (!is_good && std::find(bad.begin(), bad.end(), *label) == bad.end()) {
        if (result.other_labels.size() < 1000 || result.other_labels.count(*label) > 0) ++result.other_labels[*label];
        return;
      }
      LabelledText entry;
      entry.group = scalar(record, options.group_field).value_or("");
      if (options.kind == "fasttext") {
        scorer_text(text, entry.line);
      } else {
        entry.line = text;
      }
      if (entry.line.empty()) return;
      entry.good = is_good;
      entry.place = hash_text(entry.line, options.seed);
      entry.test = options.split_field.empty() ? base::unit(entry.place) < options.held_out
                                               : scalar(record, options.split_field) == "test";
      std::set<std::pair<std::uint64_t, std::size_t>>& places = taken[{entry.group, is_good}];
      if (options.per_group == 0 || static_cast<std::int64_t>(places.size()) < options.per_group) {
        places.emplace(entry.place, result.texts.size());
        result.texts.push_back(std::move(entry));
      } else if (auto last = std::prev(places.end()); entry.place < last->first) {
        const std::size_t slot = last->second;
        places.erase(last);
        places.emplace(entry.place, slot);
        result.texts[slot] = std::move(entry);
      }
    });
  }
  for (const base::BadBytes& bad : bad_bytes) tally.refuse(bad);
  result.unreadable += bad_bytes.size();
  result.losses = tally.losses(files, true);
  return result;
}

}  // namespace curate
