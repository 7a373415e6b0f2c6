// What a model is asked: one prompt a line of a .txt file, or records with a "prompt". Tested by
// tests/finetune/commands_test.cc and samples_test.cc.
#include "finetune/data/prompts.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/inputs.h"
#include "base/json_values.h"

namespace finetune {

Prompts read_prompts(const std::string& file, const base::TextOptions& text) {
  base::RecordOptions records;
  records.split_text = "line";
  records.text_field = "prompt";
  records.text = text;
  base::BlockReader reader(base::expand_inputs({file}), records);
  Prompts prompts;
  std::vector<base::BadBytes> bad;
  auto refuse = [&](std::uint64_t line, const std::string& why) {
    throw base::Error({"a record is not a prompt", file + ":" + std::to_string(line), "", why, ""});
  };
  while (auto block = reader.next(bad)) {
    base::for_each_line(*block, [&](std::string_view line, const base::Place& place) {
      bool repeated = false;
      nlohmann::json record = base::lenient_json(line, &repeated);
      prompts.repeated_keys += repeated;
      if (!record.is_object() || !record.contains("prompt") || !record["prompt"].is_string())
        refuse(place.line, "{\"prompt\": \"...\"}");
      prompts.texts.push_back(record["prompt"]);
    });
  }
  if (!bad.empty()) refuse(bad[0].place.line, bad[0].error);
  if (prompts.texts.empty()) throw base::Error({"no prompt in the file", file, "", "", ""});
  return prompts;
}

}  // namespace finetune
