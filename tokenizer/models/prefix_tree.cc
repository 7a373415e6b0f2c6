// Builds the tree level by level, so that the children of a node lie side by side.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include "tokenizer/models/prefix_tree.h"

namespace tokenizer {

PrefixTree::PrefixTree(std::vector<std::pair<std::string_view, std::int32_t>> texts) {
  roots_.fill(kNone);
  std::ranges::stable_sort(texts, {}, &std::pair<std::string_view, std::int32_t>::first);
  // texts[begin, end) share their first `depth` bytes, which lead to `node`.
  struct Range {
    std::uint32_t node;
    std::size_t begin, end, depth;
  };
  std::vector<Range> level{{kNone, 0, texts.size(), 0}}, next;
  const auto spread = [&](const Range& range) {
    std::size_t i = range.begin;
    for (; i < range.end && texts[i].first.size() == range.depth; ++i)
      if (range.node != kNone) nodes_[range.node].number = texts[i].second;
    if (range.node != kNone) nodes_[range.node].first_child = static_cast<std::uint32_t>(nodes_.size());
    while (i < range.end) {
      const char byte = texts[i].first[range.depth];
      std::size_t end = i + 1;
      while (end < range.end && texts[end].first[range.depth] == byte) ++end;
      const auto node = static_cast<std::uint32_t>(nodes_.size());
      nodes_.push_back({-1, 0, 0, static_cast<unsigned char>(byte)});
      range.node == kNone ? void(roots_[static_cast<unsigned char>(byte)] = node) : void(++nodes_[range.node].children);
      next.push_back({node, i, end, range.depth + 1});
      i = end;
    }
  };
  while (!level.empty()) {
    for (const Range& range : level) spread(range);
    level = std::move(next);
    next.clear();
  }
}

}  // namespace tokenizer
