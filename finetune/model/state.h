// What a Transformer holds. Tested by tests/finetune/model_test.cc.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "finetune/adapt/vocabulary.h"
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

/// A tensor in the place of the base's.
struct WholeTensor {
  std::string name;  ///< "model.norm.weight"
  at::Tensor values;
  bool is_trained;
};

struct Transformer::State {
  lora::ModelSpec spec;
  at::ScalarType dtype;
  at::Device device;
  VocabularyMatrix embedding, own_head;  // of a tied model the same matrix; `own_head` is used where it is adapted
  Norm norm;                             // before the head
  Head head;
  std::vector<Block> blocks;
  std::vector<Rope> ropes;                  // every kind of rotation in the model
  std::vector<std::size_t> rotation;        // of each block, its place in `ropes`
  lora::Adapter settings;                   // everything of the adapter but what trains
  std::vector<WholeTensor> whole;           // tensors that stand in the place of the base's, by name
  std::vector<std::function<void()>> undo;  // what attach changed
  double noise = 0;                         // NEFTune's alpha
  std::size_t recomputed_blocks = 0;        // of the first ones the backward pass computes everything again
  bool is_freed = false;                    // Transformer::free_replaced

  State(const lora::ModelFiles& files, at::ScalarType dtype, at::Device device, Quantization quantization);
  at::TensorOptions options() const { return at::TensorOptions(device).dtype(dtype); }
  void add_rotation(std::size_t block);
  at::Tensor embed(const at::Tensor& ids) const;  // [T] -> [T, hidden]
  // Transformer::hidden. What routers gave the experts is added to `shares`. Both may be null.
  at::Tensor hidden(const PackedRow& row, const Draws& draws, std::vector<at::Tensor>* states,
                    RouterShares* shares) const;
  // Of each of `ropes`, at the positions [first, last) of texts that lie end to end.
  std::vector<Rotation> rotations_at(const std::vector<Positions>& texts) const;
  // False where a text of another length turns otherwise.
  bool turns_alike(std::int64_t length, std::int64_t other) const;
  template <class F>
  void for_each_linear(F f) {
    for (Block& block : blocks) block.for_each_linear(f);
  }
  // Embedding and head, then every linear layer in forward order: the order of an adapter's modules.
  template <class F>
  void for_each_adapted(F f) {
    f(embedding.linear);
    f(own_head.linear);
    for_each_linear(f);
  }
  void attach_module(Linear& linear, const lora::AdapterModule& module, const lora::Adapter& adapter);
  void attach_saved(const lora::Adapter& adapter);
  void replace_matrix(const std::string& name, const at::Tensor& values);
  void attach_tokens(const lora::Adapter& adapter);
  // The place of a tensor that can train whole, null: none such.
  at::Tensor* place_of(const std::string& name);
  void use_own_head(const lora::Adapter& adapter);
  void add_magnitudes();
  bool follows_embedding(const Linear& linear) const;
  std::vector<const VocabularyMatrix*> with_own_tokens() const;
};

}  // namespace finetune
