// What generate and chat have in common: one prompt in, one answer and why it ended out. Tested by
// tests/finetune/commands_test.cc.
#include "finetune/answer.h"

#include <fmt/ostream.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_values.h"
#include "base/text.h"
#include "finetune/generation_settings.h"
#include "tokenizer/models/text_stream.h"

namespace finetune {

void settle_sampling(SamplingOptions& sampling, const LoadedModel& loaded, base::Context& context) {
  const GenerationSettings settings = read_generation_settings(loaded.path);
  complete(sampling, settings, context.options);
  if (!context.quiet) {
    const base::Option* penalty = context.options ? context.options->find("repetition_penalty") : nullptr;
    const bool is_ours{!settings.source.empty() && !settings.repetition_penalty && !(penalty && penalty->given)};
    fmt::print(context.err, "sampling: {}{}{}\n", to_text(sampling),
               settings.source.empty() ? "" : " (" + settings.source + ")",
               is_ours ? "; the repetition penalty is this program's own (--repetition-penalty 1: none)" : "");
    if (!settings.unused.empty())
      fmt::print(context.err, "not done here of the model's settings: {}\n", base::join(settings.unused, ", "));
  }
}

void check_prompt(const std::vector<std::int32_t>& ids, const LoadedModel& loaded) {
  if (ids.empty()) throw base::Error("an empty prompt: there is nothing to go on from");
  check_ids(ids, loaded.model.config());
  if (const std::int64_t context = loaded.model.config().context_length; std::ssize(ids) >= context)
    throw base::Error({"the prompt is longer than the model's context", "", fmt::format("{} tokens", ids.size()),
                       fmt::format("fewer than {}", context), ""});
}

Answer answer(const LoadedModel& loaded, const std::vector<std::int32_t>& prompt,
              const std::vector<std::int32_t>& stop_ids, const SamplingOptions& sampling, Session& session,
              const base::Interrupt& interrupt, const std::function<void(std::int32_t)>& on_token) {
  Answer result;
  result.ids = generate(loaded.model, prompt, stop_ids, sampling, session, [&](std::int32_t id) {
    if (on_token) on_token(id);
    return !interrupt.requested();
  });
  result.text = tokenizer::whole_characters(text_of(result.ids, *loaded.tokenizer));
  const auto length = std::ssize(prompt) + std::ssize(result.ids);
  result.ended = interrupt.requested()                           ? "interrupted"
                 : std::ssize(result.ids) == sampling.max_tokens ? "max_tokens"
                 : length > loaded.model.config().context_length ? "context"
                                                                 : "stop";
  return result;
}

std::string json_line(const std::string& prompt, const Answer& answer) {
  const nlohmann::ordered_json record = {
      {"prompt", prompt}, {"ids", answer.ids}, {"text", answer.text}, {"ended", answer.ended}};
  return base::json_dump(record);
}

}  // namespace finetune
