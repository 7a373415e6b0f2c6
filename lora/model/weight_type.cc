// The types in which a model's weights are written. Tested by tests/lora/model/weight_type_test.cc.
#include "lora/model/weight_type.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text.h"

namespace lora {
namespace {

using base::DType;

struct TypeFacts {
  WeightType type;
  const char *option, *name;
  std::uint32_t file_type;
};

constexpr std::array kTypes = {
    TypeFacts{{DType::kF32}, "float32", "F32", 0},
    TypeFacts{{DType::kBF16}, "bfloat16", "BF16", 32},
    TypeFacts{{DType::kF16}, "float16", "F16", 1},
    TypeFacts{{DType::kQ8_0}, "q8_0", "Q8_0", 7},
    TypeFacts{{DType::kQ6_K}, "q6_k", "Q6_K", 18},
    TypeFacts{{DType::kQ5_K, Mixture::kMedium}, "q5_k_m", "Q5_K_M", 17},
    TypeFacts{{DType::kQ5_K, Mixture::kSmall}, "q5_k_s", "Q5_K_S", 16},
    TypeFacts{{DType::kQ5_1}, "q5_1", "Q5_1", 9},
    TypeFacts{{DType::kQ5_0}, "q5_0", "Q5_0", 8},
    TypeFacts{{DType::kQ4_K, Mixture::kMedium}, "q4_k_m", "Q4_K_M", 15},
    TypeFacts{{DType::kQ4_K, Mixture::kSmall}, "q4_k_s", "Q4_K_S", 14},
    TypeFacts{{DType::kQ4_1}, "q4_1", "Q4_1", 3},
    TypeFacts{{DType::kQ4_0}, "q4_0", "Q4_0", 2},
};

const TypeFacts& facts_of(WeightType type) {
  const auto found = std::ranges::find(kTypes, type, &TypeFacts::type);
  if (found == kTypes.end())
    throw base::Error(
        {"not a type we write", "", std::string(base::name_of(type.type)), base::join(type_names(true), ", "), ""});
  return *found;
}

}  // namespace

std::string name_of(WeightType type) { return facts_of(type).name; }

std::uint32_t gguf_file_type(WeightType type) { return facts_of(type).file_type; }

std::vector<std::string> type_names(bool gguf) {
  std::vector<std::string> names;
  for (const TypeFacts& facts : kTypes)
    if (gguf || !base::is_block_type(facts.type.type)) names.push_back(facts.option);
  return names;
}

WeightType type_from_name(const std::string& name) {
  const std::string lower = base::ascii_lower(name);
  for (const TypeFacts& facts : kTypes)
    if (lower == facts.option || lower == base::ascii_lower(facts.name)) return facts.type;
  throw base::UsageError({"unknown type", "dtype", name, base::join(type_names(true), ", "), ""});
}

const char* hf_name(WeightType type) {
  const TypeFacts& facts = facts_of(type);
  if (!base::is_block_type(type.type)) return facts.option;
  throw base::UsageError({"a Hugging Face folder cannot hold this type", "dtype", facts.option,
                          "float32, bfloat16 or float16", "blocks exist in GGUF only: --format gguf"});
}

std::string first_matrix(const ModelFiles& model) { return model.spec().blocks.at(0).linears.at(0).name + ".weight"; }

DType natural_type(DType stored) {
  if (stored == DType::kF64) return DType::kF32;
  return stored == DType::kF32 || stored == DType::kBF16 ? stored : DType::kF16;
}

DType natural_type(const ModelFiles& model) { return natural_type(model.type(first_matrix(model))); }

}  // namespace lora
