// `finetune generate` and `finetune chat`.
#include <fmt/ostream.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/records.h"
#include "base/text.h"
#include "finetune/generate.h"
#include "finetune/load.h"
#include "tokenizer/chat.h"

namespace finetune {
namespace {

struct GenerateOptions {
  ModelOptions model;
  SamplingOptions sampling;
  std::string prompt, prompts, system;
  bool chat = false, raw = false, allow_special = false;
  void visit(base::OptionVisitor& v) {
    model.visit(v);
    v("prompt", prompt, "the text to go on from, or the question");
    v("prompts", prompts, "a .txt file with one prompt a line, or records with a \"prompt\"; '-' for standard input",
      base::PathKind::kPath);
    v("chat", chat, "put the prompt into the model's chat template (the default where there is one that we know)");
    v("raw", raw, "take the prompt as it is");
    v("allow_special", allow_special, "special tokens written out in a prompt that is taken as it is become tokens");
    v("system", system, "system message, with the chat template");
    sampling.visit(v);
  }
};

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling{512, 0.6, 0.9, 42};
  std::string system;
  void visit(base::OptionVisitor& v) {
    model.visit(v);
    v("system", system, "system message");
    sampling.visit(v);
  }
};

std::vector<std::string> read_prompts(const GenerateOptions& options) {
  if (options.prompt.empty() == options.prompts.empty())
    throw base::UsageError({"give --prompt TEXT or --prompts FILE", "", "", "", ""});
  if (options.prompts.empty()) return {options.prompt};
  base::RecordOptions records;
  records.split_text = "line";
  records.text_field = "prompt";
  base::BlockReader reader(base::expand_inputs({options.prompts}), records);
  std::vector<std::string> prompts;
  std::vector<base::BadBytes> bad;
  auto refuse = [&](std::uint64_t line, const std::string& why) {
    throw base::Error({"a record is not a prompt", options.prompts + ":" + std::to_string(line), "", why, ""});
  };
  while (auto block = reader.next(bad)) {
    base::for_each_line(*block, [&](std::string_view line, const base::Place& place) {
      nlohmann::json record = nlohmann::json::parse(line, nullptr, false);
      if (!record.is_object() || !record.contains("prompt") || !record["prompt"].is_string())
        refuse(place.line, "{\"prompt\": \"...\"}");
      prompts.push_back(record["prompt"]);
    });
  }
  if (!bad.empty()) refuse(bad[0].place.line, bad[0].error);
  if (prompts.empty()) throw base::Error({"no prompt in the file", options.prompts, "", "", ""});
  return prompts;
}

// nullptr: prompts are taken as they are.
std::unique_ptr<tokenizer::ChatTemplate> choose_template(const GenerateOptions& options,
                                                         const tokenizer::Tokenizer& tokenizer) {
  if (options.chat && options.raw) throw base::UsageError("--chat and --raw exclude each other");
  if (options.raw) return nullptr;
  if (options.chat) return tokenizer::chat_template_of(tokenizer);
  try {
    return tokenizer::chat_template_of(tokenizer);
  } catch (const base::Error&) {
    return nullptr;
  }
}

int run_generate(GenerateOptions& options, base::Context& context) {
  std::vector<std::string> prompts = read_prompts(options);
  LoadedModel loaded = load_model(options.model);
  const tokenizer::Tokenizer& tokenizer = *loaded.tokenizer;
  std::unique_ptr<tokenizer::ChatTemplate> chat = choose_template(options, tokenizer);
  if (!chat && !options.system.empty()) throw base::UsageError("--system needs a chat template");
  if (chat && options.allow_special)
    throw base::UsageError({"a chat's messages never make special tokens", "--allow-special", "", "--raw with it", ""});
  std::vector<std::int32_t> stop_ids;
  if (chat) stop_ids = chat->stop_ids();
  if (tokenizer.eos) stop_ids.push_back(*tokenizer.eos);
  std::size_t tokens = 0;
  auto start = std::chrono::steady_clock::now();
  for (const std::string& prompt : prompts) {
    std::vector<std::int32_t> ids;
    if (chat) {
      std::vector<tokenizer::Message> messages;
      if (!options.system.empty()) messages.push_back({"system", options.system});
      messages.push_back({"user", prompt});
      ids = chat->render(messages, true).ids;
    } else {
      ids = tokenizer::encode_from_start(tokenizer, prompt, options.allow_special);
      if (const std::size_t count = options.allow_special ? 0 : tokenizer::count_specials(tokenizer, prompt);
          count > 0 && !context.quiet)
        fmt::print(context.err, "{} special tokens in the prompt are read as characters (--allow-special)\n", count);
    }
    check_ids(ids, loaded.model.config());
    Session session;
    std::vector<std::int32_t> generated = generate(loaded.model, ids, stop_ids, options.sampling, session);
    tokens += generated.size();
    std::string text = tokenizer.decode(generated, true);
    if (context.json) {
      nlohmann::ordered_json record = {{"prompt", prompt}, {"ids", generated}, {"text", text}};
      context.out << record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << std::endl;
    } else if (prompts.size() == 1) {
      context.out << text << std::endl;
    } else {
      fmt::print(context.out, "> {}\n{}\n\n", prompt, text);
      context.out.flush();
    }
  }
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!context.quiet)
    fmt::print(context.err, "{} tokens in {}, {:.1f} tokens/s\n", base::human_count(tokens),
               base::human_seconds(seconds), static_cast<double>(tokens) / seconds);
  return 0;
}

