// What the model writes while it trains: samples.jsonl. Tested by tests/finetune/samples_test.cc.
#include "finetune/train/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/text.h"
#include "finetune/data/prompts.h"
#include "finetune/model/generate.h"
#include "tokenizer/chat/chat.h"

namespace finetune {
namespace {

// Null where there is none that can be used.
std::unique_ptr<tokenizer::ChatTemplate> template_of(const tokenizer::Tokenizer& tokenizer) {
  try {
    return tokenizer::chat_template_of(tokenizer);
  } catch (const base::Error&) {
    return nullptr;
  }
}

std::vector<SamplePrompt> prompts_in_file(const std::string& file, const tokenizer::Tokenizer& tokenizer,
                                          std::int64_t context_length, std::string* notes,
                                          const base::TextOptions& text, const std::vector<std::string>& roles) {
  const auto chat = template_of(tokenizer);
  std::vector<SamplePrompt> prompts;
  Prompts given = read_prompts(file, text, roles);
  for (const Prompt& prompt : given.all) {
    std::vector<std::int32_t> ids = ids_of(prompt, chat.get(), tokenizer, false, &given.left_out);
    if (static_cast<std::int64_t>(ids.size()) >= context_length || ids.empty())
      throw base::Error({"a prompt of no tokens, or longer than the model's context", prompt.place,
                         base::shortened(prompt.shown), fmt::format("1 to {} tokens", context_length - 1), ""});
    std::string shown = tokenizer.decode(ids);
    prompts.push_back({std::move(ids), std::move(shown)});
  }
  if (notes) *notes = given.notes();
  return prompts;
}

}  // namespace

void SampleOptions::visit(base::OptionVisitor& v) {
  v("sample_prompts", sample_prompts,
    "what the model writes after these prompts goes to samples.jsonl at every validation: a .txt file with one prompt "
    "a "
    "line, or records with a \"prompt\", a text or messages, and perhaps a \"system\"",
    base::PathKind::kPath);
  v("samples", samples, "without --sample-prompts: so many prompts of the validation data; 0: none").at_least(0);
  v("sample_tokens", sample_tokens, "the most tokens that are written after a prompt").at_least(1);
}

std::vector<SamplePrompt> sample_prompts(const SampleOptions& options, const Examples& validation,
                                         const tokenizer::Tokenizer& tokenizer, std::int64_t context_length,
                                         std::string* notes, const base::TextOptions& text,
                                         const std::vector<std::string>& roles) {
  if (!options.sample_prompts.empty())
    return prompts_in_file(options.sample_prompts, tokenizer, context_length, notes, text, roles);
  std::vector<SamplePrompt> prompts;
  for (std::size_t i = 0; i < validation.size(); ++i) {
    const ExampleView example = validation[i];
    if (static_cast<std::int64_t>(prompts.size()) == options.samples) break;
    const auto trained = example.trained.first(example.second > 0 ? example.second : example.trained.size());
    const auto begin = std::ranges::find_if(trained, [](std::uint8_t is) { return is != 0; });
    const auto end = std::find(begin, trained.end(), 0);
    const auto first = begin - trained.begin(), last = end - trained.begin();
    if (first < 2 || begin == trained.end()) continue;  // nothing, or no more than the token of a beginning
    const std::vector<std::int32_t> ids(example.ids.begin(), example.ids.begin() + first);
    const std::vector<std::int32_t> answer(example.ids.begin() + first, example.ids.begin() + last);
    prompts.push_back({ids, tokenizer.decode(ids), tokenizer.decode(answer, true)});
  }
  return prompts;
}

SampleLog::SampleLog(const std::filesystem::path& folder, std::optional<std::int64_t> resume_step,
                     std::vector<SamplePrompt> prompts, std::int64_t tokens)
    : path_(folder / "samples.jsonl"), prompts_(std::move(prompts)), tokens_(tokens) {
  if (!resume_step || !std::filesystem::exists(path_)) return;
  for (const std::string& line : base::split(base::read_file(path_), '\n')) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("step") || json["step"] > *resume_step) continue;
    last_step_ = json["step"];
    lines_ += line + "\n";
  }
}

void SampleLog::write(const Transformer& model, const tokenizer::Tokenizer& tokenizer, std::int64_t step,
                      const std::function<bool()>& go_on) {
  if (step <= last_step_ || prompts_.empty()) return;
  const auto chat = template_of(tokenizer);
  const std::vector<std::int32_t> stop_ids = chat ? chat->stop_ids() : tokenizer.end_ids();
  SamplingOptions greedy;
  greedy.max_tokens = tokens_;
  std::string lines;
  for (const SamplePrompt& prompt : prompts_) {
    Session session;
    const auto ids = generate(model, prompt.ids, stop_ids, greedy, session, [&](std::int32_t) { return go_on(); });
    if (!go_on()) return;
    nlohmann::ordered_json line = {{"step", step}, {"prompt", prompt.text}};
    if (!prompt.answer.empty()) line["answer"] = prompt.answer;
    line["text"] = tokenizer.decode(ids, true);
    lines += base::json_dump(line) + "\n";
  }
  lines_ += lines;
  last_step_ = step;
  base::write_file(path_, lines_);
}

}  // namespace finetune
