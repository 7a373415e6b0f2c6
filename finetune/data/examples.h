// The examples of a training or of its validation.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "finetune/data/example.h"
#include "finetune/data/prepared.h"

namespace finetune {

/// Some of the examples of prepared data, in an order, of which one may stand several times. Cheap to copy: the tokens
/// stay where they are.
class Examples {
 public:
  Examples() = default;
  /// All of `data`.
  explicit Examples(std::shared_ptr<const PreparedData> data);
  /// Copies of `examples`.
  Examples(const std::vector<Example>& examples);  // NOLINT(google-explicit-constructor)
  /// The same, one origin an example.
  Examples(const std::vector<Example>& examples, const std::vector<Origin>& origins);

  std::size_t size() const { return chosen_.size(); }
  bool empty() const { return chosen_.empty(); }
  ExampleView operator[](std::size_t i) const;
  std::size_t length(std::size_t i) const { return data_->length(chosen_[i]); }  ///< of operator[](i).ids
  /// Those at `places` of this.
  Examples at(const std::vector<std::uint32_t>& places) const;
  /// ExampleView::reference of a pair.
  void set_reference(std::size_t i, const std::array<double, 2>& reference);

 private:
  std::shared_ptr<const PreparedData> data_;
  std::vector<std::uint32_t> chosen_;
  std::vector<std::array<double, 2>> references_;  // of chosen_; empty: none is set
};

/// With memory of its own.
Example copy_of(const ExampleView& example);

/// Moves `share` (0..1) of the records, at least one, chosen by `seed`, out of `examples`: the validation data. The
/// pieces of a record that was split stay together. `examples` are in input order. Throws base::UsageError when nothing
/// would be left on either side.
Examples take_validation(Examples& examples, double share, std::uint64_t seed);

/// How many of `validation` stand among `training` too, by their ids.
std::size_t count_trained(const Examples& validation, const Examples& training);

/// A number that changes when any id, mask or order changes: a resumed run must see the same data.
std::uint64_t fingerprint(const Examples& examples);

}  // namespace finetune
