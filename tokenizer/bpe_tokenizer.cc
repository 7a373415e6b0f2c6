#include "tokenizer/bpe_tokenizer.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "base/unicode.h"

namespace tokenizer {
namespace {

std::string normalized(const std::vector<NormalizerStep>& steps, std::string text) {
  for (const NormalizerStep& step : steps) {
    if (text.empty()) break;
    switch (step.kind) {
      case NormalizerStep::kNfc:
        // Text that is not UTF-8 has no normal form.
        if (base::find_invalid_utf8(text) == std::string_view::npos) text = base::to_nfc(text);
        break;
      case NormalizerStep::kPrepend:
        text.insert(0, step.text);
        break;
      case NormalizerStep::kReplace: {
        std::string replaced;
        replaced.reserve(text.size() + text.size() / 2);
        std::size_t done = 0;
        for (std::size_t at; (at = text.find(step.from, done)) != std::string::npos; done = at + step.from.size())
          replaced.append(text, done, at - done).append(step.text);
        text = replaced.append(text, done);
        break;
      }
    }
  }
  return text;
}

AddedTokenFinder finder(const BpeSpec& spec, bool of_normalized) {
  std::vector<AddedToken> tokens;
  std::vector<std::string> contents;
  for (const AddedToken& token : spec.added) {
    if (token.normalized != of_normalized) continue;
    tokens.push_back(token);
    contents.push_back(of_normalized ? normalized(spec.normalizer, token.content) : token.content);
  }
  return AddedTokenFinder(std::move(tokens), contents);
}

std::vector<SplitStep> splits_of(const BpeSpec& spec, const BpeModel& model) {
  std::vector<SplitStep> splits = spec.splits;
  // Cutting before "▁" changes no id when no merge crosses it, and lets the word cache work.
  if (!spec.byte_level && !model.merges_across_words() && !spec.ignore_merges &&
      (splits.empty() || splits.back() != SplitStep::kMetaspaceRuns))
    splits.push_back(SplitStep::kMetaspaceWords);
  return splits;
}

}  // namespace

// Takes an idle Scratch, or makes one when all are in use, and gives it back.
struct BpeTokenizer::Borrowed {
  explicit Borrowed(const BpeTokenizer& owner) : owner(owner) {
    {
      std::lock_guard lock(owner.mutex_);
      if (!owner.idle_.empty()) {
        scratch = std::move(owner.idle_.back());
        owner.idle_.pop_back();
      }
    }
    if (!scratch) scratch = std::make_unique<Scratch>();
  }
  ~Borrowed() {
    std::lock_guard lock(owner.mutex_);
    owner.idle_.push_back(std::move(scratch));
  }
  const BpeTokenizer& owner;
  std::unique_ptr<Scratch> scratch;
};

BpeTokenizer::BpeTokenizer(const BpeSpec& spec)
    : model_(spec),
      raw_added_(finder(spec, false)),
      normalized_added_(finder(spec, true)),
      normalizer_(spec.normalizer),
      splits_(splits_of(spec, model_)),
      tokens_(spec.tokens),
      texts_(spec.tokens.size()),
      special_(spec.tokens.size()),
      strip_leading_space_(spec.strip_leading_space) {
  const auto with_blanks = [](const std::string& token) {
    return normalized({{NormalizerStep::kReplace, std::string(kMetaspace), " "}}, token);
  };
  std::vector<const AddedToken*> added(tokens_.size());
  for (const AddedToken& token : spec.added) {
    added[token.id] = &token;
    special_[token.id] = token.special;
  }
  ids_.reserve(tokens_.size());
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& token = tokens_[i];
    if (!token.empty()) ids_.emplace(token, static_cast<std::int32_t>(i));
    if (spec.byte_level) {
      // An added token is its own text, unless it is the symbol of a byte as well.
      const bool is_bytes = bytes_of_token(token, texts_[i]);
      if (!is_bytes || (added[i] && texts_[i].size() != 1)) texts_[i] = token;
    } else if (added[i]) {
      texts_[i] = with_blanks(added[i]->normalized ? normalized(spec.normalizer, token) : token);
    } else if (unsigned byte = 0;
               spec.byte_fallback && token.size() == 6 && token.starts_with("<0x") &&
               std::from_chars(token.data() + 3, token.data() + 5, byte, 16).ptr == token.data() + 5) {
      texts_[i] = std::string(1, static_cast<char>(byte));
    } else {
      texts_[i] = with_blanks(token);
    }
  }
  bos = spec.roles.bos;
  eos = spec.roles.eos;
  pad = spec.roles.pad;
  unknown = spec.roles.unknown ? spec.roles.unknown : spec.unknown;
  add_bos = spec.roles.add_bos;
  add_eos = spec.roles.add_eos;
  chat_template = spec.roles.chat_template;
  kind = "bpe";
}

std::vector<std::int32_t> BpeTokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  Borrowed borrowed(*this);
  raw_added_.find(
      text, parse_special,
      [&](std::size_t begin, std::size_t end) {
        encode_section(text.substr(begin, end - begin), begin == 0, parse_special, *borrowed.scratch, ids);
      },
      [&](const AddedToken& token) { ids.push_back(token.id); });
  return ids;
}

void BpeTokenizer::encode_section(std::string_view text, bool first, bool parse_special, Scratch& scratch,
                                  std::vector<std::int32_t>& ids) const {
  std::string copy;
  if (!normalizer_.empty()) {
    copy = normalized(normalizer_, std::string(text));
    text = copy;
  }
  normalized_added_.find(
      text, parse_special,
      [&](std::size_t begin, std::size_t end) {
        encode_pieces(text.substr(begin, end - begin), first && begin == 0, scratch, ids);
      },
      [&](const AddedToken& token) { ids.push_back(token.id); });
}

void BpeTokenizer::encode_pieces(std::string_view text, bool first, Scratch& scratch,
                                 std::vector<std::int32_t>& ids) const {
  const auto sink = [&](std::string_view piece, const char* readable) {
    if (scratch.cache.find(piece, readable, ids)) return;
    const std::size_t before = ids.size();
    model_.encode(piece, scratch.workspace, ids);
    scratch.cache.insert(piece, readable, ids.data() + before, ids.size() - before);
  };
  pre_tokenize(splits_, 0, text, text.data() + text.size(), first, sink);
}

std::string BpeTokenizer::decode(const std::vector<std::int32_t>& ids, bool skip_special) const {
  std::string text;
  for (const std::int32_t id : ids) {
    check(id);
    if (!(skip_special && special_[id])) text += texts_[id];
  }
  if (strip_leading_space_ && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

std::optional<std::int32_t> BpeTokenizer::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::string BpeTokenizer::token(std::int32_t id) const {
  check(id);
  return tokens_[id];
}

bool BpeTokenizer::is_special(std::int32_t id) const {
  check(id);
  return special_[id];
}

void BpeTokenizer::check(std::int32_t id) const {
  if (id >= 0 && id < size()) return;
  throw base::Error({"token id out of range", "", std::to_string(id), fmt::format("0 to {}", size() - 1),
                     "use the tokenizer that made these ids"});
}

}  // namespace tokenizer
