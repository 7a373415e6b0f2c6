// Numbers of the GGUF format that its reader and its writer share.
#pragma once

#include <optional>

#include "base/gguf.h"

namespace base::gguf {

constexpr std::size_t kAlignment = 32;  // the default, and what we write
constexpr std::uint64_t kMostKeyBytes = 65535;
constexpr std::uint64_t kMostNameBytes = 63;  // GGML_MAX_NAME less the NUL
constexpr std::uint32_t kMostDimensions = 4;  // GGML_MAX_DIMS

struct GgmlType {
  std::uint32_t number;
  const char* name;
  std::optional<DType> type;
};

// enum ggml_type. Types without a DType are known by name only, for the error message.
constexpr GgmlType kGgmlTypes[] = {
    {0, "F32", DType::kF32},
    {1, "F16", DType::kF16},
    {2, "Q4_0", DType::kQ4_0},
    {3, "Q4_1", DType::kQ4_1},
    {6, "Q5_0", DType::kQ5_0},
    {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},
    {9, "Q8_1", {}},
    {10, "Q2_K", DType::kQ2_K},
    {11, "Q3_K", DType::kQ3_K},
    {12, "Q4_K", DType::kQ4_K},
    {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K},
    {15, "Q8_K", {}},
    {16, "IQ2_XXS", {}},
    {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},
    {19, "IQ1_S", {}},
    {20, "IQ4_NL", DType::kIQ4_NL},
    {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},
    {23, "IQ4_XS", DType::kIQ4_XS},
    {24, "I8", DType::kI8},
    {25, "I16", DType::kI16},
    {26, "I32", DType::kI32},
    {27, "I64", DType::kI64},
    {28, "F64", DType::kF64},
    {29, "IQ1_M", {}},
    {30, "BF16", DType::kBF16},
    {34, "TQ1_0", {}},
    {35, "TQ2_0", {}},
    {39, "MXFP4", DType::kMXFP4},
    {40, "NVFP4", {}},
    {41, "Q1_0", {}},
};

inline bool is_integer(GgufValue::Type type) {
  return type <= GgufValue::kI32 || type == GgufValue::kBool || type == GgufValue::kU64 || type == GgufValue::kI64;
}

// Bytes of one scalar of `type`; 0 for text and lists.
inline std::size_t scalar_bytes(GgufValue::Type type) {
  constexpr std::size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kBytes[type];
}

inline std::uint64_t padded(std::uint64_t size, std::uint64_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

}  // namespace base::gguf
