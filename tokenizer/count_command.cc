// `tokenizer count`: tokens, bytes and bytes per token of each file. Tested by tests/tokenizer/program_test.cc.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <cmath>
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

struct CountOptions : InputOptions {
  bool allow_special = false;
  std::string text_field = "text";
  base::TextOptions records;
  int threads = 0;
  void visit(base::OptionVisitor& v) {
    InputOptions::visit(v);
    v("allow_special", allow_special, "special tokens written out in the text count as one");
    v("text_field", text_field,
      "the key of the text in files of records (.jsonl, .json, .csv, .tsv, .parquet); others are one text");
    records.visit(v);
    v("threads", threads, "threads, 0 = all").at_least(0);
  }
};

struct Counts {
  std::uint64_t texts = 0, tokens = 0, bytes = 0;
  void add(const Counts& other) {
    texts += other.texts;
    tokens += other.tokens;
    bytes += other.bytes;
  }
  double bytes_per_token() const { return tokens ? static_cast<double>(bytes) / static_cast<double>(tokens) : 0; }
  json as_json(const std::string& file) const {
    return {{"file", file},
            {"texts", texts},
            {"tokens", tokens},
            {"bytes", bytes},
            {"bytes_per_token", std::round(bytes_per_token() * 1000) / 1000}};
  }
  std::string as_row(const std::string& file) const {
    return fmt::format("{:>14} {:>14} {:>14} {:>12.2f}  {}\n", base::human_count(tokens), base::human_count(bytes),
                       base::human_count(texts), bytes_per_token(), file);
  }
};

int run_count(CountOptions& options, base::Context& context) {
  const auto files = options.files(context);
  base::tell_unused_delimiter(options.records.delimiter, files, context);
  const auto model = load(options.model);
  Counts total;
  RepeatedKeys repeated_keys;
  const auto print = [&](const Counts& counts, const std::string& name) {
    if (context.json)
      context.out << base::json_dump(counts.as_json(name)) << "\n";
    else
      context.out << counts.as_row(name);
  };
  if (!context.json)
    fmt::print(context.out, "{:>14} {:>14} {:>14} {:>12}\n", "tokens", "bytes", "texts", "bytes/token");
  for (const std::string& file : files) {
    Counts counts;
    const std::string_view format = base::record_format(file);
    if (file != "-" && !format.empty() && format != "txt") {
      each_record<Counts>(
          {file}, options.records, options.threads,
          [&](std::string_view line, const std::string& where) {
            const std::string text = text_field(line, options.text_field, where, repeated_keys);
            return Counts{1, model->encode(text, options.allow_special).size(), text.size()};
          },
          [&](Counts one) { counts.add(one); });
    } else {
      const std::string text = base::read_text(file, options.records.encoding);
      counts = {1, model->encode(text, options.allow_special).size(), text.size()};
    }
    print(counts, file);
    total.add(counts);
  }
  if (files.size() > 1) print(total, "total");
  repeated_keys.say(context);
  return 0;
}

}  // namespace

base::Command count_command() {
  return base::make_command<CountOptions>("count", "tokens, bytes and bytes per token of each file",
                                          "tokenizer count --model smollm2.gguf corpus/*.jsonl.zst", run_count);
}

}  // namespace tokenizer
