// Mistral's tekken.json -> BpeSpec: special tokens first, then the ranks of all others. Tested by
// tests/tokenizer/vocabularies_test.cc.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/text.h"
#include "tokenizer/read/ranks.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/read/tekken_vocab.h"
#include "tokenizer/spec/token_table.h"

namespace tokenizer {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

// What files up to version 7 leave to the reader (mistral-common).
constexpr const char* kOldSpecials[] = {"<unk>",
                                        "<s>",
                                        "</s>",
                                        "[INST]",
                                        "[/INST]",
                                        "[AVAILABLE_TOOLS]",
                                        "[/AVAILABLE_TOOLS]",
                                        "[TOOL_RESULTS]",
                                        "[/TOOL_RESULTS]",
                                        "[TOOL_CALLS]",
                                        "[IMG]",
                                        "<pad>",
                                        "[IMG_BREAK]",
                                        "[IMG_END]",
                                        "[PREFIX]",
                                        "[MIDDLE]",
                                        "[SUFFIX]",
                                        "[SYSTEM_PROMPT]",
                                        "[/SYSTEM_PROMPT]",
                                        "[TOOL_CONTENT]"};

class TekkenReader {
 public:
  TekkenReader(const element& root, const std::string& where) : where_(where) {
    if (root.get(root_)) broken("the file", "an object");
  }

  struct Size {
    std::size_t specials, all;
  };
  Size size() const {
    const object config = config_of();
    const std::int64_t specials = number(config, "default_num_special_tokens");
    const std::int64_t all = number(config, "default_vocab_size");
    if (specials > all) broken(fmt::format("{} special tokens of {}", specials, all), "fewer than all tokens");
    return {static_cast<std::size_t>(specials), static_cast<std::size_t>(all)};
  }

  BpeSpec read() const { return read(tokens()); }
  // Of a list of tokens that is known to be good.
  BpeSpec read(TekkenVocab vocab) const {
    const object config = config_of();
    const std::size_t specials = size().specials, count = size().all - specials;
    if (vocab.listed < count)
      broken(fmt::format("{} tokens in vocab", vocab.listed),
             fmt::format("at least {}: default_vocab_size without the special tokens", count));
    std::string_view pattern, version;
    if (config.at_key("pattern").get(pattern)) broken("config.pattern", "a regular expression");
    if (config.at_key("version").get(version)) broken("config.version", "a version such as v3");
    const std::vector<std::string> contents = special_tokens(specials, version);
    BpeSpec spec = spec_of_ranks(std::move(vocab.tokens));
    if (const auto& ids = spec.by_text->twice())
      broken(fmt::format("vocab[{}] is vocab[{}] again", static_cast<std::size_t>(ids->second) - specials,
                         static_cast<std::size_t>(ids->first) - specials),
             "each token once");
    for (std::size_t i = 0; i < contents.size(); ++i) add_special(spec, static_cast<std::int32_t>(i), contents[i]);
    spec.splits = {step_of_pattern(pattern, Dialect::kRust)};
    spec.roles.bos = special_id(spec, "<s>");
    spec.roles.eos = special_id(spec, "</s>");
    spec.roles.pad = special_id(spec, "<pad>");
    spec.roles.unknown = special_id(spec, "<unk>");
    spec.roles.add_bos = spec.roles.bos.has_value();
    spec.origin = fmt::format("tekken.json {}", version);
    return spec;
  }

 private:
  [[noreturn]] void broken(const std::string& what, const std::string& expected) const {
    throw base::Error({"tekken.json is broken", where_, what, expected, "get the file again from its source"});
  }
  object config_of() const {
    object config;
    if (root_.at_key("config").get(config)) broken("config", "an object");
    return config;
  }
  std::int64_t number(const object& parent, std::string_view key) const {
    constexpr std::int64_t kMost = 1 << 24;  // a far id would be memory for nothing
    std::int64_t value;
    if (parent.at_key(key).get(value) || value < 0 || value > kMost)
      broken(std::string(key), fmt::format("a number from 0 to {}", kMost));
    return value;
  }

