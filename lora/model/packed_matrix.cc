// bitsandbytes' NF4, FP4 and INT8 (bitsandbytes/functional.py: QuantState, dequantize_4bit, int8_vectorwise_dequant).
// Tested by tests/lora/model/packed_matrix_test.cc.
#include "lora/model/packed_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "lora/model/config_fields.h"

namespace lora {
namespace {

using base::DType;
using base::TensorView;
using nlohmann::json;

constexpr std::string_view kState = ".quant_state.bitsandbytes__";
using Codes = std::array<float, 16>;
// bitsandbytes' table; `quant_map` of a file holds the same numbers.
constexpr Codes kFp4 = {0.0F, 0.005208333333F,  0.6666666667F,  1.0F,  0.3333333333F,  0.5F,  0.1666666667F,  0.25F,
                        0.0F, -0.005208333333F, -0.6666666667F, -1.0F, -0.3333333333F, -0.5F, -0.1666666667F, -0.25F};

// The companions of one matrix, taken out of the model's tensors.
class Companions {
 public:
  Companions(TensorsByName& tensors, const std::string& weight, std::string file)
      : tensors_(tensors), weight_(weight), file_(std::move(file)) {}
  std::optional<TensorView> find(const std::string& name) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return std::nullopt;
    TensorView view = std::move(found->second);
    tensors_.erase(found);
    return view;
  }
  // Numbers of `type`, `count` of them; throws when they are not there.
  std::span<const std::byte> take(const std::string& name, DType type, std::int64_t count) {
    const auto view = find(name);
    const std::string expected = fmt::format("{} numbers of {}", count, base::name_of(type));
    if (!view) fail("a tensor of bitsandbytes is missing beside a weight", name, "", expected);
    if (view->type != type || view->elements() != count)
      fail("a tensor of bitsandbytes of a wrong size", name,
           fmt::format("{} of {}", view->elements(), base::name_of(view->type)), expected);
    return view->bytes;
  }
  std::vector<float> floats(const std::string& name, std::int64_t count) {
    const std::span<const std::byte> bytes = take(name, DType::kF32, count);
    std::vector<float> values(static_cast<std::size_t>(count));
    base::to_float(DType::kF32, bytes, values);
    for (const float value : values)
      if (!std::isfinite(value)) fail("a scale that is no finite number", name, fmt::format("{}", value), "");
    return values;
  }
  [[noreturn]] void fail(const std::string& what, const std::string& name, const std::string& value,
                         const std::string& expected) const {
    throw base::Error({what, file_ + ": " + base::shortened(name), value, expected,
                       "the file is damaged or not whole; fetch it again"});
  }
  const std::string& weight() const { return weight_; }

