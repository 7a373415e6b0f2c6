// Modules told in groups. Tested by tests/lora/fuse/compare_test.cc.
#include "lora/fuse/by_group.h"

#include <fmt/format.h>

#include "lora/model/module_names.h"

namespace lora {

std::vector<std::string> grouping_choices() { return {"layer", "kind", "module"}; }

std::string group_of(const std::string& module, std::string_view grouping) {
  if (grouping == "module") return module;
  const BlockName name = block_name(module);
  return grouping == "layer" && name.block >= 0 ? fmt::format("layer {}", name.block) : suffix_of(module);
}

}  // namespace lora
