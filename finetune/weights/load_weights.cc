// Tensors of a model file in the form in which they are kept. Tested by tests/finetune/weights_test.cc and
// quantized_test.cc.
#include "finetune/weights/load_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <span>

#include "base/error.h"
#include "base/resident.h"
#include "base/text.h"
#include "finetune/kernels/passing.h"
#include "finetune/weights/eight_bits.h"
#include "finetune/weights/four_bits.h"
#include "finetune/weights/gguf_rows.h"
#include "finetune/weights/quantized_matrix.h"
#include "lora/model/kept_type.h"

namespace finetune {
namespace {

at::Tensor read_floats(const lora::ModelFiles& files, const std::string& name) {
  at::Tensor raw = passing_tensor(files.shape(name), at::kFloat);
  files.read(name, {raw.mutable_data_ptr<float>(), static_cast<std::size_t>(raw.numel())});
  base::give_back(files.view(name).bytes);  // else all of the file would stay in memory beside what is made of it
  return raw;
}

std::shared_ptr<const QuantizedRows> four_bit_rows(const FourBits& kept, at::IntArrayRef shape, at::Device device) {
  return std::make_shared<FourBitRows>(to_device(kept, device), shape[0], shape[1]);
}

std::shared_ptr<const QuantizedRows> eight_bit_rows(const EightBits& kept, at::Device device) {
  return std::make_shared<EightBitRows>(kept.bytes.to(device), kept.scales.to(device));
}

std::shared_ptr<const QuantizedRows> kept_rows(const lora::ModelFiles& files, const std::string& name,
                                               at::Device device) {
  const std::vector<std::int64_t> shape = files.shape(name);
  std::shared_ptr<const QuantizedRows> rows;
  if (const lora::PackedMatrix* packed = files.packed(name)) {
    const lora::PackedParts& parts = packed->parts();
    rows = parts.codes ? four_bit_rows(kept_four_bits(parts, shape[0] * shape[1]), shape, device)
                       : eight_bit_rows(kept_eight_bits(parts, shape[0]), device);
  } else if (base::is_block_type(files.type(name))) {
    const std::int64_t own{shape[0] - files.new_rows(name)};
    const auto bytes = static_cast<std::int64_t>(files.blocks(name).bytes.size());
    at::Tensor blocks = at::empty({own, bytes / own}, at::kByte);
    files.read_blocks(name, {static_cast<std::byte*>(blocks.mutable_data_ptr()), static_cast<std::size_t>(bytes)});
    rows = std::make_shared<GgufRows>(files.type(name), blocks.to(device), shape[1]);
  }
  if (rows) base::give_back(files.view(name).bytes);
  return rows;
}

// Null for a matrix that is kept as it is computed with.
std::shared_ptr<const QuantizedRows> quantized_rows(const lora::ModelFiles& files, const std::string& name,
                                                    const at::TensorOptions& options, Quantization quantization) {
  const at::Device device = options.device();
  switch (quantization) {
    case Quantization::kNone:
      return nullptr;
    case Quantization::kNf4:
      return four_bit_rows(quantize_nf4(read_floats(files, name), c10::typeMetaToScalarType(options.dtype()),
                                        files.path().string() + ": " + name),
                           files.shape(name), device);
    case Quantization::kInt8:
      return eight_bit_rows(quantize_int8(read_floats(files, name), files.path().string() + ": " + name), device);
    case Quantization::kKeep:
      return kept_rows(files, name, device);
  }
  return nullptr;
}

// What the matrices `names` are kept in together: on a CPU that computes in float32 in 16 bits that lose nothing of
// any.
at::TensorOptions kept_as(const lora::ModelFiles& files, const std::vector<std::string>& names,
                          const at::TensorOptions& options) {
  if (!options.device().is_cpu() || options.dtype() != at::kFloat) return options;
  std::optional<base::DType> common;
  for (const std::string& name : names) {
    const std::optional<base::DType> type = lora::type_of_16_bits(files, name, lora::Look::kAll);
    if (!type || (common && common != type)) return options;
    common = type;
  }
  return options.dtype(common == base::DType::kBF16 ? at::kBFloat16 : at::kHalf);
}

at::Tensor dense_rows(const lora::ModelFiles& files, const std::string& name, std::int64_t first, std::int64_t count,
                      const at::TensorOptions& options) {
  at::Tensor raw = passing_tensor({count, files.shape(name).at(1)}, at::kFloat);
  files.read_rows(name, first, count, {raw.mutable_data_ptr<float>(), static_cast<std::size_t>(raw.numel())});
  return at::empty(raw.sizes(), options).copy_(raw);
}

std::shared_ptr<FrozenMatrix> dense_matrix(const lora::ModelFiles& files, const std::vector<std::string>& names,
                                           const at::TensorOptions& options) {
  std::int64_t rows = 0;
  for (const std::string& name : names) rows += files.shape(name).at(0);
  at::Tensor weight = at::empty({rows, files.shape(names.at(0)).at(1)}, kept_as(files, names, options));
  std::int64_t row = 0;
  for (const std::string& name : names) {
    const std::int64_t count{files.shape(name)[0]};
    weight.narrow(0, row, count).copy_(read_floats(files, name));
    row += count;
  }
  return std::make_shared<DenseMatrix>(weight, c10::typeMetaToScalarType(options.dtype()));
}

}  // namespace

void visit_quantization(base::OptionVisitor& v, std::string& name, const char* help, std::vector<std::string> more) {
  more.insert(more.end(), {"none", "nf4", "int8", "keep"});
  v.choice("quantization", name, more, help);
}

bool has_blocks(const lora::ModelFiles& files) {
  return std::ranges::any_of(files.names(), [&](const std::string& name) {
    return !files.is_packed(name) && files.shape(name).size() == 2 && base::is_block_type(files.type(name));
  });
}

Quantization quantization_named(const std::string& name) {
  static const std::map<std::string, Quantization> kNames = {{"none", Quantization::kNone},
                                                             {"nf4", Quantization::kNf4},
                                                             {"int8", Quantization::kInt8},
                                                             {"keep", Quantization::kKeep}};
  if (const auto found = kNames.find(name); found != kNames.end()) return found->second;
  throw base::UsageError({"unknown quantisation", "--quantization", name, "none, nf4, int8 or keep", ""});
}

void check_quantization(const lora::ModelFiles& files, Quantization quantization) {
  if (quantization == Quantization::kNone) return;
  std::vector<std::string> types, packed;
  const auto add = [](std::vector<std::string>& list, std::string_view name) {
    if (std::ranges::find(list, name) == list.end()) list.emplace_back(name);
  };
  for (const std::string& name : files.names()) {
    add(types, files.type_name(name));
    if (files.is_packed(name)) add(packed, files.type_name(name));
  }
  const bool keeps{quantization == Quantization::kKeep};
  if (keeps && packed.empty() && !has_blocks(files))
    throw base::UsageError({"nothing of this model is quantised", "--quantization keep: " + files.path().string(),
                            base::join(types, ", "),
                            "a GGUF with blocks (Q4_K ...), or a folder of bitsandbytes' NF4, FP4 or INT8",
                            "use --quantization nf4 or int8, which quantise as they load, or none"});
  if (!keeps && !packed.empty())
    throw base::UsageError({"this model is quantised already", "--quantization: " + files.path().string(),
                            base::join(packed, ", "), "keep, or none", "a second quantisation would only lose more"});
}

at::Tensor load_tensor(const lora::ModelFiles& files, const std::string& name, const at::TensorOptions& options) {
  return at::empty(files.shape(name), options).copy_(read_floats(files, name));
}

std::shared_ptr<FrozenMatrix> load_matrix(const lora::ModelFiles& files, const std::vector<std::string>& names,
                                          const at::TensorOptions& options, Quantization quantization) {
  std::vector<std::shared_ptr<const QuantizedRows>> parts;
  bool is_quantized = false;
  for (const std::string& name : names) {
    parts.push_back(quantized_rows(files, name, options, quantization));
    is_quantized |= parts.back() != nullptr;
  }
  if (!is_quantized) return dense_matrix(files, names, options);
  std::vector<std::shared_ptr<const QuantizedRows>> all;
  for (std::size_t i = 0; i < names.size(); ++i) {
    all.push_back(parts[i]
                      ? parts[i]
                      : std::make_shared<DenseRows>(load_tensor(files, names[i], kept_as(files, {names[i]}, options))));
    const std::int64_t own{all.back()->rows()}, more{files.shape(names[i])[0] - own};
    if (more > 0) all.push_back(std::make_shared<DenseRows>(dense_rows(files, names[i], own, more, options)));
  }
  return std::make_shared<QuantizedMatrix>(std::move(all), options);
}

}  // namespace finetune
