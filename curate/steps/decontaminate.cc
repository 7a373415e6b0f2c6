// Finds documents that hold items of benchmarks: shared word n-grams, confirmed by aligning the whole item. Tested by
// tests/curate/steps/cleaning_test.cc.
#include "curate/steps/decontaminate.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <unordered_map>

#include "base/error.h"
#include "base/inputs.h"
#include "base/json_record.h"
#include "base/json_values.h"
#include "base/records.h"
#include "base/stream.h"
#include "base/text.h"
#include "base/unicode.h"
#include "curate/dedup/minhash.h"
#include "curate/records/record.h"
#include "curate/steps/judge.h"

namespace curate {
namespace {

constexpr std::uint64_t kBase = 0x9E3779B97F4A7C15ull;
// An item is aligned within so many words around the hit.
constexpr std::size_t kMostAligned = 400;
// An item is aligned at so many places of a document: one that quotes a few words of it for ever is not aligned for
// ever.
constexpr std::size_t kMostPlaces = 64;

std::uint64_t power(std::size_t exponent) {
  std::uint64_t result = 1;
  while (exponent-- > 0) result *= kBase;
  return result;
}

std::uint64_t gram_hash(const std::uint64_t* words, std::size_t length) {
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < length; ++i) hash = hash * kBase + words[i];
  return hash;
}

// A shorter item counts only where it stands by itself: "the end of the war" is a part of many sentences.
constexpr std::size_t kSureWords = 8;

// Is what stands between two words, or a word and an end of the text, the end of a sentence, a line or a label?
bool divides(std::string_view gap) {
  for (std::size_t position = 0; position < gap.size();) {
    const char32_t c = base::next_code_point(gap, position);
    const bool inside =
        c == ' ' || c == '\t' || c == 0xA0 || c == 0x3000 || c == ',' || c == '\'' || c == 0x2019 || c == '-';
    if (!inside) return true;
  }
  return false;
}

}  // namespace

// A document's words as benchmarks are compared.
struct Decontaminate::Text {
  explicit Text(std::string_view text) : lower(base::to_lower(text)) { shingle_words(lower, true, words, places); }
  // Do the words [begin, begin + length) stand by themselves?
  bool is_apart(std::size_t begin, std::size_t length) const {
    const std::string_view all = lower;
    const std::size_t end = begin + length, from = begin > 0 ? places[begin - 1].end : 0;
    const std::size_t to = end < places.size() ? places[end].begin : all.size();
    return (begin == 0 || divides(all.substr(from, places[begin].begin - from))) &&
           (end == places.size() || divides(all.substr(places[end - 1].end, to - places[end - 1].end)));
  }
  std::string lower;
  std::vector<std::uint64_t> words;
  std::vector<WordPlace> places;
};

void Decontaminate::visit(base::OptionVisitor& v) {
  v("against", against, "files, folders or globs of benchmark records", base::PathKind::kPath);
  v("fields", fields, "fields of the benchmarks that are items (default: every text)");
  v("n", n, "words (in scripts without spaces: characters) in a row that a document must share with an item")
      .at_least(2)
      .unit("words");
  v("min_words", min_words, "items of fewer words are left out and counted; shorter ones than n are compared whole")
      .at_least(1);
  v("min_overlap", min_overlap, "share of an item's words that must stand in the document, in order").between(0, 1);
}

void Decontaminate::add_item(std::string_view text, std::uint32_t benchmark, std::uint64_t line) {
  Item item{benchmark, line, {}};
  item.words = Text(text).words;
  if (item.words.size() < static_cast<std::size_t>(min_words)) {
    ++left_out_;
    return;
  }
  const std::size_t length = std::min(item.words.size(), static_cast<std::size_t>(n));
  if (std::find(lengths_.begin(), lengths_.end(), length) == lengths_.end()) lengths_.push_back(length);
  for (std::size_t i = 0; i + length <= item.words.size(); ++i) {
    grams_.push_back({gram_hash(item.words.data() + i, length), static_cast<std::uint32_t>(items_.size()),
                      static_cast<std::uint32_t>(i)});
  }
  items_.push_back(std::move(item));
}

