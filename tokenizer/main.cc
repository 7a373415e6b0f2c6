#include <fmt/format.h>
#include <fmt/ostream.h>
#include <simdjson.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/error.h"
#include "base/file.h"
#include "base/gguf.h"
#include "base/inputs.h"
#include "base/json_record.h"
#include "base/json_text.h"
#include "base/outputs.h"
#include "base/pipeline.h"
#include "base/program.h"
#include "base/records.h"
#include "base/stream.h"
#include "base/text.h"
#include "base/unicode.h"
#include "tokenizer/chat.h"
#include "tokenizer/conversation.h"
#include "tokenizer/convert.h"
#include "tokenizer/tokenizer.h"

namespace {

using nlohmann::json;
using tokenizer::Tokenizer;

constexpr const char* kModelHelp = "a Hugging Face folder, a tokenizer.json, a .model or a .gguf file";

struct InputOptions {
  std::string model;
  std::vector<std::string> input;
  void visit(base::OptionVisitor& v) {
    v.required("model", model, kModelHelp, base::PathKind::kModel);
    v.positional("input", input, "input files, folders or globs, '-' for standard input; .zst and .gz are unpacked");
  }
  std::vector<std::string> files(const base::Context& context) const {
    if (input.empty()) throw base::UsageError({"no input", "", "", "one or more files, or '-' for standard input", ""});
    return base::expand_inputs(input, context);
  }
};

std::string place_text(const std::vector<std::string>& files, const base::Place& place) {
  return fmt::format("{}:{}", files[place.file], place.line);
}

// For every record of `files`, in order and on several threads: `work(record as JSON text, place)` gives what `sink`
// gets. Bytes that are no record end the command.
template <class Result>
void each_record(const std::vector<std::string>& files, const base::TextOptions& text, int threads,
                 const std::function<Result(std::string_view line, const std::string& where)>& work,
                 const std::function<void(Result)>& sink) {
  base::RecordOptions options;
  options.text = text;
  base::BlockReader reader(files, options);
  std::vector<base::BadBytes> bad;
  const auto source = [&]() -> std::optional<base::Block> {
    auto block = reader.next(bad);
    if (!bad.empty()) throw base::Error({bad[0].error, place_text(files, bad[0].place), "", "", ""});
    return block;
  };
  const auto work_block = [&](base::Block block, int) {
    std::vector<Result> results;
    base::for_each_line(block, [&](std::string_view line, const base::Place& place) {
      results.push_back(work(line, place_text(files, place)));
    });
    return results;
  };
  const auto sink_block = [&](std::vector<Result> results) {
    for (Result& result : results) sink(std::move(result));
  };
  base::ordered_pipeline<base::Block, std::vector<Result>>(base::thread_count(threads), source, work_block, sink_block);
}

// Counts records that had a key twice; any thread.
class RepeatedKeys {
 public:
  void add(bool repeated) { count_ += repeated; }
  void say(base::Context& context) const {
    if (count_ > 0 && !context.quiet) fmt::print(context.err, "{}\n", base::repeated_keys_note(count_));
  }

 private:
  std::atomic<std::uint64_t> count_ = 0;
};

std::string text_field(std::string_view line, const std::string& field, const std::string& where,
                       RepeatedKeys& repeated_keys) {
  thread_local base::JsonRecord record;
  if (const std::string error = record.parse(line); !error.empty()) throw base::Error({error, where, "", "", ""});
  repeated_keys.add(record.repeated_keys());
  simdjson::dom::element value;
  std::string_view text;
  if (!record.find(field, value) || value.get(text))
    throw base::Error({"the record has no text", where, base::shortened(line), "a text under the key '" + field + "'",
                       "name the key with --text-field (data.text where it is nested)"});
  return std::string(text);
}

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
  std::vector<std::int32_t> ids = tokenizer::encode_from_start(model, text, true);
  if (model.add_eos && model.eos && (ids.empty() || ids.back() != *model.eos)) ids.push_back(*model.eos);
  return ids;
}

