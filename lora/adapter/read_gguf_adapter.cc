// A LoRA adapter out of a GGUF. Tested by tests/lora/adapter/read_gguf_adapter_test.cc.
#include "lora/adapter/read_gguf_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "base/gguf.h"
#include "base/outputs.h"
#include "base/text.h"
#include "lora/adapter/rounded_base.h"
#include "lora/model/family.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kA = ".weight.lora_a", kB = ".weight.lora_b", kHub = "https://huggingface.co/";
constexpr const char *kEmbedding = "token_embd",
                     *kOtherBase = "give the base model that the adapter was trained on: --base MODEL";

struct Pair {
  const base::TensorView *a = nullptr, *b = nullptr;
};

std::map<std::string, Pair> pairs_of(const base::GgufReader& file) {
  std::map<std::string, Pair> pairs;
  for (const base::TensorView& tensor : file.tensors()) {
    const bool is_a{tensor.name.ends_with(kA)};
    if (!is_a && !tensor.name.ends_with(kB))
      throw base::Error({"unknown tensor in the adapter", file.path().string(), base::shortened(tensor.name),
                         "NAME.weight.lora_a or .lora_b", "llama.cpp would pass over it"});
    if (tensor.shape.size() != 2 && tensor.shape.size() != 3)
      throw base::Error({"an adapter matrix of a wrong shape", file.path().string(), base::shortened(tensor.name),
                         "rows and columns", ""});
    Pair& pair = pairs[tensor.name.substr(0, tensor.name.size() - kA.size())];
    (is_a ? pair.a : pair.b) = &tensor;
  }
  if (pairs.empty()) throw base::Error({"the adapter is empty", file.path().string(), "", "", ""});
  return pairs;
}

std::vector<float> values_of(const base::TensorView& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  base::to_float(tensor.type, tensor.bytes, values);
  return values;
}

// One below the other where there is one for each expert.
AdapterModule module_of(const std::string& name, const Pair& pair, double alpha, const std::string& file) {
  if (!pair.a || !pair.b)
    throw base::Error({"one of lora_a and lora_b is missing", file, name, "both", "the file is damaged"});
  const std::vector<std::int64_t>&a = pair.a->shape, &b = pair.b->shape;
  const std::size_t last{a.size() - 1};
  const bool is_embedding{name == kEmbedding};
  const std::int64_t rank{b.back()};
  const bool fits{a.size() == b.size() && (is_embedding ? a[last] == rank : a[last - 1] == rank) &&
                  (a.size() == 2 || (a[0] == b[0] && !is_embedding))};
  if (!fits)
    throw base::Error({"lora_a and lora_b do not go together", file, name,
                       is_embedding ? "[tokens, rank] and [width, rank]" : "[rank, in] and [out, rank]", ""});
  const double scale{alpha == 0 ? 1 : alpha / static_cast<double>(rank)};
  AdapterModule module{name, rank, a[last], b[last - 1], scale, values_of(*pair.a), values_of(*pair.b)};
  if (!is_embedding) return module;
  // llama.cpp picks rows of lora_a there.
  module.in = b[0], module.out = a[0];
  std::swap(module.a, module.b);
  module.a.assign(static_cast<std::size_t>(rank * module.in), 0);
  const std::vector<float> wide = values_of(*pair.b);
  for (std::int64_t row = 0; row < module.in; ++row)
    for (std::int64_t i = 0; i < rank; ++i)
      module.a[static_cast<std::size_t>(i * module.in + row)] = wide[static_cast<std::size_t>(row * rank + i)];
  return module;
}

std::string base_of(const base::GgufReader& file) {
  const base::GgufValue* url = file.find("general.base_model.0.repo_url");
  if (!url || url->type != base::GgufValue::kString) return "";
  const std::string text = file.text("general.base_model.0.repo_url");
  return text.starts_with(kHub) ? text.substr(kHub.size()) : "";
}

