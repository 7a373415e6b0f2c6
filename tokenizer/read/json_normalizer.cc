// The normalizer of a tokenizer.json.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include <fmt/format.h>

#include <map>

#include "base/text.h"
#include "tokenizer/read/json_parts.h"
#include "tokenizer/read/ranks.h"

namespace tokenizer {
namespace {

using object = JsonParts::object;

// One after the other, as the peer does them. Accents go with the case, unless the file says otherwise.
void add_bert(const JsonParts& json, const object& part, BpeSpec& spec) {
  const bool lowercase = json.flag(part, "lowercase", true);
  const auto add = [&](bool wanted, NormalizerStep::Kind kind) {
    if (wanted) spec.normalizer.push_back({kind, "", ""});
  };
  add(json.flag(part, "clean_text", true), NormalizerStep::kCleanText);
  add(json.flag(part, "handle_chinese_chars", true), NormalizerStep::kIsolateIdeographs);
  const bool strip_accents = json.flag(part, "strip_accents", lowercase);
  add(strip_accents, NormalizerStep::kNfd);
  add(strip_accents, NormalizerStep::kStripNonSpacing);
  add(lowercase, NormalizerStep::kLowercase);
}

void add_replace(const JsonParts& json, const object& part, BpeSpec& spec) {
  const auto [from, is_plain] = json.pattern(part, "normalizer.pattern");
  if (from.empty()) json.broken("normalizer Replace of nothing", "a text to replace");
  spec.normalizer.push_back({is_plain ? NormalizerStep::kReplace : NormalizerStep::kReplacePattern, std::string(from),
                             std::string(json.text(JsonParts::member(part, "content"), "normalizer.content"))});
}

void add_map(const JsonParts& json, const object& part, BpeSpec& spec) {
  const std::string_view packed =
      json.text(JsonParts::member(part, "precompiled_charsmap"), "normalizer.precompiled_charsmap");
  std::string bytes;
  if (!append_base64(packed, bytes))
    json.broken(fmt::format("normalizer.precompiled_charsmap '{}'", base::shortened(packed, 40)), "base 64");
  spec.normalizer.push_back({NormalizerStep::kCharacterMap, std::move(bytes), ""});
}

}  // namespace

void read_normalizer(const JsonParts& json, const JsonParts::element& section, BpeSpec& spec) {
  static const std::map<std::string, NormalizerStep::Kind> kPlain = {{"NFC", NormalizerStep::kNfc},
                                                                     {"NFD", NormalizerStep::kNfd},
                                                                     {"NFKC", NormalizerStep::kNfkc},
                                                                     {"NFKD", NormalizerStep::kNfkd},
                                                                     {"Lowercase", NormalizerStep::kLowercase},
                                                                     {"Nmt", NormalizerStep::kNmt},
                                                                     {"StripAccents", NormalizerStep::kStripAccents},
                                                                     {"ByteLevel", NormalizerStep::kByteAlphabet}};
  for (const object& part : json.parts(section, "normalizers", "normalizer")) {
    const std::string type = json.type_of(part, "normalizer");
    const auto add = [&](NormalizerStep::Kind kind, std::string_view text = "") {
      spec.normalizer.push_back({kind, "", std::string(text)});
    };
    if (const auto plain = kPlain.find(type); plain != kPlain.end()) {
      add(plain->second);
    } else if (type == "Strip") {
      if (json.flag(part, "strip_left", true)) add(NormalizerStep::kStripLeft);
      if (json.flag(part, "strip_right", true)) add(NormalizerStep::kStripRight);
    } else if (type == "Prepend") {
      add(NormalizerStep::kPrepend, json.text(JsonParts::member(part, "prepend"), "normalizer.prepend"));
    } else if (type == "Replace") {
      add_replace(json, part, spec);
    } else if (type == "BertNormalizer") {
      add_bert(json, part, spec);
    } else if (type == "Precompiled") {
      add_map(json, part, spec);
    } else {
      json.unsupported("normalizer " + type,
                       "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace, Nmt, Precompiled, "
                       "ByteLevel, BertNormalizer, a Sequence of them or none");
    }
  }
}

}  // namespace tokenizer
