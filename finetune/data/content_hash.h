// A 128-bit hash of contents (XXH3), as text.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace finetune {

class ContentHash {
 public:
  ContentHash();
  ~ContentHash();
  void add(const void* data, std::size_t size);
  void add(std::string_view text);  ///< with its length: "ab", "c" is not "a", "bc"
  std::string text() const;         ///< 32 hexadecimal digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Of all bytes of a file, read piece by piece: mapped, a large one would count as memory. Throws base::Error.
std::string hash_of(const std::filesystem::path& file);

}  // namespace finetune