// Prints an answer as it comes, holding back the bytes of a character that is not whole yet.
class Streamer {
 public:
  Streamer(const tokenizer::Tokenizer& tokenizer, std::ostream& out) : tokenizer_(tokenizer), out_(out) {}
  void add(std::int32_t id) {
    ids_.push_back(id);
    std::string text = tokenizer_.decode(ids_, true);
    std::size_t whole = text.size();
    for (std::size_t back = 1; back <= std::min<std::size_t>(4, text.size()); ++back) {
      auto byte = static_cast<unsigned char>(text[text.size() - back]);
      if ((byte & 0xC0) == 0x80) continue;  // inside a character: look for its first byte
      std::size_t length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
      if (length > back) whole = text.size() - back;
      break;
    }
    if (whole <= printed_) return;
    out_ << std::string_view(text).substr(printed_, whole - printed_) << std::flush;
    printed_ = whole;
  }

 private:
  const tokenizer::Tokenizer& tokenizer_;
  std::ostream& out_;
  std::vector<std::int32_t> ids_;
  std::size_t printed_ = 0;
};

int run_chat(ChatOptions& options, base::Context& context) {
  LoadedModel loaded = load_model(options.model);
  std::unique_ptr<tokenizer::ChatTemplate> chat = tokenizer::chat_template_of(*loaded.tokenizer);
  std::vector<std::int32_t> stop_ids = chat->stop_ids();
  if (loaded.tokenizer->eos) stop_ids.push_back(*loaded.tokenizer->eos);
  std::vector<tokenizer::Message> messages;
  auto restart = [&] {
    messages.clear();
    if (!options.system.empty()) messages.push_back({"system", options.system});
  };
  restart();
  if (!context.quiet) fmt::print(context.err, "An empty line forgets the conversation; Ctrl-D ends.\n");
  Session session;
  std::uint64_t seed = options.sampling.seed;
  std::string line;
  while ((context.quiet || (context.err << "> " << std::flush)) && std::getline(std::cin, line)) {
    if (base::trim(line).empty()) {
      restart();
      if (!context.quiet) fmt::print(context.err, "(forgotten)\n");
      continue;
    }
    messages.push_back({"user", line});
    SamplingOptions sampling = options.sampling;
    sampling.seed = seed++;
    Streamer streamer(*loaded.tokenizer, context.out);
    std::vector<std::int32_t> ids = chat->render(messages, true).ids;
    check_ids(ids, loaded.model.config());
    std::vector<std::int32_t> answer =
        generate(loaded.model, ids, stop_ids, sampling, session, [&](std::int32_t id) { streamer.add(id); });
    context.out << std::endl;
    messages.push_back({"assistant", loaded.tokenizer->decode(answer, true)});
  }
  if (!context.quiet) context.err << "\n";
  return 0;
}

}  // namespace

base::Command generate_command() {
  return base::make_command<GenerateOptions>(
      "generate", "answer a prompt, or a file of prompts",
      "finetune generate --model build/data/smollm2.gguf --prompt 'What is gravity?' --max-tokens 60", run_generate);
}

base::Command chat_command() {
  return base::make_command<ChatOptions>("chat", "talk with a model",
                                         "finetune chat --model build/data/smollm2.gguf --adapter RUN", run_chat);
}

}  // namespace finetune
