// One GGUF file, of which a model can have several. Tested by tests/base/gguf_test.cc.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/gguf.h"
#include "base/tensor.h"

namespace base::gguf {

struct Part {
  MappedFile file;
  std::vector<std::pair<std::string, GgufValue>> metadata;  ///< file order
  std::vector<TensorView> tensors;                          ///< file order
};

/// Reads the header; checks all bounds. Throws Error with file and place.
Part read_part(const std::filesystem::path& path);

}  // namespace base::gguf
