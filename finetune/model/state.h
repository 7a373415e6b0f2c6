// What a Transformer holds. Tested by tests/finetune/model_test.cc.
#pragma once

#include <memory>
#include <vector>

#include "finetune/model/block.h"
#include "finetune/model/loss.h"
#include "finetune/model/model.h"

namespace finetune {

struct Transformer::State {
  lora::ModelSpec spec;
  at::ScalarType dtype;
  at::Device device;
  std::shared_ptr<const FrozenMatrix> embedding;  // [vocab, hidden]; the head's own when tied
  Norm norm;                                      // before the head
  Head head;
  std::vector<Block> blocks;
  std::vector<at::Tensor> frequencies;  // [rotary_dim / 2] of every kind of rotation in the model
  std::vector<std::size_t> rotation;    // of each block, its place in `frequencies`
  lora::Adapter settings;               // everything of the adapter but its modules

  State(const lora::ModelFiles& files, at::ScalarType dtype, at::Device device);
  at::TensorOptions options() const { return at::TensorOptions(device).dtype(dtype); }
  void add_rotation(std::size_t block);
  at::Tensor embed(const at::Tensor& ids) const;                          // [T] -> [T, hidden]
  std::vector<Rotation> rotations_at(const at::Tensor& positions) const;  // of each of `frequencies`
  template <class F>
  void for_each_linear(F f) {
    for (Block& block : blocks) block.for_each_linear(f);
  }
};

}  // namespace finetune
