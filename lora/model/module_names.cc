// What is known of modules by their names alone, as an adapter has them without its base. Tested by
// tests/lora/model/module_names_test.cc.
#include "lora/model/module_names.h"

#include <algorithm>
#include <cctype>

#include "lora/model/family.h"

namespace lora {
namespace {

ModuleNames names_of(const Family& family, const char* wrapper) {
  ModelConfig smallest;
  smallest.model_type = family.model_type;
  smallest.vocab_size = smallest.hidden_size = smallest.intermediate_size = smallest.head_dim = 2;
  smallest.heads = smallest.kv_heads = smallest.experts = smallest.chosen_experts = 1;
  smallest.expert_size = smallest.shared_expert_size = 2;
  smallest.layers = 2, smallest.dense_layers = {1};  // a block with experts and one without, where there are any
  smallest.wrapper = wrapper;
  const ModelSpec spec = spec_of(smallest);
  ModuleNames names;
  for (const BlockSpec& block : spec.blocks)
    for (const LinearSpec& linear : block.linears) {
      const std::string pattern = block_name(linear.name).pattern;
      if (!names.order.emplace(pattern, names.order.size()).second) continue;
      names.linears.push_back(pattern);
      names.suffixes.insert(suffix_of(linear.name));
    }
  // As adapters of transformers 5 name experts and routers: lora/adapter/stacked_experts.h.
  for (const LinearSpec& linear : spec.blocks[0].linears) {
    if (linear.stack.name.empty()) continue;
    std::string name = linear.stack.name;
    name = linear.expert < 0 ? name.substr(0, name.rfind(".weight")) : name.insert(name.rfind('.'), ".0");
    names.order.emplace(block_name(name).pattern, names.order.size());
  }
  names.embedding = spec.embedding;
  names.head = spec.head;
  names.suffixes.insert({suffix_of(spec.embedding), suffix_of(spec.head)});
  return names;
}

bool is_number(std::string_view part) {
  return !part.empty() && part.size() < 7 && (part[0] != '0' || part.size() == 1) &&
         std::all_of(part.begin(), part.end(), [](unsigned char c) { return std::isdigit(c); });
}

}  // namespace

std::string suffix_of(std::string_view module) { return std::string(module.substr(module.rfind('.') + 1)); }

BlockName block_name(std::string_view module) {
  BlockName name;
  for (std::size_t begin = 0; begin <= module.size();) {
    const std::size_t end{std::min(module.find('.', begin), module.size())};
    const std::string_view part = module.substr(begin, end - begin);
    const bool is_counted{is_number(part) && name.expert < 0};
    name.pattern += (begin == 0 ? "" : ".") + (is_counted ? "N" : std::string(part));
    if (is_counted) (name.block < 0 ? name.block : name.expert) = std::stoll(std::string(part));
    if (is_counted && name.expert < 0) name.prefix = module.substr(0, end);
    begin = end + 1;
  }
  return name;
}

const std::vector<ModuleNames>& known_module_names() {
  static const std::vector<ModuleNames> known = [] {
    std::vector<ModuleNames> all;
    // One wrapper of each of the places where they have the text model.
    for (const char* wrapper : {"", "llava", "idefics3"})
      for (const Family* family : families()) {
        ModuleNames names = names_of(*family, wrapper);
        const bool is_known{std::any_of(all.begin(), all.end(), [&](const ModuleNames& other) {
          return other.linears == names.linears && other.suffixes == names.suffixes;
        })};
        if (!is_known) all.push_back(std::move(names));
      }
    return all;
  }();
  return known;
}

}  // namespace lora
