// What is kept in fewer bits: equal to bitsandbytes' and to base::to_float bit for bit, in our passes and in ATen's,
// and products with it are those of what it stands for.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <limits>

#include "finetune/weights/eight_bits.h"
#include "finetune/weights/four_bits.h"
#include "finetune/weights/gguf_rows.h"
#include "finetune/weights/quantized_matrix.h"
#include "tests/error_of.h"
#include "tests/finetune/random_gguf.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using base::DType;
using finetune::Passes;
using finetune::QuantizedMatrix;
using finetune::QuantizedRows;
using testing::Values;

const std::string kGolden = (tiny_llama::folder("").parent_path().parent_path() / "quantized.safetensors").string();

at::Tensor bytes_of(const base::TensorView& view, at::ScalarType type) {
  return at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape, type).clone();
}

// All of `rows` in `type`, expanded `step` rows at a time.
at::Tensor expanded(const QuantizedRows& rows, at::ScalarType type, Passes passes, std::int64_t step = 1000) {
  at::Tensor all = at::empty({rows.rows(), rows.columns()}, type);
  for (std::int64_t first = 0; first < rows.rows(); first += step) {
    at::Tensor out = all.narrow(0, first, std::min(step, rows.rows() - first));
    rows.expand(first, 0, out, passes);
  }
  return all;
}

class Quantizer : public testing::TestWithParam<std::string> {
 protected:
  Quantizer() : file_(kGolden) {}
  const base::TensorView& view(const std::string& name) const { return file_.at(GetParam() + "/" + name); }
  at::Tensor numbers(const std::string& name) const { return tiny_llama::to_tensor(view(name)); }
  base::SafetensorsReader file_;
};
INSTANTIATE_TEST_SUITE_P(Cases, Quantizer,
                         Values("whole", "whole_bfloat16", "across_rows", "last_block", "odd", "many_scales",
                                "heavy_tails", "zeros", "some_zeros", "outlier", "ties"),
                         [](const auto& info) { return info.param; });

TEST_P(Quantizer, Nf4IsWhatBitsandbytesMakes) {
  const at::Tensor weight = numbers("weight");
  const at::ScalarType type{view("weight").type == DType::kBF16 ? at::kBFloat16 : at::kFloat};
  const finetune::FourBits kept = finetune::quantize_nf4(weight, type, "");
  EXPECT_TRUE(at::equal(kept.bytes, bytes_of(view("bytes"), at::kByte)));
  EXPECT_TRUE(at::equal(kept.scale_numbers, bytes_of(view("absmax"), at::kByte)));
  EXPECT_TRUE(at::equal(kept.scales, numbers("nested_absmax")));
  EXPECT_EQ(kept.offset, numbers("offset").item<float>());
  EXPECT_TRUE(at::equal(kept.scale_table, tiny_llama::to_tensor(file_.at("table"))));
  const finetune::FourBitRows rows(kept, weight.size(0), weight.size(1));
  const at::Tensor expected = numbers("nf4");
  for (const Passes passes : {Passes::kFused, Passes::kAten})
    for (const std::int64_t step : {1000, 1, 3})
      for (const at::ScalarType out : {at::kFloat, at::kBFloat16})
        EXPECT_TRUE(at::equal(expanded(rows, out, passes, step), expected.to(out))) << step;
}

TEST_P(Quantizer, Int8IsWhatBitsandbytesMakes) {
  const finetune::EightBits kept = finetune::quantize_int8(numbers("weight"), "");
  EXPECT_TRUE(at::equal(kept.bytes, bytes_of(view("int8"), at::kChar)));
  EXPECT_TRUE(at::equal(kept.scales, numbers("scb")));
  const finetune::EightBitRows rows(kept.bytes, kept.scales);
  for (const Passes passes : {Passes::kFused, Passes::kAten})
    for (const at::ScalarType out : {at::kFloat, at::kBFloat16})
      EXPECT_TRUE(at::equal(expanded(rows, out, passes), numbers("int8_values").to(out)));
}

