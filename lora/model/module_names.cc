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
  smallest.layers = smallest.heads = smallest.kv_heads = 1;
  smallest.wrapper = wrapper;
  const ModelSpec spec = spec_of(smallest);
  ModuleNames names;
  for (const LinearSpec& linear : spec.blocks.at(0).linears) {
    names.linears.push_back(block_name(linear.name).pattern);
    names.order.emplace(names.linears.back(), names.order.size());
    names.suffixes.insert(suffix_of(linear.name));
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
  for (std::size_t begin = 0; begin <= module.size();) {
    const std::size_t end{std::min(module.find('.', begin), module.size())};
    const std::string_view part = module.substr(begin, end - begin);
    if (is_number(part))
      return {std::stoll(std::string(part)), module.substr(0, end),
              std::string(module.substr(0, begin)) + "N" + std::string(module.substr(end))};
    begin = end + 1;
  }
  return {-1, "", std::string(module)};
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
