// What a Transformer holds. Tested by tests/finetune/model_test.cc.
#pragma once

#include <memory>
#include <vector>

#include "finetune/model/block.h"
#include "finetune/model/loss.h"
#include "finetune/model/model.h"

namespace finetune {

/// One kind of rotation.
struct Rope {
  lora::AttentionSpec attention;
  at::Tensor frequencies;  ///< [rotary_dim / 2]; undefined where they depend on the length of the text
};

/// Of the tokens that are computed of a text: it ends at `last`.
struct Positions {
  std::int64_t first, last;
};

struct Transformer::State {
  lora::ModelSpec spec;
  at::ScalarType dtype;
  at::Device device;
  std::shared_ptr<const FrozenMatrix> embedding;  // [vocab, hidden]; the head's own when tied
  Norm norm;                                      // before the head
  Head head;
  std::vector<Block> blocks;
  std::vector<Rope> ropes;            // every kind of rotation in the model
  std::vector<std::size_t> rotation;  // of each block, its place in `ropes`
  lora::Adapter settings;             // everything of the adapter but its modules

  State(const lora::ModelFiles& files, at::ScalarType dtype, at::Device device, Quantization quantization);
  at::TensorOptions options() const { return at::TensorOptions(device).dtype(dtype); }
  void add_rotation(std::size_t block);
  at::Tensor embed(const at::Tensor& ids) const;  // [T] -> [T, hidden]
  // Transformer::hidden. What routers gave the experts is added to `shares`. Both may be null.
  at::Tensor hidden(const PackedRow& row, std::uint64_t dropout_seed, std::vector<at::Tensor>* states,
                    RouterShares* shares) const;
  // Of each of `ropes`, at the positions [first, last) of texts that lie end to end.
  std::vector<Rotation> rotations_at(const std::vector<Positions>& texts) const;
  // False where a text of another length turns otherwise.
  bool turns_alike(std::int64_t length, std::int64_t other) const;
  template <class F>
  void for_each_linear(F f) {
    for (Block& block : blocks) block.for_each_linear(f);
  }
};

}  // namespace finetune
