// The pre_tokenizer of a tokenizer.json.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include <algorithm>
#include <map>

#include "tokenizer/read/json_parts.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace tokenizer {
namespace {

using object = JsonParts::object;

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

class Reader {
 public:
  Reader(const JsonParts& json, BpeSpec& spec) : json_(json), spec_(spec) {}

  void read(const object& part) {
    const std::string type = json_.type_of(part, "pre_tokenizer");
    if (type == "ByteLevel") {
      if (json_.flag(part, "add_prefix_space", true)) add(SplitStep::kPrefixSpace);
      if (json_.flag(part, "use_regex", true)) add(SplitStep::kGpt2);
      add(SplitStep::kByteAlphabet);
    } else if (type == "Digits") {
      add(json_.flag(part, "individual_digits", false) ? SplitStep::kDigits : SplitStep::kDigitRuns);
    } else if (type == "Split") {
      read_split(part);
    } else if (type == "Metaspace") {
      read_metaspace(part);
    } else if (type == "UnicodeScripts") {
      add(SplitStep::kUnicodeScripts);
    } else if (type == "FixedLength") {
      constexpr std::int64_t kUsual = 5, kMost = 1 << 30;
      add(SplitStep::fixed_length(static_cast<std::uint32_t>(json_.number(part, "length", kUsual, 1, kMost))));
    } else {
      read_word_splitter(part, type);
    }
  }

 private:
  void add(SplitStep step) { spec_.splits.push_back(std::move(step)); }
  void add(const char* pattern, SplitStep::Behavior how, bool invert = false) {
    spec_.splits.emplace_back(pattern, Dialect::kRust, how, invert);
  }

  // Those that the tokenizers package writes by hand, as the patterns that they are.
  void read_word_splitter(const object& part, const std::string& type) {
    if (type == "Whitespace") {
      add(R"(\w+|[^\w\s]+)", SplitStep::kRemoved, true);
    } else if (type == "WhitespaceSplit") {
      add(R"(\s)", SplitStep::kRemoved);
    } else if (type == "Punctuation") {
      add(kPunctuation, behavior(part, "Isolated"));
    } else if (type == "BertPreTokenizer") {
      add(R"(\s)", SplitStep::kRemoved);
      add(kPunctuation, SplitStep::kIsolated);
    } else if (type == "CharDelimiterSplit") {
      const auto delimiter = json_.character(JsonParts::member(part, "delimiter"), "pre_tokenizer.delimiter");
      add(escaped(delimiter).c_str(), SplitStep::kRemoved);
    } else {
      json_.unsupported("pre_tokenizer " + type,
                        "ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Punctuation, Metaspace, "
                        "BertPreTokenizer, CharDelimiterSplit, UnicodeScripts, FixedLength or a Sequence of them");
    }
  }

  void read_split(const object& part) {
    const auto [pattern, is_plain] = json_.pattern(part, "pre_tokenizer.pattern");
    const SplitStep::Behavior how = behavior(part, "");
    const bool invert = json_.flag(part, "invert", false);
    SplitStep step =
        is_plain ? SplitStep(escaped(pattern), Dialect::kOniguruma) : step_of_pattern(pattern, Dialect::kOniguruma);
    // Every character is part of some match of the patterns that have a kind of their own, so that "what matches,
    // alone" and "what is removed is what does not match" are the same, but for DeepSeek's.
    const bool isolates =
        how == SplitStep::kIsolated || (how == SplitStep::kRemoved && invert && step.kind != SplitStep::kDeepSeek3);
    if (!isolates || step.kind == SplitStep::kPattern)
      step = SplitStep(pattern_of_step(step), Dialect::kOniguruma, how, invert);
    add(std::move(step));
  }
  static std::string escaped(std::string_view text) {
    std::string pattern;
    for (const char c : text) {
      if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) pattern += '\\';
      pattern += c;
    }
    return pattern;
  }

  SplitStep::Behavior behavior(const object& part, std::string_view usual) const {
    static const std::map<std::string_view, SplitStep::Behavior> kNames = {
        {"Isolated", SplitStep::kIsolated},
        {"Removed", SplitStep::kRemoved},
        {"MergedWithPrevious", SplitStep::kMergedWithPrevious},
        {"MergedWithNext", SplitStep::kMergedWithNext},
        {"Contiguous", SplitStep::kContiguous}};
    const JsonParts::element named = JsonParts::member(part, "behavior");
    const std::string_view name =
        named.is_null() && !usual.empty() ? usual : json_.text(named, "pre_tokenizer.behavior");
    const auto found = kNames.find(name);
    if (found == kNames.end())
      json_.unsupported("pre_tokenizer with behavior " + std::string(name),
                        "Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous");
    return found->second;
  }

  void read_metaspace(const object& part) {
    std::string blank(json_.character(JsonParts::member(part, "replacement"), "pre_tokenizer.replacement"));
    if (blank == kMetaspace) blank.clear();
    const JsonParts::element scheme = JsonParts::member(part, "prepend_scheme");
    // Files before tokenizers 0.15 have the flag alone.
    std::string name = json_.flag(part, "add_prefix_space", true) ? "always" : "never";
    if (!scheme.is_null()) name = json_.text(scheme, "pre_tokenizer.prepend_scheme");
    static const std::map<std::string, SplitStep::Kind> kSchemes = {{"always", SplitStep::kMetaspaceAlways},
                                                                    {"first", SplitStep::kMetaspaceFirst},
                                                                    {"never", SplitStep::kMetaspaceNever}};
    const auto found = kSchemes.find(name);
    if (found == kSchemes.end())
      json_.unsupported("pre_tokenizer Metaspace with prepend_scheme " + name, "always, first or never");
    add(SplitStep::metaspace(found->second, blank));
    if (json_.flag(part, "split", true)) add(SplitStep::metaspace(SplitStep::kMetaspaceRuns, blank));
  }

  const JsonParts& json_;
  BpeSpec& spec_;
};

}  // namespace

void read_pre_tokenizer(const JsonParts& json, const JsonParts::element& section, BpeSpec& spec) {
  Reader reader(json, spec);
  for (const object& part : json.parts(section, "pretokenizers", "pre_tokenizer")) reader.read(part);
  // Bytes are written in the byte alphabet at the very end, as a rule: then the model takes them as they are. Else the
  // later steps see that alphabet, and the model's tokens are plain characters of it.
  const auto alphabets = std::ranges::count(spec.splits, SplitStep::kByteAlphabet, &SplitStep::kind) +
                         std::ranges::count(spec.normalizer, NormalizerStep::kByteAlphabet, &NormalizerStep::kind);
  spec.byte_level = alphabets == 1 && !spec.splits.empty() && spec.splits.back().kind == SplitStep::kByteAlphabet &&
                    !spec.byte_fallback && spec.unigram.empty();
  if (spec.byte_level) spec.splits.pop_back();
}

}  // namespace tokenizer
