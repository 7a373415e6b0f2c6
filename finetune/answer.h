// What generate and chat have in common: one prompt in, one answer and why it ended out.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "base/program.h"
#include "finetune/model/generate.h"
#include "finetune/model/load.h"

namespace finetune {

struct Answer {
  std::vector<std::int32_t> ids;
  std::string text;   ///< valid UTF-8, special tokens left out
  std::string ended;  ///< "stop": the model ended it; "max_tokens", "context": no room was left; "interrupted"
};

/// The model's own settings where no option was given, and a line that says what is in force.
void settle_sampling(SamplingOptions& sampling, const LoadedModel& loaded, base::Context& context);

/// Throws base::Error for a prompt that the model cannot answer: of no tokens, of tokens that it has not, or that
/// leaves no room in its context.
void check_prompt(const std::vector<std::int32_t>& ids, const LoadedModel& loaded);

/// `on_token` gets every token as it comes.
Answer answer(const LoadedModel& loaded, const std::vector<std::int32_t>& prompt,
              const std::vector<std::int32_t>& stop_ids, const SamplingOptions& sampling, Session& session,
              const base::Interrupt& interrupt, const std::function<void(std::int32_t)>& on_token = {});

/// The line of --json for one prompt.
std::string json_line(const std::string& prompt, const Answer& answer);

}  // namespace finetune
