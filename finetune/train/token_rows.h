// Tokens whose rows of embedding and head train: some that the base has, and new ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/program.h"
#include "finetune/train/train_options.h"
#include "lora/model/model_files.h"
#include "tokenizer/spec/tokenizer.h"

namespace finetune {

/// The numbers of --lora.trainable-tokens, sorted. A whole number is a token's number, as in PEFT's
/// trainable_token_indices, everything else its text. Throws UsageError for what is neither.
std::vector<std::int64_t> token_numbers(const std::vector<std::string>& texts, const tokenizer::Tokenizer& tokenizer,
                                        const lora::ModelConfig& config);

/// Says which rows train: what a number means is easily mistaken.
void tell_tokens(const std::vector<std::int64_t>& ids, const tokenizer::Tokenizer& tokenizer, base::Context& context);

/// Gives the base the tokens of --new-tokens and --new-special-tokens, behind those of its vocabulary, and says so.
/// Returns the rows that train for them. Throws UsageError for texts that cannot be new tokens.
std::vector<std::int64_t> add_new_tokens(const StartOptions& start, lora::ModelFiles& files, base::Context& context);

}  // namespace finetune
