// The post_processor of a tokenizer.json: which tokens stand before and behind a text.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include <fmt/format.h>

#include "base/text.h"
#include "tokenizer/read/json_parts.h"

namespace tokenizer {
namespace {

using object = JsonParts::object;
using element = JsonParts::element;
using array = JsonParts::array;
constexpr auto member = JsonParts::member;

class Reader {
 public:
  Reader(const JsonParts& json, BpeSpec& spec) : json_(json), spec_(spec) {}

  void read(const object& part) {
    const std::string type = json_.type_of(part, "post_processor");
    if (type == "ByteLevel") return;  // offsets only
    if (type == "BertProcessing" || type == "RobertaProcessing") {
      add(false, token(part, "cls"));
      add(true, token(part, "sep"));
    } else if (type == "TemplateProcessing") {
      read_template(part);
    } else {
      json_.unsupported("post_processor " + type,
                        "ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing, a Sequence of them or none");
    }
  }

 private:
  void read_template(const object& part) {
    array single;
    if (member(part, "single").get(single)) json_.broken("post_processor.single", "a list");
    bool behind = false;
    for (const element piece : single) {
      const object o = json_.as_object(piece, "post_processor.single");
      element one;
      if (o.at_key("Sequence").get(one) == simdjson::SUCCESS) {
        if (behind || json_.text(member(json_.as_object(one, "post_processor.single"), "id"), "Sequence.id") != "A")
          json_.unsupported("post_processor.single with more than one text", "the text A, once");
        behind = true;
      } else if (o.at_key("SpecialToken").get(one) == simdjson::SUCCESS) {
        const std::string_view name =
            json_.text(member(json_.as_object(one, "post_processor.single"), "id"), "post_processor token");
        add(behind, id_in_template(part, name));
      } else {
        json_.broken("post_processor.single", "SpecialToken and Sequence entries");
      }
    }
    if (!behind) json_.unsupported("post_processor.single without a text", "the text A, once");
  }

  // The template has its own list of what its tokens stand for.
  std::int32_t id_in_template(const object& part, std::string_view name) const {
    const std::string what = fmt::format("post_processor.special_tokens['{}']", base::shortened(name, 40));
    const object tokens = json_.as_object(member(part, "special_tokens"), "post_processor.special_tokens");
    array ids;
    if (member(json_.as_object(member(tokens, name), what), "ids").get(ids)) json_.broken(what, "a list of ids");
    if (ids.size() != 1) json_.unsupported(fmt::format("{} with {} ids", what, ids.size()), "one");
    return id(ids.at(0).value_unsafe(), what);
  }

  // ["</s>", 2]
  std::int32_t token(const object& part, const char* key) const {
    const std::string what = fmt::format("post_processor.{}", key);
    array pair;
    if (member(part, key).get(pair) || pair.size() != 2) json_.broken(what, "a token and its id");
    return id(pair.at(1).value_unsafe(), what);
  }

  std::int32_t id(const element& e, const std::string& what) const {
    std::int64_t value = -1;
    if (e.get(value) || value < 0 || value >= static_cast<std::int64_t>(spec_.tokens.size()) ||
        spec_.tokens[value].empty())
      json_.broken(fmt::format("{}: id {}", what, simdjson::to_string(e)), "the id of a token");
    return static_cast<std::int32_t>(value);
  }

  void add(bool behind, std::int32_t id) {
    auto& role = behind ? spec_.roles.eos : spec_.roles.bos;
    auto& adds = behind ? spec_.roles.add_eos : spec_.roles.add_bos;
    if (adds) json_.unsupported("post_processor with several tokens on one side", "at most one before and one behind");
    role = id;
    adds = true;
  }

  const JsonParts& json_;
  BpeSpec& spec_;
};

}  // namespace

void read_post_processor(const JsonParts& json, const JsonParts::element& section, BpeSpec& spec) {
  Reader reader(json, spec);
  for (const object& part : json.parts(section, "processors", "post_processor")) reader.read(part);
}

}  // namespace tokenizer
