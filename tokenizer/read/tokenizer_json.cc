// tokenizer.json -> BpeSpec. Tested by tests/tokenizer/hostile_test.cc and parity_test.cc.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "base/text.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/spec/token_table.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace tokenizer {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

// ASCII's, and \p{P} of Unicode 8, which the Punctuation of the tokenizers package goes by.
constexpr const char* kPunctuation =
    R"([!-/:-@\[-`{-~\x{166D}\x{111C9}[\p{P}&&[^)"
    R"(\x{61D}\x{9FD}\x{A76}\x{C77}\x{C84}\x{1B4E}-\x{1B4F}\x{1B7D}-\x{1B7F}\x{2E43}-\x{2E4F})"
    R"(\x{2E52}-\x{2E5D}\x{10D6E}\x{10EAD}\x{10F55}-\x{10F59}\x{10F86}-\x{10F89})"
    R"(\x{113D4}-\x{113D5}\x{113D7}-\x{113D8}\x{1144B}-\x{1144F}\x{1145A}-\x{1145B}\x{1145D})"
    R"(\x{11660}-\x{1166C}\x{116B9}\x{1183B}\x{11944}-\x{11946}\x{119E2}\x{11A3F}-\x{11A46})"
    R"(\x{11A9A}-\x{11A9C}\x{11A9E}-\x{11AA2}\x{11B00}-\x{11B09}\x{11BE1}\x{11C41}-\x{11C45})"
    R"(\x{11C70}-\x{11C71}\x{11EF7}-\x{11EF8}\x{11F43}-\x{11F4F}\x{11FFF}\x{12FF1}-\x{12FF2})"
    R"(\x{16D6D}-\x{16D6F}\x{16E97}-\x{16E9A}\x{16FE2}\x{1E5FF}\x{1E95E}-\x{1E95F})"
    R"(]]])";

class JsonReader {
 public:
  JsonReader(std::string_view json, const std::string& where) : where_(where) {
    simdjson::padded_string padded(json);
    element root;
    if (const auto error = parser_.parse(padded).get(root))
      throw base::Error({"tokenizer.json is not valid JSON", where_, simdjson::error_message(error), "", ""});
    if (root.get(root_)) broken("the file", "an object");
  }

  BpeSpec read() {
    read_model(member(root_, "model"));
    read_added();
    read_normalizer(member(root_, "normalizer"));
    read_pre_tokenizer(member(root_, "pre_tokenizer"));
    if (spec_.byte_level && !saw_byte_level_) spec_.byte_level = false;
    read_decoder(member(root_, "decoder"));
    read_post_processor(member(root_, "post_processor"));
    read_merges();
    spec_.origin = "tokenizer.json";
    return std::move(spec_);
  }

 private:
  [[noreturn]] void broken(const std::string& what, const std::string& expected) const {
    throw base::Error({"tokenizer.json is broken", where_, what, expected, "get the file again from its source"});
  }
  [[noreturn]] void unsupported(const std::string& what, const std::string& expected) const {
    throw base::Error({"this tokenizer is not supported", where_, what, expected,
                       "use a SentencePiece .model or a GGUF of the model, if there is one"});
  }

  static element member(const object& parent, std::string_view key) {
    element found;
    static simdjson::dom::parser null_parser;
    static const element null = null_parser.parse(std::string_view("null")).value_unsafe();
    return parent.at_key(key).get(found) ? null : found;
  }
  std::string_view text(const element& e, const std::string& what) const {
    std::string_view value;
    if (e.get(value)) broken(what, "a text");
    return value;
  }
  bool flag(const object& parent, std::string_view key, bool fallback) const {
    const element e = member(parent, key);
    bool value = fallback;
    if (!e.is_null() && e.get(value)) broken(std::string(key), "true or false");
    return value;
  }
  object as_object(const element& e, const std::string& what) const {
    object value;
    if (e.get(value)) broken(what, "an object");
    return value;
  }
  std::string type_of(const object& o, const std::string& what) const {
    return std::string(text(member(o, "type"), "type of the " + what));
  }
  // The parts of a Sequence (under `list`), or the thing itself; none for null.
  std::vector<object> parts(const element& e, std::string_view list, const std::string& what) const {
    if (e.is_null()) return {};
    const object one = as_object(e, what);
    if (type_of(one, what) != "Sequence") return {one};
    array items;
    if (member(one, list).get(items)) broken(what, "a Sequence with a list " + std::string(list));
    std::vector<object> all;
    for (const element item : items) {
      const object part = as_object(item, what);
      if (type_of(part, what) == "Sequence") unsupported("a Sequence inside a Sequence in the " + what, "a flat list");
      all.push_back(part);
    }
    return all;
  }