TEST(Quantizers, RefuseWhatIsNoNumberByName) {
  at::Tensor weight = at::zeros({2, 64});
  weight[1][5] = std::numeric_limits<float>::quiet_NaN();
  for (const auto& refused : {std::function([&] { finetune::quantize_nf4(weight, at::kFloat, "file: q_proj"); }),
                              std::function([&] { finetune::quantize_int8(weight, "file: q_proj"); })})
    EXPECT_NE(error_of(refused).find("file: q_proj"), std::string::npos);
  weight[1][5] = 70000;  // beyond float16
  EXPECT_NE(error_of([&] { finetune::quantize_int8(weight, "q_proj"); }).find("nf4"), std::string::npos);
  finetune::quantize_nf4(weight, at::kFloat, "");
}

// The mean of more than 32,768 scales would be another sum with other threads.
TEST(Quantizers, GiveTheSameOnAnyNumberOfThreads) {
  at::manual_seed(2);
  const at::Tensor weight = at::randn({2048, 1200});
  at::set_num_threads(1);
  const finetune::FourBits one = finetune::quantize_nf4(weight, at::kFloat, "");
  const at::Tensor expected = expanded(finetune::FourBitRows(one, 2048, 1200), at::kBFloat16, Passes::kFused);
  at::set_num_threads(3);
  const finetune::FourBits three = finetune::quantize_nf4(weight, at::kFloat, "");
  EXPECT_EQ(one.offset, three.offset);
  EXPECT_TRUE(at::equal(one.scale_numbers, three.scale_numbers));
  EXPECT_TRUE(at::equal(one.bytes, three.bytes));
  EXPECT_TRUE(at::equal(expanded(finetune::FourBitRows(three, 2048, 1200), at::kBFloat16, Passes::kFused), expected));
  at::set_num_threads(1);
}

const std::vector<DType> kBlockTypes = {DType::kQ4_0,   DType::kQ4_1,   DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                                        DType::kQ2_K,   DType::kQ3_K,   DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,
                                        DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};

class Blocks : public testing::TestWithParam<DType> {
 protected:
  // 12 rows of 512 numbers; `values` gets what base::to_float makes of them.
  finetune::GgufRows rows(at::Tensor& values) const {
    const std::size_t count{12 * 512 / base::block_elements(GetParam())};
    const std::vector<std::byte> bytes = random_gguf::blocks(GetParam(), count, 9);
    values = at::empty({12, 512});
    base::to_float(GetParam(), bytes, {values.data_ptr<float>(), 12 * 512});
    at::Tensor kept = at::empty({12, static_cast<std::int64_t>(bytes.size() / 12)}, at::kByte);
    std::ranges::copy(bytes, static_cast<std::byte*>(kept.data_ptr()));
    return {GetParam(), kept, 512};
  }
};
INSTANTIATE_TEST_SUITE_P(Types, Blocks, testing::ValuesIn(kBlockTypes),
                         [](const auto& info) { return std::string(base::name_of(info.param)); });

TEST_P(Blocks, ExpandAsTheFileIsRead) {
  at::Tensor values;
  const finetune::GgufRows rows = this->rows(values);
  EXPECT_GT(values.std().item<double>(), 0.005);
  EXPECT_LT(values.abs().max().item<double>(), 3);
  for (const Passes passes : {Passes::kFused, Passes::kAten})
    for (const at::ScalarType out : {at::kFloat, at::kBFloat16}) {
      EXPECT_TRUE(at::equal(expanded(rows, out, passes, 5), values.to(out)));
      at::Tensor piece = at::empty({3, 256}, out);
      rows.expand(7, 256, piece, passes);
      EXPECT_TRUE(at::equal(piece, values.narrow(0, 7, 3).narrow(1, 256, 256).to(out)));
    }
}

