// The entry functions of curate: models, records, and texts through every rule.
#include <xxhash.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/options.h"
#include "base/unicode.h"
#include "curate/dedup/minhash.h"
#include "curate/records/record.h"
#include "curate/scorer/fasttext.h"
#include "curate/scorer/textbook_model.h"
#include "curate/steps/document.h"
#include "curate/steps/step.h"
#include "tests/fuzz/entries.h"
#include "tests/fuzz/memory_file.h"

namespace fuzz {

void fasttext_model(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return;
  MemoryFile file(".bin", data + 1, size - 1);
  try {
    curate::FastText model(file.path(), data[0] & 1 ? curate::FastText::kExpandLimit : 0);
    curate::FastText::Scratch scratch;
    for (std::string_view text : {"", "bato n der w1 w2 w3 \xE6\xBC\xA2 something else", "w1 w1 </s> w2"}) {
      std::span<const float> scores = model.predict(text, scratch);
      check(scores.size() == model.labels().size(), "a score for each label");
      for (float score : scores) check(score >= 0 && score <= 1.001f, "a score is a probability");
    }
  } catch (const base::Error&) {
  }
}

void textbook_model(const std::uint8_t* data, std::size_t size) {
  if (size < 9) return;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] & 1) {  // with a checksum that fits, so that what lies behind it is seen
    const std::uint64_t hash = XXH3_64bits(bytes.data(), bytes.size() - 8);
    std::memcpy(bytes.data() + bytes.size() - 8, &hash, 8);
  }
  MemoryFile file(".model", reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  try {
    curate::TextbookModel model(file.path());
    check(model.serialise() == bytes, "a model is written as it was read");
    curate::StyleFeatures features;
    for (std::string_view text : {"", "You can use it, because it is here.\n\nAnd 42 \xC3\xA9."})
      check(!(std::abs(model.score(text, features) - 0.5) > 0.5), "a score is a probability");
  } catch (const base::Error&) {
  }
}

void json_record(const std::uint8_t* data, std::size_t size) {
  std::string line(reinterpret_cast<const char*>(data), size);
  const curate::FieldNames fields{"text", "id", "source", "date"};
  curate::RecordParser parser;
  curate::Record record;
  if (!parser.parse(line, 0, fields, record).empty()) return;
  check(base::find_invalid_utf8(record.text) == std::string_view::npos, "a text is UTF-8");
  check(base::find_invalid_utf8(record.id) == std::string_view::npos, "an id is UTF-8");
  const std::string text(record.text), id(record.id), delivered(record.line);
  auto written = [&](const std::string_view* new_text) {
    std::string out;
    curate::append_record(out, delivered, fields.text, new_text, "\"textbook\":0.5");
    check(!out.empty() && out.back() == '\n' && out.find('\n') + 1 == out.size(), "a record is one line");
    out.pop_back();
    return out;
  };
  if (delivered.find('\n') != delivered.npos) return;  // a block has cut it there
  const std::string_view other = "new \"text\"\n\xC3\xA9";
  for (const std::string_view* new_text : {static_cast<const std::string_view*>(nullptr), &other}) {
    const std::string out = written(new_text);
    check(parser.parse(out, 0, fields, record).empty(), "what is written is a record");
    check(record.text == (new_text ? other : std::string_view(text)), "the text is the one that was written");
    check(record.id == id, "the id stays");
    check(!record.repeated_keys, "no key is there twice");
    std::string again;
    curate::append_record(again, out, fields.text, nullptr, "\"textbook\":0.5");
    check(again == out + "\n", "writing the same members again changes nothing");
  }
}

void text_rules(const std::uint8_t* data, std::size_t size) {
  // Every step that needs no file, in the registry's order, each with a document of its own text.
  static const auto* const kSteps = [] {
    auto* steps = new std::vector<std::unique_ptr<base::OptionGroup>>;
    for (const auto& [name, make] : curate::step_registry()) {
      if (name == "language" || name == "textbook" || name == "decontaminate" || name == "deduplicate") continue;
      steps->push_back(make());
      dynamic_cast<curate::Step&>(*steps->back()).prepare();
    }
    return steps;
  }();
  static curate::Document document;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (base::find_invalid_utf8(text) != text.npos) return;  // the parser lets no such text pass
  for (const auto& group : *kSteps) {
    const auto& step = dynamic_cast<const curate::Step&>(*group);
    document.reset(text, "id", "source");
    const curate::Verdict verdict = step.apply(document);
    const std::string edited(document.text());
    check(base::find_invalid_utf8(edited) == edited.npos, "an edited text is UTF-8");
    std::vector<curate::Measure> measures;
    document.reset(text, "id", "source");
    const curate::Verdict all = step.apply(document, &measures);
    check(verdict.keep == all.keep && verdict.reason == all.reason, "the verdict is the same with all measures");
    if (verdict.keep) check(document.text() == edited, "and so is the text");
    bool failed = false;
    for (const curate::Measure& measure : measures) {
      failed |= measure.failed;
      check(std::isfinite(measure.value), "a measure is a number");
    }
    check(failed == !all.keep, "a document is dropped because a measure failed");
  }
  curate::Shingler shingler(5);
  std::vector<std::uint64_t> set(shingler.shingles(text).begin(), shingler.shingles(text).end());
  curate::make_set(set);
  check(set.empty() || curate::jaccard(set, set, 0.5) == 1, "a text is equal to itself");
}

}  // namespace fuzz
