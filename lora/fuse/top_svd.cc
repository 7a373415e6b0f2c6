// Randomised SVD of a large matrix of floats. Tested by tests/lora/fuse/top_svd_test.cc.
#include "lora/fuse/top_svd.h"

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/random.h"
#include "lora/fuse/dense_matrix.h"

namespace lora {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;

// Numbers of N(0, 1), always the same.
MatrixXd random_start(Index rows, Index columns) {
  MatrixXd start(rows, columns);
  base::Random random(0x686F726E626F6F6B);
  for (double& value : start.reshaped()) {
    const double radius{std::sqrt(-2 * std::log(1 - random.uniform()))};
    value = radius * std::cos(2 * std::numbers::pi * random.uniform());
  }
  return start;
}

// Directions of `block` that `basis` does not have, orthonormal; none where only rounding is left of it.
MatrixXd new_directions(const MatrixXd& basis, MatrixXd block) {
  constexpr double kRounding = 1e-11;
  const double before{block.colwise().norm().maxCoeff()};
  for (int pass = 0; pass < 2; ++pass) block -= basis * (basis.transpose() * block).eval();
  const Eigen::ColPivHouseholderQR<MatrixXd> qr(block);
  const auto diagonal = qr.matrixQR().diagonal().cwiseAbs();
  const Index count{(diagonal.array() > kRounding * before).count()};
  MatrixXd found = qr.householderQ() * MatrixXd::Identity(block.rows(), count);
  found -= basis * (basis.transpose() * found).eval();
  return found;
}

void append(MatrixXd& matrix, const MatrixXd& columns) {
  const Index before{matrix.cols()};
  matrix.conservativeResize(columns.rows(), before + columns.cols());
  matrix.rightCols(columns.cols()) = columns;
}

// W' W of W = `before` and `added` beside it, whose own it knows.
MatrixXd grown_gram(const MatrixXd& gram, const MatrixXd& before, const MatrixXd& added) {
  const Index old{gram.rows()}, more{added.cols()};
  MatrixXd grown(old + more, old + more);
  grown.topLeftCorner(old, old) = gram;
  grown.topRightCorner(old, more).noalias() = before.transpose() * added;
  grown.bottomLeftCorner(more, old) = grown.topRightCorner(old, more).transpose();
  grown.bottomRightCorner(more, more).noalias() = added.transpose() * added;
  return grown;
}

// Of M = U diag(s) V' with the columns of `basis` spanning U, and W = M' basis: U = basis E and V diag(s) = W E, E
// being the eigenvectors of W' W. Their product is M projected on basis E, however well E was computed.
ThinSvd projected(const MatrixXd& basis, const MatrixXd& turned, const MatrixXd& vectors, double squared_norm) {
  ThinSvd svd{basis * vectors, turned * vectors, Eigen::VectorXd(vectors.cols()), squared_norm};
  for (Index i = 0; i < svd.s.size(); ++i) {
    svd.s[i] = svd.v.col(i).norm();
    if (svd.s[i] > 0) svd.v.col(i) /= svd.s[i];
  }
  return svd;
}

// The eigenvectors of the largest eigenvalues, largest first, and the sum of these.
MatrixXd top_vectors(const MatrixXd& gram, Index rank, double& sum) {
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(gram);
  const Index kept{std::min(rank, gram.rows())};
  sum = solver.eigenvalues().tail(kept).sum();
  return solver.eigenvectors().rightCols(kept).rowwise().reverse();
}

ThinSvd whole_svd(const DenseMatrix& matrix, Index rank, double squared_norm) {
  const MatrixXd all = matrix.whole();
  double sum = 0;
  if (all.rows() <= all.cols()) {
    const MatrixXd vectors = top_vectors(all * all.transpose(), rank, sum);
    return projected(MatrixXd::Identity(all.rows(), all.rows()), all.transpose(), vectors, squared_norm);
  }
  const MatrixXd vectors = top_vectors(all.transpose() * all, rank, sum);
  ThinSvd turned = projected(MatrixXd::Identity(all.cols(), all.cols()), all, vectors, squared_norm);
  std::swap(turned.u, turned.v);
  return turned;
}

}  // namespace

ThinSvd top_svd(std::span<const float> matrix, std::int64_t rows, std::int64_t columns, std::int64_t rank,
                int threads) {
  constexpr Index kMore = 8, kSmall = 96;
  constexpr double kEnough = 1e-6;
  const DenseMatrix dense(matrix, rows, columns, threads);
  const double squared_norm{dense.squared_norm()};
  const Index side{std::min<Index>(rows, columns)}, block{static_cast<Index>(rank) + kMore};
  if (side <= kSmall || 3 * block > side) return whole_svd(dense, rank, squared_norm);
  MatrixXd basis = new_directions(MatrixXd::Zero(rows, 0), dense.times(random_start(columns, block)));
  MatrixXd turned = dense.turned_times(basis), added = turned, vectors, gram = turned.transpose() * turned;
  double kept = 0;
  while (basis.cols() > 0) {
    const double before{kept};
    vectors = top_vectors(gram, rank, kept);
    const double left{std::max(squared_norm - kept, 1e-14 * squared_norm)};
    if (kept - before <= kEnough * left) break;
    const MatrixXd found = new_directions(basis, dense.times(added));
    if (found.cols() == 0) break;  // it holds all that the matrix has
    added = dense.turned_times(found);
    gram = grown_gram(gram, turned, added);
    append(basis, found);
    append(turned, added);
  }
  if (basis.cols() == 0) return {MatrixXd::Zero(rows, 1), MatrixXd::Zero(columns, 1), Eigen::VectorXd::Zero(1), 0};
  return projected(basis, turned, vectors, squared_norm);
}

}  // namespace lora
