// A large matrix of floats that is multiplied with thin ones, in double.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace lora {

/// The caller's floats [rows, columns], row-major, which must outlive it. No result depends on the number of threads.
class DenseMatrix {
 public:
  /// Adds to out [kRows, width] the product of a panel [depth, kRows], columns of which are rows of this matrix, and
  /// x [depth, width]; all row-major, `width` a multiple of kLanes.
  using Kernel = void (*)(const double* panel, Eigen::Index depth, const double* x, Eigen::Index width, double* out);
  struct NamedKernel {
    std::string_view name;
    Kernel kernel;
  };
  static constexpr Eigen::Index kRows = 6, kLanes = 8;
  /// Those that this processor can run ("portable", "avx2", "avx512"); the last one is taken.
  static std::span<const NamedKernel> kernels();

  DenseMatrix(std::span<const float> values, std::int64_t rows, std::int64_t columns, int threads);
  /// The same with a named kernel; throws std::out_of_range for one that cannot be run. For tests.
  DenseMatrix(std::span<const float> values, std::int64_t rows, std::int64_t columns, int threads,
              std::string_view kernel);

  Eigen::Index rows() const { return matrix_.rows(); }
  Eigen::Index columns() const { return matrix_.cols(); }
  /// M X of x [columns, k], and M' X of x [rows, k].
  Eigen::MatrixXd times(const Eigen::MatrixXd& x) const { return product(x, false); }
  Eigen::MatrixXd turned_times(const Eigen::MatrixXd& x) const { return product(x, true); }
  double squared_norm() const;
  /// All of it in double.
  Eigen::MatrixXd whole() const { return matrix_.cast<double>(); }

 private:
  using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::MatrixXd product(const Eigen::MatrixXd& x, bool turned) const;
  // Calls f(first, count) for runs of the numbers below `sides`, each of about as many numbers of the matrix.
  void in_pieces(Eigen::Index sides, Eigen::Index across,
                 const std::function<void(Eigen::Index, Eigen::Index)>& f) const;
  Eigen::Map<const RowMajor> matrix_;
  int threads_;
  Kernel kernel_;
};

}  // namespace lora
