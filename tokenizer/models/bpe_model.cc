// The merge loop of byte pair encoding: one piece of text to ids. Tested by tests/tokenizer/bpe_test.cc.
#include "tokenizer/models/bpe_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <future>

#include "tokenizer/read/ranks.h"
#include "tokenizer/split/characters.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace tokenizer {
namespace {

// Up to this many symbols a scan of the whole piece for every merge is faster than a heap.
constexpr std::size_t kShort = 48;

std::size_t pair_of(std::string_view bytes) {
  return static_cast<std::size_t>(static_cast<unsigned char>(bytes[0])) << 8 | static_cast<unsigned char>(bytes[1]);
}

// A special token of the model itself merges, but a piece that is its text is not it: only a list of merges says so.
bool merges_by_id(const BpeSpec& spec) {
  return spec.merges_by_id &&
         std::ranges::none_of(spec.added, [](const AddedToken& token) { return token.special && token.in_model; });
}

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges) {
  const std::size_t size = std::bit_ceil(std::max<std::size_t>(16, merges.size() + merges.size() / 2));
  slots_.resize(size);
  mask_ = size - 1;
  shift_ = 64 - std::countr_zero(size);
  constexpr std::size_t kAhead = 16;  // places that memory is asked for before they are needed
  for (std::size_t m = 0; m < merges.size(); ++m) {
    const Merge& merge = merges[m];
    const Merge& later = merges[std::min(m + kAhead, merges.size() - 1)];
    __builtin_prefetch(&slots_[hash(key_of(later.left, later.right))], 1);
    const std::uint64_t key = key_of(merge.left, merge.right);
    std::size_t i = hash(key);
    while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & mask_;
    slots_[i] = {key, {static_cast<std::uint32_t>(merge.rank), merge.result}};
  }
}

BpeModel::BpeModel(const BpeSpec& spec)
    : by_id_(merges_by_id(spec)),
      pairs_(by_id_ ? 0x10000 : 0, TokenTable::kNone),
      unknown_(spec.unknown.value_or(-1)),
      byte_level_(spec.byte_level),
      fuse_unknown_(spec.fuse_unknown),
      byte_fallback_(spec.byte_fallback),
      ignore_merges_(spec.ignore_merges) {
  // The merges and the tokens are two large tables that know nothing of each other: made at once.
  std::future<MergeTable> merges;
  if (!by_id_)
    merges = std::async(std::launch::async,
                        [&] { return spec.merges_by_id ? MergeTable(merges_of(spec)) : MergeTable(spec.merges); });
  byte_ids_.fill(-1);
  ascii_ids_.fill(-1);
  // Tokens that only stand in the list of added ones are no part of the model; special ones never come out of text.
  std::vector<bool> absent(spec.tokens.size());
  for (const AddedToken& token : spec.added) absent[token.id] = token.special || !token.in_model;
  const bool wholes = by_id_ || ignore_merges_, are_there = by_id_ && spec.in_bytes;
  if (wholes && !are_there) {
    std::size_t total = 0;
    for (const std::string_view token : spec.tokens) total += token.size();
    whole_texts_.reserve(spec.tokens.size(), total);
  }
  std::string bytes;
  for (std::size_t i = 0; i < spec.tokens.size(); ++i) {
    std::string_view token = spec.tokens[i];
    if (token.empty() || absent[i]) continue;
    if (byte_level_ && !spec.in_bytes) {
      if (!(wholes || token.size() <= 2) || !bytes_of_token(token, bytes)) continue;
      token = bytes;
    }
    add_symbol(token, static_cast<std::int32_t>(i));
    if (!wholes) continue;
    longest_ = std::max(longest_, token.size());
    if (by_id_ && token.size() == 2) pairs_[pair_of(token)] = static_cast<std::int32_t>(i);
    if (!are_there) whole_texts_.set(i, token);
  }
  whole_ = are_there ? spec.by_text : std::make_shared<const TokenTable>(whole_texts_.all());
  if (!by_id_) merges_ = merges.get();
  if (byte_level_) return;
  if (byte_fallback_) {
    std::unordered_map<std::string_view, std::int32_t> ids;
    for (std::size_t i = 0; i < spec.tokens.size(); ++i) {
      const std::string_view token = spec.tokens[i];
      if (token.size() == 6 && token.starts_with("<0x")) ids.emplace(token, static_cast<std::int32_t>(i));
    }
    for (unsigned byte = 0; byte < 256; ++byte) {
      const auto found = ids.find(fmt::format("<0x{:02X}>", byte));
      if (found != ids.end()) byte_ids_[byte] = found->second;
    }
  }
  // Characters that vanish make neighbours of what stands around them; an unknown "▁" may also be one with others.
  const bool all_bytes = byte_fallback_ && std::ranges::all_of(byte_ids_, [](std::int32_t id) { return id >= 0; });
  const bool may_vanish = unknown_ < 0 && !all_bytes;
  merges_across_words_ = may_vanish || !character_.contains(std::string(kMetaspace));
  for (const Merge& merge : spec.merges) {
    std::string_view token = spec.tokens[merge.result];
    while (token.starts_with(kMetaspace)) token.remove_prefix(kMetaspace.size());
    if (token.find(kMetaspace) != std::string_view::npos) merges_across_words_ = true;
  }
}

