// The change of a weight as thin matrices. Tested by tests/lora/fuse/factors_test.cc.
#include "lora/fuse/factors.h"

#include <Eigen/QR>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace lora {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Q [rows, k] and R [k, columns] of a matrix, k the lesser of its sides.
struct ThinQr {
  MatrixXd q, r;
};

ThinQr thin_qr(const MatrixXd& matrix) {
  const Index k{std::min(matrix.rows(), matrix.cols())};
  const Eigen::HouseholderQR<MatrixXd> qr(matrix);
  return {qr.householderQ() * MatrixXd::Identity(matrix.rows(), k),
          MatrixXd(qr.matrixQR().topRows(k).triangularView<Eigen::Upper>())};
}

}  // namespace

Factors factors_of(const AdapterModule& module, double weight) {
  const Eigen::Map<const RowMajor> a(module.a.data(), module.rank, module.in);
  const Eigen::Map<const RowMajor> b(module.b.data(), module.out, module.rank);
  Factors factors{module.name, b.cast<double>() * (weight * module.scale), a.cast<double>()};
  if (!factors.a.allFinite() || !factors.b.allFinite())
    throw base::Error({"the adapter's numbers are not finite", module.name, "", "",
                       "the adapter is damaged; did the training diverge?"});
  return factors;
}

Factors sum_of(std::span<const Factors> parts) {
  Index rank = 0;
  for (const Factors& part : parts) rank += part.a.rows();
  Factors sum{parts.front().name, MatrixXd(parts.front().b.rows(), rank), MatrixXd(rank, parts.front().a.cols())};
  Index at = 0;
  for (const Factors& part : parts) {
    sum.b.middleCols(at, part.b.cols()) = part.b;
    sum.a.middleRows(at, part.a.rows()) = part.a;
    at += part.a.rows();
  }
  return sum;
}

ThinSvd svd_of(const Factors& factors) {
  const ThinQr left = thin_qr(factors.b), right = thin_qr(factors.a.transpose());
  const MatrixXd core = left.r * right.r.transpose();
  const Eigen::BDCSVD<MatrixXd> svd(core, Eigen::ComputeThinU | Eigen::ComputeThinV);
  return {left.q * svd.matrixU(), right.q * svd.matrixV(), svd.singularValues(), svd.singularValues().squaredNorm()};
}

std::int64_t effective_rank(const ThinSvd& svd) {
  constexpr double kRounding = 0x1p-22;  // of a product of two matrices in float32, which inputs often are
  double beyond = 0;
  Index rank{svd.s.size()};
  for (; rank > 1; --rank) {
    beyond += svd.s[rank - 1] * svd.s[rank - 1];
    if (beyond > kRounding * kRounding * svd.squared_norm) break;
  }
  return rank;
}

std::int64_t rank_for_energy(const ThinSvd& svd, double share) {
  double kept = 0;
  for (Index rank = 0; rank < svd.s.size(); ++rank) {
    kept += svd.s[rank] * svd.s[rank];
    if (kept >= share * svd.squared_norm) return rank + 1;
  }
  return svd.s.size();
}

double squared_error(const ThinSvd& svd, std::int64_t rank) {
  const Index kept{std::min<Index>(rank, svd.s.size())}, rest{svd.s.size() - kept};
  // What lies beyond the values that are known, and those of them that are left out: each from a sum of its own, since
  // a difference of two nearly equal sums would hold only rounding.
  const double unknown{std::max(0.0, svd.squared_norm - svd.s.squaredNorm())};
  const bool is_rounding{unknown <= 1e-14 * svd.squared_norm};
  return svd.s.tail(rest).squaredNorm() + (is_rounding ? 0 : unknown);
}

AdapterModule module_of(const std::string& name, const ThinSvd& svd, std::int64_t rank) {
  const Index k{std::min<Index>(rank, svd.s.size())};
  AdapterModule module;
  module.name = name;
  module.rank = k, module.in = svd.v.rows(), module.out = svd.u.rows();
  module.a.resize(static_cast<std::size_t>(k * module.in));
  module.b.resize(static_cast<std::size_t>(k * module.out));
  const Eigen::VectorXd shares = svd.s.head(k).cwiseSqrt();
  Eigen::Map<RowMajor>(module.a.data(), k, module.in) =
      (shares.asDiagonal() * svd.v.leftCols(k).transpose()).cast<float>();
  Eigen::Map<RowMajor>(module.b.data(), module.out, k) = (svd.u.leftCols(k) * shares.asDiagonal()).cast<float>();
  return module;
}

double inner_product(const Factors& left, const Factors& right) {
  return (left.b.transpose() * right.b).cwiseProduct(left.a * right.a.transpose()).sum();
}

}  // namespace lora
