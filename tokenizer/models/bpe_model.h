// The merge loop of byte pair encoding: one piece of text to ids.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/huge_pages.h"
#include "tokenizer/spec/bpe_spec.h"
#include "tokenizer/spec/encoding.h"
#include "tokenizer/spec/token_table.h"

namespace tokenizer {

/// (left, right) -> (rank, result): open addressing, built once.
class MergeTable {
 public:
  struct Found {
    std::uint32_t rank;  ///< kNone when the pair does not merge
    std::int32_t result;
  };
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  explicit MergeTable(const std::vector<Merge>& merges = {});  ///< of two merges of one pair the later counts
  Found find(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = key_of(left, right);
    for (std::size_t i = hash(key);; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].found;
      if (slots_[i].key == kEmpty) return {kNone, 0};
    }
  }

 private:
  struct Slot {
    std::uint64_t key = kEmpty;
    Found found{kNone, 0};
  };
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // ids are not negative
  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t hash(std::uint64_t key) const { return (key * 0x9E3779B97F4A7C15ull) >> shift_; }

  base::HugeVector<Slot> slots_;
  std::size_t mask_ = 0;
  int shift_ = 0;
};

/// Immutable once made; any thread. Equal to tokenizers' BPE model without dropout: the lowest rank merges first, the
/// leftmost of equals, one at a time.
class BpeModel {
 public:
  /// Buffers of one thread.
  struct Workspace {
    struct Symbol {
      std::int32_t id, previous, next;  // id -1: merged away
    };
    struct Candidate {
      std::uint32_t rank, position;
      std::int32_t result;
    };
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> ranks;
    std::vector<std::int32_t> results;
    std::vector<Symbol> symbols;
    std::vector<ByteRange> extents;  // of `ids`, in the piece; only where they are asked for
    std::vector<Candidate> heap;
  };

  explicit BpeModel(const BpeSpec& spec);  ///< which must outlive it
  /// Appends the ids of `piece` (not empty). O(n log n) in its length.
  void encode(std::string_view piece, Workspace& workspace, std::vector<std::int32_t>& ids) const;
  /// The same, and the bytes of the piece that each id stands for, appended to `extents`.
  void encode(std::string_view piece, Workspace& workspace, std::vector<std::int32_t>& ids,
              std::vector<ByteRange>& extents) const;
  /// Whether a merge makes a token with "▁" inside, after another character. When none does, a text may be cut before
  /// every "▁" that follows another character without changing the ids.
  bool merges_across_words() const { return merges_across_words_; }

 private:
  void add_symbol(std::string_view token, std::int32_t id);
  template <bool kExtents>
  void encode_piece(std::string_view piece, Workspace& workspace, std::vector<std::int32_t>& ids) const;
  template <bool kExtents>
  void first_symbols(std::string_view piece, Workspace& workspace) const;
  template <bool kExtents>
  void merge_short(Workspace& workspace) const;
  // `find(left, right)`: what two neighbours, by their places in workspace.symbols, merge into.
  template <bool kExtents, class Find>
  void merge_long(Workspace& workspace, Find find) const;
  void merge_by_id(std::string_view piece, Workspace& workspace) const;
  void merge_short_by_id(std::string_view piece, Workspace& workspace) const;
  void extents_by_id(Workspace& workspace) const;
  std::int32_t token_of(std::string_view bytes) const {
    return bytes.size() <= longest_ ? whole_->find(bytes) : TokenTable::kNone;
  }

  bool by_id_;  // merges are what is in `whole_`
  MergeTable merges_;
  std::vector<std::int32_t> pairs_;          // by id: the token of each two bytes, or kNone
  std::array<std::int32_t, 256> byte_ids_;   // byte level: the id of each byte; else: of its "<0x..>" token; -1: none
  std::array<std::int32_t, 128> ascii_ids_;  // plain: one-character tokens, -1: none
  std::unordered_map<std::string, std::int32_t> character_;  // plain: the others
  base::Texts whole_texts_;                                  // ignore_merges, by id: the bytes of all tokens
  std::shared_ptr<const TokenTable> whole_;                  // views into them, or into the spec's own
  std::size_t longest_ = 0;                                  // of them
  std::int32_t unknown_ = -1;
  bool byte_level_, fuse_unknown_, byte_fallback_, ignore_merges_;
  bool merges_across_words_ = false;
};

}  // namespace tokenizer
