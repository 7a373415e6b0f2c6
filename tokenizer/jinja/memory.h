// Memory of one rendering: everything lives in an arena until it ends, so values are plain data that is never freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace tokenizer::jinja {

/// Memory that is given back as a whole. As much as a usual rendering needs is kept for the next.
class Arena {
 public:
  static constexpr std::size_t kLimit = std::size_t{256} << 20;

  Arena();
  /// Throws base::Error when a rendering needs more than kLimit in all.
  void* allocate(std::size_t size) {
    size = (size + 7) & ~std::size_t{7};
    if (size > static_cast<std::size_t>(end_ - next_)) grow(size);
    std::byte* place = next_;
    next_ += size;
    return place;
  }
  template <class T>
  T* array(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    if (count > kLimit / sizeof(T)) refuse();
    return static_cast<T*>(allocate(count * sizeof(T)));
  }
  template <class T, class... Arguments>
  T* make(Arguments&&... arguments) {
    static_assert(std::is_trivially_destructible_v<T>);
    return new (allocate(sizeof(T))) T{std::forward<Arguments>(arguments)...};
  }
  /// Gives all back.
  void reset();

 private:
  [[noreturn]] static void refuse();
  void grow(std::size_t size);

  struct Chunk {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size;
  };
  std::vector<Chunk> chunks_;
  std::byte *next_ = nullptr, *end_ = nullptr;
  std::size_t total_ = 0;
};

/// Where text came from, as a number: 0 is the template. Bit 0: written within {% generation %}; the rest is 0 or the
/// number of an Origin.
using Tag = std::uint32_t;

/// Where data came from: message and member of it, or (message -1) a variable.
struct Origin {
  static constexpr std::int32_t kMostMessages = (1 << 23) - 2, kMostMembers = 254;
  std::int32_t message = -1, member = -1;
  Tag tag() const { return static_cast<Tag>(message + 1) << 9 | static_cast<Tag>(member + 1) << 1; }
  static Origin of(Tag tag) {
    return {static_cast<std::int32_t>(tag >> 9) - 1, static_cast<std::int32_t>(tag >> 1 & 0xFF) - 1};
  }
};

/// Characters of one tag, up to byte `end`, written in the turn of message `owner` (-1: none).
struct Run {
  std::uint32_t end;
  Tag tag;
  std::int32_t owner;
};

/// Where the characters of a string came from. Of one origin (no runs), it says so of any part, whatever its address.
/// Otherwise the runs belong to the bytes from `base` on, and a part of the string is found among them by its address:
/// cutting a string costs nothing. A string without a Source is the template's.
/// memcpy, quicker for the short texts that templates are made of.
inline void copy_text(char* to, std::string_view text) {
  const std::size_t size = text.size();
  const char* from = text.data();
  if (size > 16) {
    std::memcpy(to, from, size);
  } else if (size >= 8) {
    std::uint64_t first, last;
    std::memcpy(&first, from, 8), std::memcpy(&last, from + size - 8, 8);
    std::memcpy(to, &first, 8), std::memcpy(to + size - 8, &last, 8);
  } else if (size >= 4) {
    std::uint32_t first, last;
    std::memcpy(&first, from, 4), std::memcpy(&last, from + size - 4, 4);
    std::memcpy(to, &first, 4), std::memcpy(to + size - 4, &last, 4);
  } else {
    for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
  }
}

struct Buffer;
struct Source {
  Tag tag = 0;
  std::uint32_t count = 0;
  const char* base = nullptr;
  const Run* runs = nullptr;
  Buffer* buffer = nullptr;  // where the string can grow in place
};

/// Text that grows at its end, with its runs. A string that is a whole buffer, or the beginning of one that has grown
/// since, stays as it was.
struct Buffer {
  char* data = nullptr;
  std::uint32_t size = 0, capacity = 0;
  Run* runs = nullptr;
  std::uint32_t count = 0, run_capacity = 0;

  void append(Arena& arena, std::string_view text, Tag tag, std::int32_t owner) {
    if (text.size() > capacity - size) grow(arena, text.size());
    copy_text(data + size, text);
    size += static_cast<std::uint32_t>(text.size());
    if (count > 0 && runs[count - 1].tag == tag && runs[count - 1].owner == owner)
      runs[count - 1].end = size;
    else if (!text.empty())
      add_run(arena, tag, owner);
  }
  /// Room for `more` bytes, so that strings before stay where they are when it is there already.
  bool has_room(std::size_t more) const { return more <= capacity - size; }
  void grow(Arena& arena, std::size_t more);

 private:
  void add_run(Arena& arena, Tag tag, std::int32_t owner) {
    if (count == run_capacity) grow_runs(arena);
    Run& run = runs[count++];
    run.end = size;
    run.tag = tag;
    run.owner = owner;
  }
  void grow_runs(Arena& arena);
};

/// Does `text` lie within what the runs of `source` tell of?
inline bool covers(const Source& source, std::string_view text) {
  const auto begin = reinterpret_cast<std::uintptr_t>(text.data()),
             base = reinterpret_cast<std::uintptr_t>(source.base);
  return begin >= base && begin + text.size() <= base + source.runs[source.count - 1].end;
}
/// What text made of a string counts as, its quotes when it is quoted: data, where some of the string is.
inline Tag tag_of_all(const Source& source) {
  if (source.count == 0) return source.tag;
  for (const Run& run : std::span(source.runs, source.count))
    if (run.tag > 1) return run.tag;
  return source.runs[0].tag;
}

/// Calls f(text, tag, owner) for each run of `text`: a part of the string of `source`, or text made of it.
template <class F>
void for_each_run(std::string_view text, const Source* source, F f) {
  if (!source || source->count == 0) return f(text, source ? source->tag : 0, -1);
  if (!covers(*source, text)) return f(text, tag_of_all(*source), -1);
  const auto begin = static_cast<std::uint32_t>(text.data() - source->base);
  const auto end = static_cast<std::uint32_t>(begin + text.size());
  const std::span runs(source->runs, source->count);
  std::size_t low = 0, high = runs.size();
  while (low < high) {  // the first run that ends behind `begin`
    const std::size_t middle = (low + high) / 2;
    if (runs[middle].end > begin)
      high = middle;
    else
      low = middle + 1;
  }
  for (std::uint32_t at = begin; at < end && low < runs.size(); ++low) {
    const std::uint32_t stop = runs[low].end < end ? runs[low].end : end;
    f(std::string_view(source->base + at, stop - at), runs[low].tag, runs[low].owner);
    at = stop;
  }
}

}  // namespace tokenizer::jinja
