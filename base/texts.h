// Many short texts by number, in few pieces of memory: a vocabulary's hundreds of thousands of strings would take
// longer to make than all else that is done with them.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <string_view>

#include "base/huge_pages.h"

namespace base {

/// Texts only come; what a view shows stays where it is as long as this object, what was moved from it or a copy lives.
class Texts {
 public:
  Texts() = default;
  template <class List>
  explicit Texts(const List& texts) {
    for (const std::string_view text : texts) push_back(text);
  }

  std::size_t size() const { return texts_.size(); }
  bool empty() const { return texts_.empty(); }
  std::string_view operator[](std::size_t i) const { return texts_[i]; }
  std::string_view back() const { return texts_.back(); }
  auto begin() const { return texts_.begin(); }
  auto end() const { return texts_.end(); }
  const HugeVector<std::string_view>& all() const { return texts_; }

  /// For about so many texts of so many bytes together; before the first.
  void reserve(std::size_t texts, std::size_t bytes) {
    texts_.reserve(texts);
    if (texts_.empty()) memory_ = std::make_shared<Memory>(bytes + 1);
  }
  /// The place needs not be there yet: those between have "".
  void set(std::size_t i, std::string_view text) {
    if (i >= texts_.size()) texts_.resize(i + 1);
    texts_[i] = copy(text);
  }
  void push_back(std::string_view text) { texts_.push_back(copy(text)); }
  void resize(std::size_t size) { texts_.resize(size); }
  friend bool operator==(const Texts& a, const Texts& b) { return a.texts_ == b.texts_; }

 private:
  using Memory = std::pmr::monotonic_buffer_resource;
  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    auto* const to = static_cast<char*>(memory_->allocate(text.size(), 1));
    std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }

  HugeVector<std::string_view> texts_;
  std::shared_ptr<Memory> memory_ = std::make_shared<Memory>();  // copies add to the same, in one thread
};

}  // namespace base
