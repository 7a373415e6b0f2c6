// One example of a training: its token ids, and which of them are trained.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace finetune {

inline constexpr std::uint8_t kUndesirable = 2, kCompared = 3;

/// One document, or a pair of them: a chosen and a rejected answer with their prompt. `trained[i]` is 1 when token i is
/// one that the model learns to write, kUndesirable when it learns not to, kCompared when its probability is asked for
/// and nothing is learned of it: an answer to another prompt, beside one with a verdict.
struct Example {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> trained;
  std::size_t second = 0;  ///< where the second document of a pair begins; 0: there is none
  /// Trained tokens that have a token before them: the ones that give a loss.
  std::int64_t targets() const;
};

/// Where an example came from.
struct Origin {
  std::uint32_t file = 0;    ///< of the files that were read
  std::uint64_t line = 0;    ///< from 1
  std::uint32_t piece = 0;   ///< of a record that was split: its examples from 0; else 0
  std::uint32_t record = 1;  ///< of those that begin in the line, from 1
};

/// An Example as it lies in memory that somebody else keeps.
struct ExampleView {
  std::span<const std::int32_t> ids;
  std::span<const std::uint8_t> trained;
  std::size_t second = 0;
  std::int64_t trained_tokens = 0;  ///< Example::targets
  Origin origin;
  std::array<double, 2> reference{0, 0};  ///< of a pair: log-probabilities of the answers before the training
  std::int64_t targets() const { return trained_tokens; }
};

}  // namespace finetune