int run_encode(EncodeOptions& options, base::Context& context) {
  const auto files = options.files(context);
  const auto model = tokenizer::load(options.model);
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
  const auto model = tokenizer::load(options.model);
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
            throw base::Error({"not a token id", where, base::shortened(id.dump()), "a whole number", ""});
          ids.push_back(id.get<std::int32_t>());
        }
        // A cut through a character leaves bytes that JSON cannot hold: U+FFFD for each.
        const json text = {{"text", model->decode(ids, options.skip_special)}};
        return text.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
      },
      [&](std::string line) { context.out << line; });
  repeated_keys.say(context);
  return 0;
}

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
  const auto model = tokenizer::load(options.model);
  Counts total;
  RepeatedKeys repeated_keys;
  const auto print = [&](const Counts& counts, const std::string& name) {
    if (context.json)
      context.out << counts.as_json(name).dump(-1, ' ', false, json::error_handler_t::replace) << "\n";
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

struct ChatOptions : InputOptions {
  bool generation_prompt = false;
  std::vector<std::string> roles;
  void visit(base::OptionVisitor& v) {
    InputOptions::visit(v);
    v("generation_prompt", generation_prompt, "end with the opening of an assistant turn");
    v("roles", roles, "what else the data call a role: NAME=ROLE, ROLE one of system, user, assistant, tool");
  }
};

// The conversation as text with the trained tokens marked.
void print_marked(const Tokenizer& model, const tokenizer::Rendered& rendered, base::Context& context) {
  const bool colour = &context.out == &std::cout && isatty(STDOUT_FILENO);
  const char* open = colour ? "\033[32m" : "\u27E6";  // green, or white square brackets
  const char* close = colour ? "\033[0m" : "\u27E7";
  std::size_t trained = 0;
  for (std::size_t begin = 0; begin < rendered.ids.size();) {
    std::size_t end = begin;
    while (end < rendered.ids.size() && rendered.trained[end] == rendered.trained[begin]) ++end;
    const std::string text = model.decode({rendered.ids.begin() + begin, rendered.ids.begin() + end});
    rendered.trained[begin] ? context.out << open << text << close : context.out << text;
    if (rendered.trained[begin]) trained += end - begin;
    begin = end;
  }
  if (!context.quiet) fmt::print(context.err, "{} tokens, {} of them trained\n", rendered.ids.size(), trained);
}

int run_chat(ChatOptions& options, base::Context& context) {
  const auto files = options.files(context);
  const auto model = tokenizer::load(options.model);
  const auto chat = tokenizer::chat_template_of(*model);
  const auto roles = tokenizer::role_map(options.roles);
  const auto show = [&](const json& record, const std::string& where) {
    tokenizer::Conversation conversation;
    const auto problem =
        tokenizer::read_conversation(record.is_array() ? json{{"messages", record}} : record, roles, conversation);
    if (problem) {
      base::ErrorFacts facts = problem->facts;
      facts.where = facts.where.empty() ? where : where + ": " + facts.where;
      throw base::Error(facts);
    }
    if (conversation.format == "text" || conversation.format == "preference")
      throw base::Error({"not one conversation", where, base::shortened(record.dump(-1, ' ', true)),
                         R"({"messages": [{"role": "user", "content": "..."}, ...]})", ""});
    tokenizer::check_renderable(conversation.members, tokenizer::Holder::kRecord);
    const auto rendered = chat->render(conversation.messages, options.generation_prompt);
    if (!context.json) return print_marked(*model, rendered, context);
    context.out << json{{"ids", rendered.ids}, {"trained", rendered.trained}}.dump() << "\n";
  };
  RepeatedKeys repeated_keys;
  for (const std::string& file : files) {
    // One JSON document (a conversation or its list of messages), else one record a line.
    const std::string text = base::read_text(file, "auto");
    bool repeated = false;
    const json whole = base::lenient_json(text, &repeated);
    if (!whole.is_discarded()) {
      repeated_keys.add(repeated);
      show(whole, file);
      continue;
    }
    std::size_t number = 0;
    for (const std::string& line : base::split(text, '\n')) {
      ++number;
      if (base::trim(line).empty()) continue;
      const std::string where = fmt::format("{}:{}", file, number);
      const json record = base::lenient_json(line, &repeated);
      if (record.is_discarded()) throw base::Error({"not valid JSON", where, base::shortened(line), "", ""});
      repeated_keys.add(repeated);
      show(record, where);
    }
  }
  repeated_keys.say(context);
  return 0;
}

struct InfoOptions {
  std::string model;
  void visit(base::OptionVisitor& v) { v.required("model", model, kModelHelp, base::PathKind::kModel); }
};

int run_info(InfoOptions& options, base::Context& context) {
  const auto model = tokenizer::load(options.model);
  json info = {{"kind", model->kind}, {"size", model->size()}};
  const auto role = [&](const char* name, const std::optional<std::int32_t>& id) {
    info[name] = id ? json{{"id", *id}, {"token", model->token(*id)}} : json(nullptr);
  };
  role("bos", model->bos);
  role("eos", model->eos);
  info["other_ends"] = json::array();
  for (const std::int32_t id : model->other_ends)
    info["other_ends"].push_back({{"id", id}, {"token", id < model->size() ? model->token(id) : ""}});
  role("pad", model->pad);
  role("unknown", model->unknown);
  info["add_bos"] = model->add_bos;
  info["add_eos"] = model->add_eos;
  std::size_t special = 0;
  for (std::int32_t id = 0; id < model->size(); ++id) special += model->is_special(id);
  info["special_tokens"] = special;
  std::string chat = "none";
  if (!model->chat_template.empty()) {
    try {
      tokenizer::chat_template_of(*model);
      chat = "ChatML";
    } catch (const base::Error&) {
      chat = "present, not supported";
    }
  }
  info["chat_template"] = chat;
  if (context.json) {
    context.out << info.dump() << "\n";
    return 0;
  }
  for (const char* key : {"kind", "size", "special_tokens", "bos", "eos", "other_ends", "pad", "unknown", "add_bos",
                          "add_eos", "chat_template"}) {
    const json& value = info[key];
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (value.is_object()) text = fmt::format("{} {}", value["id"].get<int>(), value["token"].get<std::string>());
    if (value.is_array()) {
      std::vector<std::string> tokens;
      for (const json& end : value)
        tokens.push_back(fmt::format("{} {}", end["id"].get<int>(), end["token"].get<std::string>()));
      text = base::join(tokens, ", ");
    }
    if (value.empty()) text = "none";
    fmt::print(context.out, "{:<16}{}\n", key, text);
  }
  return 0;
}

struct ConvertOptions {
  std::string model, output;
  void visit(base::OptionVisitor& v) {
    v.required("model", model, "a .gguf file, or a Hugging Face folder", base::PathKind::kModel);
    v.required("output", output, "from a .gguf: the folder to write into; from a folder: the .gguf to write",
               base::PathKind::kOutputModel);
  }
};

int run_convert(ConvertOptions& options, base::Context& context) {
  namespace fs = std::filesystem;
  const fs::path output = options.output;
  if (fs::exists(output) && !fs::is_directory(output))
    throw base::UsageError({"the output exists", "output", output.string(), "a new path", "remove it first"});
  if (fs::is_directory(options.model)) {
    if (!base::is_gguf_name(output))
      throw base::UsageError({"a folder becomes a GGUF", "output", output.string(), "a path that ends in .gguf", ""});
    auto metadata = tokenizer::gguf_metadata_from_folder(options.model);
    metadata.insert(metadata.begin(), {"general.architecture", base::GgufValue::text("llama")});
    base::GgufWriter(output, metadata, {}).commit();
  } else {
    const base::GgufReader gguf(options.model);
    const json vocabulary = tokenizer::tokenizer_json_from_gguf(gguf);
    const json config = tokenizer::tokenizer_config_json_from_gguf(gguf);
    base::check_output_is_folder("--output", output);
    fs::create_directories(output);
    for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
      if (fs::exists(output / name))
        throw base::UsageError({"the output exists", "output", (output / name).string(), "a new folder", ""});
    base::write_file(output / "tokenizer.json", vocabulary.dump(1));
    base::write_file(output / "tokenizer_config.json", config.dump(1));
    if (!context.quiet && !tokenizer::load(options.model)->other_ends.empty())
      fmt::print(
          context.err,
          "note: a tokenizer's files can name one end token, and the GGUF names more (tokenizer info); lora convert "
          "writes them all into generation_config.json\n");
  }
  if (!context.quiet) fmt::print(context.err, "wrote {}\n", output.string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  base::Program program;
  program.name = "tokenizer";
  program.summary = "text to token ids and back, chat templates";
  program.commands = {
      base::make_command<EncodeOptions>(
          "encode", "the ids of each file, one line a file; with --json of each record's text, one line a record",
          "tokenizer encode --model smollm2.gguf --json corpus.jsonl.zst > ids.jsonl", run_encode),
      base::make_command<DecodeOptions>("decode", "the text of ids (numbers, or with --json records {\"ids\"})",
                                        "echo 19556 905 | tokenizer decode --model smollm2.gguf -", run_decode),
      base::make_command<CountOptions>("count", "tokens, bytes and bytes per token of each file",
                                       "tokenizer count --model smollm2.gguf corpus/*.jsonl.zst", run_count),
      base::make_command<ChatOptions>(
          "chat", "a conversation in the model's chat format; trained tokens coloured or in \u27E6brackets\u27E7",
          "tokenizer chat --model smollm2.gguf conversations.jsonl", run_chat),
      base::make_command<ConvertOptions>(
          "convert",
          "the vocabulary of a GGUF as tokenizer.json, or of a Hugging Face folder as a GGUF without weights",
          "tokenizer convert --model smollm2.gguf --output smollm2", run_convert),
      base::make_command<InfoOptions>("info", "what kind of tokenizer it is, its size and special tokens",
                                      "tokenizer info --model smollm2.gguf", run_info),
  };
  return base::run_program(program, argc, argv);
}
