// A base model with an adapter added into its weights, a few rows at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace lora {

/// The tensor of the base that `name` changes: of a tied model the head's is the embedding's.
std::string changed_tensor(const ModelFiles& base, const std::string& name);
/// Whether head and embedding of the base are the same numbers in the same place.
bool shares_head(const ModelFiles& base);

/// Throws Error when a module or tensor of the adapter is not in the base or has another size there.
void check_fits(const Adapter& adapter, const ModelFiles& base);

/// True where what the adapter does to the embedding or the head parts the two, which the base ties.
bool parts_head(const Adapter& adapter, const ModelFiles& base);
/// `base` with a head of its own where the adapter parts it from the embedding.
void give_own_head(ModelFiles& base, const Adapter& adapter);

/// The tensors of `base` with the adapter in them, in float32. No tensor is ever whole in
/// memory, so that a model larger than the machine's memory can be merged. Thread-safe.
class MergedModel {
 public:
  /// `adapter` may be null: the base as it is. Both must outlive this object. Throws Error when the adapter does not
  /// fit, or is not plain.
  MergedModel(const ModelFiles& base, const Adapter* adapter);
  const ModelFiles& base() const { return base_; }
  /// True for the tensors that the adapter changes.
  bool is_changed(const std::string& name) const {
    return modules_.contains(name) || saved_.contains(name) || tokens_.contains(name);
  }
  /// Rows [first, first + count) of a matrix (of q_proj and k_proj whole heads), or all of a vector with first = 0 and
  /// count = its size; Hugging Face layout. Throws Error when a number is not finite.
  void read_rows(const std::string& name, std::int64_t first, std::int64_t count, std::span<float> out) const;

 private:
  const ModelFiles& base_;
  void set_columns(const AdapterModule& embedding);
  void replace_rows(const std::string& name, std::int64_t first, std::int64_t count, std::span<float> out) const;

  // By the name of the tensor.
  std::unordered_map<std::string, const AdapterModule*> modules_;
  std::unordered_map<std::string, const SavedTensor*> saved_;
  std::unordered_map<std::string, const TokenRows*> tokens_;
  std::vector<float> columns_;  // of an embedding with DoRA: by what each is multiplied
};

}  // namespace lora
