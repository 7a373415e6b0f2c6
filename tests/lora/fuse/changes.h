// Modules with random numbers, and what they change as a whole matrix.
#pragma once

#include <Eigen/Core>
#include <string>

#include "base/random.h"
#include "lora/adapter/adapter.h"

namespace lora_tests {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

inline lora::AdapterModule random_module(const std::string& name, std::int64_t rank, std::int64_t in, std::int64_t out,
                                         std::uint64_t seed, double scale = 1.5) {
  lora::AdapterModule module;
  module.name = name, module.rank = rank, module.in = in, module.out = out, module.scale = scale;
  base::Random random(seed);
  for (std::int64_t i = 0; i < rank * in; ++i) module.a.push_back(static_cast<float>(random.uniform() - 0.5));
  for (std::int64_t i = 0; i < rank * out; ++i) module.b.push_back(static_cast<float>(random.uniform() - 0.5));
  return module;
}

/// scale * B A in double.
inline Eigen::MatrixXd change_of(const lora::AdapterModule& module) {
  const Eigen::Map<const RowMajor> a(module.a.data(), module.rank, module.in);
  const Eigen::Map<const RowMajor> b(module.b.data(), module.out, module.rank);
  return module.scale * (b.cast<double>() * a.cast<double>());
}

inline double relative(const Eigen::MatrixXd& got, const Eigen::MatrixXd& expected) {
  return (got - expected).norm() / expected.norm();
}

}  // namespace lora_tests
