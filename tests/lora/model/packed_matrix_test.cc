// bitsandbytes' weights, bit for bit as bitsandbytes gives them (scripts/oracle/bitsandbytes_weights.py), through every
// way out of a folder of them; and damaged ones.
#include "lora/model/packed_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/safetensors.h"
#include "lora/adapter/start.h"
#include "tests/error_of.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using base::TensorView;
using testing::HasSubstr;

const fs::path kCases = fs::path(HORNBOOK_SOURCE_DIR) / "tests/golden/lora/bitsandbytes";

std::vector<float> floats(const TensorView& view) {
  std::vector<float> values(static_cast<std::size_t>(view.elements()));
  base::to_float(view.type, view.bytes, values);
  return values;
}

class Packed : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Cases, Packed,
                         testing::Values("nf4", "nf4_nested", "nf4_nested_half", "fp4", "fp4_nested", "int8",
                                         "int8_phi"),
                         [](const auto& info) { return info.param; });

TEST_P(Packed, GivesWhatBitsandbytesGives) {
  const lora::ModelFiles files((kCases / GetParam()).string());
  const base::SafetensorsReader expected(kCases / GetParam() / "expected.safetensors");
  std::size_t packed = 0;
  for (const TensorView& view : expected.tensors()) {
    if (!view.name.ends_with(".weight")) continue;
    ++packed;
    ASSERT_TRUE(files.is_packed(view.name)) << view.name;
    std::vector<float> values(static_cast<std::size_t>(view.elements())), rows(values.size());
    files.read(view.name, values);
    EXPECT_EQ(values, floats(view)) << view.name;
    for (std::int64_t row = 0; row < view.shape[0]; row += 3) {
      const std::int64_t count{std::min<std::int64_t>(3, view.shape[0] - row)};
      files.read_rows(view.name, row, count,
                      std::span(rows).subspan(static_cast<std::size_t>(row * view.shape[1]),
                                              static_cast<std::size_t>(count * view.shape[1])));
    }
    EXPECT_EQ(rows, values) << view.name << " by rows";
  }
  EXPECT_GE(packed, 6u);
  EXPECT_FALSE(files.is_packed("model.embed_tokens.weight"));
  ASSERT_EQ(files.notes().size(), 1u);
  EXPECT_THAT(files.notes()[0], HasSubstr(std::to_string(packed) + " matrices that bitsandbytes quantised"));
}

TEST_P(Packed, IsWrittenPlain) {
  const TemporaryFolder folder;
  const lora::ModelFiles files((kCases / GetParam()).string());
  lora_tests::write_merged(files, nullptr, folder.path());
  const auto config = nlohmann::json::parse(base::read_file(folder.path() / "config.json"));
  EXPECT_FALSE(config.contains("quantization_config"));
  const lora::ModelFiles written(folder.path().string());
  EXPECT_TRUE(written.notes().empty());
  EXPECT_EQ(written.names(), files.names());
  for (const std::string& name : files.names()) {
    std::vector<float> before(static_cast<std::size_t>(files.view(name).elements())), after(before.size());
    files.read(name, before);
    written.read(name, after);
    EXPECT_EQ(after, before) << name;
  }
}

TEST(PackedTypes, AreTold) {
  const auto type_of = [](const char* name) {
    const lora::ModelFiles files((kCases / name).string());
    const std::string matrix = lora::first_matrix(files);
    return std::string(files.type_name(matrix)) + " " + std::string(base::name_of(files.type(matrix)));
  };
  EXPECT_EQ(type_of("nf4"), "NF4 F32");
  EXPECT_EQ(type_of("nf4_nested"), "NF4 BF16");
  EXPECT_EQ(type_of("nf4_nested_half"), "NF4 F16");
  EXPECT_EQ(type_of("fp4"), "FP4 BF16");
  EXPECT_EQ(type_of("int8"), "INT8 F16") << "as the embedding beside it";
  EXPECT_EQ(type_of("int8_phi"), "INT8 BF16");
}

TEST(PackedTypes, ArePlainAdaptersOnly) {
  const lora::ModelFiles files((kCases / "nf4").string());
  lora::Adapter adapter;
  adapter.start = lora::Start::kPissa;
  adapter.modules = {{"model.layers.0.self_attn.q_proj", 1, 64, 64, 1, std::vector<float>(64), std::vector<float>(64)}};
  EXPECT_THAT(error_of([&] { lora::plain_adapter(adapter, files, 1); }), HasSubstr("not quantised ones"));
}

// A copy of a case with its tensors changed.
using Tensor = lora_tests::FileTensor;
using Change = std::function<void(std::map<std::string, Tensor>&)>;

std::string error_with(const std::string& name, const Change& change) {
  const TemporaryFolder folder;
  fs::copy(kCases / name / "config.json", folder.path() / "config.json");
  std::map<std::string, Tensor> tensors;
  for (const Tensor& tensor : lora_tests::tensors_in(kCases / name / "model.safetensors"))
    tensors[tensor.name] = tensor;
  change(tensors);
  std::vector<Tensor> changed;
  for (const auto& [key, tensor] : tensors) changed.push_back({key, tensor.type, tensor.shape, tensor.bytes});
  lora_tests::write_tensors(folder.path() / "model.safetensors", changed);
  return error_of([&] { lora::ModelFiles files(folder.path().string()); });
}

const std::string kWeight = "model.layers.0.mlp.up_proj.weight", kModule = "model.layers.0.mlp.up_proj";

