// Whole tensors and rows of tokens of several adapters, which have no weighted sum without the base.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "lora/adapter/adapter.h"

namespace lora {

/// Takes whole tensors and rows of tokens over into `into`: those that only one adapter has, or that are equal in all
/// that have them, as they are, without a weight. Gives a sentence for each kind of what came so. Throws base::Error
/// where two adapters have different ones, or one has A and B of what another has whole. `names`: of the adapters, for
/// messages.
std::vector<std::string> take_extras(std::span<const Adapter> adapters, std::span<const std::string> names,
                                     Adapter& into);

/// Throws base::Error when the adapter has any: `what`, "weighed", needs the base's.
void refuse_extras(const Adapter& adapter, const std::string& name, const std::string& what);
/// The same, but for what does not train: the copies of head and embedding that PEFT saves beside a grown vocabulary.
void refuse_trained_extras(const Adapter& adapter, const std::string& name, const std::string& what);

}  // namespace lora
