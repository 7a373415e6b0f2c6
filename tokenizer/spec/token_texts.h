// The texts of a vocabulary by id, in few pieces of memory: hundreds of thousands of strings would take longer to make
// than all else that a vocabulary needs.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <string_view>

#include "base/huge_pages.h"

namespace tokenizer {

/// Texts only come; what a view shows stays where it is as long as this object, what was moved from it or a copy lives.
class TokenTexts {
 public:
  TokenTexts() = default;
  template <class Texts>
  explicit TokenTexts(const Texts& texts) {
    for (const std::string_view text : texts) push_back(text);
  }

  std::size_t size() const { return texts_.size(); }
  bool empty() const { return texts_.empty(); }
  std::string_view operator[](std::size_t id) const { return texts_[id]; }
  std::string_view back() const { return texts_.back(); }
  auto begin() const { return texts_.begin(); }
  auto end() const { return texts_.end(); }
  const base::HugeVector<std::string_view>& all() const { return texts_; }

  /// For about so many texts of so many bytes together; before the first.
  void reserve(std::size_t texts, std::size_t bytes) {
    texts_.reserve(texts);
    if (texts_.empty()) memory_ = std::make_shared<Memory>(bytes + 1);
  }
  /// The id needs not be there yet: those between have "".
  void set(std::size_t id, std::string_view text) {
    if (id >= texts_.size()) texts_.resize(id + 1);
    texts_[id] = copy(text);
  }
  void push_back(std::string_view text) { texts_.push_back(copy(text)); }
  void resize(std::size_t size) { texts_.resize(size); }

 private:
  using Memory = std::pmr::monotonic_buffer_resource;
  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    auto* const to = static_cast<char*>(memory_->allocate(text.size(), 1));
    std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }

  base::HugeVector<std::string_view> texts_;
  std::shared_ptr<Memory> memory_ = std::make_shared<Memory>();  // copies add to the same, in one thread
};

}  // namespace tokenizer
