// Whether models can be merged weight by weight. Tested by tests/lora/compose/alike_test.cc.
#pragma once

#include <string>
#include <vector>

#include "lora/model/model_files.h"

namespace lora {

/// Throws base::Error naming the first thing in which `other` is not a model of the shape of `first`: family, a size,
/// what is computed. Lengths of context, numbers of tokens such as EOS, and whether the head is tied may differ.
void check_alike(const ModelFiles& first, const ModelFiles& other);

/// Of two tokenizers that must say the same of every id; "" or the first difference. Ends and chat templates may differ
/// and are told as sentences in `notes`.
std::string difference_of_tokenizers(const ModelFiles& first, const ModelFiles& other, std::vector<std::string>& notes);

}  // namespace lora
