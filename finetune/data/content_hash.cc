// A 128-bit hash of contents. Tested by tests/finetune/data_cache_test.cc and train_start_test.cc.
#include "finetune/data/content_hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "base/file.h"

namespace finetune {

struct ContentHash::State {
  State() : hash(XXH3_createState(), XXH3_freeState) { XXH3_128bits_reset(hash.get()); }
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> hash;
};

ContentHash::ContentHash() : state_(std::make_unique<State>()) {}
ContentHash::~ContentHash() = default;

void ContentHash::add(const void* data, std::size_t size) { XXH3_128bits_update(state_->hash.get(), data, size); }

void ContentHash::add(std::string_view text) {
  const std::uint64_t size = text.size();
  add(&size, sizeof size);
  add(text.data(), text.size());
}

std::string ContentHash::text() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->hash.get());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string hash_of(const std::filesystem::path& file) {
  const base::RandomAccessFile bytes(file);
  std::vector<std::byte> buffer(std::min<std::uint64_t>(bytes.size(), 4 << 20));
  ContentHash hash;
  for (std::uint64_t place = 0; place < bytes.size(); place += buffer.size()) {
    const std::size_t size = std::min<std::uint64_t>(buffer.size(), bytes.size() - place);
    bytes.read(place, buffer.data(), size);
    hash.add(buffer.data(), size);
  }
  return hash.text();
}

}  // namespace finetune
