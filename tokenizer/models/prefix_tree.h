// Tokens by their beginnings: which of them a text begins with.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace tokenizer {

/// Immutable once made; any thread.
class PrefixTree {
 public:
  /// Texts with their numbers, which are not negative; of equal texts the last counts. Empty texts are left out.
  explicit PrefixTree(std::vector<std::pair<std::string_view, std::int32_t>> texts = {});

  /// Calls `found(length, number)` for each text that text[position..] begins with, shorter ones first.
  template <class Found>
  void each_prefix(std::string_view text, std::size_t position, Found found) const {
    std::uint32_t node = roots_[static_cast<unsigned char>(text[position])];
    for (std::size_t i = position + 1; node != kNone; ++i) {
      if (nodes_[node].number >= 0) found(i - position, nodes_[node].number);
      if (i == text.size()) return;
      node = child(nodes_[node], static_cast<unsigned char>(text[i]));
    }
  }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  struct Node {
    std::int32_t number = -1;
    std::uint32_t first_child = 0;  // children lie side by side, by byte
    std::uint16_t children = 0;
    unsigned char byte = 0;
  };
  std::uint32_t child(const Node& node, unsigned char byte) const {
    const auto begin = nodes_.begin() + node.first_child, end = begin + node.children;
    const auto at = node.children > 8
                        ? std::lower_bound(begin, end, byte, [](const Node& n, unsigned char b) { return n.byte < b; })
                        : std::find_if(begin, end, [&](const Node& n) { return n.byte >= byte; });
    return at != end && at->byte == byte ? static_cast<std::uint32_t>(at - nodes_.begin()) : kNone;
  }

  std::vector<Node> nodes_;
  std::array<std::uint32_t, 256> roots_;
};

}  // namespace tokenizer
