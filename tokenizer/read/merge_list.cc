// A list of merges written as texts -> ids. Tested by tests/tokenizer/hostile_test.cc and parity_test.cc.
#include "tokenizer/read/merge_list.h"

#include <string>

namespace tokenizer {

MergeList::MergeList(const TokenTable& ids, std::size_t expected, Unknown unknown, std::size_t first)
    : ids_(ids), unknown_(std::move(unknown)), first_(first) {
  merges_.reserve(expected);
}

std::vector<Merge> MergeList::finish() {
  resolve();
  return std::move(merges_);
}

void MergeList::resolve() {
  ids_.find_all(std::span(parts_).first(waiting_), std::span(found_).first(waiting_));
  for (std::size_t i = 0; i < waiting_; i += 2) {
    const std::string_view left = parts_[i], right = parts_[i + 1];
    const std::int32_t left_id = known(found_[i], left), right_id = known(found_[i + 1], right);
    // Most lists make one token after the other, by one merge or by several.
    if (!makes(last_, left, right) && !makes(++last_, left, right)) {
      const std::string result = std::string(left).append(right);
      last_ = known(ids_.find(result), result);
    }
    merges_.push_back({left_id, right_id, last_, static_cast<std::int32_t>(index())});
  }
  waiting_ = 0;
}

bool MergeList::makes(std::int32_t id, std::string_view left, std::string_view right) const {
  const std::string_view token = ids_.text(id);
  return token.size() == left.size() + right.size() && token.starts_with(left) && token.ends_with(right);
}

std::int32_t MergeList::known(std::int32_t id, std::string_view token) const {
  if (id == TokenTable::kNone) unknown_(index(), token);
  return id;
}

}  // namespace tokenizer