 private:
  TensorsByName& tensors_;
  std::string weight_, file_;
};

float rounded(float value, DType type) {
  if (type == DType::kBF16) return base::bfloat16_to_float(base::float_to_bfloat16(value));
  if (type == DType::kF16) return base::half_to_float(base::float_to_half(value));
  return value;
}

// `use(place, run, part)` for the parts of `out`, the numbers from `first` on, that lie in one run of `size`.
template <class Use>
void for_each_run(std::int64_t first, std::int64_t size, std::span<float> out, Use use) {
  while (!out.empty()) {
    const std::size_t length{std::min(out.size(), static_cast<std::size_t>(size - first % size))};
    use(first, first / size, out.first(length));
    first += static_cast<std::int64_t>(length);
    out = out.subspan(length);
  }
}

// Two numbers a byte, the first in the upper half; blocks of them, from row to row, share a scale.
class FourBits final : public PackedMatrix {
 public:
  using PackedMatrix::PackedMatrix;
  std::string_view name() const override { return parts_.codes == &kNf4Codes ? "NF4" : "FP4"; }
  void read(std::int64_t first, std::span<float> out) const override {
    for_each_run(first, parts_.block, out, [&](std::int64_t place, std::int64_t run, std::span<float> part) {
      const float scale{parts_.scales.at(run)};
      for (float& value : part) {
        const auto pair = static_cast<unsigned>(parts_.bytes[static_cast<std::size_t>(place / 2)]);
        value = rounded((*parts_.codes)[place++ % 2 == 0 ? pair >> 4 : pair & 15] * scale, parts_.type);
      }
    });
  }
};

// One signed byte a number, a scale a row.
class EightBits final : public PackedMatrix {
 public:
  using PackedMatrix::PackedMatrix;
  std::string_view name() const override { return "INT8"; }
  void read(std::int64_t first, std::span<float> out) const override {
    constexpr auto kStep = static_cast<float>(7.874015718698502e-3);  // 1 / 127, as bitsandbytes writes it
    for_each_run(first, parts_.block, out, [&](std::int64_t place, std::int64_t row, std::span<float> part) {
      const float scale{parts_.scales.at(row)};
      for (float& value : part)
        value = static_cast<float>(static_cast<std::int8_t>(parts_.bytes[static_cast<std::size_t>(place++)])) * scale *
                kStep;
    });
  }
};

std::int64_t blocks_of(std::int64_t count, std::int64_t block) { return (count + block - 1) / block; }

// What the tensor `quant_state` says, a JSON text.
struct State {
  std::int64_t block = 0, nested_block = 0;  // nested: 0: scales are float32
  float nested_offset = 0;
  DType type = DType::kF32;
};

DType type_named(const Fields& fields, const char* key) {
  const std::string name = fields.text(key, "");
  if (name == "float32") return DType::kF32;
  if (name == "bfloat16") return DType::kBF16;
  if (name == "float16") return DType::kF16;
  fields.wrong(key, "float32, bfloat16 or float16");
}

State read_state(const TensorView& view, std::string_view kind, const std::vector<std::int64_t>& shape,
                 const std::string& where, const Companions& companions) {
  const std::string text(reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size());
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object())
    companions.fail("a tensor of bitsandbytes that is not the JSON text it should be", view.name, base::shortened(text),
                    "{\"quant_type\": ...}");
  const Fields fields(object, where, "quant_state");
  State state;
  if (fields.text("quant_type", "") != kind) fields.wrong("quant_type", std::string(kind));
  state.block = fields.size("blocksize", 0);
  state.type = type_named(fields, "dtype");
  if (fields.integers("shape") != shape)
    fields.wrong("shape", fmt::format("[{}], as config.json says", fmt::join(shape, ", ")));
  if (fields.has("nested_blocksize")) {
    state.nested_block = fields.size("nested_blocksize", 0);
    if (fields.text("nested_dtype", "float32") != "float32") fields.wrong("nested_dtype", "float32");
    if (!fields.has("nested_offset")) fields.wrong("nested_offset", "a number");
    state.nested_offset = static_cast<float>(fields.number("nested_offset", 0));
  }
  fields.refuse_others("", {});
  return state;
}

PackedScales scales_of(Companions& companions, const State& state, std::int64_t count) {
  const std::string& weight = companions.weight();
  const std::int64_t blocks{blocks_of(count, state.block)};
  if (state.nested_block == 0) return {companions.floats(weight + ".absmax", blocks)};
  return {{},
          companions.take(weight + ".absmax", DType::kU8, blocks),
          companions.floats(weight + ".nested_quant_map", 256),
          companions.floats(weight + ".nested_absmax", blocks_of(blocks, state.nested_block)),
          state.nested_block,
          state.nested_offset};
}

