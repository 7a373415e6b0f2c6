// What a model is asked: one prompt a line of a .txt file, or records with a "prompt". Tested by
// tests/finetune/commands_test.cc and samples_test.cc.
#include "finetune/data/prompts.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/inputs.h"
#include "base/json_values.h"
#include "base/text.h"

namespace finetune {
namespace {

constexpr const char* kPlainInput = "standard input is read as JSON lines; prompts as plain text: a .txt file";

}  // namespace

Prompts read_prompts(const std::string& file, const base::TextOptions& text) {
  base::RecordOptions records;
  records.split_text = "line";
  records.text_field = "prompt";
  records.text = text;
  base::BlockReader reader(base::expand_inputs({file}), records);
  Prompts prompts;
  std::vector<base::BadBytes> bad;
  auto place_of = [&](std::uint64_t line) { return file + ":" + std::to_string(line); };
  while (auto block = reader.next(bad)) {
    base::for_each_line(*block, [&](std::string_view line, const base::Place& place) {
      bool repeated = false;
      nlohmann::json record = base::lenient_json(line, &repeated);
      prompts.repeated_keys += repeated;
      if (!record.is_object() || !record.contains("prompt") || !record["prompt"].is_string())
        throw base::Error({"a record is not a prompt", place_of(place.line), base::shortened(std::string(line)),
                           "{\"prompt\": \"...\"}", file == "-" ? kPlainInput : ""});
      prompts.texts.push_back(record["prompt"]);
      prompts.places.push_back(place_of(place.line));
    });
  }
  if (!bad.empty()) throw base::Error("a prompt cannot be read: " + bad[0].error, place_of(bad[0].place.line));
  if (prompts.texts.empty()) throw base::Error({"no prompt in the file", file, "", "", ""});
  return prompts;
}

}  // namespace finetune
