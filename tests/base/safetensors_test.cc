#include "base/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/random.h"
#include "tests/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using base::DType;
using base::SafetensorsReader;
using testing::HasSubstr;

class Safetensors : public testing::Test {
 protected:
  // A file of this header and `buffer` bytes of weights.
  fs::path file_of(const std::string& header, std::size_t buffer, const std::string& name = "a.safetensors") {
    std::uint64_t size = header.size();
    std::string bytes(reinterpret_cast<const char*>(&size), 8);
    return raw(bytes + header + std::string(buffer, 'w'), name);
  }
  fs::path raw(const std::string& bytes, const std::string& name = "a.safetensors") {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;  // no flush to disk, unlike base::write_file
    return folder_ / name;
  }
  std::string error_of(const fs::path& path) {
    try {
      SafetensorsReader reader(path);
    } catch (const base::Error& error) {
      return error.what();
    }
    return "no error";
  }
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

std::span<const std::byte> bytes_of(const std::vector<float>& values) {
  return std::as_bytes(std::span<const float>(values));
}

TEST_F(Safetensors, WritesAndReads) {
  fs::path path = folder_ / "model.safetensors";
  std::vector<float> matrix = {1, 2, 3, 4, 5, 6};
  {
    base::SafetensorsWriter writer(path,
                                   {{"z", DType::kF32, {2, 3}}, {"a", DType::kBF16, {2}}, {"none", DType::kF32, {0}}});
    writer.write("z", bytes_of(matrix));
    writer.write("a", base::from_float(DType::kBF16, std::vector<float>{0.5f, -1}));
    EXPECT_THROW(writer.commit(), base::Error);
    writer.write("none", {});
    writer.commit();
  }
  SafetensorsReader reader(folder_);  // a folder means its model.safetensors
  ASSERT_EQ(reader.tensors().size(), 3u);
  EXPECT_EQ(reader.tensors()[0].name, "a");
  EXPECT_EQ(reader.at("z").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(reader.at("z").bytes.data(), matrix.data(), 24), 0);
  EXPECT_EQ(reader.metadata().at("format"), "pt");
  EXPECT_EQ(reader.find("y"), nullptr);
  EXPECT_THROW(reader.at("y"), base::Error);
  std::uint64_t header;
  std::memcpy(&header, base::read_file(path).data(), 8);
  EXPECT_EQ(header % 8, 0u);
}

TEST_F(Safetensors, WriterHoldsToItsDeclaration) {
  std::vector<float> two = {1, 2};
  base::SafetensorsWriter writer(folder_ / "b.safetensors", {{"x", DType::kF32, {2}}, {"y", DType::kF32, {3}}});
  EXPECT_THROW(writer.write("y", bytes_of(two)), base::Error);
  writer.write("x", bytes_of(two));
  EXPECT_THROW(writer.write("y", bytes_of(two)), base::Error);
  writer.write_part("y", bytes_of(two));
  EXPECT_THROW(writer.commit(), base::Error);
  EXPECT_THROW(writer.write_part("y", bytes_of(two)), base::Error);
  writer.write_part("y", bytes_of({3}));
  writer.commit();
  EXPECT_EQ(SafetensorsReader(folder_ / "b.safetensors").at("y").bytes.size(), 12u);
  using Entries = std::vector<base::SafetensorsWriter::Entry>;
  EXPECT_THROW(base::SafetensorsWriter(folder_ / "c", Entries{{"x", DType::kF32, {2}}, {"x", DType::kF32, {2}}}),
               base::Error);
  EXPECT_THROW(base::SafetensorsWriter(folder_ / "c", Entries{{"x", DType::kQ8_0, {32}}}), base::Error);
}

TEST_F(Safetensors, RefusesEveryLie) {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_EQ(error_of(file_of(good, 8)), "no error");
  EXPECT_EQ(error_of(file_of(good + "     ", 8)), "no error");
  EXPECT_EQ(error_of(file_of("{}", 0)), "no error");
  EXPECT_EQ(error_of(file_of(R"({"__metadata__":null,)" + good.substr(1), 8)), "no error");  // as MLX writes it
  struct Case {
    const char* header;
    std::size_t buffer;
    const char* error;
  };
  for (
      const Case& c : std::vector<Case>{
          {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7, "truncated"},
          {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9, "after the last tensor"},
          {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})", 9, "do not match its shape"},
          {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "hole or overlap"},
          {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "hole or overlap"},
          {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
           12, "hole or overlap"},
          {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
           16, "stands twice"},
          {R"({"__metadata__":{"k":"1","k":"2"}})", 0, "stands twice"},
          {R"({"__metadata__":{"k":1}})", 0, "misplaced"},
          {R"({"__metadata__":{"k":null}})", 0, "misplaced"},
          {R"({"__metadata__":null,"a":null})", 0, "misplaced"},
          {R"({"__metadata__":{"k":["1"]}})", 0, "misplaced"},
          {R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8, "stands twice"},
          {R"({"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})", 8, "not supported"},
          {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "misplaced"},
          {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8, "misplaced"},
          {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8, "misplaced"},
          {R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", 8, "misplaced"},
          {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "needs dtype"},
          {R"({"a":{"dtype":"F32","shape":[2]}})", 8, "needs dtype"},
          {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8, "unknown field"},
          {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0, "impossible"},
          {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,0]}})", 0, "too large"},
          {R"({"a":{"dtype":"F32","shape":[99999999999999999999999],"data_offsets":[0,0]}})", 0, "misplaced"},
          {R"(["a"])", 0, "begin with '{'"},
          {R"({"a":3})", 0, "misplaced"},
          {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}x)", 8, "not valid JSON"},
          {R"({"a":{"dtype":"F32")", 8, "not valid JSON"},
          {"{\"\xff\":{}}", 0, "not valid JSON"},
      })
    EXPECT_THAT(error_of(file_of(c.header, c.buffer)), HasSubstr(c.error)) << c.header;
  EXPECT_THAT(error_of(raw("")), HasSubstr("too short"));
  EXPECT_THAT(error_of(raw(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10))), HasSubstr("does not fit"));
  EXPECT_THAT(error_of(raw(std::string("\0\0\0\0\0\0\0\0", 8))), HasSubstr("begin with '{'"));
  EXPECT_THAT(error_of(raw(std::string("\x09\0\0\0\0\0\0\0{}", 10))), HasSubstr("does not fit"));
  EXPECT_THAT(error_of(folder_ / "absent.safetensors"), HasSubstr("absent"));
  EXPECT_THAT(error_of(folder_), HasSubstr("no weights"));
}

