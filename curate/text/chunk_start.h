// A first look at a piece of text between white space.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace curate {

/// What a glance at the start of a chunk tells.
struct ChunkStart {
  std::uint32_t plain = 0;               ///< so many ASCII letters and digits first
  std::uint32_t known = 0;               ///< so many bytes belong to the chunk
  bool whole = false;                    ///< white space follows them: that is the chunk
  bool letters = false, digits = false;  ///< among the first `plain`
};

namespace chunk {
inline bool is_letter(unsigned char c) { return static_cast<unsigned char>((c | 32) - 'a') < 26; }
inline bool is_digit(unsigned char c) { return static_cast<unsigned char>(c - '0') < 10; }

#if defined(__SSE2__)
/// 16 bytes at once, for any text but the last 16 bytes.
inline bool look_at_16(const char* text, ChunkStart& start) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text));
  auto within = [](__m128i values, int first, int count) {  // unsigned: values - first < count
    const __m128i shifted = _mm_add_epi8(values, _mm_set1_epi8(static_cast<char>(-128 - first)));
    return static_cast<std::uint32_t>(
        _mm_movemask_epi8(_mm_cmplt_epi8(shifted, _mm_set1_epi8(static_cast<char>(-128 + count)))));
  };
  const std::uint32_t letters = within(_mm_or_si128(bytes, _mm_set1_epi8(32)), 'a', 26),
                      digits = within(bytes, '0', 10);
  const std::uint32_t spaces = within(bytes, 9, 5) | within(bytes, 28, 5);
  const auto others = static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));  // not ASCII
  start.plain = static_cast<std::uint32_t>(std::countr_zero(~(letters | digits)));
  if (start.plain >= 16) return false;
  const std::uint32_t first = (std::uint32_t{1} << start.plain) - 1;
  start.letters = letters & first;
  start.digits = digits & first;
  start.known = static_cast<std::uint32_t>(std::countr_zero(spaces | others | 0x10000));
  start.whole = (spaces >> start.known) & 1;
  return true;
}
#endif

/// The same byte by byte; `known` is `plain`.
inline ChunkStart look_at_bytes(std::string_view text, std::size_t begin) {
  ChunkStart start;
  for (std::size_t i = begin; i < text.size(); ++i, ++start.plain) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (!is_letter(c) && !is_digit(c)) break;
    (is_digit(c) ? start.digits : start.letters) = true;
  }
  start.known = start.plain;
  return start;
}
}  // namespace chunk

/// Looks at what begins at `begin`, which is no white space.
inline ChunkStart look_at(std::string_view text, std::size_t begin) {
#if defined(__SSE2__)
  ChunkStart start;
  if (begin + 16 <= text.size() && chunk::look_at_16(text.data() + begin, start)) return start;
#endif
  return chunk::look_at_bytes(text, begin);
}

}  // namespace curate
