// `finetune chat`: a conversation, a line a turn. Tested by tests/cli/talk_finetune.py.
#include <fmt/ostream.h>
#include <unistd.h>

#include <iostream>

#include "base/error.h"
#include "base/text.h"
#include "base/unicode.h"
#include "finetune/answer.h"
#include "tokenizer/chat/chat.h"
#include "tokenizer/models/text_stream.h"

namespace finetune {
namespace {

// A terminal that lets people edit a line passes on so many bytes of it, and drops the rest without a word.
constexpr std::size_t kTerminalLine = 4095;

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

class Conversation {
 public:
  Conversation(const ChatOptions& options, const LoadedModel& loaded, base::Context& context)
      : options_(options),
        loaded_(loaded),
        context_(context),
        chat_(tokenizer::chat_template_of(*loaded.tokenizer)),
        sampling_(options.sampling) {
    forget();
  }

  void forget() {
    messages_.clear();
    if (!options_.system.empty()) messages_.push_back({"system", options_.system});
  }

  // All so far, and `line`, as the model reads it. Throws base::Error where that cannot be answered.
  std::vector<std::int32_t> prompt_with(const std::string& line) const {
    if (base::find_invalid_utf8(line) != std::string::npos) throw base::Error("the line is not UTF-8");
    if (::isatty(STDIN_FILENO) != 0 && line.size() >= kTerminalLine)
      throw base::Error({"the line may have lost its end: a terminal passes on no more of a line", "",
                         fmt::format("{} bytes", line.size()), fmt::format("fewer than {}", kTerminalLine),
                         "longer text: from a file, finetune chat ... < FILE, one line a turn"});
    std::vector<tokenizer::Message> messages = messages_;
    messages.push_back({"user", line});
    std::vector<std::int32_t> ids = chat_->render(messages, true).ids;
    const std::int64_t room = loaded_.model.config().context_length;
    const bool has_past = messages_.size() > (options_.system.empty() ? 0u : 1u);
    if (has_past && std::ssize(ids) >= room)
      throw base::Error({"the conversation and the line are longer than the model's context", "",
                         fmt::format("{} tokens", ids.size()), fmt::format("fewer than {}", room),
                         "an empty line forgets the conversation"});
    check_prompt(ids, loaded_);
    return ids;
  }

  // `prompt`: of prompt_with(line).
  void take(const std::string& line, const std::vector<std::int32_t>& prompt, const base::Interrupt& interrupt) {
    tokenizer::TextStream stream(*loaded_.tokenizer, true);
    const Answer one = answer(loaded_, prompt, chat_->stop_ids(), sampling_, session_, interrupt, [&](std::int32_t id) {
      if (!context_.json && id < loaded_.tokenizer->size()) context_.out << stream.add(id) << std::flush;
    });
    ++sampling_.seed;
    context_.out << (context_.json ? json_line(line, one) : tokenizer::whole_characters(stream.finish())) << std::endl;
    if (!context_.quiet && one.ended == "max_tokens")
      fmt::print(context_.err, "(ended by --max-tokens {})\n", sampling_.max_tokens);
    if (!context_.quiet && one.ended == "context")
      fmt::print(context_.err, "(the model's context is full: an empty line forgets the conversation)\n");
    messages_.push_back({"user", line});
    messages_.push_back({"assistant", one.text});
  }

 private:
  const ChatOptions& options_;
  const LoadedModel& loaded_;
  base::Context& context_;
  std::unique_ptr<tokenizer::ChatTemplate> chat_;
  SamplingOptions sampling_;
  std::vector<tokenizer::Message> messages_;
  Session session_;
};

int run_chat(ChatOptions& options, base::Context& context) {
  if (base::find_invalid_utf8(options.system) != std::string::npos)
    throw base::UsageError("the system message is not UTF-8", "--system");
  LoadedModel loaded = load_model(options.model);
  tell_notes(loaded.notes, context);
  settle_sampling(options.sampling, loaded, context);
  Conversation conversation(options, loaded, context);
  if (!context.quiet)
    fmt::print(context.err, "An empty line forgets the conversation; Ctrl-C stops an answer; Ctrl-D ends.\n");
  std::string line;
  bool refused = false;
  base::Interrupt interrupt;
  while ((context.quiet || (context.err << "> " << std::flush)) && std::getline(std::cin, line)) {
    if (line.ends_with('\r')) line.pop_back();
    if (base::trim(line).empty()) {
      conversation.forget();
      if (!context.quiet) fmt::print(context.err, "(forgotten)\n");
      continue;
    }
    std::vector<std::int32_t> prompt;
    try {
      prompt = conversation.prompt_with(line);
    } catch (const base::Error& error) {
      fmt::print(context.err, "not sent: {}\n", error.what());
      refused = true;
      continue;
    }
    conversation.take(line, prompt, interrupt);
    if (interrupt.signal() == SIGINT) interrupt.reset();  // it was meant for the answer
    if (interrupt.requested()) break;
  }
  if (!context.quiet) context.err << "\n";
  return interrupt.requested() ? base::kInterrupted : refused ? 1 : 0;
}

}  // namespace

base::Command chat_command() {
  return base::make_command<ChatOptions>("chat", "talk with a model",
                                         "finetune chat --model build/data/smollm2.gguf --adapter RUN", run_chat);
}

}  // namespace finetune
