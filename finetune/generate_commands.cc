// `finetune generate` and `finetune chat`. Tested by tests/finetune/commands_test.cc.
#include <fmt/ostream.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/inputs.h"
#include "base/interrupt.h"
#include "base/json_values.h"
#include "base/records.h"
#include "base/text.h"
#include "finetune/data/prompts.h"
#include "finetune/generation_settings.h"
#include "finetune/model/generate.h"
#include "finetune/model/load.h"
#include "tokenizer/chat/chat.h"
#include "tokenizer/models/text_stream.h"

namespace finetune {
namespace {

struct GenerateOptions {
  ModelOptions model;
  SamplingOptions sampling;
  std::string prompt, prompts, system;
  bool chat = false, raw = false, allow_special = false;
  base::TextOptions text;
  void visit(base::OptionVisitor& v) {
    model.visit(v);
    v("prompt", prompt, "the text to go on from, or the question");
    v("prompts", prompts, "a .txt file with one prompt a line, or records with a \"prompt\"; '-' for standard input",
      base::PathKind::kPath);
    text.visit(v);
    v("chat", chat, "put the prompt into the model's chat template (the default where there is one)");
    v("raw", raw, "take the prompt as it is");
    v("allow_special", allow_special, "special tokens written out in a prompt that is taken as it is become tokens");
    v("system", system, "system message, with the chat template");
    sampling.visit(v);
  }
};

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling{.max_tokens = 512, .temperature = 0.6, .top_p = 0.9};
  std::string system;
  void visit(base::OptionVisitor& v) {
    model.visit(v);
    v("system", system, "system message");
    sampling.visit(v);
  }
};

std::vector<std::string> prompts_of(const GenerateOptions& options, base::Context& context) {
  if (options.prompt.empty() == options.prompts.empty())
    throw base::UsageError({"give --prompt TEXT or --prompts FILE", "", "", "", ""});
  if (options.prompts.empty()) return {options.prompt};
  Prompts prompts = read_prompts(options.prompts, options.text);
  if (prompts.repeated_keys > 0 && !context.quiet)
    fmt::print(context.err, "{}\n", base::repeated_keys_note(prompts.repeated_keys));
  return prompts.texts;
}

// nullptr: prompts are taken as they are.
std::unique_ptr<tokenizer::ChatTemplate> choose_template(const GenerateOptions& options,
                                                         const tokenizer::Tokenizer& tokenizer) {
  if (options.raw && (options.chat || !options.model.chat.chat_template.empty()))
    throw base::UsageError("--raw takes the prompt as it is: leave out --chat and --chat-template");
  if (options.raw) return nullptr;
  if (options.chat || !options.model.chat.chat_template.empty()) return tokenizer::chat_template_of(tokenizer);
  try {
    return tokenizer::chat_template_of(tokenizer);
  } catch (const base::Error&) {
    return nullptr;
  }
}

// The model's own settings where no option was given, and a line that says what is in force.
void settle_sampling(SamplingOptions& sampling, const LoadedModel& loaded, base::Context& context) {
  const GenerationSettings settings = read_generation_settings(loaded.path);
  complete(sampling, settings, context.options);
  if (!context.quiet) {
    fmt::print(context.err, "sampling: {}{}\n", to_text(sampling),
               settings.source.empty() ? "" : " (" + settings.source + ")");
    if (!settings.unused.empty())
      fmt::print(context.err, "not done here of the model's settings: {}\n", base::join(settings.unused, ", "));
  }
}

int run_generate(GenerateOptions& options, base::Context& context) {
  std::vector<std::string> prompts = prompts_of(options, context);
  LoadedModel loaded = load_model(options.model);
  tell_notes(loaded.notes, context);
  const tokenizer::Tokenizer& tokenizer = *loaded.tokenizer;
  std::unique_ptr<tokenizer::ChatTemplate> chat = choose_template(options, tokenizer);
  if (!chat && !options.system.empty()) throw base::UsageError("--system needs a chat template");
  if (chat && options.allow_special)
    throw base::UsageError({"a chat's messages never make special tokens", "--allow-special", "", "--raw with it", ""});
  settle_sampling(options.sampling, loaded, context);
  const std::vector<std::int32_t> stop_ids = chat ? chat->stop_ids() : tokenizer.end_ids();
  std::size_t tokens = 0;
  const base::Interrupt interrupt;
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
    std::vector<std::int32_t> generated = generate(loaded.model, ids, stop_ids, options.sampling, session,
                                                   [&](std::int32_t) { return !interrupt.requested(); });
    tokens += generated.size();
    std::string text = text_of(generated, tokenizer);
    if (context.json) {
      nlohmann::ordered_json record = {{"prompt", prompt}, {"ids", generated}, {"text", text}};
      if (interrupt.requested()) record["interrupted"] = true;
      context.out << record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << std::endl;
    } else if (prompts.size() == 1) {
      context.out << text << std::endl;
    } else {
      fmt::print(context.out, "> {}\n{}\n\n", prompt, text);
      context.out.flush();
    }
    if (interrupt.requested()) break;
  }
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!context.quiet)
    fmt::print(context.err, "{}{} tokens in {}, {:.1f} tokens/s\n", interrupt.requested() ? "interrupted after " : "",
               base::human_count(tokens), base::human_seconds(seconds), static_cast<double>(tokens) / seconds);
  return interrupt.requested() ? base::kInterrupted : 0;
}

int run_chat(ChatOptions& options, base::Context& context) {
  LoadedModel loaded = load_model(options.model);
  tell_notes(loaded.notes, context);
  std::unique_ptr<tokenizer::ChatTemplate> chat = tokenizer::chat_template_of(*loaded.tokenizer);
  settle_sampling(options.sampling, loaded, context);
  const std::vector<std::int32_t> stop_ids = chat->stop_ids();
  std::vector<tokenizer::Message> messages;
  auto restart = [&] {
    messages.clear();
    if (!options.system.empty()) messages.push_back({"system", options.system});
  };
  restart();
  if (!context.quiet)
    fmt::print(context.err, "An empty line forgets the conversation; Ctrl-C stops an answer; Ctrl-D ends.\n");
  Session session;
  std::uint64_t seed = options.sampling.seed;
  std::string line;
  base::Interrupt interrupt;
  while ((context.quiet || (context.err << "> " << std::flush)) && std::getline(std::cin, line)) {
    if (base::trim(line).empty()) {
      restart();
      if (!context.quiet) fmt::print(context.err, "(forgotten)\n");
      continue;
    }
    messages.push_back({"user", line});
    SamplingOptions sampling = options.sampling;
    sampling.seed = seed++;
    tokenizer::TextStream stream(*loaded.tokenizer, true);
    std::vector<std::int32_t> ids = chat->render(messages, true).ids;
    check_ids(ids, loaded.model.config());
    std::vector<std::int32_t> answer = generate(loaded.model, ids, stop_ids, sampling, session, [&](std::int32_t id) {
      if (id < loaded.tokenizer->size()) context.out << stream.add(id) << std::flush;
      return !interrupt.requested();
    });
    context.out << stream.finish() << std::endl;
    messages.push_back({"assistant", text_of(answer, *loaded.tokenizer)});
    if (interrupt.signal() == SIGINT) interrupt.reset();  // it was meant for the answer
    if (interrupt.requested()) break;
  }
  if (!context.quiet) context.err << "\n";
  return interrupt.requested() ? base::kInterrupted : 0;
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