  std::int32_t id(const element& e, std::string_view of) const {
    std::int64_t value;
    if (e.get(value) || value < 0 || value >= most_ids_)
      broken(fmt::format("id of {}", base::shortened(of, 40)), fmt::format("a number from 0 to {}", most_ids_ - 1));
    return static_cast<std::int32_t>(value);
  }
  void put(std::int32_t id, std::string_view token) {
    if (spec_.tokens.size() <= static_cast<std::size_t>(id)) spec_.tokens.resize(id + 1);
    if (!spec_.tokens[id].empty() && spec_.tokens[id] != token)
      broken(
          fmt::format("id {} is '{}' and '{}'", id, base::shortened(spec_.tokens[id], 40), base::shortened(token, 40)),
          "one token for each id");
    spec_.tokens[id] = token;
  }

  void read_model(const element& e) {
    model_ = as_object(e, "model");
    const element type = member(model_, "type");  // old files have none for BPE
    if (!type.is_null() && text(type, "model.type") != "BPE")
      unsupported("model.type " + std::string(text(type, "model.type")), "BPE");
    const element dropout = member(model_, "dropout");
    double rate = 0;
    if (!dropout.is_null() && (dropout.get(rate) || rate != 0)) unsupported("model.dropout", "none");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const element affix = member(model_, key);
      if (!affix.is_null() && !text(affix, key).empty()) unsupported(fmt::format("model.{}", key), "none");
    }
    spec_.fuse_unknown = flag(model_, "fuse_unk", false);
    spec_.byte_fallback = flag(model_, "byte_fallback", false);
    spec_.ignore_merges = flag(model_, "ignore_merges", false);
    const object vocabulary = as_object(member(model_, "vocab"), "model.vocab");
    vocabulary_ = TokenTable(vocabulary.size());
    most_ids_ = 2 * static_cast<std::int64_t>(vocabulary.size()) + 100000;
    for (const auto& [token, value] : vocabulary) {
      if (token.empty()) broken("an empty token in model.vocab", "a text");
      const std::int32_t number = id(value, token);
      if (vocabulary_.find(token) != TokenTable::kNone)
        broken(fmt::format("the token '{}' twice in model.vocab", base::shortened(token, 40)), "each token once");
      vocabulary_.insert(token, number);
      put(number, token);
    }
    const element unknown = member(model_, "unk_token");
    if (!unknown.is_null()) {
      const std::int32_t found = vocabulary_.find(text(unknown, "model.unk_token"));
      if (found == TokenTable::kNone) broken("model.unk_token is not in model.vocab", "one of the tokens");
      spec_.unknown = found;
    }
  }

  void read_merges() {
    array merges;
    if (member(model_, "merges").get(merges)) broken("model.merges", "a list");
    spec_.merges.reserve(merges.size());
    std::string result;
    for (const element merge : merges) {
      std::string_view left, right, both;
      array pair;
      if (!merge.get(both)) {
        const std::size_t blank = both.find(' ');
        if (blank == std::string_view::npos || both.find(' ', blank + 1) != std::string_view::npos)
          broken(fmt::format("merge {} '{}'", spec_.merges.size(), base::shortened(both, 40)),
                 "two tokens and a blank");
        left = both.substr(0, blank);
        right = both.substr(blank + 1);
      } else if (merge.get(pair) || pair.size() != 2 || pair.at(0).get(left) || pair.at(1).get(right)) {
        broken(fmt::format("merge {}", spec_.merges.size()), "two tokens");
      }
      result.assign(left).append(right);
      const auto find = [&](std::string_view token) {
        const std::int32_t found = vocabulary_.find(token);
        if (found == TokenTable::kNone)
          broken(fmt::format("merge {}: '{}' is not in model.vocab", spec_.merges.size(), base::shortened(token, 40)),
                 "tokens of the vocabulary");
        return found;
      };
      spec_.merges.push_back({find(left), find(right), find(result), static_cast<std::int32_t>(spec_.merges.size())});
    }
  }

  void read_added() {
    const element list = member(root_, "added_tokens");
    if (list.is_null()) return;
    array items;
    if (list.get(items)) broken("added_tokens", "a list");
    std::unordered_map<std::string_view, std::size_t> seen;
    for (const element item : items) {
      const object o = as_object(item, "added token");
      AddedToken token;
      const std::string_view content = text(member(o, "content"), "content of an added token");
      if (content.empty()) continue;
      token.content = content;
      token.id = id(member(o, "id"), content);
      token.special = flag(o, "special", false);
      token.normalized = flag(o, "normalized", !token.special);
      token.left_strip = flag(o, "lstrip", false);
      token.right_strip = flag(o, "rstrip", false);
      token.single_word = flag(o, "single_word", false);
      const std::int32_t known = vocabulary_.find(content);
      if (known != TokenTable::kNone && known != token.id)
        broken(fmt::format("added token '{}' has id {} and id {} in model.vocab", base::shortened(content, 40),
                           token.id, known),
               "one id");
      token.in_model = known != TokenTable::kNone;
      put(token.id, content);
      const auto [place, fresh] = seen.emplace(content, spec_.added.size());
      if (fresh)
        spec_.added.push_back(token);
      else
        spec_.added[place->second] = token;
    }
  }

  void read_normalizer(const element& e) {
    static const std::map<std::string, NormalizerStep::Kind> kPlain = {{"NFC", NormalizerStep::kNfc},
                                                                       {"NFD", NormalizerStep::kNfd},
                                                                       {"NFKC", NormalizerStep::kNfkc},
                                                                       {"NFKD", NormalizerStep::kNfkd},
                                                                       {"Lowercase", NormalizerStep::kLowercase}};
    for (const object& part : parts(e, "normalizers", "normalizer")) {
      const std::string type = type_of(part, "normalizer");
      const auto add = [&](NormalizerStep::Kind kind, std::string_view from = "", std::string_view text = "") {
        spec_.normalizer.push_back({kind, std::string(from), std::string(text)});
      };
      if (const auto plain = kPlain.find(type); plain != kPlain.end()) {
        add(plain->second);
      } else if (type == "Strip") {
        if (flag(part, "strip_left", true)) add(NormalizerStep::kStripLeft);
        if (flag(part, "strip_right", true)) add(NormalizerStep::kStripRight);
      } else if (type == "Prepend") {
        add(NormalizerStep::kPrepend, "", text(member(part, "prepend"), "normalizer.prepend"));
      } else if (type == "Replace") {
        element from;
        const object kinds = as_object(member(part, "pattern"), "normalizer.pattern");
        const bool plain_text = kinds.at_key("String").get(from) == simdjson::SUCCESS;
        if (!plain_text && kinds.at_key("Regex").get(from)) broken("normalizer.pattern", "Regex or String");
        const std::string_view what = text(from, "normalizer.pattern");
        if (what.empty()) broken("normalizer Replace of nothing", "a text to replace");
        add(plain_text ? NormalizerStep::kReplace : NormalizerStep::kReplacePattern, what,
            text(member(part, "content"), "normalizer.content"));
      } else {
        unsupported("normalizer " + type, "NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace or none");
      }
    }
  }

  void read_pre_tokenizer(const element& e) {
    for (const object& part : parts(e, "pretokenizers", "pre_tokenizer")) {
      const std::string type = type_of(part, "pre_tokenizer");
      if (saw_byte_level_) unsupported("pre_tokenizer " + type + " after ByteLevel", "ByteLevel as the last step");
      if (type == "ByteLevel") {
        saw_byte_level_ = true;
        if (flag(part, "add_prefix_space", true)) spec_.splits.push_back(SplitStep::kPrefixSpace);
        if (flag(part, "use_regex", true)) spec_.splits.push_back(SplitStep::kGpt2);
      } else if (type == "Digits") {
        spec_.splits.push_back(flag(part, "individual_digits", false) ? SplitStep::kDigits : SplitStep::kDigitRuns);
      } else if (type == "Split") {
        read_split(part);
      } else if (type == "Metaspace") {
        read_metaspace(part);
      } else {
        read_word_splitter(part, type);
      }
    }
  }
  // Those that the tokenizers package writes by hand, as the patterns that they are.
  void read_word_splitter(const object& part, const std::string& type) {
    const auto add = [&](const char* pattern, SplitStep::Behavior how, bool invert = false) {
      spec_.splits.emplace_back(pattern, Dialect::kRust, how, invert);
    };
    if (type == "Whitespace") {
      add(R"(\w+|[^\w\s]+)", SplitStep::kRemoved, true);
    } else if (type == "WhitespaceSplit") {
      add(R"(\s)", SplitStep::kRemoved);
    } else if (type == "Punctuation") {
      add(kPunctuation, behavior(part));
    } else if (type == "BertPreTokenizer") {
      add(R"(\s)", SplitStep::kRemoved);
      add(kPunctuation, SplitStep::kIsolated);
    } else if (type == "CharDelimiterSplit") {
      add(escaped(text(member(part, "delimiter"), "pre_tokenizer.delimiter")).c_str(), SplitStep::kRemoved);
    } else {
      unsupported("pre_tokenizer " + type,
                  "ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Punctuation, Metaspace, BertPreTokenizer, "
                  "CharDelimiterSplit or a Sequence of them");
    }
  }

  void read_split(const object& part) {
    element pattern;
    const object kinds = as_object(member(part, "pattern"), "pre_tokenizer.pattern");
    const bool plain = kinds.at_key("Regex").get(pattern) != simdjson::SUCCESS;
    if (plain && kinds.at_key("String").get(pattern)) broken("pre_tokenizer.pattern", "Regex or String");
    const std::string_view regex = text(pattern, "pre_tokenizer.pattern");
    const SplitStep::Behavior how = behavior(part);
    const bool invert = flag(part, "invert", false);
    SplitStep step =
        plain ? SplitStep(escaped(regex), Dialect::kOniguruma) : step_of_pattern(regex, Dialect::kOniguruma);
    // Every character is part of some match of the patterns that have a kind of their own, so that "what matches,
    // alone" and "what is removed is what does not match" are the same, but for DeepSeek's.
    const bool isolates =
        how == SplitStep::kIsolated || (how == SplitStep::kRemoved && invert && step.kind != SplitStep::kDeepSeek3);
    if (!isolates || step.kind == SplitStep::kPattern)
      step = SplitStep(pattern_of_step(step), Dialect::kOniguruma, how, invert);
    spec_.splits.push_back(std::move(step));
  }
  static std::string escaped(std::string_view text) {
    std::string pattern;
    for (const char c : text) {
      if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) pattern += '\\';
      pattern += c;
    }
    return pattern;
  }

  SplitStep::Behavior behavior(const object& part) const {
    static const std::map<std::string_view, SplitStep::Behavior> kNames = {
        {"Isolated", SplitStep::kIsolated},
        {"Removed", SplitStep::kRemoved},
        {"MergedWithPrevious", SplitStep::kMergedWithPrevious},
        {"MergedWithNext", SplitStep::kMergedWithNext},
        {"Contiguous", SplitStep::kContiguous}};
    const std::string_view name = text(member(part, "behavior"), "pre_tokenizer.behavior");
    const auto found = kNames.find(name);
    if (found == kNames.end())
      unsupported("pre_tokenizer with behavior " + std::string(name),
                  "Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous");
    return found->second;
  }

  void read_metaspace(const object& part) {
    if (text(member(part, "replacement"), "pre_tokenizer.replacement") != kMetaspace)
      unsupported("pre_tokenizer Metaspace with another character", "\u2581");
    const element scheme = member(part, "prepend_scheme");
    std::string name = flag(part, "add_prefix_space", true) ? "always" : "never";  // files before tokenizers 0.15
    if (!scheme.is_null()) name = text(scheme, "pre_tokenizer.prepend_scheme");
    if (name == "always")
      spec_.splits.push_back(SplitStep::kMetaspaceAlways);
    else if (name == "first")
      spec_.splits.push_back(SplitStep::kMetaspaceFirst);
    else if (name == "never")
      spec_.splits.push_back(SplitStep::kMetaspaceNever);
    else
      unsupported("pre_tokenizer Metaspace with prepend_scheme " + name, "always, first or never");
    if (flag(part, "split", true)) spec_.splits.push_back(SplitStep::kMetaspaceRuns);
  }

  void read_decoder(const element& e) {
    for (const object& part : parts(e, "decoders", "decoder")) {
      const std::string type = type_of(part, "decoder");
      if (type == "ByteLevel") {
        if (!spec_.byte_level) unsupported("decoder ByteLevel without a ByteLevel pre_tokenizer", "both");
      } else if (type == "Metaspace") {
        const element scheme = member(part, "prepend_scheme");
        spec_.strip_leading_space =
            scheme.is_null() ? flag(part, "add_prefix_space", true) : text(scheme, "decoder.prepend_scheme") != "never";
      } else if (type == "Strip") {
        std::int64_t start = 0, stop = 0;
        if (text(member(part, "content"), "decoder.content") != " " || member(part, "start").get(start) || start > 1 ||
            member(part, "stop").get(stop) || stop != 0)
          unsupported("decoder Strip of this kind", "one blank at the start");
        spec_.strip_leading_space = start == 1;
      } else if (type == "Replace") {
        element from;
        if (as_object(member(part, "pattern"), "decoder.pattern").at_key("String").get(from) ||
            text(from, "decoder.pattern") != kMetaspace || text(member(part, "content"), "decoder.content") != " ")
          unsupported("decoder Replace of this kind", "\u2581 by a blank");
      } else if (type != "Fuse" && type != "ByteFallback") {
        unsupported("decoder " + type, "ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip");
      }
    }
  }

  void read_post_processor(const element& e) {
    for (const object& part : parts(e, "processors", "post_processor")) {
      const std::string type = type_of(part, "post_processor");
      if (type == "ByteLevel") continue;  // offsets only
      if (type != "TemplateProcessing") unsupported("post_processor " + type, "ByteLevel, TemplateProcessing or none");
      array single;
      if (member(part, "single").get(single)) broken("post_processor.single", "a list");
      bool after = false;
      for (const element piece : single) {
        const object o = as_object(piece, "post_processor.single");
        element token;
        if (!o.at_key("Sequence").get(token)) {
          after = true;
          continue;
        }
        if (o.at_key("SpecialToken").get(token)) broken("post_processor.single", "SpecialToken and Sequence entries");
        const std::string name(text(member(as_object(token, "post_processor"), "id"), "post_processor token"));
        const auto found = std::ranges::find(spec_.added, name, &AddedToken::content);
        if (found == spec_.added.end())
          unsupported("post_processor adds '" + base::shortened(name, 40) + "'", "one of the added tokens");
        auto& role = after ? spec_.roles.eos : spec_.roles.bos;
        auto& adds = after ? spec_.roles.add_eos : spec_.roles.add_bos;
        if (adds) unsupported("post_processor with several tokens on one side", "at most one before and one after");
        role = found->id;
        adds = true;
      }
    }
  }

  std::string where_;
  simdjson::dom::parser parser_;
  object root_, model_;
  BpeSpec spec_;
  TokenTable vocabulary_;
  std::int64_t most_ids_ = 0;  // a far id would be memory for nothing
  bool saw_byte_level_ = false;
};

}  // namespace

BpeSpec spec_from_tokenizer_json(std::string_view json, const std::string& where) {
  return JsonReader(json, where).read();
}

}  // namespace tokenizer
