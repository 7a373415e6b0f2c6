// A list of merges written as texts -> ids.
#pragma once

#include <array>
#include <functional>
#include <string_view>
#include <vector>

#include "tokenizer/spec/bpe_spec.h"
#include "tokenizer/spec/token_table.h"

namespace tokenizer {

/// Tokens are looked up many at a time, and what a merge makes is mostly the token after the last one made. The texts
/// must live until `finish`.
class MergeList {
 public:
  /// Called for a token of merge `index` that the vocabulary lacks; throws.
  using Unknown = std::function<void(std::size_t index, std::string_view token)>;
  /// `first`: the index and rank of the first merge, where others read the ones before.
  MergeList(const TokenTable& ids, std::size_t expected, Unknown unknown, std::size_t first = 0);
  void add(std::string_view left, std::string_view right) {
    parts_[waiting_++] = left;
    parts_[waiting_++] = right;
    if (waiting_ == parts_.size()) resolve();
  }
  std::vector<Merge> finish();

 private:
  void resolve();
  bool makes(std::int32_t id, std::string_view left, std::string_view right) const;
  std::int32_t known(std::int32_t id, std::string_view token) const;
  std::size_t index() const { return first_ + merges_.size(); }

  const TokenTable& ids_;
  Unknown unknown_;
  std::size_t first_;
  std::array<std::string_view, 512> parts_;
  std::array<std::int32_t, 512> found_{};
  std::size_t waiting_ = 0;
  std::int32_t last_ = -1;
  std::vector<Merge> merges_;
};

}  // namespace tokenizer
