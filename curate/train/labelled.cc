// The labelled records that a scorer learns from. Tested by tests/curate/train/scorer_test.cc.
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

// One form for a label however it is written: 2, 2.0, "2" and " 2.0" are "2"; "True" and true are "true".
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

// A scalar as text; nothing for null, arrays and objects.
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

namespace {

std::vector<std::string> label_forms(const std::vector<std::string>& values) {  // "2,3" is two values
  std::vector<std::string> forms;
  for (const std::string& value : values)
    for (const std::string& part : base::split(value, ',')) forms.push_back(label_form(part));
  return forms;
}

std::vector<std::pair<std::string, std::string>> conditions(const std::vector<std::string>& where) {
  std::vector<std::pair<std::string, std::string>> conditions;
  for (const std::string& condition : where) {
    const std::size_t equals = condition.find('=');
    if (equals == std::string::npos)
      throw base::UsageError(base::ErrorFacts{"not a condition", "where", condition, "FIELD=VALUE", ""});
    conditions.emplace_back(condition.substr(0, equals), label_form(condition.substr(equals + 1)));
  }
  return conditions;
}

bool contains(const std::vector<std::string>& labels, const std::string& label) {
  return std::ranges::find(labels, label) != labels.end();
}

// Gathers the records that an option struct asks for.
class LabelReader {
 public:
  explicit LabelReader(const TrainScorerOptions& options)
      : options_(options),
        good_(label_forms(options.good)),
        bad_(label_forms(options.bad)),
        where_(conditions(options.where)) {}

  LabelledRecords read();

 private:
  void take(const base::Block& block, std::string_view line, const base::Place& place);
  void label(std::string_view text, const std::string& label);
  void choose(LabelledText entry);
  bool is_wanted() const;

  const TrainScorerOptions& options_;
  const std::vector<std::string> good_, bad_;
  const std::vector<std::pair<std::string, std::string>> where_;
  base::JsonRecord record_;
  base::InputTally tally_;
  LabelledRecords result_;
  // Of each group and label: places and indices.
  std::map<std::pair<std::string, bool>, std::set<std::pair<std::uint64_t, std::size_t>>> taken_;
};

// Not for_each_document: a label that is null is none, one that is "" is another label, and `where` asks for any number
// of fields.
LabelledRecords LabelReader::read() {
  if (options_.input.empty()) throw base::UsageError(base::ErrorFacts{"no input", "input", "", "files of records", ""});
  const std::vector<std::string> files = base::expand_inputs(options_.input);
  base::RecordOptions reading;
  reading.folder_fields = true;
  reading.bytes_are_text = true;
  reading.text = options_.text;
  base::BlockReader reader(files, reading);
  base::for_each_record(
      reader,
      [&](const base::Block& block, std::string_view line, const base::Place& place) { take(block, line, place); },
      [&](const base::BadBytes& bad) {
        ++result_.unreadable;
        tally_.refuse(bad);
      });
  result_.losses = tally_.losses(files, true);
  return std::move(result_);
}

void LabelReader::take(const base::Block& block, std::string_view line, const base::Place& place) {
  if (const std::string error = record_.parse(line); !error.empty()) {
    ++result_.unreadable;
    tally_.refuse(place, error, base::is_cut_off(block, line));
    return;
  }
  result_.repeated_keys += record_.repeated_keys();
  std::string_view text;
  const std::optional<std::string> label = scalar(record_, options_.label_field);
  simdjson::dom::element text_member;
  if (!label || !record_.find(options_.text_field, text_member) || text_member.get(text)) {
    tally_.refuse(
        place, fmt::format("no text under \"{}\" or no label under \"{}\"", options_.text_field, options_.label_field));
    return;
  }
  ++tally_.of(place.file).used;
  if (is_wanted()) this->label(text, label_form(*label));
}

bool LabelReader::is_wanted() const {
  return std::ranges::all_of(where_, [&](const auto& condition) {
    const std::optional<std::string> is = scalar(record_, condition.first);
    return is && label_form(*is) == condition.second;
  });
}

void LabelReader::label(std::string_view text, const std::string& label) {
  LabelledText entry;
  entry.good = contains(good_, label);
  if (!entry.good && !contains(bad_, label)) {
    auto& others = result_.other_labels;
    if (others.size() < 1000 || others.contains(label)) ++others[label];
    return;
  }
  entry.group = scalar(record_, options_.group_field).value_or("");
  if (options_.kind == "fasttext") {
    scorer_text(text, entry.line);
  } else {
    entry.line = text;
  }
  if (entry.line.empty()) return;
  entry.place = hash_text(entry.line, options_.seed);
  entry.test = options_.split_field.empty() ? base::unit(entry.place) < options_.held_out
                                            : scalar(record_, options_.split_field) == "test";
  choose(std::move(entry));
}

// Of a group and label those with the smallest places.
void LabelReader::choose(LabelledText entry) {
  std::set<std::pair<std::uint64_t, std::size_t>>& places = taken_[{entry.group, entry.good}];
  if (options_.per_group == 0 || static_cast<std::int64_t>(places.size()) < options_.per_group) {
    places.emplace(entry.place, result_.texts.size());
    result_.texts.push_back(std::move(entry));
  } else if (const auto last = std::prev(places.end()); entry.place < last->first) {
    const std::size_t slot = last->second;
    places.erase(last);
    places.emplace(entry.place, slot);
    result_.texts[slot] = std::move(entry);
  }
}

}  // namespace

LabelledRecords read_labelled(const TrainScorerOptions& options) { return LabelReader(options).read(); }

}  // namespace curate
