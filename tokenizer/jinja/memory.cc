// Memory of one rendering. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/memory.h"

#include <algorithm>

#include "base/error.h"

namespace tokenizer::jinja {

constexpr std::size_t kFirstChunk = std::size_t{64} << 10, kKept = std::size_t{1} << 20;

Arena::Arena() { grow(kFirstChunk); }

void Arena::refuse() {
  throw base::Error({"the chat template needs too much memory", "", "", "256 MB at most",
                     "take a template that does not build such long texts or lists"});
}

void Arena::grow(std::size_t size) {
  // Chunks double, so that many small needs cost few of them.
  const std::size_t wanted = std::max(size, chunks_.empty() ? kFirstChunk : std::min(total_, std::size_t{4} << 20));
  if (size > kLimit || total_ + size > kLimit) refuse();
  chunks_.push_back({std::make_unique_for_overwrite<std::byte[]>(wanted), wanted});
  next_ = chunks_.back().bytes.get();
  end_ = next_ + wanted;
  total_ += wanted;
}

void Arena::reset() {
  if (chunks_.size() > 1) {
    const std::size_t kept = std::min(total_, kKept);
    chunks_.clear();
    total_ = 0;
    return grow(kept);
  }
  next_ = chunks_[0].bytes.get();
  end_ = next_ + total_;
}

void Buffer::grow(Arena& arena, std::size_t more) {
  const std::size_t wanted = std::max<std::size_t>({64, std::size_t{capacity} * 2, size + more});
  char* place = arena.array<char>(wanted);
  if (size > 0) std::memcpy(place, data, size);
  data = place;
  capacity = static_cast<std::uint32_t>(wanted);
}

void Buffer::grow_runs(Arena& arena) {
  run_capacity = std::max<std::uint32_t>(4, run_capacity * 2);
  Run* place = arena.array<Run>(run_capacity);
  std::copy(runs, runs + count, place);
  runs = place;
}

}  // namespace tokenizer::jinja