// A token of one byte or character: what a piece consists of before it merges.
void BpeModel::add_symbol(std::string_view token, std::int32_t id) {
  if (byte_level_) {
    if (token.size() == 1) byte_ids_[static_cast<unsigned char>(token[0])] = id;
  } else if (token.size() == 1 && static_cast<unsigned char>(token[0]) < 0x80) {
    ascii_ids_[static_cast<unsigned char>(token[0])] = id;
  } else if (character_at(token, 0).size == token.size()) {
    character_.emplace(token, id);
  }
}

void BpeModel::encode(std::string_view piece, Workspace& workspace, std::vector<std::int32_t>& ids) const {
  encode_piece<false>(piece, workspace, ids);
}

void BpeModel::encode(std::string_view piece, Workspace& workspace, std::vector<std::int32_t>& ids,
                      std::vector<ByteRange>& extents) const {
  encode_piece<true>(piece, workspace, ids);
  extents.insert(extents.end(), workspace.extents.begin(), workspace.extents.end());
}

template <bool kExtents>
void BpeModel::encode_piece(std::string_view piece, Workspace& workspace, std::vector<std::int32_t>& ids) const {
  if (ignore_merges_) {
    if (const std::int32_t id = token_of(piece); id != TokenTable::kNone) {
      ids.push_back(id);
      if constexpr (kExtents) workspace.extents.assign(1, {0, piece.size()});
      return;
    }
  }
  workspace.ids.clear();
  if constexpr (kExtents) workspace.extents.clear();
  if (by_id_) {
    merge_by_id(piece, workspace);
    if constexpr (kExtents) extents_by_id(workspace);
  } else {
    first_symbols<kExtents>(piece, workspace);
    const auto& symbols = workspace.symbols;
    if (workspace.ids.size() > kShort)
      merge_long<kExtents>(workspace, [&](std::int32_t left, std::int32_t right) {
        return merges_.find(symbols[left].id, symbols[right].id);
      });
    else if (workspace.ids.size() > 1)
      merge_short<kExtents>(workspace);
  }
  ids.insert(ids.end(), workspace.ids.begin(), workspace.ids.end());
}

