// The text of one record. Tested by tests/tokenizer/program_test.cc.
#include "tokenizer/record_texts.h"

#include <simdjson.h>

#include "base/json_fault.h"
#include "base/json_record.h"
#include "base/text.h"

namespace tokenizer {

std::string text_field(std::string_view line, const std::string& field, const std::string& where,
                       RepeatedKeys& repeated_keys) {
  thread_local base::JsonRecord record;
  if (!record.parse(line).empty()) throw base::no_json_object(line, where, "");
  repeated_keys.add(record.repeated_keys());
  simdjson::dom::element value;
  std::string_view text;
  if (!record.find(field, value) || value.get(text))
    throw base::Error({"the record has no text", where, base::shortened(line), "a text under the key '" + field + "'",
                       "name the key with --text-field (data.text where it is nested)"});
  return std::string(text);
}

}  // namespace tokenizer
