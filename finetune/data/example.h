// One example of a training: its token ids, and which of them are trained.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace finetune {

/// One document, or a pair of them: a chosen and a rejected answer with their prompt. `trained[i]` is 1 when token i is
/// one that the model learns to write.
struct Example {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> trained;
  std::size_t second = 0;                 ///< where the second document of a pair begins; 0: there is none
  std::array<double, 2> reference{0, 0};  ///< of a pair: log-probabilities of the answers before the training
  /// Trained tokens that have a token before them: the ones that give a loss.
  std::int64_t targets() const;
};

/// Moves `share` (0..1) of the examples, at least one, chosen by `seed`, out of `examples`: the validation data.
/// Throws base::UsageError when nothing would be left on either side.
std::vector<Example> take_validation(std::vector<Example>& examples, double share, std::uint64_t seed);

/// A number that changes when any id, mask or order changes: a resumed run must see the same data.
std::uint64_t fingerprint(const std::vector<Example>& examples);

}  // namespace finetune
