// GGUF metadata -> BpeSpec. Keys and token types: ggml/docs/gguf.md; splits by name: llama.cpp's src/llama-vocab.cpp.
// Tested by tests/tokenizer/convert_test.cc and folder_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/parallel.h"
#include "base/text.h"
#include "tokenizer/read/gguf_names.h"
#include "tokenizer/read/merge_list.h"
#include "tokenizer/read/ranks.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/spec/token_table.h"
#include "tokenizer/split/characters.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace tokenizer {
namespace {

[[noreturn]] void broken(const base::GgufReader& gguf, const std::string& what, const std::string& expected) {
  throw base::Error({"the vocabulary in the GGUF is broken", gguf.path().string(), what, expected,
                     "convert the model to GGUF again"});
}

std::optional<std::int32_t> role(const base::GgufReader& gguf, const char* key, std::size_t size) {
  if (!gguf.find(key)) return std::nullopt;
  const std::int64_t id = gguf.integer(key);
  if (id == 0xFFFFFFFF || id == -1) return std::nullopt;  // how llama.cpp writes "none"
  if (id < 0 || id >= static_cast<std::int64_t>(size))
    broken(gguf, fmt::format("{} = {}", key, id), fmt::format("an id below {}", size));
  return static_cast<std::int32_t>(id);
}

bool flag(const base::GgufReader& gguf, const char* key, bool fallback) {
  return gguf.find(key) ? gguf.integer(key) != 0 : fallback;
}

// In two halves at once: looking up hundreds of thousands of tokens is most of what loading a vocabulary takes.
void read_merges(const base::GgufReader& gguf, BpeSpec& spec, const TokenTable& ids) {
  const auto& merges = gguf.texts("tokenizer.ggml.merges");
  constexpr int kHalves = 2;
  std::array<std::vector<Merge>, kHalves> halves;
  base::parallel_for(kHalves, kHalves, [&](std::size_t half, int) {
    const std::size_t begin = merges.size() * half / kHalves, end = merges.size() * (half + 1) / kHalves;
    MergeList list(
        ids, end - begin,
        [&](std::size_t index, std::string_view token) {
          broken(gguf, fmt::format("merge {}: '{}' is no token", index, base::shortened(token, 40)), "tokens");
        },
        begin);
    for (std::size_t i = begin; i < end; ++i) {
      const std::string_view merge = merges[i];
      const std::size_t blank = merge.find(' ', 1);
      if (blank == std::string_view::npos || blank + 1 == merge.size())
        broken(gguf, fmt::format("merge {} '{}'", i, base::shortened(merge, 40)), "two tokens and a blank");
      list.add(merge.substr(0, blank), merge.substr(blank + 1));
    }
    halves[half] = list.finish();
  });
  spec.merges = std::move(halves[0]);
  spec.merges.insert(spec.merges.end(), halves[1].begin(), halves[1].end());
}

void read_byte_level(const base::GgufReader& gguf, BpeSpec& spec, const TokenTable& ids) {
  spec.byte_level = true;
  const std::string pre = gguf.find("tokenizer.ggml.pre") ? gguf.text("tokenizer.ggml.pre") : "";
  const PreTokenizerName* known = find_pre_tokenizer(pre);
  if (!known) {
    std::vector<std::string> names;
    for (const PreTokenizerName& name : kPreTokenizers) names.emplace_back(name.name);
    throw base::Error({"this tokenizer is not supported", gguf.path().string(),
                       fmt::format("tokenizer.ggml.pre = '{}'", base::shortened(pre, 40)), base::join(names, ", "),
                       "give the model's Hugging Face folder instead"});
  }
  spec.splits = known->splits;
  spec.ignore_merges = known->ignore_merges;
  // llama.cpp does not normalise; the model was trained with its Hugging Face tokenizer, which does.
  if (known->nfc) spec.normalizer.push_back({NormalizerStep::kNfc, "", ""});
  read_merges(gguf, spec, ids);
}
// Gemma 4: merges of plain characters, of which runs of line ends are pieces of their own.
void read_plain_merges(const base::GgufReader& gguf, BpeSpec& spec, const TokenTable& ids) {
  spec.byte_level = false;
  spec.byte_fallback = true;
  spec.normalizer.push_back({NormalizerStep::kReplace, " ", std::string(kMetaspace)});
  spec.splits = {step_of_pattern("[^\\n]+|[\\n]+", Dialect::kRust)};
  spec.unknown = role(gguf, "tokenizer.ggml.unknown_token_id", spec.tokens.size());
  spec.fuse_unknown = true;
  read_merges(gguf, spec, ids);
}

// SentencePiece's BPE merges whatever neighbours make a token, best score first, leftmost of equals: the same as merges
// of every way to cut a token in two, ranked by the token's score.
void read_sentencepiece(const base::GgufReader& gguf, BpeSpec& spec) {
  spec.byte_level = false;
  spec.byte_fallback = true;
  const auto& scores = gguf.numbers("tokenizer.ggml.scores");
  if (scores.size() != spec.tokens.size())
    broken(gguf, fmt::format("{} scores", scores.size()), fmt::format("{}", spec.tokens.size()));
  if (!std::ranges::all_of(scores, [](double score) { return std::isfinite(score); }))
    broken(gguf, "a score that is no number", "finite scores");
  spec.scores.assign(scores.begin(), scores.end());
  if (flag(gguf, "tokenizer.ggml.add_space_prefix", true)) {
    spec.normalizer.push_back({NormalizerStep::kPrepend, "", std::string(kMetaspace)});
    spec.strip_leading_space = true;
  }
  spec.normalizer.push_back({NormalizerStep::kReplace, " ", std::string(kMetaspace)});
  spec.fuse_unknown = true;
  spec.unknown = role(gguf, "tokenizer.ggml.unknown_token_id", spec.tokens.size());
  spec.merges = merges_of_scores(spec.tokens, token_types(gguf), spec.scores);
}

}  // namespace

