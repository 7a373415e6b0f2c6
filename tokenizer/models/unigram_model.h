// The Unigram model: the cheapest way to write a piece of text in tokens that have a price each.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/models/prefix_tree.h"
#include "tokenizer/spec/bpe_spec.h"
#include "tokenizer/spec/encoding.h"
#include "tokenizer/spec/token_table.h"

namespace tokenizer {

/// Immutable once made; any thread. Equal to the Unigram model of the tokenizers package: scores are added up from the
/// left as doubles, of equal sums the one that was found first stays, and a run of unknown characters is looked up as
/// one text, then becomes bytes, then the unknown token. Special tokens never come out of a text.
class UnigramModel {
 public:
  /// Buffers of one thread.
  struct Workspace {
    struct Best {  // of all ways to write the text up to here
      double score;
      std::size_t begin;  // of the last token; kNowhere: there is no way
      std::int32_t id;
    };
    std::vector<Best> best;  // by end
    std::vector<ByteRange> parts;
  };

  explicit UnigramModel(const BpeSpec& spec);  ///< which must outlive it
  /// Appends the ids of `piece` (not empty) and, where wanted, the bytes of it that each stands for. Linear in its
  /// length. Throws Error for an unknown character where there is no unknown token, as the peer does.
  void encode(std::string_view piece, Workspace& workspace, std::vector<std::int32_t>& ids,
              std::vector<ByteRange>* extents = nullptr) const;

 private:
  static constexpr std::size_t kNowhere = ~std::size_t{0};
  void find_best(std::string_view piece, Workspace& workspace) const;
  void collect_parts(std::size_t size, Workspace& workspace) const;
  bool all_bytes_known(std::string_view text) const;

  std::vector<double> scores_;
  PrefixTree tree_;
  TokenTable ids_;                            // views into the spec
  std::array<std::int32_t, 256> byte_ids_{};  // of "<0x..>"; -1: none
  std::int32_t unknown_ = -1;
  double unknown_score_ = 0;
  bool byte_fallback_;
};

}  // namespace tokenizer
