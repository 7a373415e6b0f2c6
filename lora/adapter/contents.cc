// What an adapter holds, counted, for people and for --json. Tested by tests/lora/adapter/contents_test.cc.
#include "lora/adapter/contents.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/text.h"

namespace lora {
namespace {

// Weight and bias of one are one module; a tensor that is there because the vocabulary was resized is one too.
std::size_t whole_modules(const Adapter& adapter) {
  std::set<std::string> modules;
  for (const SavedTensor& tensor : adapter.saved) modules.insert(tensor.name.substr(0, tensor.name.rfind('.')));
  return modules.size();
}

std::size_t token_rows(const Adapter& adapter) {
  std::size_t rows = 0;
  for (const TokenRows& tokens : adapter.tokens) rows += tokens.ids.size();
  return rows;
}

std::string counted(std::size_t count, const char* one, const char* more) {
  return fmt::format("{} {}", count, count == 1 ? one : more);
}

}  // namespace

std::string contents_text(const Adapter& adapter) {
  std::vector<std::string> parts;
  if (!adapter.modules.empty())
    parts.push_back(counted(adapter.modules.size(), "LoRA module", "LoRA modules") + (adapter.dora ? " (DoRA)" : ""));
  if (const std::size_t whole = whole_modules(adapter); whole != 0)
    parts.push_back(counted(whole, "whole module", "whole modules"));
  if (const std::size_t rows = token_rows(adapter); rows != 0)
    parts.push_back(counted(rows, "row of tokens", "rows of tokens"));
  return base::join(parts, ", ");
}

void add_contents(const Adapter& adapter, nlohmann::ordered_json& result) {
  result["modules"] = adapter.modules.size();
  result["dora"] = adapter.dora;
  result["whole_modules"] = whole_modules(adapter);
  result["token_rows"] = token_rows(adapter);
}

}  // namespace lora