TEST_F(Safetensors, RefusesAHeaderAboveTheLimit) {
  // A sparse file, so that the declared 100 MB and one byte really are there.
  fs::path path = raw(std::string("\x01\xe1\xf5\x05\0\0\0\0{", 9));  // 100,000,001
  fs::resize_file(path, 8 + 100'000'001);
  EXPECT_THAT(error_of(path), HasSubstr("at most 100000000"));
}

TEST_F(Safetensors, ReadsShards) {
  const std::string a = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const std::string b = R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  file_of(a, 8, "model-00001-of-00002.safetensors");
  file_of(b, 4, "model-00002-of-00002.safetensors");
  auto index = [&](const std::string& map) {
    return raw(R"({"metadata":{"total_size":12},"weight_map":)" + map + "}", "model.safetensors.index.json");
  };
  index(R"({"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"})");
  EXPECT_EQ(SafetensorsReader(folder_).tensors().size(), 2u);
  EXPECT_EQ(SafetensorsReader(folder_).at("b").elements(), 1);
  EXPECT_THAT(error_of(index(R"({"a":"model-00001-of-00002.safetensors","b":"model-00001-of-00002.safetensors"})")),
              HasSubstr("of the index is missing"));
  EXPECT_THAT(error_of(index(R"({"a":"model-00002-of-00002.safetensors","b":"model-00001-of-00002.safetensors"})")),
              HasSubstr("another file"));
  EXPECT_THAT(error_of(index(R"({"a":"model-00001-of-00002.safetensors"})")), testing::StrEq("no error"));
  EXPECT_THAT(error_of(index(R"({"a":"model-00001-of-00002.safetensors","b":"model-00003-of-00002.safetensors"})")),
              HasSubstr("a shard is missing"));
  EXPECT_THAT(error_of(index(R"({"a":"../a.safetensors"})")), HasSubstr("bad file name"));
  EXPECT_THAT(error_of(index(R"({"a":".."})")), HasSubstr("bad file name"));
  EXPECT_THAT(error_of(index(R"({"a":3})")), HasSubstr("bad file name"));
  EXPECT_THAT(error_of(index("[]")), HasSubstr("not an index"));
  EXPECT_THAT(error_of(raw("{\"weight_map\":", "x.index.json")), HasSubstr("not an index"));
}

TEST_F(Safetensors, ReadsShardsWithoutAnIndex) {
  const std::string a = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const std::string b = R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  file_of(b, 4, "model-00002-of-00002.safetensors");
  EXPECT_THAT(error_of(folder_), HasSubstr("model-00001-of-00002.safetensors: a shard is missing"));
  file_of(a, 8, "model-00001-of-00002.safetensors");
  EXPECT_EQ(SafetensorsReader(folder_).tensors().size(), 2u);
  EXPECT_TRUE(SafetensorsReader(folder_).without_index());
  file_of(b, 4, "model-00001-of-00002.safetensors");
  EXPECT_THAT(error_of(folder_), HasSubstr("the tensor lies in two shards"));
  file_of(a, 8, "model-00001-of-00003.safetensors");
  EXPECT_THAT(error_of(folder_), HasSubstr("shards of two models"));
}

// Any damage ends in base::Error or in tensors whose bytes all lie inside the file; asan sees a read beyond it.
TEST_F(Safetensors, SurvivesMutations) {
  std::string good = base::read_file(file_of(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"a":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}})",
      20));
  base::Random random(20);
  std::size_t refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (std::uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
      std::size_t at = random.below(bytes.size());
      switch (random.below(5)) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] ^= static_cast<char>(1 << random.below(8));
          break;
        case 2:
          bytes.resize(at + 1);
          break;
        case 3:
          bytes.insert(at, 1, "{}[]\",:0919-"[random.below(12)]);
          break;
        default:
          bytes.erase(at, 1 + random.below(4));
          break;
      }
      if (bytes.empty()) bytes = " ";
    }
    try {
      SafetensorsReader reader(raw(bytes, "m.safetensors"));
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
  EXPECT_GT(refused, 2000u);
}

}  // namespace
