// Builds the tree level by level, so that the children of a node lie side by side.
// Tested by tests/tokenizer/random_tokenizers_test.cc.
#include "tokenizer/models/prefix_tree.h"

namespace tokenizer {
namespace {

using Numbered = std::pair<std::string_view, std::int32_t>;

// The first bytes as a number: most texts need no other comparison.
std::uint64_t beginning_of(std::string_view text) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < sizeof bytes; ++i)
    bytes = bytes << 8 | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0);
  return bytes;
}

// Of equal texts the order stays.
void sort_by_text(std::vector<Numbered>& texts) {
  struct Key {
    std::uint64_t beginning;
    std::uint32_t place;
  };
  std::vector<Key> keys;
  keys.reserve(texts.size());
  for (const Numbered& text : texts)
    keys.push_back({beginning_of(text.first), static_cast<std::uint32_t>(keys.size())});
  std::ranges::sort(keys, [&](const Key& a, const Key& b) {
    if (a.beginning != b.beginning) return a.beginning < b.beginning;
    const int order = texts[a.place].first.compare(texts[b.place].first);
    return order != 0 ? order < 0 : a.place < b.place;
  });
  std::vector<Numbered> sorted;
  sorted.reserve(texts.size());
  for (const Key& key : keys) sorted.push_back(texts[key.place]);
  texts = std::move(sorted);
}

}  // namespace

PrefixTree::PrefixTree(std::vector<std::pair<std::string_view, std::int32_t>> texts) {
  roots_.fill(kNone);
  sort_by_text(texts);
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