  std::vector<std::string> special_tokens(std::size_t count, std::string_view version) const {
    std::vector<std::string> contents;
    element list;
    if (root_.at_key("special_tokens").get(list) || list.is_null()) {
      int digits = 0;
      if (!version.starts_with('v') ||
          std::from_chars(version.data() + 1, version.data() + version.size(), digits).ec != std::errc() || digits > 7)
        broken(fmt::format("no special_tokens, version {}", base::shortened(version, 20)),
               "a list special_tokens, or version v7 or older");
      contents.assign(std::begin(kOldSpecials), std::end(kOldSpecials));
    } else {
      array items;
      if (list.get(items)) broken("special_tokens", "a list");
      for (const element item : items) {
        object token;
        std::string_view content;
        std::uint64_t rank;
        if (item.get(token) || token.at_key("token_str").get(content) || token.at_key("rank").get(rank) ||
            rank != contents.size() || content.empty())
          broken(fmt::format("special_tokens[{}]", contents.size()), "a token_str and its place as rank");
        contents.emplace_back(content);
      }
    }
    if (contents.size() > count)
      broken(fmt::format("{} special tokens", contents.size()),
             fmt::format("at most default_num_special_tokens, {}", count));
    while (contents.size() < count) contents.push_back(fmt::format("<SPECIAL_{}>", contents.size()));
    return contents;
  }

  // Files hold more than the model has rows for.
  TekkenVocab tokens() const {
    const auto [specials, most] = size();
    array vocabulary;
    if (root_.at_key("vocab").get(vocabulary)) broken("vocab", "a list");
    TekkenVocab vocab;
    vocab.listed = vocabulary.size();
    base::Texts& all = vocab.tokens;
    const std::size_t expected = std::min(most - specials, vocab.listed);
    all.reserve(specials + expected, 8 * expected);
    all.resize(specials);
    std::string bytes;
    for (const element item : vocabulary) {
      if (all.size() == most) break;
      const std::size_t index = all.size() - specials;
      const auto place = [&] { return fmt::format("vocab[{}]", index); };
      object token;
      std::string_view text;
      std::uint64_t rank;
      if (item.get(token) || token.at_key("token_bytes").get(text) || token.at_key("rank").get(rank))
        broken(place(), "an object with rank and token_bytes");
      if (rank != index) broken(fmt::format("{}: rank {}", place(), rank), "its place in the list");
      bytes.clear();
      if (!append_base64(text, bytes) || bytes.empty()) broken(place(), "token_bytes in base 64");
      all.push_back(bytes);
    }
    return vocab;
  }

  const std::string& where_;
  object root_;
};

}  // namespace

bool is_tekken(const element& root) {
  element config;
  return root["config"].get(config) == simdjson::SUCCESS;  // a tokenizer.json has none
}

BpeSpec spec_from_tekken(const element& root, const std::string& where) { return TekkenReader(root, where).read(); }

std::optional<BpeSpec> spec_from_usual_tekken(std::string_view json, const std::string& where) {
  const auto begin = vocab_begin(json);
  if (!begin) return std::nullopt;
  simdjson::dom::parser parser;
  element root;
  const auto is_parsed = [&](const std::string& text) { return parser.parse(text).get(root) == simdjson::SUCCESS; };
  // What stands before the list says how many tokens count; all without the list is read as any JSON.
  std::string rest(json.substr(0, *begin));
  if (!is_parsed(rest + "]}") || !is_tekken(root)) return std::nullopt;
  const auto size = TekkenReader(root, where).size();
  auto vocab = scan_tekken_vocab(json, *begin, size.specials, size.all);
  if (!vocab) return std::nullopt;
  rest += json.substr(vocab->end);
  array list;
  if (!is_parsed(rest) || root["vocab"].get(list) || list.size() > 0) return std::nullopt;
  return TekkenReader(root, where).read(std::move(*vocab));
}

}  // namespace tokenizer