std::shared_ptr<const PackedMatrix> four_bits(Companions& companions, const TensorView& state_tensor,
                                              const std::vector<std::int64_t>& shape, const std::string& file,
                                              const TensorView& stored) {
  const std::string& weight = companions.weight();
  const std::string kind = state_tensor.name.substr(state_tensor.name.rfind("__") + 2);
  const Codes& codes = kind == "nf4" ? kNf4Codes : kFp4;
  const State state = read_state(state_tensor, kind, shape, file + ": " + state_tensor.name, companions);
  const std::int64_t count{shape.at(0) * shape.at(1)};
  const std::vector<float> table = companions.floats(weight + ".quant_map", 16);
  for (std::size_t i = 0; i < table.size(); ++i)
    if (std::fabs(table[i] - codes[i]) > 1e-6F)
      companions.fail("a table of numbers that is not bitsandbytes'", weight + ".quant_map",
                      fmt::format("{}", table[i]), fmt::format("{} in place {}", codes[i], i));
  if (static_cast<std::int64_t>(stored.bytes.size()) != (count + 1) / 2)
    companions.fail("a packed weight of a wrong size", weight, fmt::format("{} bytes", stored.bytes.size()),
                    fmt::format("{}", (count + 1) / 2));
  return std::make_shared<FourBits>(
      PackedParts{&codes, stored.bytes, scales_of(companions, state, count), state.block, state.type});
}

std::shared_ptr<const PackedMatrix> eight_bits(Companions& companions, const TensorView& stored,
                                               const std::vector<std::int64_t>& shape, DType type,
                                               const std::string& module) {
  if (stored.shape != shape)
    companions.fail("a packed weight of a wrong size", companions.weight(),
                    fmt::format("[{}]", fmt::join(stored.shape, ", ")), fmt::format("[{}]", fmt::join(shape, ", ")));
  // Old files lay the bytes out for one kind of GPU: 1 col32, 2 col_turing, 3 col_ampere.
  if (const auto format = companions.find(module + ".weight_format");
      format && (format->bytes.size() != 1 || format->bytes[0] != std::byte{0}))
    companions.fail("a weight in an order of bytes that is not read", module + ".weight_format",
                    format->bytes.empty() ? "" : fmt::format("{}", static_cast<int>(format->bytes[0])),
                    "0, row by row");
  std::vector<float> scales = companions.floats(module + ".SCB", shape.at(0));
  return std::make_shared<EightBits>(PackedParts{nullptr, stored.bytes, {std::move(scales)}, shape.at(1), type});
}

}  // namespace

float PackedScales::at(std::int64_t index) const {
  const auto i = static_cast<std::size_t>(index);
  if (block == 0) return plain[i];
  const float scaled{table[static_cast<std::size_t>(numbers[i])] * outer[i / static_cast<std::size_t>(block)]};
  return scaled + offset;
}

std::shared_ptr<const PackedMatrix> unpack_matrix(TensorsByName& tensors, const std::string& weight,
                                                  const std::vector<std::int64_t>& shape, DType type,
                                                  const std::string& file) {
  const auto found = tensors.find(weight);
  if (found == tensors.end() || shape.size() != 2 || !weight.ends_with(".weight")) return nullptr;
  const TensorView& stored = found->second;
  if (stored.type <= DType::kBF16 && stored.shape == shape) return nullptr;
  Companions companions(tensors, weight, file);
  if (stored.type == DType::kI8)
    return eight_bits(companions, stored, shape, type, weight.substr(0, weight.rfind('.')));
  for (const char* kind : {"nf4", "fp4"})
    if (const auto state = companions.find(weight + std::string(kState) + kind))
      return four_bits(companions, *state, shape, file, stored);
  for (const auto& [name, view] : tensors)
    if (name.starts_with(weight + ".quant_state."))
      companions.fail("a kind of quantisation that is not known", name, "", "bitsandbytes__nf4 or bitsandbytes__fp4");
  if (stored.type != DType::kU8) return nullptr;
  companions.fail("a tensor of bitsandbytes is missing beside a weight", weight + std::string(kState) + "nf4", "",
                  "a JSON text that says how the weight is packed");
}

}  // namespace lora
