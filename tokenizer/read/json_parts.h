// Looking into a tokenizer.json: members by their kinds, with errors that say what is wrong.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/spec/bpe_spec.h"

namespace tokenizer {

class JsonParts {
 public:
  using array = simdjson::dom::array;
  using element = simdjson::dom::element;
  using object = simdjson::dom::object;

  explicit JsonParts(std::string where) : where_(std::move(where)) {}

  [[noreturn]] void broken(const std::string& what, const std::string& expected) const;
  [[noreturn]] void unsupported(const std::string& what, const std::string& expected) const;

  /// Null where there is none.
  static element member(const object& parent, std::string_view key);
  std::string_view text(const element& e, const std::string& what) const;
  /// A text that is not empty.
  std::string_view some_text(const element& e, const std::string& what) const;
  /// A text of one character.
  std::string_view character(const element& e, const std::string& what) const;
  bool flag(const object& parent, std::string_view key, bool fallback) const;
  std::int64_t number(const object& parent, std::string_view key, std::int64_t fallback, std::int64_t least,
                      std::int64_t most) const;
  object as_object(const element& e, const std::string& what) const;
  /// Refuses a member that is not one of `known`, unless it is null or false: it would change the ids, and not be
  /// heard.
  void only(const object& o, const std::string& what, const std::vector<std::string_view>& known) const;
  std::string type_of(const object& o, const std::string& what) const;
  /// The parts of a Sequence (under `list`; Sequences in it laid out flat), or the thing itself; none for null.
  std::vector<object> parts(const element& e, std::string_view list, const std::string& what) const;
  /// The text of a pattern, {"String": ..} or {"Regex": ..}, and whether it is a plain one.
  struct PatternText {
    std::string_view text;
    bool is_plain;
  };
  PatternText pattern(const object& part, const std::string& what) const;

 private:
  void check_members(const object& part, const std::string& type, const std::string& what) const;
  void add_parts(const element& e, std::string_view list, const std::string& what, int depth,
                 std::vector<object>& all) const;
  std::string where_;
};

/// The scores of the Unigram vocabulary in a tokenizer.json, as the tokenizers package reads them: not always the
/// nearest double. For a file that has been read already.
std::vector<double> unigram_scores(std::string_view json);

/// The sections of a tokenizer.json, a file each.
void read_normalizer(const JsonParts& json, const JsonParts::element& section, BpeSpec& spec);
/// Also settles `byte_level`: the model of a ByteLevel that is the last thing to happen works on bytes.
void read_pre_tokenizer(const JsonParts& json, const JsonParts::element& section, BpeSpec& spec);
void read_decoder(const JsonParts& json, const JsonParts::element& section, BpeSpec& spec);
void read_post_processor(const JsonParts& json, const JsonParts::element& section, BpeSpec& spec);

}  // namespace tokenizer