// One symbol a byte or character. Characters without a token become bytes, the unknown token or nothing, in the order
// of tokenizers: an unknown token waits until the next known character, so that a run can fuse.
template <bool kExtents>
void BpeModel::first_symbols(std::string_view piece, Workspace& workspace) const {
  bool waiting = false;
  ByteRange unknown_extent;
  const auto push = [&](std::int32_t id, std::size_t begin, std::size_t end) {
    workspace.ids.push_back(id);
    if constexpr (kExtents) workspace.extents.push_back({begin, end});
  };
  const auto push_unknown = [&] {
    if (waiting) push(unknown_, unknown_extent.begin, unknown_extent.end);
    waiting = false;
  };
  const auto known = [&](std::int32_t id, std::size_t begin, std::size_t end) {
    push_unknown();
    push(id, begin, end);
  };
  const auto unknown = [&](std::size_t begin, std::size_t end) {
    if (unknown_ < 0) return;
    if (!fuse_unknown_) push_unknown();
    unknown_extent = {waiting ? unknown_extent.begin : begin, end};
    waiting = true;
  };
  if (byte_level_) {
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const std::int32_t id = byte_ids_[static_cast<unsigned char>(piece[i])];
      id >= 0 ? known(id, i, i + 1) : unknown(i, i + 1);
    }
  } else {
    for (std::size_t i = 0; i < piece.size();) {
      const Character c = character_at(piece, i);
      const std::size_t begin = i;
      const std::string_view text = piece.substr(i, c.size);
      i += c.size;
      std::int32_t id = -1;
      if (c.code < 0x80) {
        id = ascii_ids_[c.code];
      } else if (const auto found = character_.find(std::string(text)); found != character_.end()) {
        id = found->second;
      }
      if (id >= 0) {
        known(id, begin, i);
      } else if (byte_fallback_ &&
                 std::ranges::all_of(text, [&](char b) { return byte_ids_[static_cast<unsigned char>(b)] >= 0; })) {
        for (std::size_t b = begin; b < i; ++b) push(byte_ids_[static_cast<unsigned char>(piece[b])], b, b + 1);
      } else {
        unknown(begin, i);
      }
    }
  }
  push_unknown();
}

template <bool kExtents>
void BpeModel::merge_short(Workspace& workspace) const {
  std::vector<std::int32_t>& ids = workspace.ids;
  std::size_t count = ids.size();
  // ranks[i], results[i]: of the pair (i, i + 1).
  auto& ranks = workspace.ranks;
  auto& results = workspace.results;
  ranks.resize(count);
  results.resize(count);
  const auto look_up = [&](std::size_t i) {
    const MergeTable::Found found = merges_.find(ids[i], ids[i + 1]);
    ranks[i] = found.rank;
    results[i] = found.result;
  };
  for (std::size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == MergeTable::kNone) break;
    ids[best] = results[best];
    if constexpr (kExtents) {
      workspace.extents[best].end = workspace.extents[best + 1].end;
      workspace.extents.erase(workspace.extents.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      ids[i] = ids[i + 1];
      ranks[i] = ranks[i + 1];
      results[i] = results[i + 1];
    }
    --count;
    if (best + 1 < count) look_up(best);
    if (best > 0) look_up(best - 1);
  }
  ids.resize(count);
}

// One symbol a byte, so that its place is where it begins.
void BpeModel::merge_by_id(std::string_view piece, Workspace& workspace) const {
  if (piece.size() <= kShort) return merge_short_by_id(piece, workspace);
  for (const char byte : piece) workspace.ids.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  const auto& symbols = workspace.symbols;
  merge_long<false>(workspace, [&](std::int32_t left, std::int32_t right) {
    const std::int32_t next = symbols[right].next;
    const std::size_t end = next < 0 ? piece.size() : static_cast<std::size_t>(next);
    const std::int32_t id = token_of(piece.substr(left, end - left));
    return MergeTable::Found{static_cast<std::uint32_t>(id), id};  // kNone is both tables' highest rank
  });
}

