// Whole tensors and rows of tokens of several adapters. Tested by tests/lora/fuse/extras_test.cc.
#include "lora/fuse/extras.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text.h"

namespace lora {
namespace {

constexpr const char* kByMerging =
    "merge each (lora merge), and take adapters of linear layers alone from the results: lora extract BASE MERGED";

bool is_equal(const SavedTensor& left, const SavedTensor& right) {
  return left.shape == right.shape && left.values == right.values && left.is_trained == right.is_trained;
}
bool is_equal(const TokenRows& left, const TokenRows& right) {
  return left.ids == right.ids && left.width == right.width && left.values == right.values;
}
const std::string& key_of(const SavedTensor& tensor) { return tensor.name; }
const std::string& key_of(const TokenRows& rows) { return rows.module; }

// Into `all` what it does not have yet. Throws where it has another of this name.
template <class T>
void take(const std::vector<T>& list, const std::string& adapter, std::vector<T>& all, const char* what) {
  for (const T& one : list) {
    const auto same = std::ranges::find_if(all, [&](const T& other) { return key_of(other) == key_of(one); });
    if (same == all.end()) {
      all.push_back(one);
    } else if (!is_equal(*same, one)) {
      throw base::Error({fmt::format("two adapters have different {}", what), adapter, key_of(one),
                         "the same in all, or in one alone", kByMerging});
    }
  }
}

template <class T>
std::string told(const std::vector<T>& list, const char* what) {
  if (list.empty()) return "";
  std::vector<std::string> names;
  for (const T& one : list) names.push_back(key_of(one));
  if (names.size() > 4) names.erase(names.begin() + 4, names.end());
  return fmt::format("{} {}, taken over as they are, without a weight: {}{}", list.size(), what,
                     base::join(names, ", "), list.size() > 4 ? ", ..." : "");
}

[[noreturn]] void refuse(const std::string& extra, const std::string& adapter, const std::string& what) {
  throw base::Error({fmt::format("whole tensors and rows of tokens cannot be {} without those of the base", what),
                     adapter, extra, "A and B alone",
                     "merge it (lora merge), and take an adapter from the result: lora extract BASE MERGED"});
}

}  // namespace

std::vector<std::string> take_extras(std::span<const Adapter> adapters, std::span<const std::string> names,
                                     Adapter& into) {
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    take(adapters[i].saved, names[i], into.saved, "whole tensors");
    take(adapters[i].tokens, names[i], into.tokens, "rows of tokens");
  }
  std::set<std::string> whole;
  for (const SavedTensor& tensor : into.saved)
    if (tensor.is_trained) whole.insert(tensor.name.substr(0, tensor.name.rfind('.')));
  const auto check = [&](const std::string& module, const char* what) {
    if (whole.contains(module))
      throw base::Error({fmt::format("a module of which one adapter trained {} and another all", what), module, "",
                         "the same in both", kByMerging});
  };
  for (const TokenRows& rows : into.tokens) check(rows.module, "rows");
  for (const Adapter& adapter : adapters)
    for (const AdapterModule& module : adapter.modules) check(module.name, "A and B");
  std::ranges::sort(into.saved, {}, &SavedTensor::name);
  std::ranges::sort(into.tokens, {}, &TokenRows::module);
  std::vector<std::string> notes = {told(into.saved, "whole tensors"), told(into.tokens, "modules' rows of tokens")};
  std::erase(notes, "");
  return notes;
}

void refuse_extras(const Adapter& adapter, const std::string& name, const std::string& what) {
  if (!adapter.saved.empty()) refuse(adapter.saved[0].name, name, what);
  if (!adapter.tokens.empty()) refuse(adapter.tokens[0].module, name, what);
}

void refuse_trained_extras(const Adapter& adapter, const std::string& name, const std::string& what) {
  const auto trained = std::ranges::find_if(adapter.saved, &SavedTensor::is_trained);
  if (trained != adapter.saved.end()) refuse(trained->name, name, what);
  if (!adapter.tokens.empty()) refuse(adapter.tokens[0].module, name, what);
}

}  // namespace lora
