// Adding rows of a matrix, for the widths of vectors that processors have. Compiled as fasttext.cc is, and in the same
// order of additions, so that every kernel gives the same bits. Tested by tests/curate/scorer/fasttext_test.cc.
#include <cstring>

#include "curate/scorer/fasttext.h"

namespace curate {
namespace {

typedef float Floats __attribute__((vector_size(64)));  // 16 floats; the compiler cuts it to the machine's width

constexpr std::size_t kAhead = 20;  // rows fetched ahead of their addition

// Adds the rows' columns [begin, begin + 16 * N) while the sums stay in registers.
template <int N>
inline __attribute__((always_inline)) void add_block(const std::byte* matrix, std::size_t columns, std::size_t begin,
                                                     const std::int32_t* rows, std::size_t count, float* sum) {
  Floats sums[N];
  std::memcpy(sums, sum + begin, sizeof(sums));
  for (std::size_t i = 0; i < count; ++i) {
    if (i + kAhead < count)
      __builtin_prefetch(matrix + (static_cast<std::size_t>(rows[i + kAhead]) * columns + begin) * 4);
    const std::byte* row = matrix + (static_cast<std::size_t>(rows[i]) * columns + begin) * 4;
    for (int part = 0; part < N; ++part) {
      Floats values;
      std::memcpy(&values, row + part * 64, 64);
      sums[part] += values;
    }
  }
  std::memcpy(sum + begin, sums, sizeof(sums));
}

inline __attribute__((always_inline)) void add_all(const std::byte* matrix, std::size_t columns,
                                                   const std::int32_t* rows, std::size_t count, float* sum) {
  std::size_t begin = 0;
  for (; begin + 64 <= columns; begin += 64) add_block<4>(matrix, columns, begin, rows, count, sum);
  for (; begin + 32 <= columns; begin += 32) add_block<2>(matrix, columns, begin, rows, count, sum);
  for (; begin + 16 <= columns; begin += 16) add_block<1>(matrix, columns, begin, rows, count, sum);
  if (begin == columns) return;
  float rest[16] = {};
  const std::size_t width = columns - begin;
  std::memcpy(rest, sum + begin, width * 4);
  for (std::size_t i = 0; i < count; ++i) {
    float values[16];
    std::memcpy(values, matrix + (static_cast<std::size_t>(rows[i]) * columns + begin) * 4, width * 4);
    for (std::size_t j = 0; j < width; ++j) rest[j] += values[j];
  }
  std::memcpy(sum + begin, rest, width * 4);
}

void add_portable(const std::byte* m, std::size_t c, const std::int32_t* r, std::size_t n, float* s) {
  add_all(m, c, r, n, s);
}
#if defined(__x86_64__)
[[gnu::target("avx2")]] void add_avx2(const std::byte* m, std::size_t c, const std::int32_t* r, std::size_t n,
                                      float* s) {
  add_all(m, c, r, n, s);
}
[[gnu::target("avx512f")]] void add_avx512(const std::byte* m, std::size_t c, const std::int32_t* r, std::size_t n,
                                           float* s) {
  add_all(m, c, r, n, s);
}
#endif

}  // namespace

std::span<const FastText::Kernel> FastText::kernels() {
  static const std::vector<Kernel> kernels = [] {
    std::vector<Kernel> usable = {{"portable", add_portable}};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) usable.push_back({"avx2", add_avx2});
    if (__builtin_cpu_supports("avx512f")) usable.push_back({"avx512", add_avx512});
#endif
    return usable;
  }();
  return kernels;
}

}  // namespace curate
