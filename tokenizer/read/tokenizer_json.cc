// tokenizer.json -> BpeSpec. Tested by tests/tokenizer/hostile_test.cc and parity_test.cc.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/json_fault.h"
#include "base/text.h"
#include "tokenizer/read/json_parts.h"
#include "tokenizer/read/merge_list.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/spec/token_table.h"

namespace tokenizer {
namespace {

class JsonReader : JsonParts {
 public:
  JsonReader(const element& root, std::string_view json, const std::string& where) : JsonParts(where), json_(json) {
    if (root.get(root_)) broken("the file", "an object");
  }

  BpeSpec read() {
    only(root_, "the file",
         {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
          "decoder", "model"});
    const element version = member(root_, "version");
    if (!version.is_null() && text(version, "version") != "1.0")
      unsupported("version " + base::shortened(text(version, "version"), 40), "1.0");
    read_model(member(root_, "model"));
    read_added();
    read_normalizer(*this, member(root_, "normalizer"), spec_);
    read_pre_tokenizer(*this, member(root_, "pre_tokenizer"), spec_);
    read_decoder(*this, member(root_, "decoder"), spec_);
    read_post_processor(*this, member(root_, "post_processor"), spec_);
    if (spec_.unigram.empty()) read_merges();
    spec_.origin = "tokenizer.json";
    return std::move(spec_);
  }

 private:
  std::int32_t id(const element& e, std::string_view of) const {
    std::int64_t value;
    if (e.get(value) || value < 0 || value >= most_ids_)
      broken(fmt::format("id of {}", base::shortened(of, 40)), fmt::format("a number from 0 to {}", most_ids_ - 1));
    return static_cast<std::int32_t>(value);
  }
  bool known(std::int32_t id) const {
    return static_cast<std::size_t>(id) < spec_.tokens.size() && !spec_.tokens[id].empty();
  }
  void put(std::int32_t id, std::string_view token) {
    const std::string_view there = known(id) ? spec_.tokens[id] : "";
    if (there == token) return;
    if (!there.empty())
      broken(fmt::format("id {} is '{}' and '{}'", id, base::shortened(there, 40), base::shortened(token, 40)),
             "one token for each id");
    spec_.tokens.set(id, token);
  }

  void read_model(const element& e) {
    model_ = as_object(e, "model");
    const element type = member(model_, "type");  // old files have none
    const bool is_list = member(model_, "vocab").is_array();
    const std::string_view name = type.is_null() ? (is_list ? "Unigram" : "BPE") : text(type, "model.type");
    if (name == "Unigram") {
      only(model_, "model Unigram", {"type", "unk_id", "vocab", "byte_fallback"});
      return read_unigram();
    }
    if (name != "BPE") unsupported("model.type " + std::string(name), "BPE or Unigram");
    only(model_, "model BPE",
         {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
          "byte_fallback", "ignore_merges", "vocab", "merges"});
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
    const auto twice = [&](std::string_view token) {
      broken(fmt::format("the token '{}' twice in model.vocab", base::shortened(token, 40)), "each token once");
    };
    most_ids_ = 2 * static_cast<std::int64_t>(vocabulary.size()) + 100000;
    spec_.tokens.reserve(vocabulary.size(), 8 * vocabulary.size());
    for (const auto& [token, value] : vocabulary) {
      if (token.empty()) broken("an empty token in model.vocab", "a text");
      const std::int32_t number = id(value, token);
      if (known(number) && spec_.tokens[number] == token) twice(token);
      put(number, token);
    }
    vocabulary_ = TokenTable(spec_.tokens.all());
    if (const auto& ids = vocabulary_.twice()) twice(vocabulary_.text(ids->first));
    const element unknown = member(model_, "unk_token");
    if (!unknown.is_null()) {
      const std::int32_t found = vocabulary_.find(text(unknown, "model.unk_token"));
      if (found == TokenTable::kNone) broken("model.unk_token is not in model.vocab", "one of the tokens");
      spec_.unknown = found;
    }
  }

  // ["text", score], in the order of their ids.
  void read_unigram() {
    spec_.byte_fallback = flag(model_, "byte_fallback", false);
    array list;
    if (member(model_, "vocab").get(list)) broken("model.vocab", "a list");
    if (list.size() == 0) broken("model.vocab is empty", "tokens");
    most_ids_ = 2 * static_cast<std::int64_t>(list.size()) + 100000;
    std::vector<std::string_view> tokens;  // that stay where they are
    for (const element entry : list) {
      const std::size_t number = tokens.size();
      array pair;
      std::string_view token;
      double score = 0;
      if (entry.get(pair) || pair.size() != 2 || pair.at(0).get(token) || pair.at(1).get(score))
        broken(fmt::format("model.vocab[{}] {}", number, base::shortened(simdjson::to_string(entry), 40)),
               "a token and its score");
      tokens.push_back(token);
    }
    spec_.unigram = unigram_scores(json_);
    if (spec_.unigram.size() != tokens.size()) broken("model.vocab stands there twice", "one list");
    spec_.tokens = base::Texts(tokens);
    vocabulary_ = TokenTable(spec_.tokens.all(), TokenTable::kLast);
    const std::int64_t unknown = JsonParts::number(model_, "unk_id", -1, 0, static_cast<std::int64_t>(list.size()) - 1);
    if (unknown >= 0) spec_.unknown = static_cast<std::int32_t>(unknown);
  }

  // The two tokens of a merge: an array, or a text with a blank between them.
  void read_merge(const element& merge, std::size_t index, std::string_view& left, std::string_view& right) const {
    std::string_view both;
    array pair;
    if (!merge.get(both)) {
      const std::size_t blank = both.find(' ');
      if (blank == std::string_view::npos || both.find(' ', blank + 1) != std::string_view::npos)
        broken(fmt::format("merge {} '{}'", index, base::shortened(both, 40)), "two tokens and a blank");
      left = both.substr(0, blank);
      right = both.substr(blank + 1);
    } else if (merge.get(pair) || pair.size() != 2 || pair.at(0).get(left) || pair.at(1).get(right)) {
      broken(fmt::format("merge {}", index), "two tokens");
    }
  }

  void read_merges() {
    array merges;
    if (member(model_, "merges").get(merges)) broken("model.merges", "a list");
    MergeList list(vocabulary_, merges.size(), [&](std::size_t index, std::string_view token) {
      broken(fmt::format("merge {}: '{}' is not in model.vocab", index, base::shortened(token, 40)),
             "tokens of the vocabulary");
    });
    std::size_t index = 0;
    for (const element merge : merges) {
      std::string_view left, right;
      read_merge(merge, index++, left, right);
      list.add(left, right);
    }
    spec_.merges = list.finish();
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
      only(o, fmt::format("added token '{}'", base::shortened(content, 40)),
           {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
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

  std::string_view json_;
  object root_, model_;
  BpeSpec spec_;
  TokenTable vocabulary_;
  std::int64_t most_ids_ = 0;  // a far id would be memory for nothing
};

}  // namespace

BpeSpec spec_from_tokenizer_json(std::string_view json, const std::string& where) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  const simdjson::padded_string padded(json);
  if (parser.parse(padded).get(root))
    throw base::Error({"tokenizer.json is not valid JSON", where, base::json_fault(json), "",
                       "the file is damaged or cut off: fetch it again"});
  return spec_from_tokenizer_json(root, json, where);
}

BpeSpec spec_from_tokenizer_json(const simdjson::dom::element& root, std::string_view json, const std::string& where) {
  return JsonReader(root, json, where).read();
}

}  // namespace tokenizer
