// GGUF files of random blocks of any type, in the shape of a tiny model.
#pragma once

#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/gguf.h"
#include "base/random.h"
#include "lora/model/config.h"
#include "lora/model/family.h"
#include "lora/model/spec.h"

namespace random_gguf {
using base::DType;

// Where the half scales of a block lie, and the first one's size; MXFP4 has an exponent instead.
struct Scales {
  std::vector<std::size_t> places;
  float size;
};
inline const std::map<DType, Scales> kScales = {
    {DType::kQ4_0, {{0}, 0.01F}},      {DType::kQ4_1, {{0, 2}, 0.01F}}, {DType::kQ5_0, {{0}, 0.005F}},
    {DType::kQ5_1, {{0, 2}, 0.005F}},  {DType::kQ8_0, {{0}, 0.0007F}},  {DType::kIQ4_NL, {{0}, 0.0007F}},
    {DType::kQ2_K, {{80, 82}, 3e-3F}}, {DType::kQ3_K, {{108}, 2e-3F}},  {DType::kQ4_K, {{0, 2}, 2e-4F}},
    {DType::kQ5_K, {{0, 2}, 1e-4F}},   {DType::kQ6_K, {{208}, 3e-5F}},  {DType::kIQ4_XS, {{0}, 4e-5F}}};

inline void put_half(std::byte* place, float value) {
  const std::uint16_t half{base::float_to_half(value)};
  std::memcpy(place, &half, 2);
}

inline std::vector<std::byte> numbers(DType type, std::size_t count, float mean, base::Random& random) {
  std::vector<float> values(count);
  for (float& value : values) value = mean + 0.1F * static_cast<float>(random.uniform() - 0.5);
  std::vector<std::byte> bytes = base::from_float(type, values);
  return bytes;
}

/// `count` blocks of `type` with scales that make weights of about 0.05.
inline std::vector<std::byte> blocks(DType type, std::size_t count, std::uint64_t seed) {
  base::Random random(seed);
  const std::size_t size{base::block_bytes(type)};
  std::vector<std::byte> bytes(count * size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
  for (std::size_t i = 0; i < count; ++i) {
    std::byte* block = bytes.data() + i * size;
    if (type == DType::kMXFP4) {
      block[0] = static_cast<std::byte>(118 + random.below(4));
      continue;
    }
    for (const std::size_t place : kScales.at(type).places)
      put_half(block + place, kScales.at(type).size * static_cast<float>(0.5 + random.uniform()));
  }
  return bytes;
}

/// The model of `spec` with random weights: matrices in `types` in turn, but F16 where a row is no whole blocks,
/// vectors in F32.
inline void write(const std::filesystem::path& file, const lora::ModelSpec& spec, const std::vector<DType>& types) {
  std::vector<base::TensorWriter::Entry> entries;
  std::set<std::string> known;
  std::size_t next = 0;
  for (const lora::TensorSpec& tensor : lora::tensors_of(spec)) {
    if (!known.insert(tensor.gguf).second) continue;  // another part of a stack
    const std::vector<std::int64_t>& shape = tensor.gguf_shape.empty() ? tensor.shape : tensor.gguf_shape;
    DType type = DType::kF32;
    if (shape.size() > 1 && !tensor.gguf_float) type = types[next++ % types.size()];
    if (shape.back() % static_cast<std::int64_t>(base::block_elements(type)) != 0) type = DType::kF16;
    entries.push_back({tensor.gguf, type, shape});
  }
  std::vector<std::pair<std::string, base::GgufValue>> metadata = {
      {"general.architecture", base::GgufValue::text(lora::family_of(spec.config).gguf)}};
  for (auto& pair : lora::config_to_gguf(spec.config)) metadata.push_back(std::move(pair));
  base::GgufWriter writer(file, metadata, entries);
  base::Random random(3);
  for (const base::TensorWriter::Entry& entry : entries) {
    const auto elements = static_cast<std::size_t>(base::byte_size(entry.type, entry.shape) /
                                                   base::block_bytes(entry.type) * base::block_elements(entry.type));
    const bool is_norm{entry.name.find("norm.weight") != std::string::npos};
    writer.write(entry.name,
                 base::is_block_type(entry.type)
                     ? blocks(entry.type, elements / base::block_elements(entry.type), random.below(1 << 30))
                     : numbers(entry.type, elements, is_norm ? 1.0F : 0.0F, random));
  }
  writer.commit();
}

}  // namespace random_gguf
