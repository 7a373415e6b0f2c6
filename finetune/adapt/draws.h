// Random numbers of a training forward: a function of where a token stands in its step, not of what is computed with
// it. Tested by tests/finetune/draws_test.cc.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>

namespace finetune {

/// What picks the random numbers of some tokens. Those of a token are the same in whatever batch it is computed, so
/// that a step that is cut into other batches, or among other processes, has the same masks.
struct Draws {
  std::uint64_t seed = 0;  ///< of the step; 0: nothing is drawn
  at::Tensor places{};     ///< [T] int64 on the CPU, from 0: a number of each token that no other one of the step has

  bool is_on() const { return seed != 0; }
  /// Of some of the tokens: `rows` [n] int64, on any device.
  Draws of(const at::Tensor& rows) const;
};

/// Draws among what an AutogradContext keeps, and out of it.
c10::IValue kept_draws(const Draws& draws);
Draws draws_in(const c10::IValue& kept);

/// Keeps each element with probability 1 - p: [T, width] holding 0 or 1 / (1 - p). A function of seed, `index` (the
/// module's), place and column alone, so that a backward pass draws the same mask again instead of storing it; not of
/// the number of threads. On the CPU p is rounded to 1/65536.
at::Tensor dropout_mask(const Draws& draws, std::int64_t index, double p, std::int64_t width,
                        const at::TensorOptions& options);

/// x times that mask, a passing_tensor: x [T, width]. On the CPU in one pass, where bfloat16 is rounded once.
at::Tensor dropped(const Draws& draws, std::int64_t index, double p, const at::Tensor& x);
/// y += the same.
void add_dropped(at::Tensor& y, const Draws& draws, std::int64_t index, double p, const at::Tensor& x);

/// Float32 in [0, 1) [T, width], chosen in the same way; on the CPU 16 bits each.
at::Tensor uniform_numbers(const Draws& draws, std::int64_t index, std::int64_t width,
                           const at::TensorOptions& options);

/// The same by the device's own generator, as it is done where that is not the CPU: tiles of tokens are drawn whole.
at::Tensor tiled_uniform_numbers(const Draws& draws, std::int64_t index, std::int64_t width,
                                 const at::TensorOptions& options);

}  // namespace finetune
