// Looking into a tokenizer.json: members by their kinds, with errors that say what is wrong.
// Tested by tests/tokenizer/hostile_test.cc.
#include "tokenizer/read/json_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/text.h"
#include "tokenizer/split/characters.h"

namespace tokenizer {

void JsonParts::broken(const std::string& what, const std::string& expected) const {
  throw base::Error({"tokenizer.json is broken", where_, what, expected, "get the file again from its source"});
}

void JsonParts::unsupported(const std::string& what, const std::string& expected) const {
  throw base::Error({"this tokenizer is not supported", where_, what, expected,
                     "use a SentencePiece .model or a GGUF of the model, if there is one"});
}

JsonParts::element JsonParts::member(const object& parent, std::string_view key) {
  static simdjson::dom::parser null_parser;
  static const element null = null_parser.parse(std::string_view("null")).value_unsafe();
  element found;
  return parent.at_key(key).get(found) ? null : found;
}

std::string_view JsonParts::text(const element& e, const std::string& what) const {
  std::string_view value;
  if (e.get(value)) broken(what, "a text");
  return value;
}

std::string_view JsonParts::some_text(const element& e, const std::string& what) const {
  const std::string_view value = text(e, what);
  if (value.empty()) broken(what + " is empty", "a text");
  return value;
}

std::string_view JsonParts::character(const element& e, const std::string& what) const {
  const std::string_view value = some_text(e, what);
  if (character_at(value, 0).size != value.size())
    broken(fmt::format("{} '{}'", what, base::shortened(value, 40)), "one character");
  return value;
}

bool JsonParts::flag(const object& parent, std::string_view key, bool fallback) const {
  const element e = member(parent, key);
  bool value = fallback;
  if (!e.is_null() && e.get(value)) broken(std::string(key), "true or false");
  return value;
}

std::int64_t JsonParts::number(const object& parent, std::string_view key, std::int64_t fallback, std::int64_t least,
                               std::int64_t most) const {
  const element e = member(parent, key);
  std::int64_t value = fallback;
  if (!e.is_null() && (e.get(value) || value < least || value > most))
    broken(fmt::format("{} {}", key, base::shortened(simdjson::to_string(e), 40)),
           fmt::format("{} to {}", least, most));
  return value;
}

JsonParts::object JsonParts::as_object(const element& e, const std::string& what) const {
  object value;
  if (e.get(value)) broken(what, "an object");
  return value;
}

void JsonParts::only(const object& o, const std::string& what, const std::vector<std::string_view>& known) const {
  for (const auto& [key, value] : o) {
    bool on = true;
    if (std::ranges::find(known, key) != known.end() || value.is_null() || (!value.get(on) && !on)) continue;
    std::vector<std::string> names(known.begin(), known.end());
    unsupported(fmt::format("{}: {}", what, base::shortened(key, 40)),
                names.empty() ? "no more than its type" : base::join(names, ", "));
  }
}

// All that the types know in tokenizers 0.23 and older; the same name means the same in every section.
void JsonParts::check_members(const object& part, const std::string& type, const std::string& what) const {
  static const std::map<std::string_view, std::vector<std::string_view>> kMembers = {
      {"NFC", {"type"}},
      {"NFD", {"type"}},
      {"NFKC", {"type"}},
      {"NFKD", {"type"}},
      {"Lowercase", {"type"}},
      {"Nmt", {"type"}},
      {"StripAccents", {"type"}},
      {"Strip", {"type", "strip_left", "strip_right", "content", "start", "stop"}},
      {"Prepend", {"type", "prepend"}},
      {"Replace", {"type", "pattern", "content"}},
      {"Precompiled", {"type", "precompiled_charsmap"}},
      {"BertNormalizer", {"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"}},
      {"ByteLevel", {"type", "add_prefix_space", "trim_offsets", "use_regex"}},
      {"Digits", {"type", "individual_digits"}},
      {"Split", {"type", "pattern", "behavior", "invert"}},
      {"Metaspace", {"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"}},
      {"Punctuation", {"type", "behavior"}},
      {"Whitespace", {"type"}},
      {"WhitespaceSplit", {"type"}},
      {"BertPreTokenizer", {"type"}},
      {"UnicodeScripts", {"type"}},
      {"CharDelimiterSplit", {"type", "delimiter"}},
      {"FixedLength", {"type", "length"}},
      {"ByteFallback", {"type"}},
      {"Fuse", {"type"}},
      {"BPEDecoder", {"type", "suffix"}},
      {"WordPiece", {"type", "prefix", "cleanup"}},
      {"CTC", {"type", "pad_token", "word_delimiter_token", "cleanup"}},
      {"TemplateProcessing", {"type", "single", "pair", "special_tokens"}},
      {"BertProcessing", {"type", "cls", "sep"}},
      {"RobertaProcessing", {"type", "cls", "sep", "trim_offsets", "add_prefix_space"}}};
  if (const auto known = kMembers.find(type); known != kMembers.end()) only(part, what + " " + type, known->second);
}

std::string JsonParts::type_of(const object& o, const std::string& what) const {
  return std::string(text(member(o, "type"), "type of the " + what));
}

std::vector<JsonParts::object> JsonParts::parts(const element& e, std::string_view list,
                                                const std::string& what) const {
  std::vector<object> all;
  if (!e.is_null()) add_parts(e, list, what, 0, all);
  return all;
}

void JsonParts::add_parts(const element& e, std::string_view list, const std::string& what, int depth,
                          std::vector<object>& all) const {
  constexpr int kDeepest = 100;
  const object one = as_object(e, what);
  const std::string type = type_of(one, what);
  if (type != "Sequence") {
    check_members(one, type, what);
    return all.push_back(one);
  }
  only(one, what + " Sequence", {"type", list});
  if (depth == kDeepest) unsupported(fmt::format("Sequences more than {} deep in the {}", kDeepest, what), "fewer");
  array items;
  if (member(one, list).get(items)) broken(what, "a Sequence with a list " + std::string(list));
  for (const element item : items) add_parts(item, list, what, depth + 1, all);
}

JsonParts::PatternText JsonParts::pattern(const object& part, const std::string& what) const {
  const object kinds = as_object(member(part, "pattern"), what);
  element value;
  const bool is_plain = kinds.at_key("String").get(value) == simdjson::SUCCESS;
  if (!is_plain && kinds.at_key("Regex").get(value)) broken(what, "Regex or String");
  return {text(value, what), is_plain};
}

}  // namespace tokenizer
