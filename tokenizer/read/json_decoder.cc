// The decoder of a tokenizer.json.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include <fmt/format.h>

#include <limits>

#include "tokenizer/read/json_parts.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace tokenizer {
namespace {

using object = JsonParts::object;
constexpr auto member = JsonParts::member;

DecoderStep read_step(const JsonParts& json, const object& part) {
  const std::string type = json.type_of(part, "decoder");
  const auto some_text = [&](const char* key) {
    return std::string(json.some_text(member(part, key), fmt::format("decoder.{}", key)));
  };
  const auto character = [&](const char* key) {
    return std::string(json.character(member(part, key), fmt::format("decoder.{}", key)));
  };
  if (type == "ByteLevel") return {DecoderStep::kByteLevel};
  if (type == "ByteFallback") return {DecoderStep::kByteFallback};
  if (type == "Fuse") return {DecoderStep::kFuse};
  if (type == "BPEDecoder") return {DecoderStep::kWordEnd, some_text("suffix")};
  if (type == "WordPiece")
    return {DecoderStep::kWordPiece, some_text("prefix"), "", 0, 0, json.flag(part, "cleanup", true)};
  if (type == "CTC")
    return {DecoderStep::kCtc,
            some_text("pad_token"),
            some_text("word_delimiter_token"),
            0,
            0,
            json.flag(part, "cleanup", true)};
  if (type == "Metaspace") {
    const JsonParts::element scheme = member(part, "prepend_scheme");
    const bool first = scheme.is_null() ? json.flag(part, "add_prefix_space", true)
                                        : json.text(scheme, "decoder.prepend_scheme") != "never";
    return {DecoderStep::kMetaspace, character("replacement"), "", 0, 0, first};
  }
  if (type == "Strip") {
    const auto count = [&](const char* key) {
      return static_cast<std::uint32_t>(json.number(part, key, 0, 0, std::numeric_limits<std::uint32_t>::max()));
    };
    return {DecoderStep::kStrip, character("content"), "", count("start"), count("stop")};
  }
  if (type == "Replace") {
    const auto [from, is_plain] = json.pattern(part, "decoder.pattern");
    if (from.empty()) json.broken("decoder Replace of nothing", "a text to replace");
    return {is_plain ? DecoderStep::kReplace : DecoderStep::kReplacePattern, std::string(from),
            std::string(json.text(member(part, "content"), "decoder.content"))};
  }
  json.unsupported("decoder " + type,
                   "ByteLevel, ByteFallback, Metaspace, Replace, Fuse, Strip, BPEDecoder, WordPiece, CTC, a Sequence "
                   "of them or none");
}

// LLaMA's: "▁" becomes a blank, "<0x..>" bytes, all of it one text, of which a blank at the start goes.
bool is_usual(const std::vector<DecoderStep>& steps, const BpeSpec& spec) {
  const auto is_at = [&](std::size_t i, DecoderStep::Kind kind) { return i < steps.size() && steps[i].kind == kind; };
  if (spec.byte_level) return steps.size() == 1 && is_at(0, DecoderStep::kByteLevel);
  if (!spec.byte_fallback || !is_at(0, DecoderStep::kReplace) || steps[0].from != kMetaspace || steps[0].text != " " ||
      !is_at(1, DecoderStep::kByteFallback) || !is_at(2, DecoderStep::kFuse))
    return false;
  return steps.size() == 3 || (steps.size() == 4 && is_at(3, DecoderStep::kStrip) && steps[3].from == " " &&
                               steps[3].start <= 1 && steps[3].stop == 0);
}

}  // namespace

void read_decoder(const JsonParts& json, const JsonParts::element& section, BpeSpec& spec) {
  std::vector<DecoderStep> steps;
  for (const object& part : json.parts(section, "decoders", "decoder")) steps.push_back(read_step(json, part));
  if (is_usual(steps, spec))
    spec.strip_leading_space = steps.size() == 4 && steps[3].start == 1;
  else
    spec.decoder = std::move(steps);
}

}  // namespace tokenizer
