// `tokenizer decode`: the text of ids. Tested by tests/tokenizer/program_test.cc.
#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/delimiter.h"
#include "base/encoding.h"
#include "base/json_values.h"
#include "base/text.h"
#include "tokenizer/commands.h"
#include "tokenizer/record_texts.h"

namespace tokenizer {
namespace {

using nlohmann::json;

struct DecodeOptions : InputOptions {
  bool skip_special = false;
  base::TextOptions records;
  int threads = 0;
  void visit(base::OptionVisitor& v) {
    InputOptions::visit(v);
    v("skip_special", skip_special, "special tokens give nothing");
    records.visit(v);
    v("threads", threads, "with --json: threads, 0 = all").at_least(0);
  }
};

std::vector<std::int32_t> ids_of_text(std::string_view text, const std::string& file) {
  std::vector<std::int32_t> ids;
  const char *at = text.data(), *end = at + text.size();
  for (;;) {
    while (at != end && (static_cast<unsigned char>(*at) <= ' ' || *at == ',' || *at == '[' || *at == ']')) ++at;
    if (at == end) return ids;
    std::int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc())
      throw base::Error({"not a token id", fmt::format("{}@{}", file, at - text.data()),
                         base::shortened(std::string_view(at, std::min<std::size_t>(end - at, 20))),
                         "numbers separated by blanks", "with --json: records {\"ids\": [...]}"});
    ids.push_back(id);
    at = next;
  }
}

int run_decode(DecodeOptions& options, base::Context& context) {
  const auto files = options.files(context);
  base::tell_unused_delimiter(options.records.delimiter, files, context);
  const auto model = load(options.model);
  if (!context.json) {
    for (const std::string& file : files)
      context.out << model->decode(ids_of_text(base::read_text(file, options.records.encoding), file),
                                   options.skip_special);
    return 0;
  }
  RepeatedKeys repeated_keys;
  each_record<std::string>(
      files, options.records, options.threads,
      [&](std::string_view line, const std::string& where) {
        bool repeated = false;
        const json record = base::lenient_json(line, &repeated);
        repeated_keys.add(repeated);
        if (!record.is_object() || !record.contains("ids") || !record["ids"].is_array())
          throw base::Error({"the record has no ids", where, base::shortened(line), "{\"ids\": [1, 2, 3]}", ""});
        std::vector<std::int32_t> ids;
        for (const json& id : record["ids"]) {
          if (!id.is_number_integer() || id.get<std::int64_t>() != id.get<std::int32_t>())
            throw base::Error({"not a token id", where, base::shortened(base::json_line(id)), "a whole number", ""});
          ids.push_back(id.get<std::int32_t>());
        }
        // A cut through a character leaves bytes that JSON cannot hold: U+FFFD for each.
        const json text = {{"text", model->decode(ids, options.skip_special)}};
        return base::json_dump(text) + "\n";
      },
      [&](std::string line) { context.out << line; });
  repeated_keys.say(context);
  return 0;
}

}  // namespace

base::Command decode_command() {
  return base::make_command<DecodeOptions>("decode", "the text of ids (numbers, or with --json records {\"ids\"})",
                                           "echo 19556 905 | tokenizer decode --model smollm2.gguf -", run_decode);
}

}  // namespace tokenizer
