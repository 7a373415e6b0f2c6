// The Unigram model: the cheapest way to write a piece of text in tokens that have a price each.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include "tokenizer/models/unigram_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "base/text.h"
#include "tokenizer/split/characters.h"

namespace tokenizer {
namespace {

constexpr double kUnknownPenalty = 10;  // below the worst token

// The tokens that a text can give, by id.
base::HugeVector<std::string_view> usable_tokens(const BpeSpec& spec) {
  std::unordered_set<std::string_view> special;
  for (const AddedToken& token : spec.added)
    if (token.special) special.insert(token.content);
  base::HugeVector<std::string_view> usable(spec.unigram.size());
  for (std::size_t i = 0; i < usable.size(); ++i)
    if (!special.contains(spec.tokens[i])) usable[i] = spec.tokens[i];
  return usable;
}

PrefixTree tree_of(const base::HugeVector<std::string_view>& tokens) {
  std::vector<std::pair<std::string_view, std::int32_t>> numbered;
  numbered.reserve(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (!tokens[i].empty()) numbered.emplace_back(tokens[i], static_cast<std::int32_t>(i));
  return PrefixTree(std::move(numbered));
}

}  // namespace

UnigramModel::UnigramModel(const BpeSpec& spec)
    : scores_(spec.unigram),
      unknown_(spec.unknown.value_or(-1)),
      unknown_score_(*std::ranges::min_element(spec.unigram) - kUnknownPenalty),
      byte_fallback_(spec.byte_fallback) {
  base::HugeVector<std::string_view> usable = usable_tokens(spec);
  tree_ = tree_of(usable);
  ids_ = TokenTable(std::move(usable), TokenTable::kLast);
  for (unsigned byte = 0; byte < 256; ++byte) byte_ids_[byte] = ids_.find(fmt::format("<0x{:02X}>", byte));
}

void UnigramModel::encode(std::string_view piece, Workspace& workspace, std::vector<std::int32_t>& ids,
                          std::vector<ByteRange>* extents) const {
  find_best(piece, workspace);
  collect_parts(piece.size(), workspace);
  const auto push = [&](std::int32_t id, std::size_t begin, std::size_t end) {
    ids.push_back(id);
    if (extents) extents->push_back({begin, end});
  };
  for (const ByteRange& part : workspace.parts) {
    const std::string_view text = piece.substr(part.begin, part.end - part.begin);
    const std::int32_t id = ids_.find(text);
    if (id == TokenTable::kNone && all_bytes_known(text)) {
      for (std::size_t i = part.begin; i < part.end; ++i)
        push(byte_ids_[static_cast<unsigned char>(piece[i])], i, i + 1);
    } else {
      push(id == TokenTable::kNone ? unknown_ : id, part.begin, part.end);
    }
  }
}

void UnigramModel::find_best(std::string_view piece, Workspace& workspace) const {
  auto& best = workspace.best;
  best.assign(piece.size() + 1, {0, kNowhere, 0});
  const auto offer = [&](std::size_t begin, std::size_t end, double score, std::int32_t id) {
    if (best[end].begin == kNowhere || score > best[end].score) best[end] = {score, begin, id};
  };
  for (std::size_t i = 0; i < piece.size();) {
    const double so_far = best[i].score;
    const std::size_t width = character_at(piece, i).size;
    bool is_token = false;
    tree_.each_prefix(piece, i, [&](std::size_t length, std::int32_t id) {
      offer(i, i + length, scores_[id] + so_far, id);
      is_token |= length == width;
    });
    if (!is_token) {
      if (unknown_ < 0)
        throw base::Error({"the text has a character that the vocabulary does not know", "",
                           base::shortened(piece.substr(i, width)), "characters of its tokens: it has no unknown token",
                           "give model.unk_id in tokenizer.json, or leave the text out"});
      offer(i, i + width, unknown_score_ + so_far, unknown_);
    }
    i += width;
  }
}

// The best way, back from its end; neighbouring unknown characters are one part.
void UnigramModel::collect_parts(std::size_t size, Workspace& workspace) const {
  auto& parts = workspace.parts;
  parts.clear();
  bool after_unknown = false;
  for (std::size_t end = size; end > 0;) {
    const Workspace::Best& last = workspace.best[end];
    const bool is_unknown = last.id == unknown_;
    if (is_unknown && after_unknown)
      parts.back().begin = last.begin;
    else
      parts.push_back({last.begin, end});
    after_unknown = is_unknown;
    end = last.begin;
  }
  std::ranges::reverse(parts);
}

bool UnigramModel::all_bytes_known(std::string_view text) const {
  return byte_fallback_ && std::ranges::all_of(text, [&](char byte) {
           return byte_ids_[static_cast<unsigned char>(byte)] != TokenTable::kNone;
         });
}

}  // namespace tokenizer
