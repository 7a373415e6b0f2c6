// The change that an adapter makes to a weight, as thin matrices; all that is computed of it is computed of these.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <span>
#include <string>

#include "lora/adapter/adapter.h"

namespace lora {

/// A change B A of a weight [out, in], the adapter's scale in it, in double.
struct Factors {
  std::string name;      ///< of the module
  Eigen::MatrixXd b, a;  ///< [out, r], [r, in]
};
/// `weight` * scale * B A of a module. Throws base::Error where a number is not finite.
Factors factors_of(const AdapterModule& module, double weight = 1);
/// Their sum, at the sum of their ranks: B's side by side, A's one above the other. At least one; all of one shape.
Factors sum_of(std::span<const Factors> parts);

/// The part of a matrix [out, in] that its first singular values make: u diag(s) v', s falling.
struct ThinSvd {
  Eigen::MatrixXd u, v;     ///< [out, k], [in, k]
  Eigen::VectorXd s;        ///< [k]
  double squared_norm = 0;  ///< Frobenius, of the whole matrix
};
/// All of it, from QR decompositions of both factors and an SVD of the small core between: k is the least of out, in
/// and r, and nothing of the size [out, in] is ever made.
ThinSvd svd_of(const Factors& factors);

/// The singular values that are more than float32's rounding of the whole: those beyond have together at most 2^-22
/// of the norm. At least 1.
std::int64_t effective_rank(const ThinSvd& svd);
/// The least rank that keeps `share` of the squared norm. At least 1.
std::int64_t rank_for_energy(const ThinSvd& svd, double share);
/// The squared norm of what a cut to `rank` leaves out; of all cuts of this rank the least (Eckart and Young 1936).
double squared_error(const ThinSvd& svd, std::int64_t rank);
/// The first `rank` of it as a module of scale 1, the singular values shared between its B = U sqrt(s) and
/// A = sqrt(s) V'. Of fewer than `rank` values: these.
AdapterModule module_of(const std::string& name, const ThinSvd& svd, std::int64_t rank);

/// The sum of the products of the numbers of two changes of one weight.
double inner_product(const Factors& left, const Factors& right);

}  // namespace lora