void Decontaminate::prepare() {
  if (against.empty()) {
    throw base::UsageError(
        base::ErrorFacts{"no benchmarks", "decontaminate.against", "", "files of benchmark records", ""});
  }
  left_out_ = repeated_keys_ = records_without_ = 0;
  benchmarks_.clear(), reasons_.clear(), items_.clear(), grams_.clear(), lengths_.clear();
  base::FoundInputs inputs = base::find_inputs(against);
  const std::vector<std::string>& files = files_ = inputs.files;
  input_notes_ = inputs.notes;
  for (const std::string& file : base::input_names(files)) {
    std::string name = made_source(file);
    benchmarks_.push_back(name);
    reasons_.push_back("decontaminate:" + name);
  }
  std::vector<std::uint64_t> texts(files.size());  // of each file
  base::RecordOptions reading;
  reading.bytes_are_text = true;
  base::JsonRecord record;
  base::for_each_record(files, reading, [&](std::string_view line, const base::Place& place, const std::string& file) {
    if (!record.parse(line).empty()) {
      throw base::Error({"a record of a benchmark cannot be read", file + ":" + base::line_text(place),
                         base::shortened(line), "a JSON object",
                         "mend it or take it out: no document would be checked against it"});
    }
    repeated_keys_ += record.repeated_keys();
    std::function<void(simdjson::dom::element)> collect = [&](simdjson::dom::element element) {
      std::string_view text;
      if (!element.get(text)) {
        add_item(text, place.file, place.line);
        ++texts[place.file];
      }
      simdjson::dom::array array;
      if (!element.get(array)) {
        for (simdjson::dom::element child : array) collect(child);
      }
      simdjson::dom::object members;
      if (!element.get(members)) {
        for (auto [key, child] : members) collect(child);
      }
    };
    const std::uint64_t before = texts[place.file];
    for (auto [key, value] : record.object()) {
      if (fields.empty() || std::find(fields.begin(), fields.end(), key) != fields.end()) collect(value);
    }
    records_without_ += texts[place.file] == before;
  });
  const auto without = std::find(texts.begin(), texts.end(), 0u);
  if (without != texts.end()) {
    throw base::Error({"a benchmark holds no text", "decontaminate.against",
                       files[static_cast<std::size_t>(without - texts.begin())],
                       fields.empty() ? "records with texts" : "texts in the fields " + base::join(fields, ", "),
                       "check decontaminate.fields"});
  }
  if (items_.empty()) {
    throw base::Error({"the benchmarks hold no item", "decontaminate.against", files.front(),
                       "texts of at least " + std::to_string(min_words) + " words",
                       "check decontaminate.fields and min_words"});
  }
  std::sort(grams_.begin(), grams_.end(), [](const Gram& a, const Gram& b) {
    return std::tie(a.hash, a.item, a.position) < std::tie(b.hash, b.item, b.position);
  });
  filter_.assign(std::bit_ceil(grams_.size() / 4 + 1), 0);
  for (const Gram& gram : grams_)
    filter_[(gram.hash >> 6) & (filter_.size() - 1)] |= std::uint64_t{1} << (gram.hash & 63);
}

