// The decoders of tokenizer.json.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include "tokenizer/models/decoder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/text.h"
#include "tokenizer/split/characters.h"
#include "tokenizer/split/normalizer.h"

namespace tokenizer {
namespace {

using Texts = std::vector<std::string>;

void fuse(Texts& texts) { texts = {base::join(texts, "")}; }

void to_bytes(Texts& texts) {
  std::string all, bytes;
  for (const std::string& text : texts) all += bytes_of_token(text, bytes) ? bytes : text;
  texts = {std::move(all)};
}

std::optional<char> byte_of(const std::string& text) {
  unsigned byte = 0;
  const bool is_form = text.size() == 6 && text.starts_with("<0x") && text.ends_with('>');
  const char* end = text.data() + 5;
  if (!is_form || std::from_chars(text.data() + 3, end, byte, 16).ptr != end) return std::nullopt;
  return static_cast<char>(byte);
}

// The bytes of a run are one text.
void join_bytes(Texts& texts) {
  Texts joined;
  bool after_byte = false;
  for (std::string& text : texts) {
    const auto byte = byte_of(text);
    if (byte && after_byte)
      joined.back() += *byte;
    else
      joined.push_back(byte ? std::string(1, *byte) : std::move(text));
    after_byte = byte.has_value();
  }
  texts = std::move(joined);
}

std::string replaced(std::string_view text, std::string_view from, std::string_view with) {
  std::string result;
  for (std::size_t done = 0;;) {
    const std::size_t at = text.find(from, done);
    result += text.substr(done, at - done);
    if (at == std::string_view::npos) return result;
    result += with;
    done = at + from.size();
  }
}

void strip(const DecoderStep& step, std::string& text) {
  std::size_t begin = 0;
  for (std::uint32_t n = 0; n < step.start && text.compare(begin, step.from.size(), step.from) == 0; ++n)
    begin += step.from.size();
  std::string_view rest = std::string_view(text).substr(begin);
  for (std::uint32_t n = 0; n < step.stop && rest.ends_with(step.from); ++n) rest.remove_suffix(step.from.size());
  text = std::string(rest);
}

// What English tokenizers have put blanks before.
std::string tidied(std::string text) {
  constexpr std::array<std::pair<const char*, const char*>, 11> kChanges = {{{" .", "."},
                                                                             {" ?", "?"},
                                                                             {" !", "!"},
                                                                             {" ,", ","},
                                                                             {" ' ", "'"},
                                                                             {" n't", "n't"},
                                                                             {" 'm", "'m"},
                                                                             {" do not", " don't"},
                                                                             {" 's", "'s"},
                                                                             {" 've", "'ve"},
                                                                             {" 're", "'re"}}};
  for (const auto& [from, to] : kChanges) text = replaced(text, from, to);
  return text;
}

void join_word_pieces(const DecoderStep& step, Texts& texts) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) texts[i] = texts[i].starts_with(step.from) ? texts[i].substr(step.from.size()) : " " + texts[i];
    if (step.flag) texts[i] = tidied(std::move(texts[i]));
  }
}

void undouble(const DecoderStep& step, Texts& texts) {
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  for (std::string& text : texts) {
    text = replaced(text, step.from, "");
    if (step.flag) text = replaced(tidied(std::move(text)), step.text, " ");
  }
  std::erase(texts, "");
}

}  // namespace

Decoder::Decoder(std::vector<DecoderStep> steps) : steps_(std::move(steps)) {
  for (const DecoderStep& step : steps_)
    replacers_.push_back(step.kind == DecoderStep::kReplacePattern
                             ? std::make_unique<const Normalizer>(
                                   std::vector<NormalizerStep>{{NormalizerStep::kReplacePattern, step.from, step.text}})
                             : nullptr);
}

std::string Decoder::run(Texts texts) const {
  for (std::size_t i = 0; i < steps_.size(); ++i) run_step(i, texts);
  return base::join(texts, steps_.empty() ? " " : "");
}

// Joined texts, a run of bytes too, may not be changed any more: that would see more than one of the texts that came.
// Of all of them in one, the beginning may go.
bool Decoder::goes_forward() const {
  constexpr std::uint32_t kFew = 4;
  bool joined = false, one = false;
  for (const DecoderStep& step : steps_) {
    const bool cuts_beginning = step.kind == DecoderStep::kStrip && step.stop == 0 && step.start <= kFew;
    const bool changes = step.kind != DecoderStep::kFuse && !(one && cuts_beginning);
    if (step.kind == DecoderStep::kWordEnd || (joined && changes)) return false;
    one = one || step.kind == DecoderStep::kFuse || step.kind == DecoderStep::kByteLevel;
    joined = joined || one || step.kind == DecoderStep::kByteFallback;
  }
  return true;
}

void Decoder::run_step(std::size_t i, Texts& texts) const {
  const DecoderStep& step = steps_[i];
  switch (step.kind) {
    case DecoderStep::kByteLevel:
      return to_bytes(texts);
    case DecoderStep::kByteFallback:
      return join_bytes(texts);
    case DecoderStep::kReplace:
      for (std::string& text : texts) text = replaced(text, step.from, step.text);
      return;
    case DecoderStep::kReplacePattern:
      for (std::string& text : texts) text = replacers_[i]->run(std::move(text));
      return;
    case DecoderStep::kFuse:
      return fuse(texts);
    case DecoderStep::kStrip:
      for (std::string& text : texts) strip(step, text);
      return;
    case DecoderStep::kMetaspace:
    case DecoderStep::kWordEnd:
      for (std::string& text : texts) {
        const bool nothing =
            step.kind == DecoderStep::kMetaspace ? step.flag && &text == &texts.front() : &text == &texts.back();
        text = replaced(text, step.from, nothing ? "" : " ");
      }
      return;
    case DecoderStep::kWordPiece:
      return join_word_pieces(step, texts);
    case DecoderStep::kCtc:
      return undouble(step, texts);
  }
}

}  // namespace tokenizer
