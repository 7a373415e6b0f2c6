// `tokenizer encode`: the ids of files or of the texts of records. Tested by tests/tokenizer/program_test.cc.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include "base/delimiter.h"
#include "base/encoding.h"
#include "tokenizer/commands.h"
#include "tokenizer/record_texts.h"

namespace tokenizer {
namespace {

using nlohmann::json;

struct EncodeOptions : InputOptions {
  bool special = false, allow_special = false;
  std::string text_field = "text";
  base::TextOptions records;
  int threads = 0;
  void visit(base::OptionVisitor& v) {
    InputOptions::visit(v);
    v("allow_special", allow_special, "special tokens written out in the text become their ids");
    v("special", special, "the same, and BOS and EOS as the model wants, unless the text has them already");
    v("text_field", text_field, "with --json: the key of the text");
    records.visit(v);
    v("threads", threads, "with --json: threads, 0 = all").at_least(0);
  }
};

std::vector<std::int32_t> encode(const Tokenizer& model, std::string_view text, const EncodeOptions& options) {
  if (!options.special) return model.encode(text, options.allow_special);
  std::vector<std::int32_t> ids = encode_from_start(model, text, true);
  if (model.add_eos && model.eos && (ids.empty() || ids.back() != *model.eos)) ids.push_back(*model.eos);
  return ids;
}

int run_encode(EncodeOptions& options, base::Context& context) {
  const auto files = options.files(context);
  base::tell_unused_delimiter(options.records.delimiter, files, context);
  const auto model = load(options.model);
  if (!context.json) {
    for (const std::string& file : files)
      fmt::print(context.out, "{}\n",
                 fmt::join(encode(*model, base::read_text(file, options.records.encoding), options), " "));
    return 0;
  }
  RepeatedKeys repeated_keys;
  each_record<std::string>(
      files, options.records, options.threads,
      [&](std::string_view line, const std::string& where) {
        const std::string text = text_field(line, options.text_field, where, repeated_keys);
        return fmt::format("{{\"ids\":[{}]}}\n", fmt::join(encode(*model, text, options), ","));
      },
      [&](std::string line) { context.out << line; });
  repeated_keys.say(context);
  return 0;
}

}  // namespace

base::Command encode_command() {
  return base::make_command<EncodeOptions>(
      "encode", "the ids of each file, one line a file; with --json of each record's text, one line a record",
      "tokenizer encode --model smollm2.gguf --json corpus.jsonl.zst > ids.jsonl", run_encode);
}

}  // namespace tokenizer