// What every bit of a block may be: the golden file's blocks have scales of every size.
TEST_P(Blocks, ExpandByAtenWhatThePeerWrote) {
  const base::SafetensorsReader file(std::filesystem::path(HORNBOOK_SOURCE_DIR) /
                                     "tests/golden/base/dequantize.safetensors");
  const std::string name(base::name_of(GetParam()));
  ASSERT_NE(file.find(name + ".bytes"), nullptr) << name;
  const at::Tensor blocks = bytes_of(file.at(name + ".bytes"), at::kByte)
                                .view({-1, static_cast<std::int64_t>(base::block_bytes(GetParam()))});
  const at::Tensor values = tiny_llama::to_tensor(file.at(name + ".values")).view({blocks.size(0), -1});
  EXPECT_TRUE(at::equal(finetune::expand_blocks(GetParam(), blocks), values));
}

TEST_P(Blocks, MultiplyAsTheDenseMatrix) {
  at::set_num_threads(1);
  at::Tensor values;
  auto upper = std::make_shared<finetune::GgufRows>(rows(values));
  at::manual_seed(4);
  const at::Tensor below = at::randn({5, 512});
  const at::Tensor all = at::cat({values, below}), x = at::randn({6, 512}), dy = at::randn({6, 17});
  const at::Tensor row = at::randn({17}), sum = at::randn({6, 17});
  const at::Tensor numbers = at::tensor(std::vector<std::int64_t>{16, 0, 11, 12, 0});
  const finetune::DenseMatrix dense(all);
  for (const std::int64_t scratch : {0, 4000, 600, 1}) {  // all at once, some rows, one row at a time
    const QuantizedMatrix matrix({upper, std::make_shared<finetune::DenseRows>(below)}, at::kFloat, scratch);
    EXPECT_LT(tiny_llama::relative(matrix.apply(x), dense.apply(x)), 1e-6) << scratch;
    EXPECT_LT(tiny_llama::relative(matrix.apply(x, row), dense.apply(x, row)), 1e-6) << scratch;
    EXPECT_LT(tiny_llama::relative(matrix.apply(x, sum), dense.apply(x, sum)), 1e-6) << scratch;
    const at::Tensor one = x.narrow(0, 2, 1);  // as generation multiplies
    EXPECT_LT(tiny_llama::relative(matrix.apply(one), dense.apply(one)), 1e-6) << scratch;
    EXPECT_LT(tiny_llama::relative(matrix.apply(one, sum.narrow(0, 1, 1)), dense.apply(one, sum.narrow(0, 1, 1))),
              1e-6);
    EXPECT_LT(tiny_llama::relative(matrix.apply_transposed(dy), dense.apply_transposed(dy)), 1e-6) << scratch;
    EXPECT_TRUE(at::equal(matrix.rows(numbers), dense.rows(numbers)));
    at::Tensor y = at::empty({6, 5}), dx = at::empty({6, 512});  // rows of both parts
    matrix.apply_rows(y, x, 9);
    EXPECT_LT(tiny_llama::relative(y, dense.apply(x).narrow(1, 9, 5)), 1e-6) << scratch;
    matrix.apply_rows_transposed(dx, y, 9);
    EXPECT_LT(tiny_llama::relative(dx, at::mm(y, all.narrow(0, 9, 5))), 1e-6) << scratch;
  }
  const QuantizedMatrix alone({upper}, at::kBFloat16);
  EXPECT_TRUE(at::equal(alone.rows(numbers.narrow(0, 1, 2)), at::stack({values[0], values[11]}).to(at::kBFloat16)));
}

