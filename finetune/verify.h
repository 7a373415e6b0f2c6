// Does a merged model compute what its base with the adapter computes?
#pragma once

#include <string>
#include <vector>

#include "base/program.h"
#include "finetune/model/model.h"
#include "lora/model/model_files.h"

namespace finetune {

/// Of logits without their mean at each position: softmax does not see what is common to all of a position's logits,
/// and rounding moves that much more than the rest.
struct Comparison {
  double max_abs = 0;                                            ///< largest |a - b| of a logit
  double max_rel = 0;                                            ///< largest ||a - b|| / ||a|| of a position
  double bound = 0;                                              ///< for max_rel
  std::string bound_name;                                        ///< what it allows: "float16 rounding"
  std::int64_t tokens = 0;                                       ///< positions compared
  bool equal() const { return tokens > 0 && max_rel <= bound; }  ///< NaN is not equal
};

/// "1,024 tokens: the logits agree within float16 rounding (largest relative difference 1.79e-03, bound 0.005)"
std::string to_text(const Comparison& comparison);

struct Bound {
  double value = 0;
  std::string name;  ///< "float16 rounding"
};

/// The bound on max_rel when the merged weights of `files` were rounded once to their type: 2e-5 for F32 (only the
/// order of additions differs), 5e-3 for F16, 5e-2 for BF16, 1.5e-1 for Q8_0: about three times what SmolLM2-135M shows
/// (5.7e-6, 1.8e-3, 2.1e-2, 6.7e-2), where a forgotten adapter shows 0.4. Throws base::Error for other types.
Bound bound_of(const lora::ModelFiles& files);

/// Adds the positions of [T, vocab] float32 logits to `comparison`.
void compare(const at::Tensor& expected, const at::Tensor& actual, Comparison& comparison);

base::Command verify_command();

}  // namespace finetune
