// Adapters for other runtimes: llama.cpp's GGUF LoRA, and PEFT folders that need no patterns. Tested by
// tests/lora/adapter/merge_test.cc.
#include "lora/adapter/gguf_adapter.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/gguf.h"
#include "lora/adapter/merge.h"
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

void multiply(std::vector<float>& values, double factor) {
  if (factor == 1) return;
  for (float& value : values) value = static_cast<float>(value * factor);
}

}  // namespace

Adapter bake_scale(Adapter adapter) {
  double scale = common_scale(adapter);
  std::int64_t rank = 1;
  for (const AdapterModule& module : adapter.modules) rank = std::max(rank, module.rank);
  for (AdapterModule& module : adapter.modules) {
    multiply(module.b, module.scale / scale);
    module.scale = scale;
    if (module.rank == rank) continue;
    // A gets rows of zeros below, B columns of zeros at the right.
    module.a.resize(static_cast<std::size_t>(rank * module.in), 0.0f);
    std::vector<float> wide(static_cast<std::size_t>(rank * module.out), 0.0f);
    for (std::int64_t row = 0; row < module.out; ++row)
      std::copy_n(module.b.begin() + row * module.rank, module.rank, wide.begin() + row * rank);
    module.b = std::move(wide);
    module.rank = rank;
  }
  adapter.rank = rank;
  adapter.alpha = scale * static_cast<double>(rank);
  adapter.rslora = false;
  return adapter;
}

void write_gguf_adapter(const Adapter& adapter, const ModelFiles& base, const std::filesystem::path& file,
                        base::DType type) {
  if (type != base::DType::kF32 && type != base::DType::kF16)
    throw base::UsageError(
        {"a GGUF adapter cannot have this type", "dtype", std::string(base::name_of(type)), "float32 or float16", ""});
  MergedModel fits(base, &adapter);  // throws when it does not
  // llama.cpp's scale is alpha / rank of the module, so modules of one scale need one rank as well.
  double alpha = common_scale(adapter) * static_cast<double>(adapter.modules.at(0).rank);
  std::vector<base::GgufWriter::Entry> entries;
  for (const AdapterModule& module : adapter.modules) {
    const std::string& name = base.tensor(module.name + ".weight").gguf;
    entries.push_back({name + ".lora_a", type, {module.rank, module.in}});
    entries.push_back({name + ".lora_b", type, {module.out, module.rank}});
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
  base::GgufWriter writer(file, metadata, std::move(entries));
  for (const AdapterModule& module : adapter.modules) {
    const TensorSpec& tensor = base.tensor(module.name + ".weight");
    std::vector<float> b = module.b;
    // The scale that llama.cpp will apply, with alpha as the float it reads.
    double applied = static_cast<double>(static_cast<float>(alpha)) / static_cast<double>(module.rank);
    double factor = module.scale / applied;
    if (std::fabs(factor - 1) > 1e-6) multiply(b, factor);
    if (tensor.key_heads > 0) regroup_rows(b, module.out, tensor.key_heads, tensor.head_rows);
    if (tensor.interleaved_heads > 0) permute_rope_rows(b, module.out, module.rank, tensor.interleaved_heads, true);
    check_range(tensor.gguf + ".lora_a", module.a, type, "--dtype float32");
    check_range(tensor.gguf + ".lora_b", b, type, "--dtype float32");
    writer.write(tensor.gguf + ".lora_a", base::from_float(type, module.a));
    writer.write(tensor.gguf + ".lora_b", base::from_float(type, b));
  }
  writer.commit();
}

}  // namespace lora