void BpeModel::merge_short_by_id(std::string_view piece, Workspace& workspace) const {
  // Of part i: where it begins, its id, and the token that it makes with part i + 1.
  std::array<std::uint8_t, kShort + 1> begins;
  std::array<std::int32_t, kShort> ids;
  std::array<std::uint32_t, kShort> merged;
  std::size_t count = piece.size();
  for (std::size_t i = 0; i < count; ++i) {
    begins[i] = static_cast<std::uint8_t>(i);
    ids[i] = byte_ids_[static_cast<unsigned char>(piece[i])];
    if (i + 1 < count) merged[i] = static_cast<std::uint32_t>(pairs_[pair_of(piece.substr(i))]);
  }
  begins[count] = static_cast<std::uint8_t>(count);
  const auto look_up = [&](std::size_t i) {
    merged[i] = static_cast<std::uint32_t>(token_of(piece.substr(begins[i], begins[i + 2] - begins[i])));
  };
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i)
      if (merged[i] < merged[best]) best = i;
    if (merged[best] == MergeTable::kNone) break;
    ids[best] = static_cast<std::int32_t>(merged[best]);
    --count;
    for (std::size_t i = best + 1; i < count; ++i) {
      begins[i] = begins[i + 1];
      ids[i] = ids[i + 1];
      merged[i] = merged[i + 1];
    }
    begins[count] = begins[count + 1];
    if (best + 1 < count) look_up(best);
    if (best > 0) look_up(best - 1);
  }
  workspace.ids.assign(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count));
}

void BpeModel::extents_by_id(Workspace& workspace) const {
  std::size_t begin = 0;
  for (const std::int32_t id : workspace.ids) {
    const std::size_t end = begin + whole_->text(id).size();
    workspace.extents.push_back({begin, end});
    begin = end;
  }
}

template <bool kExtents, class Find>
void BpeModel::merge_long(Workspace& workspace, Find find) const {
  using Candidate = Workspace::Candidate;
  auto& symbols = workspace.symbols;
  auto& heap = workspace.heap;
  const auto count = static_cast<std::int32_t>(workspace.ids.size());
  symbols.resize(count);
  for (std::int32_t i = 0; i < count; ++i) symbols[i] = {workspace.ids[i], i - 1, i + 1 < count ? i + 1 : -1};
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  heap.clear();
  const auto candidate_at = [&](std::int32_t i) -> std::optional<Candidate> {
    const MergeTable::Found found = find(i, symbols[i].next);
    if (found.rank == MergeTable::kNone) return std::nullopt;
    return Candidate{found.rank, static_cast<std::uint32_t>(i), found.result};
  };
  for (std::int32_t i = 0; i + 1 < count; ++i)
    if (const auto candidate = candidate_at(i)) heap.push_back(*candidate);
  std::make_heap(heap.begin(), heap.end(), later);
  const auto push = [&](std::int32_t i) {
    if (const auto candidate = candidate_at(i)) {
      heap.push_back(*candidate);
      std::push_heap(heap.begin(), heap.end(), later);
    }
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate top = heap.back();
    heap.pop_back();
    auto& left = symbols[top.position];
    if (left.id < 0 || left.next < 0) continue;
    // A candidate is stale when its pair has changed since: only what the pair merges into now counts.
    auto& right = symbols[left.next];
    const MergeTable::Found now = find(static_cast<std::int32_t>(top.position), left.next);
    if (now.rank != top.rank || now.result != top.result) continue;
    left.id = now.result;
    right.id = -1;
    if constexpr (kExtents) workspace.extents[top.position].end = workspace.extents[left.next].end;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = static_cast<std::int32_t>(top.position);
    if (left.next >= 0) push(static_cast<std::int32_t>(top.position));
    if (left.previous >= 0) push(left.previous);
  }
  workspace.ids.clear();
  std::size_t kept = 0;
  for (std::int32_t i = 0; i >= 0; i = symbols[i].next) {
    workspace.ids.push_back(symbols[i].id);
    if constexpr (kExtents) workspace.extents[kept++] = workspace.extents[i];
  }
  if constexpr (kExtents) workspace.extents.resize(kept);
}

}  // namespace tokenizer