std::vector<std::int64_t> token_types(const base::GgufReader& gguf) {
  const std::size_t size = gguf.texts("tokenizer.ggml.tokens").size();
  if (!gguf.find("tokenizer.ggml.token_type")) return std::vector<std::int64_t>(size, kNormalToken);
  const auto& types = gguf.integers("tokenizer.ggml.token_type");
  if (types.size() != size) broken(gguf, fmt::format("{} token types", types.size()), fmt::format("{}", size));
  return types;
}

std::vector<Merge> merges_of_scores(const base::Texts& tokens, const std::vector<std::int64_t>& types,
                                    const std::vector<float>& scores) {
  std::vector<std::string_view> mergeable(tokens.size());
  std::vector<std::int32_t> by_score, ranks(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].empty() || types[i] != kNormalToken) continue;
    mergeable[i] = tokens[i];
    by_score.push_back(static_cast<std::int32_t>(i));
  }
  std::ranges::stable_sort(by_score, [&](std::int32_t a, std::int32_t b) { return scores[a] > scores[b]; });
  std::int32_t rank = -1;
  float last = std::numeric_limits<float>::quiet_NaN();
  for (const std::int32_t id : by_score) {
    if (scores[id] != last) ++rank;
    last = scores[id];
    ranks[id] = rank;
  }
  std::vector<Merge> merges = merges_of_cuts(mergeable, ranks);
  std::ranges::stable_sort(merges, {}, &Merge::rank);
  return merges;
}

BpeSpec spec_from_gguf(const base::GgufReader& gguf) {
  BpeSpec spec;
  if (!gguf.find("tokenizer.ggml.tokens")) base::refuse_adapter(gguf);
  const auto& texts = gguf.texts("tokenizer.ggml.tokens");
  spec.tokens = texts;
  const std::size_t size = texts.size();
  const TokenTable ids(spec.tokens.all(), TokenTable::kLast);  // as in llama.cpp
  const std::string& model = gguf.text("tokenizer.ggml.model");
  if (model == "gpt2") {
    read_byte_level(gguf, spec, ids);
  } else if (model == "llama") {
    read_sentencepiece(gguf, spec);
  } else if (model == "gemma4") {
    read_plain_merges(gguf, spec, ids);
  } else {
    throw base::Error({"this tokenizer is not supported", gguf.path().string(),
                       fmt::format("tokenizer.ggml.model = '{}'", base::shortened(model, 40)),
                       "gpt2 (byte-level BPE), llama (SentencePiece BPE) or gemma4",
                       "give the model's Hugging Face folder instead"});
  }
  spec.origin = "GGUF: " + model + (spec.byte_level ? ", " + gguf.text("tokenizer.ggml.pre") : "");
  const std::vector<std::int64_t> types = token_types(gguf);
  for (std::size_t i = 0; i < size; ++i) {
    const bool special = types[i] == kControlToken || (types[i] == kUnknownToken && !spec.byte_level);
    if (!special && types[i] != kUserDefinedToken) continue;
    AddedToken token;
    token.id = static_cast<std::int32_t>(i);
    token.content = spec.tokens[i];
    token.special = special;
    spec.added.push_back(token);
  }
  spec.roles.bos = role(gguf, "tokenizer.ggml.bos_token_id", size);
  spec.roles.eos = role(gguf, "tokenizer.ggml.eos_token_id", size);
  for (const char* key : {kTurnEndKey, kMessageEndKey})
    if (const auto id = role(gguf, key, size)) spec.roles.add_end(*id);
  spec.roles.pad = role(gguf, "tokenizer.ggml.padding_token_id", size);
  spec.roles.unknown = role(gguf, "tokenizer.ggml.unknown_token_id", size);
  // Defaults where the key is missing, as llama.cpp has them.
  const PreTokenizerName* pre = spec.byte_level ? find_pre_tokenizer(gguf.text("tokenizer.ggml.pre")) : nullptr;
  const bool adds_bos = !spec.byte_level || (pre && pre->add_bos);
  spec.roles.add_bos = flag(gguf, "tokenizer.ggml.add_bos_token", adds_bos) && spec.roles.bos;
  spec.roles.add_eos = flag(gguf, "tokenizer.ggml.add_eos_token", false) && spec.roles.eos;
  if (gguf.find("tokenizer.chat_template")) spec.roles.chat_template = gguf.text("tokenizer.chat_template");
  if (gguf.find(kToolTemplateKey)) spec.roles.tool_template = gguf.text(kToolTemplateKey);
  return spec;
}

void GgufEnds::add(std::int32_t id, std::string_view token) {
  if (turn == id || message == id) return;
  auto& place = !message && (turn || token == "<|eom_id|>") ? message : turn;
  if (!place) place = id;
}

}  // namespace tokenizer
