// What is known of modules by their names alone, as an adapter has them without its base.
// Tested by tests/lora/model/module_names_test.cc.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lora {

/// "q_proj" of "model.layers.0.self_attn.q_proj".
std::string suffix_of(std::string_view module);

/// A name cut at its numbers: the first is that of its block, the second that of its expert.
struct BlockName {
  std::int64_t block = -1, expert = -1;  ///< -1: the name has none
  std::string_view prefix;               ///< "model.layers.3"
  std::string pattern;                   ///< "model.layers.N.self_attn.q_proj", "model.layers.N.mlp.experts.N.up_proj"
};
BlockName block_name(std::string_view module);

/// The linear modules of a family.
struct ModuleNames {
  std::vector<std::string> linears;                    ///< patterns in forward order
  std::unordered_map<std::string, std::size_t> order;  ///< of a pattern, the place in `linears`
  std::set<std::string> suffixes;                      ///< of linears, embedding and head
  std::string embedding, head;                         ///< "model.embed_tokens", "lm_head"
};
/// Of every family; those that name them alike share one.
const std::vector<ModuleNames>& known_module_names();

}  // namespace lora
