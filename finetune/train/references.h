// What the model says of the answers of preferences before it is trained on them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "finetune/data/examples.h"
#include "finetune/model/model.h"
#include "finetune/train/group.h"

namespace finetune {

/// In the output folder.
inline constexpr const char* kReferencesFile = "references.json";

/// The log-probabilities of answers in the model that the training starts from, or in the base.
struct References {
  std::string key;             ///< of the model and the data that they belong to
  std::vector<double> values;  ///< two of each example, part after part of the data; NaN: not computed
};

/// What `file` holds for `key`, of `examples` examples; nothing of a file of another key, or that cannot be read.
References read_references(const std::filesystem::path& file, const std::string& key, std::size_t examples);
void write_references(const std::filesystem::path& file, const References& references);

/// Leaves of `wanted`, which are numbers of examples, those whose values are missing in any process of `group`.
std::vector<std::size_t> missing_in(const References& references, const std::vector<std::size_t>& wanted,
                                    const Group& group);

/// Computes those of the examples `missing` of `parts`, each process of `group` its share of them: one each, then all
/// hear of all. `go_on` is told after each such round how many there are. False where it said no in any process; what
/// was computed until then is in `references`.
bool compute_references(References& references, const std::vector<std::size_t>& missing, const Transformer& model,
                        const std::vector<Examples*>& parts, const Group& group,
                        const std::function<bool(std::size_t)>& go_on);

/// Fills ExampleView::reference of all `parts`.
void set_references(const References& references, const std::vector<Examples*>& parts);

}  // namespace finetune
