// `finetune generate`: answers a prompt, or a file of prompts. Tested by tests/finetune/commands_test.cc.
#include <fmt/ostream.h>

#include <chrono>

#include "base/delimiter.h"
#include "base/error.h"
#include "base/json_values.h"
#include "base/text.h"
#include "finetune/answer.h"
#include "finetune/data/prompts.h"
#include "finetune/train/train_checks.h"
#include "tokenizer/chat/chat.h"

namespace finetune {
namespace {

struct GenerateOptions {
  ModelOptions model;
  SamplingOptions sampling;
  std::string prompt, prompts, system;
  bool chat = false, raw = false, allow_special = false;
  std::vector<std::string> roles;
  base::TextOptions text;
  void visit(base::OptionVisitor& v) {
    model.visit(v);
    v("prompt", prompt, "the text to go on from, or the question");
    v("prompts", prompts,
      "a .txt file with one prompt a line, or records with a \"prompt\", a text or messages, and perhaps a \"system\"; "
      "'-': such records as JSON lines on standard input",
      base::PathKind::kPath);
    text.visit(v);
    v("roles", roles, "what else the prompts call a role: NAME=ROLE, ROLE one of system, user, assistant, tool");
    v("chat", chat, "put the prompt into the model's chat template (the default where there is one)");
    v("raw", raw, "take the prompt as it is");
    v("allow_special", allow_special, "special tokens written out in a prompt that is taken as it is become tokens");
    v("system", system, "system message, with the chat template");
    sampling.visit(v);
  }
};

Prompts prompts_of(const GenerateOptions& options, const base::Context& context) {
  if (options.prompt.empty() && options.prompts.empty())
    throw base::UsageError({"no prompt", "", "", "--prompt TEXT, which is not empty, or --prompts FILE", ""});
  if (!options.prompt.empty() && !options.prompts.empty())
    throw base::UsageError({"two kinds of prompts", "--prompt and --prompts", "", "one of them", ""});
  for (const char* option : {"encoding", "delimiter", "roles"})
    if (options.prompts.empty() && is_chosen(context.options, option))
      throw base::UsageError({"says how files are read, and --prompt is none", option,
                              base::join(context.options->find(option)->get(), ", "), "--prompts FILE",
                              "leave it out"});
  if (options.prompts.empty()) return {{{options.prompt, {{"user", options.prompt}}, {}, "--prompt"}}, 0, {}};
  base::tell_unused_delimiter(options.text.delimiter, {options.prompts}, context);
  return read_prompts(options.prompts, options.text, options.roles);
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

// Of each prompt. Throws base::Error, with its place, for one that cannot be answered.
std::vector<std::vector<std::int32_t>> all_ids(Prompts& prompts, const GenerateOptions& options,
                                               const LoadedModel& loaded, const tokenizer::ChatTemplate* chat,
                                               const base::Context& context) {
  const tokenizer::Tokenizer& tokenizer = *loaded.tokenizer;
  std::vector<std::vector<std::int32_t>> result;
  std::size_t specials = 0;
  for (Prompt& prompt : prompts.all) {
    try {
      if (!options.system.empty() && prompt.messages[0].role == "system")
        throw base::UsageError({"two system messages", "--system", options.system, "one", "the prompt has its own"});
      if (!options.system.empty()) prompt.messages.insert(prompt.messages.begin(), {"system", options.system});
      result.push_back(ids_of(prompt, chat, tokenizer, options.allow_special, &prompts.left_out));
      if (!chat && !options.allow_special) specials += tokenizer::count_specials(tokenizer, prompt.shown);
      check_prompt(result.back(), loaded);
    } catch (const base::Error& error) {
      base::ErrorFacts facts = error.facts();
      if (!facts.where.starts_with(prompt.place))
        facts.where = prompt.place + (facts.where.empty() ? "" : ": " + facts.where);
      throw base::Error(facts);
    }
  }
  if (!context.quiet) fmt::print(context.err, "{}", prompts.notes());
  if (specials > 0 && !context.quiet)
    fmt::print(context.err, "{} special tokens in the prompt{} are read as characters (--allow-special)\n", specials,
               prompts.all.size() == 1 ? "" : "s");
  return result;
}

int run_generate(GenerateOptions& options, base::Context& context) {
  Prompts prompts = prompts_of(options, context);
  LoadedModel loaded = load_model(options.model);
  tell_notes(loaded.notes, context);
  std::unique_ptr<tokenizer::ChatTemplate> chat = choose_template(options, *loaded.tokenizer);
  if (!chat && !options.system.empty()) throw base::UsageError("--system needs a chat template");
  if (chat && options.allow_special)
    throw base::UsageError({"a chat's messages never make special tokens", "--allow-special", "", "--raw with it", ""});
  settle_sampling(options.sampling, loaded, context);
  const auto ids = all_ids(prompts, options, loaded, chat.get(), context);
  const std::vector<std::int32_t> stop_ids = chat ? chat->stop_ids() : loaded.tokenizer->end_ids();
  std::size_t tokens = 0;
  const base::Interrupt interrupt;
  auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < ids.size() && !interrupt.requested(); ++i) {
    Session session;
    const Answer one = answer(loaded, ids[i], stop_ids, options.sampling, session, interrupt);
    tokens += one.ids.size();
    if (context.json) {
      context.out << json_line(prompts.all[i].shown, one) << std::endl;
    } else if (ids.size() == 1) {
      context.out << one.text << std::endl;
    } else {
      fmt::print(context.out, "> {}\n{}\n\n", prompts.all[i].shown, one.text);
      context.out.flush();
    }
  }
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!context.quiet)
    fmt::print(context.err, "{}{} tokens in {}, {:.1f} tokens/s\n", interrupt.requested() ? "interrupted after " : "",
               base::human_count(tokens), base::human_seconds(seconds), static_cast<double>(tokens) / seconds);
  return interrupt.requested() ? base::kInterrupted : 0;
}

}  // namespace

base::Command generate_command() {
  return base::make_command<GenerateOptions>(
      "generate", "answer a prompt, or a file of prompts",
      "finetune generate --model build/data/smollm2.gguf --prompt 'What is gravity?' --max-tokens 60", run_generate);
}

}  // namespace finetune
