// Vocabularies between formats: GGUF metadata -> a Hugging Face folder's files, and back. Tested by
// tests/tokenizer/convert_test.cc and folder_test.cc.
#include "tokenizer/write/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "tokenizer/read/gguf_names.h"
#include "tokenizer/read/ranks.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/read/sentencepiece_model.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace tokenizer {
namespace {

namespace fs = std::filesystem;
using base::GgufValue;
using nlohmann::json;
using Metadata = std::vector<std::pair<std::string, GgufValue>>;

std::string written(const BpeSpec& spec, const Merge& merge) {
  return fmt::format("{} {}", spec.tokens[merge.left], spec.tokens[merge.right]);
}

json split_json(const std::string& pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

json byte_level_json(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

// Steps of a GGUF: they isolate, all of them, and their patterns mean the same to Oniguruma.
json pre_tokenizer_json(const std::vector<SplitStep>& splits, bool byte_level) {
  if (!byte_level && splits.empty()) return nullptr;
  json steps = json::array();
  const bool use_regex = byte_level && !splits.empty() && splits.back() == SplitStep::kGpt2;
  for (const SplitStep& step : splits) {
    if (&step == &splits.back() && use_regex) break;
    if (step == SplitStep::kDigits || step == SplitStep::kDigitRuns)
      steps.push_back({{"type", "Digits"}, {"individual_digits", step == SplitStep::kDigits}});
    else
      steps.push_back(split_json(pattern_of_step(step)));
  }
  if (byte_level) steps.push_back(byte_level_json(use_regex));
  if (steps.size() == 1) return steps[0];
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

json normalizer_json(const std::vector<NormalizerStep>& normalizer) {
  json steps = json::array();
  for (const NormalizerStep& step : normalizer) {
    if (step.kind == NormalizerStep::kNfc) steps.push_back({{"type", "NFC"}});
    if (step.kind == NormalizerStep::kPrepend) steps.push_back({{"type", "Prepend"}, {"prepend", step.text}});
    if (step.kind == NormalizerStep::kReplace)
      steps.push_back({{"type", "Replace"}, {"pattern", {{"String", step.from}}}, {"content", step.text}});
  }
  if (steps.empty()) return nullptr;
  if (steps.size() == 1) return steps[0];
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

json decoder_json(const BpeSpec& spec) {
  if (spec.byte_level)
    return {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  json steps = {{{"type", "Replace"}, {"pattern", {{"String", kMetaspace}}}, {"content", " "}},
                {{"type", "ByteFallback"}},
                {{"type", "Fuse"}}};
  if (spec.strip_leading_space) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

json post_processor_json(const BpeSpec& spec) {
  if (!spec.roles.add_bos && !spec.roles.add_eos) return nullptr;
  json single = json::array(), pair = json::array(), tokens = json::object();
  const auto add_token = [&](std::int32_t id, int type) {
    const std::string token(spec.tokens[id]);
    tokens[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
    return json{{"SpecialToken", {{"id", token}, {"type_id", type}}}};
  };
  for (const int type : {0, 1}) {
    json part = json::array();
    if (spec.roles.add_bos) part.push_back(add_token(*spec.roles.bos, type));
    part.push_back({{"Sequence", {{"id", type == 0 ? "A" : "B"}, {"type_id", type}}}});
    if (spec.roles.add_eos) part.push_back(add_token(*spec.roles.eos, type));
    if (type == 0) single = part;
    pair.insert(pair.end(), part.begin(), part.end());
  }
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}};
}

json tokenizer_json(const BpeSpec& spec) {
  json added = json::array();
  for (const AddedToken& token : spec.added)
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.left_strip},
                     {"rstrip", token.right_strip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  json vocabulary = json::object(), merges = json::array();
  for (std::size_t i = 0; i < spec.tokens.size(); ++i)
    if (!spec.tokens[i].empty()) vocabulary[std::string(spec.tokens[i])] = i;
  std::vector<Merge> in_order = spec.merges;
  std::ranges::stable_sort(in_order, {}, &Merge::rank);
  for (const Merge& merge : in_order) merges.push_back(written(spec, merge));
  json unknown = nullptr;
  if (spec.unknown) unknown = spec.tokens[*spec.unknown];
  const json model = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", unknown},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", spec.fuse_unknown},
                      {"byte_fallback", spec.byte_fallback},
                      {"ignore_merges", spec.ignore_merges},
                      {"vocab", std::move(vocabulary)},
                      {"merges", std::move(merges)}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", normalizer_json(spec.normalizer)},
          {"pre_tokenizer", pre_tokenizer_json(spec.splits, spec.byte_level)},
          {"post_processor", post_processor_json(spec)},
          {"decoder", decoder_json(spec)},
          {"model", model}};
}

// A vocabulary on its way into a GGUF.
struct GgufVocabulary {
  std::string model, pre;
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<float> scores;        // SentencePiece
  std::vector<std::string> merges;  // byte level
  bool add_space_prefix = false;
  SpecialRoles roles;
};

[[noreturn]] void no_equal(const fs::path& folder, const std::string& what, const std::string& expected) {
  throw base::Error({"this tokenizer cannot be written into a GGUF with the same ids", folder.string(), what, expected,
                     "keep the Hugging Face folder"});
}

GgufVocabulary from_byte_level(const BpeSpec& spec, const fs::path& folder) {
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  // llama.cpp tells the splits by a hash of the ids of a probe text; we hold the splits themselves.
  std::vector<std::string> names;
  for (const PreTokenizerName& name : kPreTokenizers) {
    names.push_back(name.name);
    const bool nfc = spec.normalizer.size() == 1 && spec.normalizer[0].kind == NormalizerStep::kNfc;
    if (name.splits == spec.splits && name.ignore_merges == spec.ignore_merges && name.nfc == nfc &&
        (nfc || spec.normalizer.empty()) && vocabulary.pre.empty())
      vocabulary.pre = name.name;
  }
  if (vocabulary.pre.empty())
    no_equal(folder, "its normalizer, pre_tokenizer and ignore_merges together have no name in llama.cpp",
             "those of " + base::join(names, ", "));
  for (const Merge& merge : merges_of(spec)) vocabulary.merges.push_back(written(spec, merge));
  return vocabulary;
}

// The scores under which SentencePiece's rule ("whatever neighbours make a token, best score first") is this list of
// merges: minus the place of the token's first merge. Refuses a list that the rule cannot give.
std::vector<float> scores_of_merges(const BpeSpec& spec, const std::vector<std::int32_t>& types,
                                    const fs::path& folder) {
  std::vector<float> scores(spec.tokens.size(), -1e6f);  // characters are never the result of a merge
  std::int32_t last = -1, place = 0;
  for (const Merge& merge : spec.merges) {
    if (merge.result == last) continue;
    last = merge.result;
    if (scores[last] != -1e6f) no_equal(folder, "merges of one token far apart", "merges in the order of the tokens");
    scores[last] = -static_cast<float>(place++);
  }
  std::size_t possible = 0;
  for (const Merge& merge :
       merges_of_scores(spec.tokens, std::vector<std::int64_t>(types.begin(), types.end()), scores)) {
    ++possible;
    if (scores[merge.result] == -1e6f) no_equal(folder, "tokens that no merge makes", "merges for every token");
  }
  if (possible != spec.merges.size())
    no_equal(folder, fmt::format("{} merges", spec.merges.size()), fmt::format("all {} possible ones", possible));
  return scores;
}

GgufVocabulary from_plain(const BpeSpec& spec, const fs::path& folder) {
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.pre = "default";
  if (!spec.byte_fallback || spec.ignore_merges)
    no_equal(folder, "byte_fallback off or ignore_merges on", "a SentencePiece vocabulary with byte fallback");
  for (const NormalizerStep& step : spec.normalizer) {
    if (step.kind == NormalizerStep::kPrepend && step.text == kMetaspace)
      vocabulary.add_space_prefix = true;
    else if (step.kind != NormalizerStep::kReplace || step.from != " " || step.text != kMetaspace)
      no_equal(folder, "a normalizer other than Prepend and Replace of SentencePiece", "those");
  }
  for (const SplitStep& step : spec.splits) {
    if (step == SplitStep::kMetaspaceAlways || step == SplitStep::kMetaspaceFirst) vocabulary.add_space_prefix = true;
    const bool metaspace =
        step == SplitStep::kMetaspaceAlways || step == SplitStep::kMetaspaceFirst || step == SplitStep::kMetaspaceNever;
    if (!metaspace) no_equal(folder, "a pre_tokenizer that cuts", "Metaspace without split, or none");
  }
  return vocabulary;
}

GgufVocabulary from_bpe(const fs::path& folder) {
  BpeSpec spec = spec_from_folder(folder);
  write_in_alphabet(spec);
  if (!spec.unigram.empty()) no_equal(folder, "a Unigram model", "a BPE model");
  GgufVocabulary vocabulary = spec.byte_level ? from_byte_level(spec, folder) : from_plain(spec, folder);
  vocabulary.tokens.assign(spec.tokens.begin(), spec.tokens.end());
  vocabulary.types.assign(spec.tokens.size(), kNormalToken);
  for (std::size_t i = 0; i < spec.tokens.size(); ++i) {
    if (spec.tokens[i].empty()) {  // a hole in the ids
      vocabulary.tokens[i] = fmt::format("[PAD{}]", i);
      vocabulary.types[i] = kUnusedToken;
    }
    if (!spec.byte_level && spec.tokens[i].size() == 6 && spec.tokens[i].starts_with("<0x"))
      vocabulary.types[i] = kByteToken;
  }
  // The strip flags have no place in GGUF; they matter only where a special token is written out in a text.
  for (const AddedToken& token : spec.added)
    vocabulary.types[token.id] = token.special ? kControlToken : kUserDefinedToken;
  if (!spec.byte_level) {
    if (spec.unknown) vocabulary.types[*spec.unknown] = kUnknownToken;
    vocabulary.scores = scores_of_merges(spec, vocabulary.types, folder);
  }
  vocabulary.roles = spec.roles;
  if (!vocabulary.roles.unknown) vocabulary.roles.unknown = spec.unknown;
  return vocabulary;
}

GgufVocabulary from_sentencepiece(const fs::path& folder) {
  const fs::path file = folder / "tokenizer.model";
  const SentencePieceModel model = read_sentencepiece_model(file, true);
  if (model.model_type != SentencePieceModel::kBpe) no_equal(file, "a unigram model", "a BPE model");
  if (model.has_character_map || model.remove_extra_whitespaces || !model.escape_whitespaces)
    no_equal(file, "a normaliser that changes the text", "the identity, as LLaMA's");
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.pre = "default";
  vocabulary.add_space_prefix = model.add_dummy_prefix;
  for (const auto& piece : model.pieces) {
    // A number that no token has.
    const bool hole = piece.text.empty();
    vocabulary.tokens.push_back(hole ? fmt::format("[PAD{}]", vocabulary.tokens.size()) : piece.text);
    vocabulary.types.push_back(hole ? kUnusedToken : piece.type);
    vocabulary.scores.push_back(piece.score);
  }
  vocabulary.roles = model.roles;
  return vocabulary;
}

// config.json's vocab_size, where it has one.
std::optional<std::int64_t> rows_in_config(const fs::path& file) {
  if (!fs::exists(file)) return std::nullopt;
  const json config = json::parse(base::read_file(file), nullptr, false);
  if (!config.is_object() || !config.contains("vocab_size") || !config["vocab_size"].is_number_unsigned())
    return std::nullopt;
  return config["vocab_size"].get<std::int64_t>();
}

// One token for each row of the embedding, which may have more rows than the tokenizer has tokens.
void pad_to_model(GgufVocabulary& vocabulary, const fs::path& folder, std::optional<std::int64_t> known_rows) {
  const fs::path file = folder / "config.json";
  if (!known_rows) known_rows = rows_in_config(file);
  if (!known_rows) return;
  const auto rows = static_cast<std::uint64_t>(*known_rows);
  if (rows < vocabulary.tokens.size() || rows > (std::uint64_t{1} << 24))
    throw base::Error({"the model and its tokenizer do not fit", file.string(), fmt::format("vocab_size {}", rows),
                       fmt::format("at least the tokenizer's {}", vocabulary.tokens.size()),
                       "take config.json and tokenizer from the same model, or let transformers add the rows: "
                       "model.resize_token_embeddings(len(tokenizer))"});
  while (vocabulary.tokens.size() < rows) {
    vocabulary.tokens.push_back(fmt::format("[PAD{}]", vocabulary.tokens.size()));
    vocabulary.types.push_back(kUnusedToken);
    if (!vocabulary.scores.empty()) vocabulary.scores.push_back(-10000.0f);
  }
}

}  // namespace

json tokenizer_json_from_gguf(const base::GgufReader& gguf) { return tokenizer_json(spec_from_gguf(gguf)); }

json tokenizer_config_json_from_gguf(const base::GgufReader& gguf) {
  const BpeSpec spec = spec_from_gguf(gguf);
  // The one class that transformers 4 and 5 both read as "tokenizer.json, unchanged"; named classes such as
  // GPT2Tokenizer build a pre-tokenizer of their own and lose the digit split.
  json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  const auto role = [&](const char* key, const std::optional<std::int32_t>& id) {
    if (id) config[key] = spec.tokens[*id];
  };
  role("bos_token", spec.roles.bos);
  role("eos_token", spec.roles.eos);
  role("pad_token", spec.roles.pad);
  role("unk_token", spec.roles.unknown);
  if (!spec.roles.chat_template.empty()) config["chat_template"] = spec.roles.chat_template;
  if (!spec.roles.chat_template.empty() && !spec.roles.tool_template.empty())
    config["chat_template"] = {{{"name", "default"}, {"template", spec.roles.chat_template}},
                               {{"name", "tool_use"}, {"template", spec.roles.tool_template}}};
  const std::string context = gguf.text("general.architecture") + ".context_length";
  if (gguf.find(context)) config["model_max_length"] = gguf.integer(context);
  return config;
}

Metadata gguf_metadata_from_folder(const fs::path& path, std::optional<std::int64_t> rows) {
  GgufVocabulary vocabulary;
  if (kind_of_vocabulary(vocabulary_file(path)) == VocabularyKind::kSentencePiece)
    vocabulary = from_sentencepiece(path);
  else
    vocabulary = from_bpe(path);
  pad_to_model(vocabulary, path, rows);

  Metadata metadata;
  const auto add = [&](const char* key, GgufValue value) { metadata.emplace_back(key, std::move(value)); };
  add("tokenizer.ggml.model", GgufValue::text(vocabulary.model));
  add("tokenizer.ggml.pre", GgufValue::text(vocabulary.pre));
  add("tokenizer.ggml.tokens", GgufValue::texts(vocabulary.tokens));
  if (!vocabulary.scores.empty()) add("tokenizer.ggml.scores", GgufValue::f32s(vocabulary.scores));
  add("tokenizer.ggml.token_type", GgufValue::i32s(vocabulary.types));
  if (vocabulary.model == "gpt2") add("tokenizer.ggml.merges", GgufValue::texts(vocabulary.merges));
  const auto role = [&](const char* key, const std::optional<std::int32_t>& id) {
    if (id) add(key, GgufValue::u32(static_cast<std::uint32_t>(*id)));
  };
  role("tokenizer.ggml.bos_token_id", vocabulary.roles.bos);
  role("tokenizer.ggml.eos_token_id", vocabulary.roles.eos);
  GgufEnds ends;
  for (const std::int32_t id : vocabulary.roles.other_ends)
    if (id < static_cast<std::int32_t>(vocabulary.tokens.size()))  // else the model has no row for it
      ends.add(id, vocabulary.tokens[id]);
  role(kTurnEndKey, ends.turn);
  role(kMessageEndKey, ends.message);
  role("tokenizer.ggml.unknown_token_id", vocabulary.roles.unknown);
  role("tokenizer.ggml.padding_token_id", vocabulary.roles.pad);
  add("tokenizer.ggml.add_bos_token", GgufValue::boolean(vocabulary.roles.add_bos));
  add("tokenizer.ggml.add_eos_token", GgufValue::boolean(vocabulary.roles.add_eos));
  add("tokenizer.ggml.add_space_prefix", GgufValue::boolean(vocabulary.add_space_prefix));
  if (!vocabulary.roles.chat_template.empty())
    add("tokenizer.chat_template", GgufValue::text(vocabulary.roles.chat_template));
  if (!vocabulary.roles.tool_template.empty()) {  // as the gguf package writes them
    add(kToolTemplateKey, GgufValue::text(vocabulary.roles.tool_template));
    add(kTemplatesKey, GgufValue::texts({"tool_use"}));
  }
  return metadata;
}

}  // namespace tokenizer
