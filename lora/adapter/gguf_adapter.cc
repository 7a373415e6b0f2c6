// Adapters for other runtimes: llama.cpp's GGUF LoRA, and PEFT folders that need no patterns. Tested by
// tests/lora/adapter/merge_test.cc.
#include "lora/adapter/gguf_adapter.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "base/gguf.h"
#include "base/text.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/rounded_base.h"
#include "lora/adapter/write_model.h"
#include "lora/model/family.h"
#include "lora/model/gguf_metadata.h"

namespace lora {
namespace {

// The scale that all modules have, or 1.
double common_scale(const Adapter& adapter) {
  double scale = adapter.modules.empty() ? 1 : adapter.modules[0].scale;
  for (const AdapterModule& module : adapter.modules)
    if (module.scale != scale) return 1;
  return scale == 0 || !std::isfinite(scale) ? 1 : scale;
}

// What becomes one tensor: a module, or those of all experts of a layer.
struct Tensor {
  const TensorSpec* spec;
  std::vector<const AdapterModule*> modules;  // null: an expert without LoRA
  std::int64_t rank = 0;                      // the largest
  std::vector<std::int64_t> shape(std::int64_t rows, std::int64_t columns) const {
    if (modules.size() == 1) return {rows, columns};
    return {static_cast<std::int64_t>(modules.size()), rows, columns};
  }
};

std::vector<Tensor> tensors_of(const Adapter& adapter, const ModelFiles& base) {
  std::vector<Tensor> tensors;
  std::unordered_map<std::string_view, std::size_t> places;
  for (const AdapterModule& module : adapter.modules) {
    const TensorSpec& spec = base.tensor(module.name + ".weight");
    const auto [place, is_new] = places.emplace(spec.gguf, tensors.size());
    if (is_new) {
      const bool is_stack{spec.gguf_shape.size() == 3};
      tensors.push_back({&spec, std::vector<const AdapterModule*>(is_stack ? spec.gguf_shape[0] : 1), 0});
    }
    Tensor& tensor = tensors[place->second];
    tensor.modules[static_cast<std::size_t>(spec.gguf_part)] = &module;
    tensor.rank = std::max(tensor.rank, module.rank);
  }
  return tensors;
}

void multiply(std::vector<float>& values, double factor) {
  if (factor == 1) return;
  for (float& value : values) value = static_cast<float>(value * factor);
}

// B with columns of zeros at the right.
std::vector<float> widened(const AdapterModule& module, std::int64_t rank) {
  std::vector<float> wide(static_cast<std::size_t>(rank * module.out), 0.0f);
  for (std::int64_t row = 0; row < module.out; ++row)
    std::copy_n(module.b.begin() + row * module.rank, module.rank, wide.begin() + row * rank);
  return wide;
}

struct Matrices {
  std::vector<float> a, b;  // of all modules, one behind the other
};

Matrices matrices_of(const Tensor& tensor, double alpha) {
  const TensorSpec& spec = *tensor.spec;
  const std::int64_t out{spec.shape[0]}, in{spec.shape[1]};
  Matrices all;
  for (const AdapterModule* module : tensor.modules) {
    all.a.resize(all.a.size() + static_cast<std::size_t>(tensor.rank * in), 0.0f);
    std::vector<float> b(static_cast<std::size_t>(tensor.rank * out), 0.0f);
    if (module) {
      std::ranges::copy(module->a, all.a.end() - tensor.rank * in);
      b = widened(*module, tensor.rank);
      // The scale that llama.cpp will apply, with alpha as the float it reads.
      const double applied{static_cast<double>(static_cast<float>(alpha)) / static_cast<double>(tensor.rank)};
      const double factor{module->scale / applied};
      if (std::fabs(factor - 1) > 1e-6) multiply(b, factor);
      if (spec.key_heads > 0) regroup_rows(b, out, spec.key_heads, spec.head_rows);
      if (spec.interleaved_heads > 0) permute_rope_rows(b, out, tensor.rank, spec.interleaved_heads, true);
    }
    all.b.insert(all.b.end(), b.begin(), b.end());
  }
  return all;
}

}  // namespace

void check_only_lora(const Adapter& adapter, const std::string& runtime) {
  const std::vector<std::string> parts = beyond_lora(adapter);
  if (parts.empty()) return;
  throw base::Error({runtime + " cannot carry all of this adapter, and would compute something else",
                     adapter.base_model, base::join(parts, ", "), "A and B of linear layers",
                     "merge it into the model, which every runtime reads: lora merge, or lora merge --format gguf"});
}

Adapter bake_scale(Adapter adapter) {
  check_only_lora(adapter, "an adapter for vLLM");
  return with_one_scale(std::move(adapter));
}

Adapter with_one_scale(Adapter adapter) {
  double scale = common_scale(adapter);
  std::int64_t rank = 1;
  for (const AdapterModule& module : adapter.modules) rank = std::max(rank, module.rank);
  for (AdapterModule& module : adapter.modules) {
    multiply(module.b, module.scale / scale);
    module.scale = scale;
    if (module.rank == rank) continue;
    module.a.resize(static_cast<std::size_t>(rank * module.in), 0.0f);  // rows of zeros below
    module.b = widened(module, rank);
    module.rank = rank;
  }
  adapter.rank = rank;
  adapter.alpha = scale * static_cast<double>(rank);
  adapter.rslora = false;
  return adapter;
}

// llama.cpp reads a head that the base ties with its embedding from that one tensor.
static void check_separate_head(const Adapter& adapter, const ModelFiles& base) {
  const auto is_head = [&](const AdapterModule& module) { return module.name == base.spec().head; };
  if (base.config().tied_embeddings && std::ranges::any_of(adapter.modules, is_head))
    throw base::Error({"a GGUF adapter cannot carry LoRA on a head that the base ties with its embedding",
                       base.path().string(), base.spec().head, "LoRA on other modules",
                       "merge it into the model, which gets a head of its own: lora merge --format gguf"});
}

void write_gguf_adapter(const Adapter& adapter, const ModelFiles& base, const std::filesystem::path& file,
                        base::DType type) {
  if (type != base::DType::kF32 && type != base::DType::kF16)
    throw base::UsageError(
        {"a GGUF adapter cannot have this type", "dtype", std::string(base::name_of(type)), "float32 or float16", ""});
  check_only_lora(adapter, "a GGUF adapter");
  check_separate_head(adapter, base);
  MergedModel fits(base, &adapter);  // throws when it does not
  // llama.cpp's scale is alpha / rank of the module, so modules of one scale need one rank as well.
  double alpha = common_scale(adapter) * static_cast<double>(adapter.modules.at(0).rank);
  const std::vector<Tensor> tensors = tensors_of(adapter, base);
  std::vector<base::GgufWriter::Entry> entries;
  for (const Tensor& tensor : tensors) {
    const std::int64_t out{tensor.spec->shape[0]}, in{tensor.spec->shape[1]};
    entries.push_back({tensor.spec->gguf + ".lora_a", type, tensor.shape(tensor.rank, in)});
    entries.push_back({tensor.spec->gguf + ".lora_b", type, tensor.shape(out, tensor.rank)});
  }
  std::string name = adapter.base_model.empty() ? model_name(base.path()) : model_name(adapter.base_model);
  GgufMetadata metadata = {
      {"general.architecture", base::GgufValue::text(family_of(base.config()).gguf)},
      {"general.type", base::GgufValue::text("adapter")},
      {"adapter.type", base::GgufValue::text("lora")},
      {"adapter.lora.alpha", base::GgufValue::f32(static_cast<float>(alpha))},
      {"general.name", base::GgufValue::text(name + " LoRA")},
      {"general.base_model.count", base::GgufValue::u32(1)},
      {"general.base_model.0.name", base::GgufValue::text(name)},
      {"general.file_type", base::GgufValue::u32(gguf_file_type(type))},
      {"general.quantization_version", base::GgufValue::u32(2)},
  };
  if (!adapter.rounded_base.empty())
    metadata.emplace_back(kRoundedBaseKey, base::GgufValue::text(adapter.rounded_base));
  base::GgufWriter writer(file, metadata, std::move(entries));
  for (const Tensor& tensor : tensors) {
    const Matrices matrices = matrices_of(tensor, alpha);
    const std::string a = tensor.spec->gguf + ".lora_a", b = tensor.spec->gguf + ".lora_b";
    check_range(a, matrices.a, type, "--dtype float32");
    check_range(b, matrices.b, type, "--dtype float32");
    writer.write(a, base::from_float(type, matrices.a));
    writer.write(b, base::from_float(type, matrices.b));
  }
  writer.commit();
}

}  // namespace lora
