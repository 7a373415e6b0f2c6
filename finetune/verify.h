// Does a merged model compute what its base with the adapter computes?
#pragma once

#include <string>
#include <vector>

#include "base/program.h"
#include "finetune/model.h"
#include "lora/model_files.h"

namespace finetune {

struct Comparison {
  double max_abs = 0;                                            ///< largest |a - b| of a logit
  double max_rel = 0;                                            ///< largest ||a - b|| / ||a|| of a position's logits
  double bound = 0;                                              ///< for max_rel
  std::int64_t tokens = 0;                                       ///< positions compared
  bool equal() const { return tokens > 0 && max_rel <= bound; }  ///< NaN is not equal
};

/// The bound on max_rel when the weights of `files` were rounded once to their type: 1e-5 for F32 (only the order of
/// additions differs), 5e-3 for F16, 3e-2 for BF16, 5e-2 for Q8_0. Throws base::Error for other types.
double bound_of(const lora::ModelFiles& files);

/// Logits of all positions of `documents`, compared position by position: [T, vocab] float32 each.
void compare(const at::Tensor& expected, const at::Tensor& actual, Comparison& comparison);

base::Command verify_command();

}  // namespace finetune
