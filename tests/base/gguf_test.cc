#include "base/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "base/random.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using base::DType;
using base::GgufReader;
using base::GgufValue;
using testing::HasSubstr;

const char* const kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/base/small.gguf";

// Without the flush to disk of base::write_file.
void write(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

class Gguf : public testing::Test {
 protected:
  std::string error_of(const std::string& bytes) {
    write(folder_ / "bad.gguf", bytes);
    try {
      GgufReader reader(folder_ / "bad.gguf");
    } catch (const base::Error& error) {
      return error.what();
    }
    return "no error";
  }
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

// Builds files that a writer would refuse to make.
struct Bytes {
  std::string out = "GGUF";
  template <class T>
  Bytes& put(T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(const std::string& value) {
    put<std::uint64_t>(value.size());
    out += value;
    return *this;
  }
  Bytes& header(std::uint64_t tensors, std::uint64_t keys) { return put<std::uint32_t>(3).put(tensors).put(keys); }
  Bytes& tensor(const std::string& name, std::vector<std::uint64_t> sizes, std::uint32_t type, std::uint64_t offset) {
    text(name).put<std::uint32_t>(static_cast<std::uint32_t>(sizes.size()));
    for (std::uint64_t size : sizes) put(size);
    return put(type).put(offset);
  }
  Bytes& data(std::size_t size) {
    out.resize((out.size() + 31) / 32 * 32, '\0');
    out.append(size, 'w');
    return *this;
  }
};

TEST_F(Gguf, ReadsWhatTheGgufPackageWrote) {
  GgufReader file(kGolden);
  EXPECT_EQ(file.text("general.architecture"), "llama");
  EXPECT_EQ(file.integer("values.uint8"), 200);
  EXPECT_EQ(file.integer("values.int8"), -100);
  EXPECT_EQ(file.integer("values.uint16"), 60000);
  EXPECT_EQ(file.integer("values.int16"), -30000);
  EXPECT_EQ(file.integer("values.uint32"), 4000000000);
  EXPECT_EQ(file.integer("values.int32"), -2000000000);
  EXPECT_EQ(file.integer("values.uint64"), 1ll << 62);
  EXPECT_EQ(file.integer("values.int64"), -(1ll << 62));
  EXPECT_EQ(file.integer("values.bool"), 1);
  EXPECT_EQ(file.number("values.float32"), 0.1f);
  EXPECT_EQ(file.number("values.float64"), 0.1);
  EXPECT_EQ(file.number("values.uint8"), 200);
  EXPECT_EQ(file.text("values.string"), "naïve \n text");
  EXPECT_THAT(file.texts("lists.text").all(), testing::ElementsAre("a", "", "ü"));
  EXPECT_EQ(file.integers("lists.integers"), (std::vector<std::int64_t>{1, -2, 3}));
  EXPECT_EQ(file.numbers("lists.numbers"), (std::vector<double>{0.5, -1.25}));
  EXPECT_EQ(file.integers("lists.truth"), (std::vector<std::int64_t>{1, 0}));
  ASSERT_EQ(file.tensors().size(), 7u);
  EXPECT_EQ(file.tensor("matrix")->shape, (std::vector<std::int64_t>{2, 3}));
  std::vector<float> values(6);
  base::to_float(DType::kF16, file.tensor("half")->bytes, values);
  EXPECT_EQ(values, (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(file.tensor("q4_1")->type, DType::kQ4_1);
  EXPECT_EQ(file.tensor("absent"), nullptr);
  EXPECT_THROW(file.text("absent"), base::Error);
  EXPECT_THROW(file.integer("values.string"), base::Error);
  EXPECT_THROW(file.texts("lists.integers"), base::Error);
}

// Opens `file` and says what is wrong.
std::string error_of_file(const fs::path& file) {
  try {
    GgufReader reader(file);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(Gguf, ReadsAModelInSeveralFiles) {
  for (const int i : {1, 2, 3}) {
    const std::string name = "split-0000" + std::to_string(i) + "-of-00003.gguf";
    fs::copy_file(fs::path(kGolden).parent_path() / name, folder_ / name);
  }
  const fs::path first = folder_ / "split-00001-of-00003.gguf", second = folder_ / "split-00002-of-00003.gguf",
                 third = folder_ / "split-00003-of-00003.gguf";
  {
    GgufReader file(first);
    ASSERT_EQ(file.tensors().size(), 4u);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(file.tensors()[i].name, "vector" + std::to_string(i));
      std::vector<float> values(5);
      base::to_float(DType::kF32, file.tensors()[i].bytes, values);
      EXPECT_EQ(values[4], 4 + static_cast<float>(i));
    }
    EXPECT_EQ(file.text("general.architecture"), "llama");
    EXPECT_EQ(file.find("split.count"), nullptr);  // a copy is one file
    EXPECT_EQ(file.paths(), (std::vector<fs::path>{first, second, third}));
  }
  EXPECT_THAT(error_of_file(second), HasSubstr("give the first part"));
  EXPECT_THAT(error_of_file(second), HasSubstr(first.string()));
  fs::rename(first, folder_ / "model.gguf");
  EXPECT_THAT(error_of_file(folder_ / "model.gguf"), HasSubstr("NAME-00001-of-00003.gguf"));
  fs::rename(folder_ / "model.gguf", first);
  fs::rename(third, folder_ / "kept");
  EXPECT_THAT(error_of_file(first), HasSubstr("split-00003-of-00003.gguf: a part of the GGUF is missing"));
  fs::copy_file(second, third);
  EXPECT_THAT(error_of_file(first), HasSubstr("a part of another GGUF"));
  // The third under the second's number: its tensors are there twice, or some are missing.
  std::string bytes = base::read_file(folder_ / "kept");
  const std::size_t no = bytes.find("split.no") + 8 + 4;
  bytes[no] = 1;
  fs::remove(third);
  write(second, bytes);
  fs::rename(folder_ / "kept", third);
  EXPECT_THAT(error_of_file(first), HasSubstr("stands in two parts"));
}

TEST_F(Gguf, ACopyHasTheSameBytes) {
  GgufReader file(kGolden);
  std::vector<base::GgufWriter::Entry> entries;
  for (const base::TensorView& tensor : file.tensors()) entries.push_back({tensor.name, tensor.type, tensor.shape});
  base::GgufWriter writer(folder_ / "copy.gguf", file.metadata(), entries);
  for (const base::TensorView& tensor : file.tensors()) {
    if (tensor.name == "q8_0") {  // in two parts
      writer.write_part(tensor.name, tensor.bytes.first(34));
      EXPECT_THROW(writer.commit(), base::Error);
      writer.write_part(tensor.name, tensor.bytes.subspan(34));
    } else {
      writer.write(tensor.name, tensor.bytes);
    }
  }
  writer.commit();
  EXPECT_EQ(base::read_file(folder_ / "copy.gguf"), base::read_file(kGolden));
}

TEST_F(Gguf, MakesValues) {
  {
    base::GgufWriter writer(folder_ / "v.gguf",
                            {{"a", GgufValue::u32(4000000000)},
                             {"b", GgufValue::i32(-5)},
                             {"c", GgufValue::f32(0.1f)},
                             {"d", GgufValue::boolean(true)},
                             {"e", GgufValue::text("text")},
                             {"f", GgufValue::texts({"x", "y"})},
                             {"g", GgufValue::i32s({-1, 2})},
                             {"h", GgufValue::f32s({0.5f})},
                             {"general.alignment", GgufValue::u32(64)}},
                            {});
    writer.commit();
  }
  GgufReader file(folder_ / "v.gguf");
  EXPECT_EQ(file.integer("a"), 4000000000);
  EXPECT_EQ(file.integer("b"), -5);
  EXPECT_EQ(file.number("c"), 0.1f);
  EXPECT_EQ(file.integer("d"), 1);
  EXPECT_EQ(file.text("e"), "text");
  EXPECT_THAT(file.texts("f").all(), testing::ElementsAre("x", "y"));
  EXPECT_EQ(file.integers("g"), (std::vector<std::int64_t>{-1, 2}));
  EXPECT_EQ(file.numbers("h"), (std::vector<double>{0.5}));
  EXPECT_EQ(file.find("general.alignment"), nullptr);
  using Entries = std::vector<base::GgufWriter::Entry>;
  EXPECT_THROW(base::GgufWriter(folder_ / "w", {{"a", GgufValue::u32(1)}, {"a", GgufValue::u32(1)}}, {}), base::Error);
  EXPECT_THROW(base::GgufWriter(folder_ / "w", {}, Entries{{"a", DType::kF32, {1}}, {"a", DType::kF32, {1}}}),
               base::Error);
  EXPECT_THROW(base::GgufWriter(folder_ / "w", {}, Entries{{std::string(64, 'n'), DType::kF32, {1}}}), base::Error);
}

TEST_F(Gguf, RefusesEveryLie) {
  EXPECT_EQ(error_of(Bytes().header(0, 0).out), "no error");
  EXPECT_EQ(error_of(Bytes().header(1, 0).tensor("a", {2}, 0, 0).data(8).out), "no error");  // padding may be missing
  EXPECT_THAT(error_of("GGML0000"), HasSubstr("not a GGUF file"));
  EXPECT_THAT(error_of(""), HasSubstr("not a GGUF file"));
  EXPECT_THAT(error_of(Bytes().put<std::uint32_t>(1).put(0ull).put(0ull).out), HasSubstr("version not supported"));
  EXPECT_THAT(error_of(Bytes().put<std::uint32_t>(0x03000000).put(0ull).put(0ull).out), HasSubstr("big-endian"));
  EXPECT_THAT(error_of(Bytes().header(~0ull, 0).out), HasSubstr("number of tensors"));
  EXPECT_THAT(error_of(Bytes().header(0, ~0ull).out), HasSubstr("number of metadata keys"));
  auto key = [] { return Bytes().header(0, 1).text("k"); };
  EXPECT_THAT(error_of(key().put<std::uint32_t>(13).put(0ull).out), HasSubstr("unknown type"));
  EXPECT_THAT(error_of(key().put<std::uint32_t>(8).put(~0ull).out), HasSubstr("truncated"));
  EXPECT_THAT(error_of(key().put<std::uint32_t>(9).put<std::uint32_t>(9).put(1ull).out), HasSubstr("list of lists"));
  EXPECT_THAT(error_of(key().put<std::uint32_t>(9).put<std::uint32_t>(8).put(1ull << 60).out), HasSubstr("length"));
  EXPECT_THAT(error_of(key().put<std::uint32_t>(9).put<std::uint32_t>(0).put(~0ull).out), HasSubstr("length"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text(std::string(70000, 'k')).put(0ull).out), HasSubstr("metadata key"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("").put(0ull).put(0ull).out), HasSubstr("empty metadata key"));
  EXPECT_THAT(
      error_of(
          Bytes().header(0, 2).text("k").put<std::uint32_t>(4).put(1u).text("k").put<std::uint32_t>(4).put(1u).out),
      HasSubstr("stands twice"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("general.alignment").put<std::uint32_t>(4).put(24u).out),
              HasSubstr("alignment"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("general.alignment").put<std::uint32_t>(4).put(0u).out),
              HasSubstr("alignment"));
  EXPECT_THAT(error_of(Bytes().header(0, 1).text("general.alignment").put<std::uint32_t>(8).text("32").out),
              HasSubstr("another kind"));
  auto one = [](std::vector<std::uint64_t> sizes, std::uint32_t type, std::uint64_t offset, std::size_t data) {
    return Bytes().header(1, 0).tensor("a", sizes, type, offset).data(data).out;
  };
  EXPECT_THAT(error_of(one({2}, 0, 0, 7)), HasSubstr("truncated"));
  EXPECT_THAT(error_of(one({2}, 0, 32, 64)), HasSubstr("hole or overlap"));
  EXPECT_THAT(error_of(one({2}, 0, ~0ull, 64)), HasSubstr("hole or overlap"));
  EXPECT_THAT(error_of(one({~0ull}, 0, 0, 64)), HasSubstr("impossible"));
  EXPECT_THAT(error_of(one({1ull << 62, 1ull << 62}, 0, 0, 64)), HasSubstr("impossible"));
  EXPECT_THAT(error_of(one({1ull << 62}, 0, 0, 64)), HasSubstr("impossible"));
  EXPECT_THAT(error_of(one({33}, 8, 0, 64)), HasSubstr("impossible"));
  EXPECT_THAT(error_of(one({1, 1, 1, 1, 1}, 0, 0, 64)), HasSubstr("too many dimensions"));
  EXPECT_THAT(error_of(one({256}, 29, 0, 56)), HasSubstr("IQ1_M"));
  EXPECT_THAT(error_of(one({256}, 999, 0, 144)), HasSubstr("unknown tensor type"));
  EXPECT_THAT(error_of(Bytes().header(2, 0).tensor("a", {1}, 0, 0).tensor("a", {1}, 0, 32).data(64).out),
              HasSubstr("stands twice"));
  EXPECT_THAT(error_of(Bytes().header(2, 0).tensor("a", {1}, 0, 0).tensor("b", {1}, 0, 0).data(64).out),
              HasSubstr("hole or overlap"));
  EXPECT_THAT(error_of(Bytes().header(1, 0).tensor(std::string(64, 'n'), {1}, 0, 0).data(32).out),
              HasSubstr("tensor name"));
}

// Any damage ends in base::Error or in tensors whose bytes all lie inside the file; asan sees a read beyond it.
TEST_F(Gguf, SurvivesMutations) {
  std::string good = base::read_file(kGolden);
  base::Random random(21);
  std::size_t refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string bytes = good;
    for (std::uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
      std::size_t at = random.below(std::min<std::size_t>(bytes.size(), random.below(2) ? 1100 : 64));
      switch (random.below(5)) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] ^= static_cast<char>(1 << random.below(8));
          break;
        case 2:
          bytes.resize(random.below(8) ? bytes.size() - 1 : at + 1);
          break;
        case 3:
          bytes[at] = '\xff';
          break;
        default:
          bytes.erase(at, 1 + random.below(8));
          break;
      }
      if (bytes.size() < 8) bytes = good;
    }
    write(folder_ / "m.gguf", bytes);
    try {
      GgufReader reader(folder_ / "m.gguf");
      for (const base::TensorView& tensor : reader.tensors()) {
        unsigned sum = 0;
        for (std::byte byte : tensor.bytes) sum += std::to_integer<unsigned>(byte);
        EXPECT_GE(sum + 1, 1u);
        EXPECT_EQ(tensor.bytes.size(), base::byte_size(tensor.type, tensor.shape));
      }
    } catch (const base::Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1500u);
}

}  // namespace