// The JSON text of the weight's state, changed.
Change with_state(const std::function<void(nlohmann::ordered_json&)>& change) {
  return [change](std::map<std::string, Tensor>& tensors) {
    Tensor& tensor = tensors.at(kWeight + ".quant_state.bitsandbytes__nf4");
    auto object = nlohmann::ordered_json::parse(
        std::string(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()));
    change(object);
    const std::string text = object.dump();
    tensor.bytes.resize(text.size());
    std::memcpy(tensor.bytes.data(), text.data(), text.size());
    tensor.shape = {static_cast<std::int64_t>(text.size())};
  };
}

TEST(DamagedPacked, CompanionsThatAreMissingOrOfAWrongSizeAreNamed) {
  EXPECT_EQ(error_with("nf4_nested", [](auto&) {}), "no error");
  for (const char* companion : {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"}) {
    const std::string name = kWeight + companion;
    EXPECT_THAT(error_with("nf4_nested", [&](auto& tensors) { tensors.erase(name); }),
                testing::AllOf(HasSubstr("is missing beside a weight"), HasSubstr(name)));
    EXPECT_THAT(error_with("nf4_nested",
                           [&](auto& tensors) {
                             Tensor& tensor = tensors.at(name);
                             tensor.bytes.resize(tensor.bytes.size() + base::block_bytes(tensor.type));
                             tensor.shape[0] += 1;
                           }),
                testing::AllOf(HasSubstr("of a wrong size"), HasSubstr(name)));
  }
  EXPECT_THAT(
      error_with("nf4_nested", [](auto& tensors) { tensors.erase(kWeight + ".quant_state.bitsandbytes__nf4"); }),
      HasSubstr("bitsandbytes__nf4"));
  EXPECT_THAT(error_with("nf4_nested",
                         [](auto& tensors) {
                           tensors.at(kWeight).bytes.resize(8);
                           tensors.at(kWeight).shape = {8, 1};
                         }),
              testing::AllOf(HasSubstr("a packed weight of a wrong size"), HasSubstr(kWeight)));
  EXPECT_THAT(error_with("nf4", [](auto& tensors) { tensors.erase(kWeight); }), HasSubstr("lacks a tensor"));
}

TEST(DamagedPacked, StatesThatSaySomethingElseAreNamed) {
  const auto state = [](const std::function<void(nlohmann::ordered_json&)>& change) {
    return error_with("nf4_nested", with_state(change));
  };
  EXPECT_THAT(state([](auto& object) { object["quant_type"] = "fp4"; }), HasSubstr("\"quant_type\""));
  EXPECT_THAT(state([](auto& object) { object["blocksize"] = 0; }), HasSubstr("\"blocksize\""));
  EXPECT_THAT(state([](auto& object) { object["blocksize"] = 128; }), HasSubstr("of a wrong size"));
  EXPECT_THAT(state([](auto& object) { object["dtype"] = "float64"; }), HasSubstr("\"dtype\""));
  EXPECT_THAT(state([](auto& object) { object["shape"] = {64, 72}; }), HasSubstr("\"shape\""));
  EXPECT_THAT(state([](auto& object) { object.erase("nested_offset"); }), HasSubstr("\"nested_offset\""));
  EXPECT_THAT(state([](auto& object) { object["order"] = "columns"; }), HasSubstr("\"order\""));
  EXPECT_THAT(error_with("nf4_nested",
                         [](auto& tensors) {
                           tensors.at(kWeight + ".quant_state.bitsandbytes__nf4").bytes[0] = std::byte{'x'};
                         }),
              HasSubstr("not the JSON text"));
  EXPECT_THAT(error_with("nf4",
                         [](auto& tensors) {
                           auto node = tensors.extract(kWeight + ".quant_state.bitsandbytes__nf4");
                           node.key() = kWeight + ".quant_state.bitsandbytes__nf8";
                           tensors.insert(std::move(node));
                         }),
              testing::AllOf(HasSubstr("a kind of quantisation that is not known"), HasSubstr("nf8")));
  EXPECT_THAT(error_with("nf4",
                         [](auto& tensors) {
                           const float other = 0.5F;
                           std::memcpy(tensors.at(kWeight + ".quant_map").bytes.data(), &other, 4);
                         }),
              HasSubstr("not bitsandbytes'"));
  EXPECT_THAT(error_with("nf4",
                         [](auto& tensors) {
                           const float other = std::numeric_limits<float>::quiet_NaN();
                           std::memcpy(tensors.at(kWeight + ".absmax").bytes.data(), &other, 4);
                         }),
              HasSubstr("no finite number"));
}

// bnb_4bit_quant_storage: the same bytes under another type, as sharded training wants them.
TEST(PackedTypes, OfAnotherStorageAreTheSame) {
  for (const auto& [type, bytes] : {std::pair{base::DType::kBF16, 2}, {base::DType::kF32, 4}})
    EXPECT_EQ(error_with("nf4_nested",
                         [&, type = type, bytes = bytes](auto& tensors) {
                           Tensor& tensor = tensors.at(kWeight);
                           tensor.type = type;
                           tensor.shape = {static_cast<std::int64_t>(tensor.bytes.size()) / bytes, 1};
                         }),
              "no error");
}

TEST(DamagedPacked, Int8) {
  EXPECT_THAT(error_with("int8", [](auto& tensors) { tensors.erase(kModule + ".SCB"); }),
              testing::AllOf(HasSubstr("is missing beside a weight"), HasSubstr(kModule + ".SCB")));
  EXPECT_THAT(error_with("int8", [](auto& tensors) { tensors.at(kModule + ".weight_format").bytes[0] = std::byte{2}; }),
              HasSubstr("an order of bytes that is not read"));
  EXPECT_EQ(error_with("int8", [](auto& tensors) { tensors.erase(kModule + ".weight_format"); }), "no error");
  EXPECT_THAT(error_with("int8",
                         [](auto& tensors) {
                           tensors.at(kWeight).shape = {64, 72};
                         }),
              HasSubstr("of a wrong size"));
}

}  // namespace