// The part of a module that is one tensor of the base, its rows in Hugging Face's order; a module of zeros is none.
void add_part(Adapter& adapter, const AdapterModule& module, const TensorSpec& tensor, const ModelFiles& base) {
  const std::int64_t out{tensor.shape[0]}, in{tensor.shape[1]};
  if (module.out != out || module.in != in)
    throw base::Error({"the adapter does not fit the model", base.path().string() + ": " + tensor.name,
                       fmt::format("{} -> {}", module.in, module.out), fmt::format("{} -> {}", in, out), kOtherBase});
  const auto cut = [&](const std::vector<float>& values, std::int64_t size) {
    const auto first = values.begin() + tensor.gguf_part * size;
    return std::vector<float>(first, first + size);
  };
  AdapterModule part{tensor.name.substr(0, tensor.name.rfind('.')), module.rank, in, out, module.scale, {}, {}};
  part.a = cut(module.a, module.rank * in);
  part.b = cut(module.b, module.rank * out);
  if (!tensor.gguf_shape.empty() && std::ranges::all_of(part.b, [](float value) { return value == 0; })) return;
  if (tensor.interleaved_heads > 0) permute_rope_rows(part.b, out, part.rank, tensor.interleaved_heads, false);
  if (tensor.key_heads > 0) {
    const std::int64_t heads{out / tensor.head_rows}, size{tensor.head_rows * part.rank};
    const std::vector<float> regrouped = part.b;
    for (std::int64_t head = 0; head < heads; ++head)
      std::copy_n(regrouped.begin() + regrouped_head(head, tensor.key_heads, heads) * size, size,
                  part.b.begin() + head * size);
  }
  adapter.modules.push_back(std::move(part));
}

}  // namespace

bool is_gguf_adapter(const fs::path& file) {
  if (!base::is_gguf_name(file) || !fs::is_regular_file(file)) return false;
  const base::GgufReader reader(file);
  const base::GgufValue* type = reader.find("general.type");
  return type && type->type == base::GgufValue::kString && reader.text("general.type") == "adapter";
}

Adapter read_gguf_adapter(const fs::path& path) {
  const base::GgufReader file(path);
  if (file.text("adapter.type") != "lora" || file.find("adapter.alora.invocation_tokens"))
    throw base::Error({"an adapter of another kind", path.string(), file.text("adapter.type"), "lora", ""});
  const double alpha{file.number("adapter.lora.alpha")};
  Adapter adapter;
  adapter.gguf_architecture = file.text("general.architecture");
  adapter.base_model = base_of(file);
  adapter.rounded_base = rounded_base_in(file);
  for (const auto& [name, pair] : pairs_of(file))
    adapter.modules.push_back(module_of(name, pair, alpha, path.string()));
  adapter.rank = adapter.modules[0].rank;
  adapter.alpha = adapter.modules[0].scale * static_cast<double>(adapter.rank);
  return adapter;
}

Adapter without_gguf_names(const ModelFiles& base, Adapter adapter) {
  if (adapter.gguf_architecture.empty()) return adapter;
  const std::string family = family_of(base.config()).gguf;
  if (family != adapter.gguf_architecture)
    throw base::Error({"the adapter is of another architecture than the model", base.path().string(),
                       adapter.gguf_architecture, family, kOtherBase});
  std::unordered_map<std::string, std::vector<const TensorSpec*>> tensors;
  for (const std::string& name : base.names()) tensors[base.tensor(name).gguf].push_back(&base.tensor(name));
  const std::vector<AdapterModule> modules = std::move(adapter.modules);
  adapter.modules.clear();
  for (const AdapterModule& module : modules) {
    const auto found = tensors.find(module.name + ".weight");
    const std::size_t held{module.a.size() / static_cast<std::size_t>(module.rank * module.in)};
    if (found == tensors.end() || found->second.size() != held)
      throw base::Error({"the adapter has a module that the model does not have", base.path().string(), module.name,
                         "a module of the model", kOtherBase});
    for (const TensorSpec* tensor : found->second) add_part(adapter, module, *tensor, base);
    // In a model that ties the two, llama.cpp reads the head through the same tensor.
    adapter.tied |= module.name == kEmbedding;
  }
  adapter.gguf_architecture.clear();
  put_in_order(adapter, base.path().string());
  return adapter;
}

}  // namespace lora