std::vector<Note> Decontaminate::notes() const {
  std::vector<Note> notes = {{"items", items_.size(), ""}, {"items_left_out", left_out_, ""}};
  if (left_out_ > 0)
    notes.back().text =
        fmt::format("{} of {} items of the benchmarks have fewer than {} words and are left out (min_words)",
                    base::human_count(left_out_), base::human_count(left_out_ + items_.size()), min_words);
  if (records_without_ > 0)
    notes.push_back({"records_without_item", records_without_,
                     fmt::format("{} records of the benchmarks hold no text{}: nothing is checked against them",
                                 base::human_count(records_without_),
                                 fields.empty() ? "" : " in the fields " + base::join(fields, ", "))});
  for (const std::string& note : input_notes_) notes.push_back({"files", 1, note});
  if (repeated_keys_ > 0)
    notes.push_back(
        {"repeated_keys", repeated_keys_, "of the benchmarks, " + base::repeated_keys_note(repeated_keys_)});
  return notes;
}

// The share of the item's words that stand in order in `words` near where the item would begin.
double Decontaminate::overlap(const Item& item, const std::vector<std::uint64_t>& words, std::size_t begin) const {
  const std::size_t size = std::min(item.words.size(), kMostAligned), slack = std::max<std::size_t>(5, size / 4);
  const std::size_t first = begin > slack ? begin - slack : 0, last = std::min(words.size(), begin + size + slack);
  std::vector<std::uint32_t> row(size + 1, 0);
  for (std::size_t i = first; i < last; ++i) {
    std::uint32_t diagonal = 0;
    for (std::size_t j = 1; j <= size; ++j) {
      std::uint32_t above = row[j];
      row[j] = words[i] == item.words[j - 1] ? diagonal + 1 : std::max(row[j], row[j - 1]);
      diagonal = above;
    }
  }
  return static_cast<double>(row[size]) / static_cast<double>(size);
}

Verdict Decontaminate::apply(Document& document, std::vector<Measure>* measures) const {
  Judge judge(measures, document);
  const Text text(document.text());
  const std::vector<std::uint64_t>& words = text.words;
  double best = 0;
  const Item* found = nullptr;
  std::unordered_map<std::uint32_t, std::vector<std::size_t>> tried;  // item -> places of its beginning / 8
  for (std::size_t length : lengths_) {
    if (words.size() < length) continue;
    const std::uint64_t leaving = power(length);
    std::uint64_t hash = gram_hash(words.data(), length);
    for (std::size_t i = 0;; ++i) {
      if ((filter_[(hash >> 6) & (filter_.size() - 1)] >> (hash & 63)) & 1) {
        auto gram = std::lower_bound(grams_.begin(), grams_.end(), hash,
                                     [](const Gram& entry, std::uint64_t value) { return entry.hash < value; });
        for (; gram != grams_.end() && gram->hash == hash; ++gram) {
          const Item& item = items_[gram->item];
          if (std::min(item.words.size(), static_cast<std::size_t>(n)) != length) continue;
          if (item.words.size() == length && length < std::min(kSureWords, static_cast<std::size_t>(n)) &&
              !text.is_apart(i, length))
            continue;
          // An item longer than what is aligned is aligned from its beginning, if the hit is there.
          if (gram->position + length > kMostAligned) continue;
          std::size_t begin = i > gram->position ? i - gram->position : 0;
          std::vector<std::size_t>& places = tried[gram->item];
          if (places.size() == kMostPlaces || std::find(places.begin(), places.end(), begin / 8) != places.end())
            continue;
          places.push_back(begin / 8);
          double share = overlap(item, words, begin);
          if (share > best || !found) {
            best = share;
            found = &item;
          }
        }
        if (found && best >= min_overlap && !judge.wants_all()) break;
      }
      if (i + length == words.size()) break;
      hash = hash * kBase + words[i + length] - words[i] * leaving;
    }
    if (found && best >= min_overlap && !judge.wants_all()) break;
  }
  bool contaminated = found && best >= min_overlap;
  if (contaminated) {
    document.set_label("benchmark_item", benchmarks_[found->benchmark] + ":" + std::to_string(found->line));
  }
  judge.check(found ? std::string_view(reasons_[found->benchmark]) : std::string_view("decontaminate"), best,
              min_overlap, contaminated, Limit::kMax);
  return judge.verdict();
}

}  // namespace curate