// On the GPU where the tests are told to run there, else on the CPU: the rows lie there, and what they stand for is the
// same.
class DeviceQuantized : public testing::Test {
 protected:
  static void expect_same(const QuantizedRows& there, const QuantizedRows& here) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      at::Tensor out = at::empty({there.rows(), there.columns()}, at::TensorOptions(tiny_llama::device()).dtype(type));
      there.expand(0, 0, out, Passes::kAten);
      const at::Tensor expected = expanded(here, type, Passes::kFused);
      EXPECT_TRUE(at::equal(out.cpu(), expected));
      const at::Tensor numbers = at::tensor(std::vector<std::int64_t>{3, 0}).to(out.device());
      at::Tensor picked = at::empty({2, there.columns()}, out.options());
      there.pick(numbers, picked);
      EXPECT_TRUE(at::equal(picked.cpu(), at::stack({expected[3], expected[0]})));
    }
  }
};

TEST_F(DeviceQuantized, ExpandsAsTheProcessor) {
  at::manual_seed(12);
  const at::Device device = tiny_llama::device();
  for (const std::int64_t columns : {64, 72, 600}) {
    const at::Tensor weight = at::randn({9, columns});
    const finetune::FourBits four = finetune::quantize_nf4(weight, at::kBFloat16, "");
    const finetune::EightBits eight = finetune::quantize_int8(weight, "");
    expect_same(finetune::FourBitRows(finetune::to_device(four, device), 9, columns),
                finetune::FourBitRows(four, 9, columns));
    expect_same(finetune::EightBitRows(eight.bytes.to(device), eight.scales.to(device)),
                finetune::EightBitRows(eight.bytes, eight.scales));
  }
  for (const DType type : kBlockTypes) {
    const std::vector<std::byte> bytes = random_gguf::blocks(type, 5 * 256 / base::block_elements(type), 2);
    at::Tensor kept = at::empty({5, static_cast<std::int64_t>(bytes.size() / 5)}, at::kByte);
    std::ranges::copy(bytes, static_cast<std::byte*>(kept.data_ptr()));
    expect_same(finetune::GgufRows(type, kept.to(device), 256), finetune::GgufRows(type, kept, 256));
  }
}

TEST_F(DeviceQuantized, ComputesTheLossOfTheProcessor) {
  for (const finetune::Quantization quantization : {finetune::Quantization::kNf4, finetune::Quantization::kInt8}) {
    const lora::ModelFiles files(tiny_llama::folder("tied").string());
    const finetune::Transformer there(files, at::kFloat, tiny_llama::device(), quantization),
        here(files, at::kFloat, at::kCPU, quantization);
    const finetune::PackedRow row = tiny_llama::Golden("tied").row(0);
    at::NoGradGuard no_gradient;
    EXPECT_LT(tiny_llama::relative(there.hidden(row), here.hidden(row)), 1e-5);
  }
}

TEST(QuantizedMatrix, PicksRowsAndPiecesOfBlocksThatGoOnFromRowToRow) {
  at::manual_seed(6);
  const at::Tensor weight = at::randn({20, 600});
  const auto rows = std::make_shared<finetune::FourBitRows>(finetune::quantize_nf4(weight, at::kFloat, ""), 20, 600);
  const at::Tensor values = expanded(*rows, at::kFloat, Passes::kFused);
  EXPECT_GT(tiny_llama::relative(values, weight), 0.01);
  EXPECT_LT(tiny_llama::relative(values, weight), 0.15);
  const QuantizedMatrix matrix({rows}, at::kFloat, 1);
  const at::Tensor dy = at::randn({3, 20}), numbers = at::tensor(std::vector<std::int64_t>{19, 3});
  EXPECT_LT(tiny_llama::relative(matrix.apply_transposed(dy), dy.mm(values)), 1e-6);
  EXPECT_TRUE(at::equal(matrix.rows(numbers), at::stack({values[19], values[3]})));
  for (const Passes passes : {Passes::kFused, Passes::kAten}) {
    at::Tensor piece = at::empty({2, 88});
    rows->expand(5, 512, piece, passes);
    EXPECT_TRUE(at::equal(piece, values.narrow(0, 5, 2).narrow(1, 512, 88)));
  }
}

}  // namespace
