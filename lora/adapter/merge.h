// A base model with an adapter added into its weights, a few rows at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>

#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace lora {

/// Throws Error when a module of the adapter is not in the base or has another size there.
void check_fits(const Adapter& adapter, const ModelFiles& base);

/// The tensors of `base`, those of the adapter's modules being W + scale * B A, in float32. No tensor is ever whole in
/// memory, so that a model larger than the machine's memory can be merged. Thread-safe.
class MergedModel {
 public:
  /// `adapter` may be null: the base as it is. Both must outlive this object. Throws Error when the adapter does not
  /// fit, or is not plain.
  MergedModel(const ModelFiles& base, const Adapter* adapter);
  const ModelFiles& base() const { return base_; }
  /// True for the tensors that the adapter changes.
  bool is_changed(const std::string& name) const { return modules_.contains(name); }
  /// Rows [first, first + count) of a matrix (of q_proj and k_proj whole heads), or all of a vector with first = 0 and
  /// count = its size; Hugging Face layout. Throws Error when a number is not finite.
  void read_rows(const std::string& name, std::int64_t first, std::int64_t count, std::span<float> out) const;

 private:
  const ModelFiles& base_;
  std::unordered_map<std::string, const AdapterModule*> modules_;  // by the name of the weight
};

}  // namespace lora
