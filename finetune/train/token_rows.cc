// Tokens whose rows of embedding and head train: some that the base has, and new ones.
// Tested by tests/finetune/new_tokens_test.cc and tests/finetune/train_variants_test.cc.
#include "finetune/train/token_rows.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_values.h"
#include "base/text.h"
#include "lora/adapter/grown.h"
#include "tokenizer/write/grow.h"

namespace finetune {
namespace {

bool is_whole_number(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::vector<std::int64_t> token_numbers(const std::vector<std::string>& texts, const tokenizer::Tokenizer& tokenizer,
                                        const lora::ModelConfig& config) {
  std::vector<std::int64_t> numbers;
  for (const std::string& text : texts) {
    std::int64_t id = -1;
    const char* end = text.data() + text.size();
    if (!is_whole_number(text))
      id = tokenizer.id_of(text).value_or(-1);
    else if (const auto [rest, error] = std::from_chars(text.data(), end, id); error != std::errc() || rest != end)
      id = -1;
    if (id < 0 || id >= config.vocab_size || std::ranges::find(numbers, id) != numbers.end())
      throw base::UsageError({"not a token of the model, or given twice", "--lora.trainable-tokens",
                              base::shortened(text),
                              fmt::format("a token of its vocabulary, or a number below {}", config.vocab_size),
                              is_whole_number(text) ? "a whole number is a token's number, not its text"
                                                    : "texts that are no tokens yet: --new-tokens"});
    numbers.push_back(id);
  }
  std::ranges::sort(numbers);
  return numbers;
}

void tell_tokens(const std::vector<std::int64_t>& ids, const tokenizer::Tokenizer& tokenizer, base::Context& context) {
  constexpr std::size_t kMost = 8;  // on one line
  if (context.quiet || ids.empty()) return;
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min(ids.size(), kMost); ++i) {
    std::string text = "no text";
    if (ids[i] < tokenizer.size())
      text = base::json_dump(nlohmann::json(tokenizer.decode({static_cast<std::int32_t>(ids[i])})));
    shown.push_back(fmt::format("{} {}", ids[i], base::shortened(text)));
  }
  if (ids.size() > kMost) shown.push_back(fmt::format("and {} more", ids.size() - kMost));
  fmt::print(context.err, "rows of the embedding that train: {}\n", base::join(shown, ", "));
}

std::vector<std::int64_t> add_new_tokens(const StartOptions& start, lora::ModelFiles& files, base::Context& context) {
  if (start.new_tokens.empty() && start.new_special_tokens.empty()) return {};
  tokenizer::check_can_grow(files.path());
  std::vector<tokenizer::NewToken> texts;
  for (const std::string& text : start.new_tokens) texts.push_back({text, false});
  for (const std::string& text : start.new_special_tokens) texts.push_back({text, true});
  const auto own = tokenizer::load(files.path());
  const std::vector<tokenizer::AddedToken> tokens = tokenizer::numbered(*own, texts, "--new-tokens");
  // A vocabulary may be larger than the embedding (a token for padding): rows for those between too.
  const std::int64_t first{std::min<std::int64_t>(files.config().vocab_size, tokens.front().id)},
      end{std::max<std::int64_t>(files.config().vocab_size, tokens.back().id + 1)};
  std::vector<std::int64_t> ids;
  for (std::int64_t id = first; id <= tokens.back().id; ++id)
    if (id >= files.config().vocab_size || id >= tokens.front().id) ids.push_back(id);
  files.grow(tokens, end, lora::ModelFiles::NewRows::kMean);
  if (!context.quiet)
    fmt::print(context.err, "{}; the vocabulary has {} rows\n", lora::new_tokens_text(files),
               files.config().vocab_size);
  if (!context.quiet && files.spec().head_bias)
    fmt::print(context.err,
               "note: PEFT 0.21 leaves this head's bias out where rows of tokens train; merged, by PEFT or "
               "lora merge, it is there\n");
  return ids;
}

}  // namespace finetune
