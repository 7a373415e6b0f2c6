// Muon: momentum made orthogonal, for matrices.
#pragma once

#include <vector>

#include "finetune/train/optimizer.h"

namespace finetune {

/// torch.optim.Muon (Jordan et al. 2024) for matrices, AdamW for everything else, all at one rate:
///   m += (g - m) (1 - momentum);  u = m, with nesterov g + (m - g) momentum
///   p *= 1 - rate * weight_decay;  p -= rate * scale * NewtonSchulz(u)
/// NewtonSchulz, five steps in bfloat16, brings the singular values of u near 1. scale is sqrt(max(1, rows / columns))
/// or, where it matches AdamW's, 0.2 sqrt(max(rows, columns)).
class Muon final : public Optimizer {
 public:
  Muon(std::vector<at::Tensor> parameters, OptimizerSettings settings);

 private:
  struct Part {
    std::int64_t first, size;
    bool is_matrix;
    at::Tensor first_moment, second_moment;  // second_moment is undefined of a matrix
  };
  void update(double rate) override;
  void update_matrix(const Part& part, std::size_t parameter, double rate) const;

  std::vector<Part> parts_;
};

}  // namespace finetune
