// A large matrix of floats that is multiplied with thin ones, in double: panels of a few of its rows or columns,
// widened once, with sums that stay in registers, for the widths of vectors that processors have. Tested by
// tests/lora/fuse/dense_matrix_test.cc.
#include "lora/fuse/dense_matrix.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "base/parallel.h"

namespace lora {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using RowMajorDoubles = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr Index kRows = DenseMatrix::kRows, kDepth = 2048;  // a panel of this depth stays in a core's second cache

// Columns [column, column + lanes * wide) of the sums.
template <int lanes, int wide>
inline __attribute__((always_inline)) void add_columns(const double* panel, Index depth, const double* x, Index width,
                                                       double* out, Index column) {
  typedef double Vector __attribute__((vector_size(lanes * 8)));
  Vector sums[kRows][wide], values[wide];  // loaded one by one, since copies of whole arrays would stay in memory
  for (int row = 0; row < kRows; ++row)
    for (int part = 0; part < wide; ++part)
      std::memcpy(&sums[row][part], out + row * width + column + part * lanes, sizeof(Vector));
  for (Index i = 0; i < depth; ++i) {
    for (int part = 0; part < wide; ++part)
      std::memcpy(&values[part], x + i * width + column + part * lanes, sizeof(Vector));
    for (int row = 0; row < kRows; ++row)
      for (int part = 0; part < wide; ++part) sums[row][part] += panel[i * kRows + row] * values[part];
  }
  for (int row = 0; row < kRows; ++row)
    for (int part = 0; part < wide; ++part)
      std::memcpy(out + row * width + column + part * lanes, &sums[row][part], sizeof(Vector));
}

void add_portable(const double* panel, Index depth, const double* x, Index width, double* out) {
  for (Index column = 0; column < width; column += 4) add_columns<2, 2>(panel, depth, x, width, out, column);
}
#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void add_avx2(const double* panel, Index depth, const double* x, Index width, double* out) {
  for (Index column = 0; column < width; column += 8) add_columns<4, 2>(panel, depth, x, width, out, column);
}
[[gnu::target("avx512f")]] void add_avx512(const double* panel, Index depth, const double* x, Index width,
                                           double* out) {
  Index column = 0;
  for (; column + 24 <= width; column += 24) add_columns<8, 3>(panel, depth, x, width, out, column);
  for (; column < width; column += 8) add_columns<8, 1>(panel, depth, x, width, out, column);
}
#endif

DenseMatrix::Kernel named(std::string_view name) {
  for (const DenseMatrix::NamedKernel& candidate : DenseMatrix::kernels())
    if (candidate.name == name) return candidate.kernel;
  throw std::out_of_range("no such kernel here");
}

// `count` rows (or columns, `turned`) of the matrix from `first` on, entries [begin, begin + depth) of each, beside
// each other in double; rows that are missing to kRows are 0.
void take_panel(const float* values, Index columns, bool turned, Index first, Index count, Index begin, Index depth,
                double* panel) {
  const float* corner = turned ? values + begin * columns + first : values + first * columns + begin;
  const Index to_entry{turned ? columns : 1}, to_row{turned ? 1 : columns};
  if (count == kRows) {  // a constant, for the compiler
    for (Index i = 0; i < depth; ++i)
      for (Index row = 0; row < kRows; ++row) panel[i * kRows + row] = corner[i * to_entry + row * to_row];
    return;
  }
  std::fill_n(panel, depth * kRows, 0.0);
  for (Index i = 0; i < depth; ++i)
    for (Index row = 0; row < count; ++row) panel[i * kRows + row] = corner[i * to_entry + row * to_row];
}

}  // namespace

std::span<const DenseMatrix::NamedKernel> DenseMatrix::kernels() {
  static const std::vector<NamedKernel> kernels = [] {
    std::vector<NamedKernel> usable = {{"portable", add_portable}};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) usable.push_back({"avx2", add_avx2});
    if (__builtin_cpu_supports("avx512f")) usable.push_back({"avx512", add_avx512});
#endif
    return usable;
  }();
  return kernels;
}

DenseMatrix::DenseMatrix(std::span<const float> values, std::int64_t rows, std::int64_t columns, int threads)
    : DenseMatrix(values, rows, columns, threads, kernels().back().name) {}

DenseMatrix::DenseMatrix(std::span<const float> values, std::int64_t rows, std::int64_t columns, int threads,
                         std::string_view kernel)
    : matrix_(values.data(), rows, columns), threads_(threads), kernel_(named(kernel)) {}

MatrixXd DenseMatrix::product(const MatrixXd& x, bool turned) const {
  const Index sides{turned ? columns() : rows()}, across{x.rows()};
  const Index width{(x.cols() + kLanes - 1) / kLanes * kLanes};
  RowMajorDoubles wide = RowMajorDoubles::Zero(across, width);
  wide.leftCols(x.cols()) = x;
  MatrixXd result(sides, x.cols());
  // Each panel is whole rows of the result, each a sum in one order.
  in_pieces(sides, across, [&](Index first, Index count) {
    std::vector<double> panel(static_cast<std::size_t>(kRows * std::min(kDepth, across)));
    RowMajorDoubles sums(kRows, width);
    for (const Index end{first + count}; first < end; first += kRows) {
      const Index taken{std::min(kRows, end - first)};
      sums.setZero();
      for (Index begin = 0; begin < across; begin += kDepth) {
        const Index depth{std::min(kDepth, across - begin)};
        take_panel(matrix_.data(), columns(), turned, first, taken, begin, depth, panel.data());
        kernel_(panel.data(), depth, wide.data() + begin * width, width, sums.data());
      }
      result.middleRows(first, taken) = sums.topLeftCorner(taken, x.cols());
    }
  });
  return result;
}

double DenseMatrix::squared_norm() const {
  Eigen::VectorXd sums(rows());
  in_pieces(rows(), columns(), [&](Index first, Index count) {
    for (Index row = first; row < first + count; ++row) sums[row] = matrix_.row(row).cast<double>().squaredNorm();
  });
  return sums.sum();
}

void DenseMatrix::in_pieces(Index sides, Index across, const std::function<void(Index, Index)>& f) const {
  constexpr Index kNumbers = Index{1} << 19;
  const Index piece{std::max<Index>(kRows, kNumbers / std::max<Index>(1, across) / kRows * kRows)};
  const auto pieces = static_cast<std::size_t>((sides + piece - 1) / piece);
  base::parallel_for(pieces, threads_, [&](std::size_t i, int) {
    const Index first{static_cast<Index>(i) * piece};
    f(first, std::min(piece, sides - first));
  });
}

}  // namespace lora
