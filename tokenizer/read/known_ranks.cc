// The rank files that models come with. Patterns and special tokens as the models' own code has them: tiktoken's
// openai_public, llama-models, Qwen's tokenization_qwen. Tested by tests/tokenizer/vocabularies_test.cc.
#include <fmt/format.h>

#include "tokenizer/read/ranks.h"

namespace tokenizer {
namespace {

using Specials = std::vector<std::pair<std::int32_t, std::string>>;

// Numbers for `names` from `first` on, then "<|STEM_FROM|>", ... up to `limit`.
Specials in_order(std::int32_t first, const std::vector<std::string>& names, std::int32_t limit = 0,
                  const std::string& stem = "", int from = 0) {
  Specials specials;
  for (const std::string& name : names) specials.emplace_back(first++, "<|" + name + "|>");
  while (first < limit) specials.emplace_back(first++, fmt::format("<|{}_{}|>", stem, from++));
  return specials;
}

Specials joined(std::initializer_list<Specials> lists) {
  Specials all;
  for (const Specials& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

KnownRanks llama3() {
  KnownRanks known{.name = "Llama 3", .fingerprint = 0x6d01c30ec33f6e96, .split = SplitStep::kLlama3};
  known.specials = in_order(
      128000,
      {"begin_of_text", "end_of_text", "reserved_special_token_0", "reserved_special_token_1", "finetune_right_pad_id",
       "step_id", "start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag", "image"},
      128256, "reserved_special_token", 2);
  known.bos = "<|begin_of_text|>";
  known.eos = "<|end_of_text|>";
  known.pad = "<|finetune_right_pad_id|>";
  known.other_ends = {"<|eot_id|>", "<|eom_id|>"};
  return known;
}

KnownRanks llama4() {
  KnownRanks known{.name = "Llama 4", .fingerprint = 0xe318fe6c2355fd6d, .split = SplitStep::kO200k};
  known.specials = joined(
      {in_order(200000, {"begin_of_text", "end_of_text", "fim_prefix", "fim_middle", "fim_suffix", "header_start",
                         "header_end", "eom", "eot", "step"}),
       in_order(200010, {}, 200016, "text_post_train_reserved_special_token", 0),
       in_order(200016, {"python_start", "python_end", "finetune_right_pad"}, 200080,
                "text_post_train_reserved_special_token", 8),
       in_order(200080, {"image_start", "image_end"}, 200084, "vision_reserved_special_token", 0),
       in_order(200084, {"tile_x_separator", "tile_y_separator"}, 200090, "vision_reserved_special_token", 2),
       in_order(200090, {"image", "vision_reserved_special_token_6", "patch"}, 201134, "vision_reserved_special_token",
                7),
       in_order(201134, {}, 201142, "reasoning_reserved_special_token", 0),
       in_order(201142, {"reasoning_thinking_start", "reasoning_thinking_end"}, 202048, "reserved_special_token", 0)});
  known.bos = "<|begin_of_text|>";
  known.eos = "<|end_of_text|>";
  known.pad = "<|finetune_right_pad|>";
  known.other_ends = {"<|eot|>", "<|eom|>"};
  return known;
}

KnownRanks qwen() {
  KnownRanks known{
      .name = "Qwen", .file_stem = "qwen", .fingerprint = 0xcf81016ffd240875, .split = SplitStep::kQwen2, .nfc = true};
  known.specials = in_order(151643, {"endoftext", "im_start", "im_end"}, 151851, "extra", 0);
  known.eos = known.pad = "<|endoftext|>";
  known.other_ends = {"<|im_end|>"};
  return known;
}

KnownRanks qwen35() {
  KnownRanks known{.name = "Qwen 3.5", .fingerprint = 0xbd4a688d04959786, .split = SplitStep::kQwen35, .nfc = true};
  known.specials = in_order(
      248044, {"endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end",
               "quad_start", "quad_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad"});
  const auto add = [&](std::int32_t id, std::initializer_list<const char*> contents) {
    for (const char* content : contents) known.specials.emplace_back(id++, content);
  };
  add(248058,
      {"<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
       "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>", "<|audio_start|>",
       "<|audio_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>", "<tts_text_bos_single>", "<|audio_pad|>"});
  known.eos = known.pad = "<|endoftext|>";
  known.other_ends = {"<|im_end|>"};
  return known;
}

KnownRanks openai(const char* name, std::uint64_t fingerprint, SplitStep::Kind split, Specials specials) {
  KnownRanks known{.name = name, .file_stem = name, .fingerprint = fingerprint, .split = split};
  known.specials = std::move(specials);
  known.eos = "<|endoftext|>";
  return known;
}

}  // namespace

const std::vector<KnownRanks>& known_ranks() {
  static const std::vector<KnownRanks> all = {
      llama3(),
      llama4(),
      qwen(),
      qwen35(),
      openai("cl100k_base", 0xbfede7d3eb1e980e, SplitStep::kCl100k,
             joined({in_order(100257, {"endoftext", "fim_prefix", "fim_middle", "fim_suffix"}),
                     in_order(100276, {"endofprompt"})})),
      openai("o200k_base", 0x1f9f8968d6e451ea, SplitStep::kO200k,
             joined({in_order(199999, {"endoftext"}), in_order(200018, {"endofprompt"})})),
      openai("p50k_base", 0x49941806bb318a0d, SplitStep::kGpt2, in_order(50256, {"endoftext"})),
      openai("r50k_base", 0xc800ad6eea511e2c, SplitStep::kGpt2, in_order(50256, {"endoftext"})),
  };
  return all;
}

}  // namespace tokenizer
