// The normalisers of tokenizer.json, with the way back from the new bytes to the old ones.
#pragma once

#include <string>
#include <vector>

#include "tokenizer/spec/bpe_spec.h"
#include "tokenizer/spec/encoding.h"

namespace tokenizer {

/// `text` after `steps`. With `origins` (one range for each byte of `text`), they become those of the result's bytes.
std::string normalized(const std::vector<NormalizerStep>& steps, std::string text,
                       std::vector<ByteRange>* origins = nullptr);

}  // namespace tokenizer
